"""A record: what is known about one model at one revision. A record that exists is valid.

Immutable; a change is a new version that names its predecessor's digest. `Record.make` derives the status and the
digest; reading checks both. Knows nothing of where records are kept.

A version states the oldest schema that has all it says, so a record without newer fields stays the same, byte by byte,
and older programs may go on appending to it.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from .canonical import digest_in, digest_of, read_canonical
from .decision import Decision, check_decisions
from .effect import Effect
from .errors import RecordError
from .model import Model
from .observation import Observation, Remark
from .scan import Scan
from .status import Status, derive
from .survival import Survival
from .types import (
    FIRST_SCHEMA,
    SCANNED,
    Intervention,
    Outcome,
    Part,
    Sha256,
    Text,
    UtcTime,
    Verdict,
    absent,
)
from .weight import Group, SuperWeight


class Withdrawn(Part):
    """A withdrawal: the record stays readable and says why it no longer counts."""

    time: UtcTime
    reason: Text


class Provenance(Part):
    """Where a version stands in its model's history."""

    schema_version: Annotated[str, Field(pattern=r"^1\.\d+$")] = FIRST_SCHEMA
    version: Annotated[int, Field(ge=1)]
    previous: Sha256 | None
    """Digest of the version before; null for the first."""
    digest: Sha256
    time: UtcTime
    submitter: Text
    withdrawn: Withdrawn | None = None

    @model_validator(mode="after")
    def _chained(self) -> Self:
        if (self.version == 1) != (self.previous is None):
            raise ValueError(f"version {self.version} with previous {self.previous}: only the first has none")
        return self


