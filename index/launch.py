"""The launch index: `index/published/*.json` becomes the first version of every record.

`python -m swindex.index.launch [--out DIR]` writes the same bytes every time. Coordinates, figures and conflicts are
the sources'; nothing here was measured by us, and status is derived. A file that already begins with what would be
written is left alone, further versions and all; one that begins otherwise is never overwritten. What is written goes
through the store, so the change feed has it too.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..schema.canonical import canonical_bytes, strict_loads
from ..schema.errors import SwindexError
from ..schema.model import Model
from ..schema.observation import Observation, Remark
from ..schema.record import Record
from ..schema.weight import Coordinates, Group, SuperWeight
from . import launch_remarks as remarks
from . import launch_tables as tables
from . import log
from .claimed import kind_of, told_value
from .errors import StoreError, os_reason
from .launch_entries import Json, Told, told_by
from .launch_others import candidate_place, told_by_experts, told_by_negative
from .launch_tables import Place
from .store import Index

PUBLISHED = Path(__file__).parent / "published"
HOME = Path(__file__).parent
TIME = "2026-11-21T00:00:00Z"
"""When the data was gathered."""
SUBMITTER = "swindex launch import"


class Published:
    """The three launch files, by model."""

    def __init__(self, folder: Path = PUBLISHED) -> None:
        """Read the files; raise StoreError if one is missing (they are in the repository, not in the package)."""
        self.entries: list[Json] = _load(folder / "super_weights.json")
        self.negatives: list[Json] = _load(folder / "no_super_weights.json")
        experts = _load(folder / "super_experts.json")
        self.experts: list[Json] = experts["models"]
        self.expert_caveats: list[str] = experts["caveats"]

    def model_ids(self) -> list[str]:
        """Every model that any of the files names, in order."""
        return sorted({e["model_id"] for e in (*self.entries, *self.negatives, *self.experts)})


def _load(path: Path) -> Any:
    try:
        return strict_loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}; run it in a checkout of swindex") from None


# --- a record ---


def record_of(model_id: str, published: Published) -> Record:
    """The first version of a model's record."""
    entries, negatives, experts = (
        [e for e in part if e["model_id"] == model_id]
        for part in (published.entries, published.negatives, published.experts)
    )
    places = _places(entries, negatives)
    told = list(
        dict.fromkeys(
            [
                *(t for e in entries for t in told_by(e, places)),
                *(t for n in negatives for t in told_by_negative(n, places)),
                *(t for m in experts for t in told_by_experts(m)),
            ]
        )
    )
    groups = tuple(_groups(_published_set(entries, places), told))
    observations = tuple(dict.fromkeys(t.observation for t in told))
    notes = [*_notes(entries), *_remarks(model_id, bool(negatives and places))]
    return Record.make(
        model=Model(id=model_id, revision=_revision([*entries, *negatives])),
        super_weights=tuple(_weight(model_id, p, groups, observations) for p in places.values()),
        groups=groups,
        observations=observations,
        remarks=(*notes, *(Remark(text=c) for c in published.expert_caveats if experts)),
        provenance={"version": 1, "previous": None, "time": TIME, "submitter": SUBMITTER},
    )


def _revision(parts: Sequence[Json]) -> str | None:
    """The commit that all parts which pin one share."""
    pinned = {p["revision"] for p in parts if p["revision"] is not None}
    shared = pinned.pop() if len(pinned) == 1 else ""
    return shared if len(shared) == 40 else None


def _places(entries: Sequence[Json], negatives: Sequence[Json]) -> dict[Place, Coordinates]:
    """The scalars that are claimed, then those that were only tested."""
    found = [
        Coordinates(layer=e["layer"], expert=e.get("expert"), row=e["row"], col=e["col"], tensor=e["tensor"])
        for e in entries
        if e["granularity"] == "scalar"
    ]
    tested = (candidate_place(n, c) for n in negatives for c in n["candidates_tested"])
    places: dict[Place, Coordinates] = {}
    for at in (*found, *tested):
        if at is not None and at.row is not None and at.col is not None:
            places.setdefault((at.layer, at.row, at.col), at)
    return places


