"""Why a checkpoint was not scanned: each refusal is a scan outcome with one line of reason, never an empty result."""

from ..schema.errors import SwindexError
from ..schema.types import Outcome

MAX_REASON = 1000
"""Characters of a reason; what a file says of itself may be of any length."""


class Refusal(SwindexError):
    """A checkpoint that cannot be scanned. `outcome` is what the log records; the message is its reason.

    `revision` is the commit that was refused, if it was known before a checkpoint could be opened. `lasting` says
    whether another try would end the same way: what the checkpoint holds, or the Hub says of it, lasts; an outage, a
    rate limit, a broken connection does not.
    """

    def __init__(self, outcome: Outcome, reason: str, revision: str | None = None, *, lasting: bool = True) -> None:
        super().__init__(one_line(reason))
        self.outcome = outcome
        self.revision = revision
        self.lasting = lasting


def one_line(text: str) -> str:
    """Text as one line of at most MAX_REASON characters that neither moves a cursor nor fails to be encoded."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 3]}..."


def corrupt(reason: str) -> Refusal:
    """A file of the checkpoint lies or is damaged."""
    return Refusal(Outcome.CORRUPT, reason)


def unsupported(reason: str) -> Refusal:
    """No transformers class computes this model, or its down projections are not known."""
    return Refusal(Outcome.UNSUPPORTED_ARCHITECTURE, reason)


def unsafe(reason: str) -> Refusal:
    """The weights are only there in a format that can run code (pickle)."""
    return Refusal(Outcome.UNSAFE_FORMAT, reason)


def failed(reason: str) -> Refusal:
    """Something else stopped the scan."""
    return Refusal(Outcome.FAILED, reason)


def passing(reason: str) -> Refusal:
    """Something that may be gone at the next try stopped the scan: an outage, a rate limit, a broken connection."""
    return Refusal(Outcome.FAILED, reason, lasting=False)
