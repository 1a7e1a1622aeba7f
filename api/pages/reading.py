"""The documentation of the HTTP API, made of its OpenAPI document. Knows no addresses of its own."""

import json
from functools import lru_cache
from typing import Any

from ..service.openapi_kept import document

Json = dict[str, Any]
_TAGS = ("models", "index", "submissions", "service", "more")
"""In this order."""
_EXAMPLES = {"form": "jsonl", "version": "view"}
"""What stands for parts of an address that are the same in every index."""
_LINES = 40
"""Lines of an example that are shown."""


@lru_cache(1)
def described() -> Json:
    """Title, version, addresses by their tags, schemas."""
    whole = json.loads(document())
    by_tag: dict[str, list[Json]] = {}
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            tag = next((tag for tag in operation.get("tags", ()) if tag in _TAGS), "more")
            by_tag.setdefault(tag, []).append(_operation(path, method, operation))
    schemas = {name: _schema(made) for name, made in sorted(whole["components"]["schemas"].items())}
    told = {"version": whole["info"]["version"], "about": whole["info"]["description"].strip().split("\n\n")}
    return {**told, "tags": dict(sorted(by_tag.items(), key=lambda each: _TAGS.index(each[0]))), "schemas": schemas}


def _operation(path: str, method: str, operation: Json) -> Json:
    parameters = operation.get("parameters", [])
    return {
        "id": operation["operationId"],
        "path": path,
        "method": method.upper(),
        "summary": operation.get("description") or operation.get("summary"),
        "parameters": [_parameter(each) for each in parameters],
        "body": _body(operation.get("requestBody")),
        "answers": [_answer(status, each) for status, each in operation["responses"].items()],
        "example": _example(operation["responses"].get("200", {})),
        "try": method == "get",
    }


def _parameter(parameter: Json) -> Json:
    schema = parameter.get("schema", {})
    return {
        "name": parameter["name"],
        "in": parameter["in"],
        "required": parameter.get("required", False),
        "type": type_of(schema)[0],
        "text": parameter.get("description") or "",
    }


def filled(operation: Json, example: dict[str, str]) -> str | None:
    """An address to try, of the index that is served; None if a part of it has no example."""
    path: str = operation["path"]
    for name, value in {**_EXAMPLES, **example}.items():
        path = path.replace("{" + name + "}", value)
    return path if operation["try"] and "{" not in path else None


def _body(body: Json | None) -> tuple[str, str | None] | None:
    if body is None:
        return None
    [content] = body["content"].values()
    return type_of(content["schema"])


def _answer(status: str, answer: Json) -> Json:
    content = answer.get("content", {})
    schema: Json = next((c["schema"] for c in content.values() if "schema" in c), {})
    return {
        "status": status,
        "text": answer.get("description", ""),
        "media": ", ".join(content),
        "type": type_of(schema),
    }


def _example(answer: Json) -> Json | None:
    for content in answer.get("content", {}).values():
        if "example" in content:
            lines = json.dumps(content["example"], indent=2).splitlines()
            return {"text": "\n".join(lines[:_LINES]), "more": max(len(lines) - _LINES, 0)}
    return None


def _schema(schema: Json) -> Json:
    names = schema.get("properties", {})
    needed = set(schema.get("required", ()))
    fields = [{"name": n, "type": type_of(s), "text": _text(s), "required": n in needed} for n, s in names.items()]
    return {"text": _text(schema), "fields": fields, "values": schema.get("enum", [])}


def _text(schema: Json) -> str:
    return " ".join(str(schema.get("description") or "").split())


def type_of(schema: Json) -> tuple[str, str | None]:
    """A type in words, and the schema that it refers to."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name, name
    for kind in ("anyOf", "oneOf", "allOf"):
        if kind in schema:
            parts = [type_of(each) for each in schema[kind]]
            return " or ".join(dict.fromkeys(text for text, _ in parts)), next((ref for _, ref in parts if ref), None)
    if schema.get("type") == "array":
        inner, ref = type_of(schema.get("items", {}))
        return f"list of {inner}", ref
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"])), None
    return str(schema.get("format") or schema.get("type") or "anything"), None
