"""What to read to verify a record oneself: per scalar the file, the bytes and what they should be. Plain data.

Knows records as plain JSON data, and addresses of the Hub's own form; asks nobody.

    model_id, revision    what to read, at which commit; revision null if the record is not pinned to one
    record                version, digest: of the record that says so
    command               verifies all of it: `swindex verify ORG/NAME`
    scalars[]             weight (its id), tensor, index, dtype, value, bits (hex of the stored element as an unsigned
                          integer, most significant digit first), little_endian (hex of the bytes as they lie in the
                          file), packed, file, sha256 (of the whole file, if that is known), first, last (both ends of
                          the byte range, as of an HTTP Range), path (of the file on the Hub, after its endpoint),
                          missing (what the record lacks, so that the bytes cannot be named; null if nothing)
"""

from typing import Any
from urllib.parse import quote

Json = dict[str, Any]
_COPIED = ("tensor", "index", "dtype", "value", "bits", "packed", "file")


def verifiable(record: Json) -> Json:
    """What to read to verify a record, given as plain JSON data."""
    model, told = record["model"], record["provenance"]
    files = {file["path"]: file for file in model.get("files", ())}
    scalars = [_scalar(weight, model, files) for weight in record.get("super_weights", ())]
    return {
        "model_id": model["id"],
        "revision": model.get("revision"),
        "record": {"version": told["version"], "digest": told["digest"]},
        "command": f"swindex verify {model['id']}",
        "scalars": scalars,
    }


def _scalar(weight: Json, model: Json, files: dict[str, Json]) -> Json:
    missing = _missing(weight, model)
    size = len(weight["bits"]) // 2 if weight.get("bits") else 0
    first = weight.get("byte_offset") if missing is None else None
    return {
        "weight": weight["id"],
        **{name: weight.get(name) for name in _COPIED},
        "little_endian": bytes.fromhex(weight["bits"])[::-1].hex() if size else None,
        "sha256": files.get(str(weight.get("file")), {}).get("sha256"),
        "first": first,
        "last": None if first is None else first + size - 1,
        "path": None if missing else f"/{model['id']}/resolve/{model['revision']}/{quote(weight['file'])}",
        "missing": missing,
    }


def _missing(weight: Json, model: Json) -> str | None:
    wanted = {
        "revision": model.get("revision"),
        "file": weight.get("file"),
        "byte_offset": weight.get("byte_offset"),
        "bits": weight.get("bits"),
    }
    absent = [name for name, value in wanted.items() if value is None]
    return ", ".join(absent) or None
