"""Checks a release directory by itself: its files against `root.json`, its changes, versions, nodes and tables.

Writes nothing and needs no index. Knows nothing of what records should say: that is checked of the index that is in the
release, see `api.released`. A release that is made in the directory meanwhile is seen as damage: check again.
"""

from collections.abc import Iterator
from pathlib import Path

from ..errors import DamagedFeed, StoreError
from ..findings import Finding
from ..site import ROOT, Root
from .agree import require_own_agreement
from .disagree import Disagreement
from .staging import DONE, Staging, file_at, read_root
from .steps import Steps, no_steps


class Published(Staging):
    """A release as it is published, whatever is staged beside it."""

    def where(self, path: str) -> Path:
        """Where a file is published."""
        return self.directory / path


def check_release(directory: Path, steps: Steps = no_steps) -> list[Finding]:
    """What is wrong with a release; of forms that disagree the first."""
    directory = Path(directory)
    if (directory / DONE).is_dir():
        return [Finding("release-root", str(directory), f"{DONE} is there: release again to finish")]
    try:
        root = read_root(directory)
    except StoreError as error:
        return [Finding("release-root", str(directory / ROOT), str(error))]
    return [*_files(directory, root)] or [*_agreement(directory, root, steps)]


def _files(directory: Path, root: Root) -> Iterator[Finding]:
    for path, stated in sorted(root.files.items()):
        try:
            found = file_at(directory / path)
        except StoreError as error:
            yield Finding("release-file", str(directory / path), str(error))
        else:
            if found != stated:
                yield Finding("release-file", str(directory / path), f"not the file that {ROOT} names")


def _agreement(directory: Path, root: Root, steps: Steps) -> Iterator[Finding]:
    try:
        require_own_agreement(Published(directory), root, steps)
    except Disagreement as error:
        yield Finding("release-differs", error.where, error.what)
    except (StoreError, DamagedFeed) as error:
        yield Finding("release-differs", str(directory), str(error))
