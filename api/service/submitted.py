"""What clients send who submit, and what they are told, as pydantic models and schemas for the OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ...index.submissions.codes import Effect
from ...index.submissions.document import FORMAT, Kind
from ...index.submissions.states import State

Json = dict[str, Any]
_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_MODEL = rf"^(?!.*(?:\.\.|--))(?!.*\.git$){_WORD}/{_WORD}$"
_SHA, _DIGEST = {"type": "string", "pattern": "^[0-9a-f]{40}$"}, {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NULL = {"type": "null"}
_NOTE = {"type": "string", "minLength": 1, "maxLength": 500}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubmissionState(_Part):
    """A state that a submission came to."""

    state: State
    time: str
    by: str
    why: str | None


class SubmissionFinding(_Part):
    """What a check found."""

    code: str
    """Keeps its meaning."""
    effect: Effect
    """What follows from it."""
    message: str
    meaning: str


class Confirmation(_Part):
    """How often a scalar was found, by scans that are not copies of one another."""

    weight: str
    ours: bool
    submitters: int


class ShortSubmission(_Part):
    """A submission in short."""

    id: str
    state: State
    kind: Kind | None
    """null where what was sent is no submission."""
    model: str | None
    revision: str | None
    submitter: str
    pull_request: str | None
    received: str
    changed: str


class SubmissionStatus(ShortSubmission):
    """A submission, and what became of it."""

    meaning: str
    states: tuple[SubmissionState, ...]
    """Oldest first."""
    findings: tuple[SubmissionFinding, ...]
    """Of the newest check."""
    claimed: int | None
    """Scalars that it says matter."""
    agreed: int | None
    """Of these those that our own scan finds with the same bits."""
    bits: dict[str, int]
    """How many claimed scalars have the same bits at the commit, and how many not."""
    bytes_read: int | None
    version: int | None
    """Of the model's record, once accepted."""
    confirmations: tuple[Confirmation, ...]


class SubmissionPage(_Part):
    """Submissions, newest first."""

    submissions: tuple[ShortSubmission, ...]
    cursor: str | None
    """Give it as `after` to get older ones; null if there are none."""


Which = Literal["received", "checking", "needs_review", "accepted", "rejected", "duplicate", "stale"]
SECURITY: Json = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token that `swindex token create` made."}
}


def _sent(title: str, kind: str, about: str, needed: list[str], **fields: Json) -> Json:
    fixed = {"format": {"const": FORMAT}, "kind": {"const": kind}, "model": {"type": "string", "pattern": _MODEL}}
    more = {"parent": {"anyOf": [_DIGEST, _NULL]}, "note": {"anyOf": [_NOTE, _NULL]}}
    said = {"title": title, "type": "object", "description": about, "additionalProperties": False}
    return {**said, "properties": {**fixed, **more, **fields}, "required": ["format", "kind", "model", *needed]}


BODY: Json = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "title": "Submission",
                    "oneOf": [
                        _sent(
                            "SubmittedRecord",
                            "record",
                            "What a scan found: the record that `swindex scan --out FILE` writes.",
                            ["revision", "record"],
                            revision=_SHA,
                            record={"type": "object"},
                        ),
                        _sent(
                            "SubmittedRequest",
                            "request",
                            "The wish that a model be scanned.",
                            [],
                            revision={"anyOf": [_SHA, _NULL]},
                            record=_NULL,
                        ),
                    ],
                },
                "example": {"format": FORMAT, "kind": "request", "model": "huggyllama/llama-7b"},
            }
        },
    },
    "security": [{"token": []}],
}
