"""What a release answers of every model, asked of each of its forms by means of their own, and of the logs.

An answer is what all forms can give: digest, outcome, whether it is withdrawn, versions, and its super weights, effects
and observations in part. Nothing here imports what writes a release.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from swindex.index.curation import Order, with_decision
from swindex.index.store import Index
from swindex.index.versions import withdraw
from swindex.schema.decision import DecisionKind, claim_id
from swindex.schema.observation import Metric, Remark, Source, Stance
from swindex.schema.record import Record
from swindex.schema.survival import Compared, Fate, Scalar, Survival, Survivor

from . import records as make

Answers = dict[str, tuple[Any, ...]]
WEIGHTS = ("weight_id", "tensor", "row", "col", "index", "value", "bits", "byte_offset", "location", "alone", "grouped")
EFFECTS = ("effect_id", "intervention", "nll_before", "delta_nll", "verdict", "bos")


def root_of(release: Path) -> dict[str, Any]:
    return json.loads((release / "root.json").read_bytes())


def forms(release: Path) -> dict[str, Answers]:
    """The answers of all four forms."""
    return {"jsonl": jsonl(release), "tree": tree(release), "parquet": parquet(release), "duckdb": database(release)}


def log(index: Path) -> Answers:
    """The answers of an index itself."""
    logs = (path.read_bytes().splitlines() for path in (index / "records").glob("*/*.jsonl"))
    return dict(_of_lines(lines) for lines in logs if lines)


def jsonl(release: Path) -> Answers:
    """From `versions/` alone, read through."""
    histories: dict[str, list[bytes]] = {}
    seq = root_of(release)["seq"]
    for start in range(0, seq, 1000):
        path = release / "versions" / f"{start // 1000:06d}.{min(1000, seq - start)}.jsonl"
        for line in path.read_bytes().splitlines():
            histories.setdefault(json.loads(line)["model"]["id"], []).append(line)
    return dict(_of_lines(lines) for lines in histories.values())


def tree(release: Path) -> Answers:
    """Model by model from `root.json` down to the lines, as a reader from afar does."""
    return dict(_of_lines(descend(release, model_id)) for model_id in jsonl(release))


def descend(release: Path, model_id: str) -> list[bytes]:
    """The versions that the tree names for a model, oldest first; none if it is not there."""
    root = root_of(release)
    key, digest = hashlib.sha256(model_id.lower().encode()).hexdigest(), root["tree"]
    for digit in key:
        data = (release / "nodes" / digest[:2] / f"{digest}.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        node = json.loads(data)
        if "models" in node:
            break
        digest = node["nodes"][digit]
    newest, spans = node["models"].get(model_id, (None, []))
    lines = []
    for seq, offset, length in spans:
        segment = (seq - 1) // 1000
        count = min(1000, root["seq"] - segment * 1000)
        data = (release / "versions" / f"{segment:06d}.{count}.jsonl").read_bytes()
        lines.append(data[offset : offset + length])
        assert data[offset + length : offset + length + 1] == b"\n"
    assert not lines or json.loads(lines[-1])["provenance"]["digest"] == newest
    return lines


def parquet(release: Path) -> Answers:
    """From the Parquet files, with polars."""

    def rows(table: str, columns: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
        frame = pl.read_parquet(sorted((release / "parquet" / table).iterdir()), glob=False).select(
            "model_id", *columns
        )
        return _grouped(frame.rows())

    return _of_tables(rows)


def database(release: Path) -> Answers:
    """From the DuckDB file."""
    with duckdb.connect(str(release / "index.duckdb"), read_only=True) as con:

        def rows(table: str, columns: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
            names = ", ".join(f'"{name}"' for name in ("model_id", *columns))
            return _grouped(con.execute(f"SELECT {names} FROM {table}").fetchall())

        return _of_tables(rows)


def damaged_files(release: Path) -> list[str]:
    """The files that are not what the root says of them."""
    return [
        path
        for path, stated in root_of(release)["files"].items()
        if not (release / path).is_file()
        or hashlib.sha256((release / path).read_bytes()).hexdigest() != stated["sha256"]
        or (release / path).stat().st_size != stated["size"]
    ]


def _grouped(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for model_id, *cells in rows:
        found.setdefault(model_id, []).append(tuple(tuple(c) if isinstance(c, list) else c for c in cells))
    return found


def _of_tables(rows: Any) -> Answers:
    weights, effects = rows("super_weights", WEIGHTS), rows("effects", EFFECTS)
    observations = rows("observations", ("statement",))
    return {
        model_id: (
            digest,
            outcome,
            withdrawn is not None,
            versions,
            tuple(sorted(weights.get(model_id, []))),
            tuple(sorted(effects.get(model_id, []))),
            len(observations.get(model_id, [])),
        )
        for model_id, [(digest, outcome, withdrawn, versions)] in rows(
            "models", ("digest", "outcome", "withdrawn_time", "versions")
        ).items()
    }


def _of_lines(lines: list[bytes]) -> tuple[str, tuple[Any, ...]]:
    record = json.loads(lines[-1])
    own = record["provenance"]
    return record["model"]["id"], (
        own["digest"],
        record["status"]["outcome"],
        own["withdrawn"] is not None,
        len(lines),
        tuple(sorted(map(_weight, record["super_weights"], record["status"]["weights"]))),
        tuple(sorted(map(_effect, record["effects"]))),
        len(record["observations"]),
    )


def _weight(weight: dict[str, Any], status: dict[str, Any]) -> tuple[Any, ...]:
    both = {**weight, "weight_id": weight["id"], **{k: status[k] for k in ("location", "alone", "grouped")}}
    return tuple(tuple(both[k]) if k == "index" else both[k] for k in WEIGHTS)


def _effect(effect: dict[str, Any]) -> tuple[Any, ...]:
    after, before = effect["nll_after"], effect["nll_before"]
    delta = None if after is None else after - before
    return (effect["id"], effect["intervention"], before, delta, effect["verdict"], effect["corpus"]["bos"])


# --- indexes to release ---

ODD = ("_/_", "0/1", "A_b.c-D/e.F_g-1", "x" * 96 + "/" + "y" * 96, "con/nul", "org/a.jsonl", "Org2/README.md")
"""Legal ids that a careless path, pattern or query would trip over."""


TITLE = '<b>"o\'dd"</b> | `x` [a](b)\n# é'
CAVEAT = "NUL \x00 and 😀 \\ \t ,;"


def everything(model_id: str = "org/everything") -> Record:
    """A version with something for every table."""
    place = make.weight_id(1, 2, 3)
    scalar = {"dtype": "bfloat16", "bits": "be8c", "value": -0.2734375}
    survivor = Survivor(
        weight=place,
        tensor=make.tensor(1),
        index=(2, 3),
        base=Scalar(**scalar),
        here=Scalar(**scalar),
        state=Fate.SAME,
        compared=Compared.BITS,
        drift=0.0,
    )
    survival = Survival(
        base="org/base",
        base_revision=make.OTHER_REVISION,
        base_record="e" * 64,
        revision=make.REVISION,
        time=make.TIME,
        bytes_read=10,
        requests=2,
        scalars=(survivor,),
    )
    parts = make.found_parts(model_id)
    claims = {
        "observations": (
            make.observation((1, 2, 3), metrics=(Metric(name="accuracy | *x*", value=0.25),)),
            make.observation((1, 2, 3), origin="sun-2025", stance=Stance.DENIES, ppl=(10.0, 1000.0)),
            make.observation(
                (1, 2, 3), source=Source(origin="odd-2026", title=TITLE, url="https://x.y/|a"), caveat=CAVEAT
            ),
        ),
        "remarks": (Remark(about=(place,), text="It's disputed; -- $1 {} %s"),),
        "survivals": (survival,),
    }
    return make.make({**parts, **claims})


def index_of(directory: Path, *records: Record) -> Index:
    """An index that these versions were appended to."""
    index = Index(directory)
    index.ensure()
    for record in records:
        index.append(record)
    return index


def withdrawn(index: Index, model_id: str) -> None:
    """Withdraw a record."""
    index.add(
        model_id, lambda previous: previous and withdraw(previous, "a wrong checkpoint", make.TIME), "me", make.TIME
    )


def varied(directory: Path) -> Index:
    """Every kind of record, several versions of one, a withdrawn one, odd ids."""
    first = make.reported()
    index = index_of(
        directory,
        first,
        make.none_found("org/none"),
        make.found(previous=first),
        make.failed("org/failed"),
        everything(),
        make.found("org/gone"),
        *(make.none_found(model_id) for model_id in ODD),
    )
    withdrawn(index, "org/gone")
    decided(index, "org/decided")
    return index


def decided(index: Index, model_id: str) -> None:
    """Append a version with claims and one in which a curator took one of them out."""
    index.add(model_id, lambda _: make.reported_parts(model_id), "tester", make.TIME)
    claim = claim_id(index.read(model_id).observations[0])
    order = Order(DecisionKind.WITHDRAW, "misread", "a curator", make.TIME, claims=(claim,))
    index.add(model_id, lambda p: with_decision(p, order, index.history(model_id)), "a curator", make.TIME)