class Record(Part):
    """Everything known about one model at one revision."""

    model: Model
    super_weights: tuple[SuperWeight, ...] = ()
    groups: tuple[Group, ...] = ()
    effects: tuple[Effect, ...] = ()
    scans: tuple[Scan, ...] = ()
    observations: tuple[Observation, ...] = ()
    remarks: tuple[Remark, ...] = ()
    survivals: Annotated[tuple[Survival, ...], Field(exclude_if=absent)] = ()
    """What became here of the super weights of models that this one was made from, one for each. Schema 1.1."""
    decisions: Annotated[tuple[Decision, ...], Field(exclude_if=absent)] = ()
    """What curators decided on claims, oldest first; it carries the claims that were taken out. Schema 1.2."""
    status: Status
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct("super weight", (w.id for w in self.super_weights))
        _distinct("group", (g.id for g in self.groups))
        _distinct("effect", (e.id for e in self.effects))
        _distinct("scan", (s.id for s in self.scans))
        _distinct("survival", (s.base for s in self.survivals))
        self._references()
        self._status()
        self._others()
        check_decisions(self.decisions, self.observations)
        self._something()
        self._schema()
        return self

    def _something(self) -> None:
        """Something is known; or all that was claimed was taken out, and then the record itself is withdrawn."""
        emptied = self.decisions and self.provenance.withdrawn
        if not (self.scans or self.observations or self.survivals or emptied):
            raise ValueError("neither a scan, an observation nor a survival: nothing is known")

    def _schema(self) -> None:
        stated = self.provenance.schema_version
        newer = [fields for since, fields, has in _SINCE if _minor(since) > _minor(stated) and has(self)]
        if newer:
            raise ValueError(f"schema {stated} is stated, and {', '.join(newer)} are newer")

    def _others(self) -> None:
        """What is taken from other models is not taken from this one."""
        here = self.model.id
        if any(s.base == here for s in self.survivals):
            raise ValueError(f"a survival of {here} in itself")
        for scan in self.scans:
            if scan.shared_from and scan.shared_from.model_id == here:
                raise ValueError(f"scan {scan.id} is shared with {here} itself")

    def _references(self) -> None:
        weights = {w.id for w in self.super_weights}
        groups = {g.id for g in self.groups}
        scans = {s.id for s in self.scans}
        for group in self.groups:
            _known(f"groups[{group.id}].members", group.members, weights, "super weight")
        for effect in self.effects:
            _known(f"effects[{effect.id}].weights", effect.weights, weights, "super weight")
            _known(f"effects[{effect.id}].scan", [effect.scan], scans, "scan")
        for weight in self.super_weights:
            _known(f"super_weights[{weight.id}].group", _given(weight.group), groups, "group")
            _known(f"super_weights[{weight.id}].scan", _given(weight.scan), scans, "scan")
        for remark in self.remarks:
            _known("remarks.about", remark.about, weights, "super weight")

    def _status(self) -> None:
        derived = derive(self.super_weights, self.groups, self.effects, self.scans, self.observations, self.survivals)
        given = {s.weight: s for s in self.status.weights}
        for expected in derived.weights:
            got = given.get(expected.weight)
            if got is not None and got.alone != expected.alone and expected.alone is Verdict.UNTESTED:
                raise ValueError(f"status of {got.weight}: verdict {got.alone} without an effect")
        if self.status != derived:
            raise ValueError("status is not what the rule derives from the figures; it is never typed in")
        self._outcome()

    def _outcome(self) -> None:
        if not self.scans or self.scans[-1].outcome not in SCANNED or not self.scans[-1].settings.effects:
            return
        newest = self.scans[-1]
        strong = {Verdict.CONFIRMED, Verdict.PARTIAL, Verdict.NON_FINITE}
        removals = [e for e in self.effects if e.scan == newest.id and e.intervention is Intervention.ZERO]
        damaging = any(e.verdict in strong for e in removals)
        if (newest.outcome is Outcome.FOUND) != damaging:
            raise ValueError(f"scan {newest.id} says {newest.outcome}, its effects say otherwise")

    @classmethod
    def make(cls, *, provenance: dict[str, Any], **parts: Any) -> Self:
        """Build a version: status derived, digest computed. `provenance` without digest; raise RecordError."""
        model_id = getattr(parts.get("model"), "id", None)
        try:
            figures = [tuple(parts.get(k, ())) for k in _FIGURES]
            draft = {
                **{k: tuple(v) if k != "model" else v for k, v in parts.items()},
                "status": derive(*figures),
            }
            blank = cls.model_construct(None, **draft, provenance=Provenance(digest="0" * 64, **provenance))
            provenance = {"schema_version": _schema_of(blank), **provenance}
            blank = cls.model_construct(None, **draft, provenance=Provenance(digest="0" * 64, **provenance))
            digest = digest_of(blank.model_dump(mode="json"))
            return cls.model_validate({**draft, "provenance": Provenance(digest=digest, **provenance)})
        except ValidationError as error:
            raise RecordError(explain(error, model_id)) from None

    @classmethod
    def parse(cls, text: str | bytes, *, tolerant: bool = False) -> Self:
        """Read one version from JSON and check everything; `tolerant` ignores unknown fields (newer minor schema)."""
        text = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        data, is_canonical = read_canonical(text)
        if not isinstance(data, dict):
            raise RecordError("a record is a JSON object")
        record = cls.validated(text, data, tolerant=tolerant)
        if (digest_in(text, data) if is_canonical else digest_of(data)) != record.provenance.digest:
            raise RecordError(f"{record.model.id}: {WRONG_DIGEST}")
        return record

    @classmethod
    def validated(cls, text: bytes, data: dict[str, Any], *, tolerant: bool = False) -> Self:
        """A version from its JSON, which was parsed strictly; everything is checked but its digest."""
        try:
            return cls.model_validate_json(text, extra="ignore" if tolerant else "forbid")
        except ValidationError as error:
            model = data.get("model")
            raise RecordError(explain(error, model.get("id") if isinstance(model, dict) else None)) from None


WRONG_DIGEST = "provenance.digest does not match the content: the record was changed"
_FIGURES = ("super_weights", "groups", "effects", "scans", "observations", "survivals")


# (schema version, its fields, whether a record has any of them), the newest first
_SINCE: tuple[tuple[str, str, Callable[[Record], object]], ...] = (
    ("1.2", "decisions", lambda r: r.decisions),
    ("1.1", "content, shared_from or survivals", lambda r: r.survivals or r.model.content or _is_shared(r)),
)


def _is_shared(record: Record) -> bool:
    return any(s.shared_from for s in record.scans)


def _schema_of(record: Record) -> str:
    """The oldest schema version that has all the fields of a record."""
    return next((since for since, _, has in _SINCE if has(record)), FIRST_SCHEMA)


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def explain(error: ValidationError, model_id: object) -> str:
    """One line for a validation error: the model, the field, what is wrong, and how many more."""
    errors = error.errors(include_url=False, include_input=False)
    first = errors[0]
    field = ".".join(str(p) for p in first["loc"]) or "record"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{model_id or 'record'}: {field}: {first['msg'].removeprefix('Value error, ')}{more}"


def _given(value: str | None) -> list[str]:
    return [] if value is None else [value]


def _distinct(what: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise ValueError(f"two {what}s with id {each}")
        seen.add(each)


def _known(field: str, names: Iterable[str], known: set[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{field}: no {what} {name} in this record")
