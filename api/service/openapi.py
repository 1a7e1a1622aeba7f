"""The OpenAPI 3.1 document: made from the routes, kept in `openapi.json`, which `make openapi` writes.

What FastAPI writes is bent in three places: the model of problems is added, examples come from the shipped index, and
clients are not told to refuse names that they do not know, for names are added over time.
"""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .shapes import ProblemDetails
from .submitted import SECURITY

Json = dict[str, Any]
_ABOUT = """What is known of super weights: the few scalars of a language model whose removal destroys it.

Read only, but for submissions where the service takes them. Errors are problem details (RFC 9457). Answers carry strong
ETags. A model that is not in the index may well have super weights: that it is not there says nothing.
"""
_SENT = ("Question", "SubmittedRecord", "SubmittedRequest")
"""What clients send: there a name that nobody knows is wrong."""
_LICENCE = {"name": "CC0-1.0", "identifier": "CC0-1.0"}


def described(app: FastAPI) -> Json:
    """The document of an application, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=_ABOUT,
            routes=app.routes,
            license_info=_LICENCE,
        )
        made["components"]["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
        made["components"]["securitySchemes"] = SECURITY
        app.openapi_schema = _open(made)
    return app.openapi_schema


def _open(part: Any) -> Any:
    """The same without a word that unknown names are wrong, but in what clients send."""
    if isinstance(part, list):
        return [_open(each) for each in part]
    if not isinstance(part, dict):
        return part
    kept = part if part.get("title") in _SENT else {k: v for k, v in part.items() if k != "additionalProperties"}
    return {name: _open(value) for name, value in kept.items()}


def text() -> str:
    """The document as it is kept, with an example for each address that has one."""
    from .app import bare
    from .examples import with_examples

    return json.dumps(with_examples(described(bare())), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(text(), end="")
