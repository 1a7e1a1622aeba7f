"""Print the JSON Schema of a record: `python -m swindex.schema > schema/record.schema.json`."""

import json
from typing import Any

from .record import Record
from .types import SCHEMA_VERSION


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a record."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://swindex.invalid/v1/schema/{SCHEMA_VERSION}.json",
        **Record.model_json_schema(mode="validation"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1, sort_keys=True))
