"""What is imported when: `lookup` and `--version` answer before anything heavy is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from swindex.index.store import Index

from . import records as make
from . import released
from .hub.server import HOST, Server

HEAVY = {
    "accelerate",
    "click",
    "datasets",
    "duckdb",
    "httpx",
    "httpx2",
    "huggingface_hub",
    "importlib.metadata",
    "argparse",
    "difflib",
    "numpy",
    "pydantic",
    "rich",
    "torch",
    "transformers",
    "typer",
}
REPORT = "\nimport atexit, sys; atexit.register(lambda: print('LOADED', *sorted(sys.modules), file=sys.stderr))\n"


def loaded(code: str, *arguments: str) -> set[str]:
    """The modules in memory at the end of a fresh process that ran `code`."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT + code, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Index(tmp_path_factory.mktemp("index"))
    made.append(make.found("org/found"))
    return made.directory


MAIN = "from swindex.api.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_lookup_loads_nothing_heavy(index: Path, extra: list[str]) -> None:
    assert loaded(MAIN, "lookup", "org/found", "--index", str(index), *extra) & HEAVY == set()


def test_lookup_with_a_base_loads_nothing_heavy(index: Path) -> None:
    assert loaded(MAIN, "lookup", "org/x", "--base", "org/found", "--index", str(index)) & HEAVY == set()


@pytest.fixture(scope="module")
def folder(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("release")
    released.write(index, target)
    return target


@pytest.mark.parametrize("extra", [[], ["--as-of", "2026-11-21"]])
def test_lookup_in_a_release_directory_loads_nothing_heavy(folder: Path, extra: list[str]) -> None:
    assert loaded(MAIN, "lookup", "org/found", "--index", str(folder), *extra) & HEAVY == set()


def test_lookup_elsewhere_loads_the_network_and_no_more(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    server = Server(Starlette(routes=[Mount("/", StaticFiles(directory=folder))]))
    server.start()
    arguments = ("lookup", "org/found", "--index", f"http://{HOST}:{server.ports[0]}")
    try:
        found = loaded(MAIN, *arguments)
    finally:
        server.stop()

    assert loaded(MAIN, *arguments, "--offline") & HEAVY == set()
    assert found & {"torch", "transformers", "duckdb", "typer", "pydantic", "rich", "numpy"} == set()


def test_version_loads_nothing_heavy() -> None:
    assert loaded(MAIN, "--version") & HEAVY == set()


@pytest.mark.parametrize("name", ["swindex", "swindex.api", "swindex.schema", "swindex.index", "swindex.crawler"])
def test_importing_a_package_loads_nothing_heavy(name: str) -> None:
    assert loaded(f"import {name}") & HEAVY == set()


def test_help_loads_no_torch() -> None:
    assert loaded(MAIN, "scan", "--help") & {"torch", "transformers", "duckdb", "huggingface_hub"} == set()


def test_a_lookup_from_python_loads_no_torch_and_no_duckdb(index: Path) -> None:
    code = "from swindex.api import Client; Client(sys.argv[1]).lookup('org/found')"

    assert loaded(code, str(index)) & {"torch", "transformers", "duckdb", "huggingface_hub", "typer"} == set()
