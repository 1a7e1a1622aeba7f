"""Writing a study: each file beside its place first, then all renamed. What is there is a whole study or none."""

import json
import os
from contextlib import suppress
from pathlib import Path

from ...index.errors import StoreError, os_reason
from ...index.files import make_folder
from ...schema.errors import UsageError
from .html import html
from .markdown import markdown
from .shapes import Json

NAMES = ("study.html", "study.md", "study.json")


def check_folder(folder: Path) -> None:
    """Make the folder and try it, before hours are spent; raise UsageError or StoreError."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one with --out DIR")
    make_folder(folder)
    taken = next((folder / name for name in NAMES if (folder / name).is_dir()), None)
    if taken is not None:
        raise UsageError(f"{taken} is a folder, where a file of the study would go; name another with --out DIR")
    trial = folder / f".study.{os.getpid()}.tmp"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written to: {os_reason(error)}") from None


def to_json(document: Json) -> str:
    """The document as a file."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def save(document: Json, folder: Path) -> list[Path]:
    """Write page, Markdown and JSON; raise StoreError, and then nothing has changed unless a rename failed."""
    made = dict(zip(NAMES, (html(document), markdown(document), to_json(document)), strict=True))
    waiting = {folder / f".{name}.{os.getpid()}.tmp": folder / name for name in made}
    try:
        for temporary, path in waiting.items():
            temporary.write_text(made[path.name], encoding="utf-8")
        for temporary, path in waiting.items():
            os.replace(temporary, path)
    except OSError as error:
        raise StoreError(f"{folder}: not written: {os_reason(error)}") from None
    finally:
        for temporary in waiting:
            with suppress(OSError):
                temporary.unlink()
    return list(waiting.values())
