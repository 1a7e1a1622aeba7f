"""What a release derives from the versions: the tables in two forms, and the cards over them."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import fill, shards
from ..gathered import Gathered, gather
from ..opening import attached, translated
from ..site import File
from ..store import Index
from .agree_tables import DATABASE
from .parquet import write_parquet
from .places import Places
from .staging import Staging
from .static import Static
from .steps import Steps

_ROWS = ".rows"


def write_tables(index: Index, static: Static, staging: Staging, steps: Steps) -> None:
    """Stage the DuckDB file and the Parquet files of these versions; raise StoreError."""
    path, folder = staging.place(DATABASE), staging.folder / _ROWS
    folder.mkdir()
    with translated(path), attached(path) as con:
        fill.make_tables(con)
        done = 0
        for gathered in _gathered(index, static.places, folder):
            fill.load(con, gathered.folder, gathered.longest)
            gathered.folder.rmdir()
            done += len(gathered.histories)
            steps("tables", done, len(static.places))
        fill.note(con, static.last)
        write_parquet(con, staging)
    shutil.rmtree(folder)
    staging.keep(DATABASE)


def _gathered(index: Index, places: Places, folder: Path) -> Iterator[Gathered]:
    """All models of the release, each with the versions in it: later ones may have been appended meanwhile."""
    work = [
        (index.directory, models, folder / str(number), [places.versions(model_id) for model_id in models])
        for number, models in enumerate(shards.divided(sorted(places)))
    ]
    return shards.each(gather, work)


def described(staging: Staging, paths: Iterable[str]) -> dict[str, File]:
    """Size and sha256 of staged files, by path; raise StoreError."""
    return {path: staging.described(path) for path in sorted(paths)}
