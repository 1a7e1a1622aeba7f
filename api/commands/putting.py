"""Writing what a command made to the file that a person named: whole or not at all, and over nothing unless asked."""

import os
from contextlib import suppress
from pathlib import Path

from ...index.errors import StoreError, os_reason
from ...index.files import publish


def put(text: str, path: Path, force: bool = False) -> None:
    """Write a text to a file; raise StoreError, also where there is one already and `force` is not given."""
    if path.exists() and not force:
        raise StoreError(f"{path}: there is a file already; --force writes over it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        publish(temporary, path)
    except OSError as error:
        raise StoreError(f"{path}: not written: {os_reason(error)}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
