"""Words of others in Markdown. Standard library only."""

import re


def text(words: str) -> str:
    """Words of others on one line of Markdown, without what Markdown or HTML would make of them."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return re.sub(r"([\\`*_\[\]<>|#~$!])", r"\\\1", plain)