def _weight(
    model_id: str, at: Coordinates, groups: Sequence[Group], observations: Sequence[Observation]
) -> SuperWeight:
    if at.row is None or at.col is None or at.weight_id is None or at.tensor is None:
        raise StoreError(f"{model_id}: layer {at.layer}: not a scalar in a named tensor")
    mine = [g for g in groups if at.weight_id in g.members]
    largest = max(mine, key=lambda g: len(g.members), default=None)
    return SuperWeight(
        id=at.weight_id,
        tensor=at.tensor,
        layer=at.layer,
        expert=at.expert,
        row=at.row,
        col=at.col,
        index=(at.col, at.row) if model_id in tables.TRANSPOSED else (at.row, at.col),
        value=told_value(at.weight_id, observations),
        group=largest.id if largest else None,
    )


# --- groups ---


def _published_set(entries: Sequence[Json], places: dict[Place, Coordinates]) -> tuple[Coordinates, ...]:
    """What the paper's Table 2 gives for this model."""
    return tuple(
        places[(e["layer"], e["row"], e["col"])]
        for e in entries
        for o in e["observations"]
        if o["source"]["url"] == tables.PAPER and o.get("role") in tables.PUBLISHED_ROLES
    )


def _groups(paper: tuple[Coordinates, ...], told: Sequence[Told]) -> Iterator[Group]:
    """The paper's set, then the sets that a source zeroed together; each set once."""
    seen: set[frozenset[Coordinates]] = {frozenset()}
    count: dict[str, int] = {}
    for origin, members in [
        ("", paper),
        *((t.observation.source.origin, t.observation.targets) for t in told if t.group),
    ]:
        if frozenset(members) in seen:
            continue
        seen.add(frozenset(members))
        count[origin] = count.get(origin, 0) + 1
        name = f"{origin}-set-{count[origin]}" if origin else tables.PUBLISHED_SET
        ids = tuple(i for m in members if (i := m.weight_id) is not None)
        yield Group(id=name, kind=kind_of(members), members=ids, reported=True)


# --- remarks ---


def _notes(entries: Sequence[Json]) -> Iterator[Remark]:
    """The notes of the file; one that stands with several scalars is given once."""
    about: dict[str, list[str]] = {}
    for entry in entries:
        at = Coordinates(layer=entry["layer"], expert=entry.get("expert"), row=entry["row"], col=entry["col"])
        whole_row = f"Layer {entry['layer']}, row {entry['row']}: "
        if entry["notes"]:
            text = entry["notes"] if at.weight_id else whole_row + entry["notes"]
            about.setdefault(text, []).extend([at.weight_id] if at.weight_id else [])
    for text, ids in about.items():
        yield Remark(about=tuple(ids), text=text)


def _remarks(model_id: str, only_tested: bool) -> Iterator[Remark]:
    for text in remarks.CONFLICTS.get(model_id, ()):
        yield Remark(text=text)
    if model_id in remarks.ASSUMED_IDS:
        yield Remark(text=remarks.ASSUMED.format(name=remarks.ASSUMED_IDS[model_id]))
    if model_id in remarks.ID_REMARKS:
        yield Remark(text=remarks.ID_REMARKS[model_id])
    if only_tested and model_id in {*tables.NEGATIVE_TENSORS, *remarks.LAYER_ONLY}:
        yield Remark(text=remarks.TENSOR_REMARK)


# --- files ---


def write(out: Path = HOME, published: Published | None = None) -> int:
    """Write the first versions that are not there yet; how many. Raise StoreError if one there is another, Locked."""
    index, told = Index(out), published or Published()
    records = [record_of(model_id, told) for model_id in told.model_ids()]
    new = [record for record in records if not _is_there(index, record)]
    with index.writing():
        for record in new:
            index.append(record)
    return len(new)


def _is_there(index: Index, record: Record) -> bool:
    path = log.path_of(index.records, record.model.id)
    try:
        with path.open("rb") as file:
            found = file.readline()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    if found != canonical_bytes(record.model_dump(mode="json")) + b"\n":
        raise StoreError(f"{path}: line 1 is not the launch record; move the file away, or choose another --out")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m swindex.index.launch", description="Write the launch index.")
    parser.add_argument("--out", type=Path, default=HOME, metavar="DIR", help="directory of the index")
    out = parser.parse_args(arguments).out
    try:
        written = write(out)
    except SwindexError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(f"{written} new records in {out / 'records'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
