"""What a check of a submission can find, by stable code, and what follows from it.

A code, once given, keeps its meaning. The rules for records have codes of their own (`index.findings`), which are taken
over: an error there rejects, a warning is told. Knows no submission.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..findings import CODES as LINT
from ..findings import ERROR
from .states import State


class Effect(StrEnum):
    """What a finding does to a submission, the strongest first."""

    REJECT = "reject"
    DUPLICATE = "duplicate"
    STALE = "stale"
    WAIT = "wait"
    REVIEW = "review"
    FULFIL = "fulfil"
    NOTE = "note"


STRENGTH = tuple(Effect)
ENDS: dict[Effect, State] = {
    Effect.REJECT: State.REJECTED,
    Effect.DUPLICATE: State.DUPLICATE,
    Effect.STALE: State.STALE,
    Effect.WAIT: State.RECEIVED,
    Effect.REVIEW: State.NEEDS_REVIEW,
    Effect.FULFIL: State.ACCEPTED,
    Effect.NOTE: State.NEEDS_REVIEW,
}
"""The state that a check leads to, by the strongest of its findings."""

CODES: dict[str, tuple[Effect, str]] = {
    # what was sent
    "malformed": (Effect.REJECT, "not a submission: no JSON, fields that there are not, or the wrong ones"),
    "not-one-file": (Effect.REJECT, "a pull request adds exactly one file and changes nothing else"),
    "path": (Effect.REJECT, "a submission lies at submissions/ORG--NAME/<16 hex digits>.json, named by its content"),
    "too-large": (Effect.REJECT, "the file is larger than a submission may be"),
    # the record
    "schema": (Effect.REJECT, "the record is not valid: a field, a status or its digest is wrong"),
    "wrong-model": (Effect.REJECT, "the record is of another model or commit than the submission"),
    "not-a-scan": (Effect.REJECT, "a record to submit holds one scan that was made, and is a first version"),
    "carries-more": (Effect.REJECT, "it also carries claims, remarks, decisions or comparisons, which are not taken"),
    "scan-id": (Effect.REJECT, "the scan's id is not that of its model, settings and profile"),
    "scan-only": (Effect.REJECT, "a weight or an effect does not come from the scan"),
    "too-many": (Effect.REJECT, "more scalars, groups or effects than a scan gives"),
    "other-detector": (Effect.REVIEW, "scanned by another version of the detector, so the scan's id was not checked"),
    # what is known already
    "same-scan": (Effect.DUPLICATE, "this very scan is known: a copy of it confirms nothing"),
    "same-request": (Effect.DUPLICATE, "the same scan is asked for already"),
    "known-already": (Effect.DUPLICATE, "the index had a scan of this model at this commit before"),
    "fulfilled": (Effect.FULFIL, "the index has the scan that was asked for"),
    "index-moved-on": (Effect.STALE, "since the version that it builds on the index has a scan of another commit"),
    "rebased": (Effect.NOTE, "the index has a newer version than the one it builds on, and it is added to that"),
    "other-commit": (Effect.REVIEW, "the index has a scan of another commit, which this would take the place of"),
    "withdrawn": (Effect.REVIEW, "curators have withdrawn the record of this model, and this would bring one back"),
    # the Hub
    "not-on-hub": (Effect.REJECT, "the Hub has no such model or commit, or does not show it"),
    "closed": (Effect.REVIEW, "the model is gated, so it could not be read here"),
    "unasked": (Effect.WAIT, "the Hub could not be asked: check again later"),
    "renamed": (Effect.NOTE, "the Hub has the model under another name"),
    "file-differs": (Effect.REJECT, "a weight file at the commit is not the one that the record names"),
    "unreadable": (Effect.REVIEW, "the checkpoint cannot be read, for a reason that lasts"),
    # bits
    "bits-same": (Effect.NOTE, "every claimed scalar has these bits at the commit"),
    "bits-differ": (Effect.REJECT, "a claimed scalar has other bits at the commit, or is not there"),
    "bits-unchecked": (Effect.REVIEW, "a claimed scalar is stored in a way that cannot be compared"),
    "nothing-to-read": (Effect.NOTE, "it claims no scalar, so there are no bits to compare"),
    # our own scan
    "rescan-agrees": (Effect.NOTE, "our own scan finds the same scalars"),
    "rescan-known": (Effect.NOTE, "our own scan of this commit is in the index and was not made again"),
    "rescan-more": (Effect.NOTE, "our own scan finds scalars that it does not name"),
    "rescan-misses": (Effect.REJECT, "a scalar that it says matters is none that our own scan finds"),
    "rescan-outcome": (Effect.REJECT, "our own scan comes to the opposite result"),
    "rescan-verdict": (Effect.REVIEW, "our own scan gives a scalar another verdict"),
    "rescan-open": (Effect.REVIEW, "one of the two scans could not conclude"),
    "rescan-failed": (Effect.REVIEW, "our own scan could not be made"),
    "too-large-here": (Effect.REVIEW, "larger than is scanned here for a check: bits are all that was compared"),
    "scanned-here": (Effect.NOTE, "scanned as it was asked for"),
    "broke-off": (Effect.REVIEW, "the check broke off, as nobody foresaw: please report it"),
    # curators
    "curator": (Effect.NOTE, "a curator decided"),
}


@dataclass(frozen=True)
class Said:
    """One thing that a check found."""

    code: str
    message: str

    @property
    def effect(self) -> Effect:
        """What follows from it."""
        if self.code in CODES:
            return CODES[self.code][0]
        return Effect.REJECT if LINT[self.code][0] == ERROR else Effect.NOTE

    def as_json(self) -> dict[str, str]:
        """Plain data."""
        return {"code": self.code, "effect": self.effect.value, "message": self.message}


def strongest(said: Iterable[Said]) -> Effect:
    """The strongest effect; a note where nothing was found."""
    return min((s.effect for s in said), key=STRENGTH.index, default=Effect.NOTE)


def meaning(code: str) -> str:
    """What a code means."""
    return CODES[code][1] if code in CODES else LINT[code][1]
