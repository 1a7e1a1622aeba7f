"""Why a checkpoint was not scanned: each refusal is a scan outcome with one line of reason, never an empty result."""

from ..schema.errors import SwindexError
from ..schema.types import Outcome


class Refusal(SwindexError):
    """A checkpoint that cannot be scanned. `outcome` is what the log records; the message is its reason."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(" ".join(reason.split()))
        self.outcome = outcome


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
