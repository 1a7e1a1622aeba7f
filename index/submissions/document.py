"""The document that is submitted: a record, or the wish that a model be scanned. Its envelope is checked here.

What the record says is not: that is a check's work. A document names a model on the Hub and never an address. Knows no
submitter: who submits is what a token or the Hub says, not what a document says.
"""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from ...schema.canonical import strict_loads
from ...schema.errors import RecordError, UsageError
from ...schema.record import explain
from ...schema.types import ModelId, Part, Revision, Sha256

FORMAT = "swindex-submission-1"
MOST = 1 << 20
"""Bytes of a document."""
SHOWN = 300
"""Characters of an error."""
PREFIX = "submissions"
"""The folder of a dataset repository that pull requests may add to."""


class Kind(StrEnum):
    """What is submitted: what a scan found, or the wish that there were one."""

    RECORD = "record"
    REQUEST = "request"


class Submission(Part):
    """A document as it is sent."""

    format: Literal["swindex-submission-1"]
    kind: Kind
    model: ModelId
    revision: Revision | None = None
    """The full commit: branches move. A request without one means what main is when it is checked."""
    parent: Sha256 | None = None
    """Digest of the newest version of the model's record that the submitter knows; null if there is none."""
    note: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    """For curators; it goes into no record."""
    record: dict[str, Any] | None = Field(default=None, description="As `swindex scan --out FILE` writes it.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind is Kind.RECORD) != (self.record is not None):
            raise ValueError(f"a {self.kind} {'needs a' if self.record is None else 'has no'} record")
        if self.record is not None and self.revision is None:
            raise ValueError("a record needs the revision that was scanned")
        return self

    def to_bytes(self) -> bytes:
        """As it is kept: JSON with sorted names and no space."""
        return _bytes(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """Hex sha256 of these bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def path(self) -> str:
        """Where a pull request puts it: named by model and content."""
        return f"{PREFIX}/{self.model.replace('/', '--')}/{self.digest[:16]}.json"


def read(data: bytes) -> Submission:
    """The submission in these bytes; raise UsageError, in one line, for anything else."""
    if len(data) > MOST:
        raise UsageError(f"a submission has at most {MOST} bytes, this has {len(data)}")
    try:
        return Submission.model_validate_json(_bytes(strict_loads(data)))
    except ValidationError as error:
        raise UsageError(_short(explain(error, "submission"))) from None
    except (RecordError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(_short(f"not a submission: {reason}")) from None


def _bytes(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _short(text: str) -> str:
    """The text on one line of a bearable length: names of fields are what somebody sent."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


def make(
    model: str,
    revision: str | None,
    *,
    record: dict[str, Any] | None = None,
    parent: str | None = None,
    note: str | None = None,
) -> Submission:
    """The submission of a record, or without one the request for a scan; raise UsageError."""
    kind = Kind.REQUEST if record is None else Kind.RECORD
    said = {"format": FORMAT, "kind": kind, "model": model, "revision": revision, "parent": parent, "note": note}
    return read(_bytes({**said, "record": record}))
