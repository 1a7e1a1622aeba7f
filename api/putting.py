"""Writing what was made to the file that a person named: whole or not at all. Knows nothing of what is in it."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..index.errors import StoreError, os_reason
from ..index.files import publish


def put(data: bytes, path: Path) -> None:
    """Write a file, over one that is there; raise StoreError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        publish(temporary, path)
    except OSError as error:
        raise StoreError(f"{path}: not written: {os_reason(error)}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def put_json(document: dict[str, Any], path: Path) -> None:
    """Write a document as JSON, over a file that is there; raise StoreError."""
    put(f"{json.dumps(document, indent=1, allow_nan=False)}\n".encode(), path)


def put_text(text: str, path: Path, force: bool = False) -> None:
    """Write a text; raise StoreError, also where there is a file already and `force` is not given."""
    if path.exists() and not force:
        raise StoreError(f"{path}: there is a file already; --force writes over it")
    put(text.encode(), path)
