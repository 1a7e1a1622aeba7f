"""A release written from its description alone, by other means than the product's, for tests of those who read one.

`leaf` is how many models a leaf holds at most, so that small indexes have deep trees too; `upto` ends the release
with an earlier change.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import rfc8785

RELEASED = "2026-11-21T12:00:00Z"


def write(index: Path, target: Path, *, leaf: int = 256, upto: int | None = None, crawl: Any = None) -> dict[str, Any]:
    """Write the release of an index that has a feed; what its root says."""
    feed = b"".join(path.read_bytes() for path in sorted((index / "changes").glob("*.jsonl"))).splitlines()[:upto]
    changes = [json.loads(line) for line in feed]
    places: dict[str, list[Any]] = {}
    for start in range(0, len(changes), 1000):
        part = changes[start : start + 1000]
        versions = [_version(index, change) for change in part]
        name = f"{start // 1000:06d}.{len(part)}.jsonl"
        _put(target / "changes" / name, b"".join(line + b"\n" for line in feed[start : start + 1000]))
        _put(target / "versions" / name, b"".join(line + b"\n" for line in versions))
        offset = 0
        for change, line in zip(part, versions, strict=True):
            place = places.setdefault(change["model_id"], ["", []])
            place[0] = change["digest"]
            place[1].append([change["seq"], offset, len(line)])
            offset += len(line) + 1
    root = {
        "chain": changes[-1]["chain"] if changes else "0" * 64,
        "crawl": crawl,
        "files": {},
        "format": 1,
        "models": len(places),
        "newest": changes[-1]["time"] if changes else None,
        "previous": None,
        "released": RELEASED,
        "schema": "1.2",
        "seq": len(changes),
        "tree": _node(places, "", leaf, target),
    }
    _put(target / "root.json", rfc8785.dumps(root))
    return root


def _version(index: Path, change: dict[str, Any]) -> bytes:
    org, name = change["model_id"].split("/")
    return (index / "records" / org / f"{name}.jsonl").read_bytes().splitlines()[change["version"] - 1]


def _node(places: dict[str, list[Any]], prefix: str, leaf: int, target: Path) -> str:
    if len(places) <= leaf:
        node: dict[str, Any] = {"models": places}
    else:
        parts: dict[str, dict[str, list[Any]]] = {}
        for model_id, place in places.items():
            digit = hashlib.sha256(model_id.lower().encode()).hexdigest()[len(prefix)]
            parts.setdefault(digit, {})[model_id] = place
        node = {"nodes": {digit: _node(part, prefix + digit, leaf, target) for digit, part in parts.items()}}
    data = rfc8785.dumps(node)
    digest = hashlib.sha256(data).hexdigest()
    _put(target / "nodes" / digest[:2] / f"{digest}.json", data)
    return digest


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
