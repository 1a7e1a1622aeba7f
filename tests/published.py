"""Releases of a small index, for tests of what is done with them: one, the next upon it, one that parted from both."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from swindex.index.release import release
from swindex.index.store import Index

from . import records as make

DAYS = ("2026-11-21T08:00:00Z", "2026-11-22T08:00:00Z")


class Releases(NamedTuple):
    """The index, and release directories: one of two models, one of a third too, one of two others."""

    index: Path
    first: Path
    second: Path
    forked: Path


def releases(folder: Path) -> Releases:
    """Make them in a folder."""
    paths = Releases(folder / "index", folder / "first", folder / "second", folder / "forked")
    index = Index(paths.index)
    index.append(make.found("org/one"))
    index.append(make.reported("org/two"))
    release(index, paths.first, released=DAYS[0])
    shutil.copytree(paths.index, folder / "other")
    shutil.copytree(paths.first, paths.second)
    index.append(make.none_found("org/three"))
    release(index, paths.second, released=DAYS[1])
    for name in ("org/four", "org/five"):
        Index(folder / "other").append(make.found(name))
    release(Index(folder / "other"), paths.forked, released=DAYS[1])
    return paths
