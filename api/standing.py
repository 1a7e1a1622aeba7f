"""Which recorded scalars are worth a reader's care, and why a model has none. One rule for recipes and cards.

A scalar counts if removing it, alone or with a group, is confirmed or partial or gave no finite figure; also if
somebody names it and nobody tested it. What is inert does not, and so nothing that is refuted. Words only; standard
library only.
"""

from collections.abc import Sequence

_ACTS = frozenset({"partial", "confirmed", "non_finite"})


def counts(alone: str, grouped: str) -> bool:
    """Whether a scalar with these verdicts (of removing it alone, and in the best of its groups) counts."""
    verdicts = {str(alone), str(grouped)}
    return bool(verdicts & _ACTS) or verdicts == {"untested"}


def why_none(outcome: str, idle: Sequence[str], denied: bool) -> str | None:
    """On whose word a model without such scalars has none; None where nobody looked.

    `idle`: places that were claimed and do nothing; `denied`: whether an outside source looked and found none.
    """
    if idle:
        return f"what was claimed does nothing when it is removed ({', '.join(idle)})"
    if outcome == "none_found":
        return "a scan of swindex found no super weight"
    return "outside sources looked and found none; swindex has not scanned it" if denied else None
