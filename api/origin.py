"""Where a downloaded copy lies and what it says of itself: `origin.json` beside its records. Standard library only.

`lookup` reads it before typer is imported. Knows no network and nothing of how a copy is made.
"""

import json
import os
from pathlib import Path
from typing import Any

from ..index import feed
from ..index.errors import StoreError, os_reason
from ..index.files import FILES, Files, rewrite

NAME = "origin.json"
SOURCE = "hf://datasets/swindex/super-weights"
"""The public dataset."""
ENVIRONMENT = "SWINDEX_SOURCE"
FIELDS = ("source", "checked", "seq", "chain", "tree", "released", "crawl", "files")
"""Where it came from, when that was last asked (UTC), the change the records are at, its chain, the digest of all,
when the release was made, its last crawl; and for `parquet` and `duckdb` the release that their files are of. Null: not
downloaded."""
_MOST = 1 << 16
_TEXTS = ("source", "checked")


def default_source() -> str:
    """$SWINDEX_SOURCE, else the public dataset."""
    return os.environ.get(ENVIRONMENT) or SOURCE


def default_target() -> Path:
    """$XDG_DATA_HOME/swindex; ~/.local/share/swindex without it (or where it is no absolute path)."""
    home = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (home if home.is_absolute() else Path(os.path.expanduser("~"), ".local", "share")) / "swindex"


def read(directory: Path) -> dict[str, Any] | None:
    """What a copy says of itself, see FIELDS; None if the directory holds no copy; raise StoreError."""
    path = Path(directory) / NAME
    try:
        found = json.loads(path.read_bytes()[:_MOST])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(found, dict) or not _is_sound(found):
        raise _damaged(path)
    return {name: found.get(name) for name in FIELDS}


def told(directory: Path) -> dict[str, str]:
    """Of a copy its source, when the release was made and when the source was last asked; of others nothing."""
    noted = read(directory)
    return {} if noted is None or noted["seq"] is None else {n: noted[n] for n in ("source", "released", "checked")}


def freshest(shipped: Path) -> Path:
    """The copy in the default place, or the shipped index if there is none or it is behind that; raise StoreError."""
    copy = default_target()
    if not (copy / "records").is_dir():
        return shipped
    ours, theirs = (change.seq if (change := feed.newest(home)) else 0 for home in (copy, shipped))
    return copy if ours >= theirs else shipped


def write(directory: Path, origin: dict[str, Any], files: Files = FILES) -> None:
    """Put it in place of the last one, whole and durable; raise StoreError."""
    text = json.dumps({name: origin.get(name) for name in FIELDS}, indent=1)
    rewrite(Path(directory) / NAME, f"{text}\n", files)


def _is_sound(found: dict[str, Any]) -> bool:
    return (
        all(isinstance(found.get(name), str) for name in _TEXTS)
        and isinstance(found.get("seq"), int | None)
        and all(isinstance(found.get(name), str | None) for name in ("chain", "tree", "released"))
        and isinstance(found.get("crawl"), dict | None)
        and isinstance(found.get("files"), dict | None)
    )


def _damaged(path: Path) -> StoreError:
    return StoreError(f"{path}: damaged; delete it and run `swindex download --to {path.parent}` again")
