"""Checks a release: all its forms against each other, then every record of the index that is in it.

The index is unpacked into a temporary folder, by the same code that makes a copy of a release elsewhere.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..index.check import check
from ..index.errors import StoreError
from ..index.findings import ERROR, Finding
from ..index.release.check import check_release
from ..index.store import Index
from .download import Format, download

OF_A_FILE = frozenset({"database-missing"})
"""Codes about what an unpacked index does not have."""


class Checked(NamedTuple):
    """What a check of a release found, and in how many models."""

    findings: list[Finding]
    models: int


def check_released(directory: Path, progress: Callable[[str, int, int], None] | None = None) -> Checked:
    """Check a release directory; records are looked at only if its forms agree."""
    found = check_release(directory, *([progress] if progress else ()))
    if any(f.severity == ERROR for f in found):
        return Checked(found, 0)
    with TemporaryDirectory(prefix="swindex-check-") as folder:
        try:
            download(str(directory), Path(folder), Format.JSONL, step=progress)
        except StoreError as error:
            return Checked([*found, Finding("release-unpacked", str(directory), str(error))], 0)
        index = Index(Path(folder))
        found += (_in_release(f, folder, directory) for f in check(index) if f.code not in OF_A_FILE)
        return Checked(found, sum(1 for _ in index.models()))


def _in_release(found: Finding, folder: str, directory: Path) -> Finding:
    """A finding about the unpacked index, told of the release."""

    def told(text: str) -> str:
        return text.replace(f"{folder}/records/", f"{directory}: ").replace(folder, str(directory))

    return replace(found, where=told(found.where), message=told(found.message))
