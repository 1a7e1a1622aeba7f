"""The OpenAPI document: kept up to date, true of what is answered, and held against the service by schemathesis."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

import swindex
from swindex.api import Client
from swindex.api.reading import shipped
from swindex.api.service.openapi import text

from .served import Served, serving

KEPT = Path(swindex.__file__).parent / "api" / "service" / "openapi.json"
DOCUMENT = json.loads(KEPT.read_text())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


def test_the_kept_document_is_that_of_the_code() -> None:
    assert text() == KEPT.read_text(), "run `make openapi`"


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_address_says_how_it_fails() -> None:
    operations = [each for path in DOCUMENT["paths"].values() for each in path.values()]

    for operation in operations:
        assert {"422", "500", "503"} <= operation["responses"].keys()
        assert "application/problem+json" in operation["responses"]["422"]["content"]


def test_every_document_of_a_model_is_what_the_schema_says(served: Served) -> None:
    schema = {"$ref": "#/components/schemas/LookupResult", "components": DOCUMENT["components"]}
    check = jsonschema.Draft202012Validator(schema)

    for model in Client(shipped()).models():
        check.validate(served.get(f"/v1/models/{model}").json())


def test_examples_are_what_the_schema_says() -> None:
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            content = operation["responses"]["200"]["content"].get("application/json", {})
            if "example" in content:
                schema = {**content["schema"], "components": DOCUMENT["components"]}
                jsonschema.Draft202012Validator(schema).validate(content["example"])


def test_the_service_does_what_the_document_says(served: Served, tmp_path: Path) -> None:
    """Examples, coverage of every constraint and its opposite, fuzzing, sequences: no failure."""
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{served.url}/openapi.json"]
    options = ["--max-examples=25", "--seed=6", "--no-color", "--generation-database=none"]

    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-6000:]
    assert "16 selected / 16 total" in done.stdout
