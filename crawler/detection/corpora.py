"""The texts that effects are measured on. They ship with the package: digests and licences in `texts/PROVENANCE.md`.

Knows characters, not tokens; without torch, since a crawl asks which texts a scan had.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from ..refusal import failed
from .options import SCREEN, Options

TEXTS = Path(__file__).resolve().parent.parent / "texts"
SHIPPED = ("wikitext2", "grimm")


@dataclass(frozen=True)
class Corpus:
    """A text for effects."""

    name: str
    text: str
    sha256: str
    shipped: bool = False
    """Whether it comes with the package: its tokens may be kept."""


def corpora_of(options: Options) -> list[Corpus]:
    """The texts that effects are measured on."""
    effects = options.effects and options.depth != SCREEN
    return ([read_corpus(Path(t)) for t in options.texts] or shipped_corpora()) if effects else []


def shipped_corpora() -> list[Corpus]:
    """The texts that come with the package."""
    return [replace(read_corpus(TEXTS / f"{name}.txt"), shipped=True) for name in SHIPPED]


def read_corpus(path: Path) -> Corpus:
    """A text file, UTF-8."""
    try:
        data = path.read_bytes()
        return Corpus(path.stem, data.decode("utf-8"), hashlib.sha256(data).hexdigest())
    except (OSError, UnicodeDecodeError) as error:
        raise failed(f"text {path}: {error}") from None
