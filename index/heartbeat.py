"""When an index was last crawled, how that ended, and how much of the Hub's listing it covered: `heartbeat.json`.

Written by whoever crawls, read by `lookup` and `index stats`; a service that stops unnoticed is worse than none. The
file is a note beside the records, never the truth about them. Standard library only.
"""

import json
from pathlib import Path
from typing import Any

from .errors import StoreError, os_reason
from .files import FILES, Files, rewrite

NAME = "heartbeat.json"
CRAWL = ("started", "ended", "complete", "stopped", "listed", "eligible", "indexed")
"""Of the last crawl: UTC times; whether the listing was walked to its end; why it stopped early, or null; rows of the
listing, those that the policy wants, and those of them that the index knows at their commit."""
_MOST = 1 << 16


def read(directory: Path) -> dict[str, Any]:
    """`newest` (UTC time of the newest version) and `crawl` (see CRAWL), each None where it is not known.

    Raise StoreError if the file is there and cannot be read.
    """
    path = Path(directory) / NAME
    try:
        found = json.loads(path.read_bytes()[:_MOST])
    except FileNotFoundError:
        return {"newest": None, "crawl": None}
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(found, dict) or not _is_text(found.get("newest")) or not _is_crawl(found.get("crawl")):
        raise _damaged(path)
    return {"newest": found.get("newest"), "crawl": found.get("crawl")}


def write(directory: Path, newest: str | None, crawl: dict[str, Any], files: Files = FILES) -> None:
    """Put a new heartbeat in place of the last one, whole and durable; raise StoreError."""
    text = json.dumps({"newest": newest, "crawl": {name: crawl[name] for name in CRAWL}}, indent=1)
    rewrite(Path(directory) / NAME, f"{text}\n", files)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_crawl(value: object) -> bool:
    return value is None or (isinstance(value, dict) and value.keys() >= set(CRAWL) and isinstance(value["ended"], str))


def _damaged(path: Path) -> StoreError:
    return StoreError(f"{path}: damaged; delete it, the next crawl writes it anew")
