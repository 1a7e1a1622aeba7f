"""What a refusal must say: `assert refusal == told(Outcome.CORRUPT, "config.json", "duplicate key")`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swindex.crawler.refusal import Refusal
from swindex.schema.types import Outcome


@dataclass(frozen=True, eq=False)
class Told:
    """Equal to a refusal of this outcome whose message, fit for any terminal, holds the parts in this order."""

    outcome: Outcome
    parts: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        message, pattern = str(other), ".*".join(re.escape(part) for part in self.parts)
        right = isinstance(other, Refusal) and other.outcome is self.outcome
        return right and message.isprintable() and re.search(pattern, message) is not None


def told(outcome: Outcome, *parts: str) -> Told:
    """A refusal to compare with."""
    return Told(outcome, parts)
