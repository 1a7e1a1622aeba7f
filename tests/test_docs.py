"""The README says what is so: its commands exist, its example is the real output, its counts are those of the index."""

import re
import shlex
from pathlib import Path

import pytest

from swindex.api.cli import build
from swindex.api.main import main
from swindex.index.counts import stats
from swindex.index.store import Index

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CHECKED = re.findall(r"<!-- checked: (.+?) -->\n((?:    .*\n|\n)+)", README)


@pytest.mark.parametrize(("command", "block"), CHECKED)
def test_an_example_in_the_readme_begins_as_the_real_output_does(
    command: str, block: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("SWINDEX_INDEX", raising=False)
    shown = [line.removeprefix("    ") for line in block.rstrip().splitlines()]

    main(shlex.split(command)[1:])

    assert [f"$ {command}", *capsys.readouterr().out.splitlines()][: len(shown)] == shown


def test_the_readme_has_a_checked_example() -> None:
    assert len(CHECKED) == 1


def test_every_command_stands_in_the_readme() -> None:
    names = [c.name or c.callback.__name__ for c in build().registered_commands if c.callback]

    assert [n for n in names if f"swindex {n} " not in README] == []


def test_every_command_has_a_help_text() -> None:
    assert [c for c in build().registered_commands if not (c.callback and c.callback.__doc__)] == []


def test_the_readme_counts_the_launch_index_right() -> None:
    counted = stats(Index(ROOT / "index"))

    assert f"{counted['models']} models with {counted['super_weights']['total']} scalars" in README


def test_the_readme_counts_the_families_right() -> None:
    page = (ROOT / "crawler" / "architectures" / "FAMILIES.md").read_text()
    found = {line.split("|")[1].strip() for line in page.splitlines() if line.endswith("| found |")}

    assert f"{len(found)} types and" in README
