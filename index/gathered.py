"""What one reading of the logs of some models gives whoever makes tables and feed of them.

Every version is parsed and checked once. Rows go to files (see `fill`), since they are many; what the change feed is to
tell comes back. Knows neither DuckDB files nor where the feed stands.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from . import feeding, fill, log
from .feed import Entry
from .rows import Versions
from .stored import Stored
from .untold import placed

History = Sequence[Entry]
"""What changes have to say of the versions of one model, oldest first, at no place in a feed yet."""


class Gathered(NamedTuple):
    """What was read of some models."""

    folder: Path
    """Where their rows are."""
    longest: int
    """Of the rows' lines."""
    histories: Sequence[History]


def gather(directory: Path, models: Sequence[str], folder: Path, most: Sequence[int] | None = None) -> Gathered:
    """Read these models of an index, of each its first versions if `most` says how many, and write their rows.

    The folder is made. Raise DamagedLog, StoreError.
    """
    folder.mkdir()
    histories: list[History] = []
    wanted = zip(models, most or repeat(None), strict=False)
    return Gathered(folder, fill.write(folder, _noted(Stored(directory), wanted, histories)), histories)


def _noted(index: Stored, wanted: Iterable[tuple[str, int | None]], histories: list[History]) -> Iterator[Versions]:
    for model_id, most in wanted:
        versions = index.versions_of(model_id)[:most]
        histories.append(history_of(log.path_of(index.records, model_id), versions))
        yield versions


def history_of(path: Path, versions: Versions) -> History:
    """What the feed has to tell of these versions of a log; raise DamagedLog if they are not where they should be."""
    return [placed(path, number, feeding.entry_of(record)) for number, (record, _) in enumerate(versions, 1)]
