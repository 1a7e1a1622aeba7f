"""The history of a record: what each version changed. Knows versions as plain JSON data, never how they are printed."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from ..index.errors import NotInIndex
from .answer import not_in_index
from .compared import survivals
from .decided import brief, decisions
from .reader import Reader, as_record

Json = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VerdictChange(_Part):
    """A verdict or a location that is not what it was; `of` is a weight or a group id."""

    of: str
    what: str
    """`alone`, `grouped`, `location`, or `verdict` of a group."""
    before: str
    after: str


class ScanAdded(_Part):
    """A scan that a version brought."""

    id: str
    outcome: str
    time: str
    shared_from: str | None = None
    """The model in which it was made, if not here."""


class Compared(_Part):
    """What a version brought of a base model's super weights."""

    base: str
    same: int
    drifted: int
    gone: int
    time: str


class Decided(_Part):
    """What a curator decided on claims in a version."""

    kind: str
    by: str
    reason: str
    taken_out: tuple[str, ...]
    """The claims that no longer stand, in words."""
    put_in: tuple[str, ...]
    conflict: str | None = None
    """The conflict that it settles, as `kind:weight`."""


class Change(_Part):
    """One version, and how it differs from the one before (the first: from nothing)."""

    version: int
    time: str
    submitter: str
    digest: str
    revision: str | None
    outcome: str
    weights_added: tuple[str, ...]
    weights_removed: tuple[str, ...]
    groups_added: tuple[str, ...]
    groups_removed: tuple[str, ...]
    verdicts: tuple[VerdictChange, ...]
    scans_added: tuple[ScanAdded, ...]
    observations_added: int
    """How many more observations; negative if fewer."""
    withdrawn: str | None
    """The reason, if this version withdraws the record."""
    survivals_added: tuple[Compared, ...] = ()
    decisions_added: tuple[Decided, ...] = ()


def history(model_id: str, reader: Reader) -> list[Change]:
    """The versions of a model, oldest first; raise NotInIndex, UsageError or StoreError."""
    found = [each.record for each in reader.history(model_id)]
    if not found:
        raise NotInIndex(not_in_index(model_id, reader))
    with as_record(model_id):
        return [change(before, after) for before, after in zip([None, *found], found, strict=False)]


def change(before: Json | None, after: Json) -> Change:
    """How a version differs from the one before it."""
    old = before or {"status": {"weights": [], "groups": []}}
    provenance = after["provenance"]
    return Change(
        version=provenance["version"],
        time=provenance["time"],
        submitter=provenance["submitter"],
        digest=provenance["digest"],
        revision=after["model"].get("revision"),
        outcome=after["status"]["outcome"],
        weights_added=_ids(after, "super_weights", without=old),
        weights_removed=_ids(old, "super_weights", without=after),
        groups_added=_ids(after, "groups", without=old),
        groups_removed=_ids(old, "groups", without=after),
        verdicts=tuple(_verdicts(old["status"], after["status"])),
        scans_added=tuple(_scans(old, after)),
        observations_added=len(after.get("observations", ())) - len(old.get("observations", ())),
        withdrawn=(provenance.get("withdrawn") or {}).get("reason"),
        survivals_added=tuple(_compared(old, after)),
        decisions_added=tuple(_decided(old, after)),
    )


def _ids(record: Json, parts: str, without: Json) -> tuple[str, ...]:
    known = {p["id"] for p in without.get(parts, ())}
    return tuple(p["id"] for p in record.get(parts, ()) if p["id"] not in known)


def _scans(before: Json, after: Json) -> list[ScanAdded]:
    added = set(_ids(after, "scans", without=before))
    scans = [s for s in after.get("scans", ()) if s["id"] in added]
    return [ScanAdded(**{n: s[n] for n in ("id", "outcome", "time")}, shared_from=_origin(s)) for s in scans]


def _origin(scan: Json) -> str | None:
    origin = scan.get("shared_from")
    return str(origin["model_id"]) if origin else None


def _compared(before: Json, after: Json) -> list[Compared]:
    told = ("base", "same", "drifted", "gone", "time")
    known = before.get("survivals", ())
    added = [s for s in after.get("survivals", ()) if s not in known]
    return [Compared(**{name: s[name] for name in told}) for s in survivals({"survivals": added})]


def _decided(before: Json, after: Json) -> list[Decided]:
    added = decisions(after)[len(before.get("decisions", ())) :]
    return [
        Decided(
            **{name: d[name] for name in ("kind", "by", "reason")},
            taken_out=tuple(brief(c) for c in d["claims"]),
            put_in=tuple(brief(c) for c in d["instead"]),
            conflict=d["conflict"] and f"{d['conflict']['kind']}:{d['conflict']['weights'][0]}",
        )
        for d in added
    ]


_WATCHED = {"weights": ("weight", ("alone", "grouped", "location")), "groups": ("group", ("verdict",))}


def _verdicts(before: Json, after: Json) -> list[VerdictChange]:
    return [
        VerdictChange(of=now[key], what=what, before=then[what], after=now[what])
        for parts, (key, watched) in _WATCHED.items()
        for now in after[parts]
        for then in before[parts]
        if now[key] == then[key]
        for what in watched
        if now[what] != then[what]
    ]
