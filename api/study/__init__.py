"""A study as a page: HTML in one file, and Markdown with the same numbers. Neither needs torch.

`document` (a study and what others report), `sections` and its neighbours (what is said, figure by figure), `html` and
`markdown` (how it looks), `files` (writing it, whole or not at all).
"""
