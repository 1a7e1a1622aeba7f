"""The HTTP service: an index, asked over HTTP, and read only. `app.build` composes it, `run.run` serves it.

Every answer is a function from a `snapshot` (an index up to one change) to a document (`documents`), rendered once
(`answer`) and served until the next change. Needs the extra `serve`; nothing outside this package imports FastAPI.
"""
