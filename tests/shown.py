"""A small index that has of everything something to show: for tests of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swindex.index.store import Index
from swindex.schema.observation import Remark, Source, Stance
from swindex.schema.types import Outcome, weight_id

from . import records as make
from .documents import disputed
from .test_view_compared import survival

FOUND, REPORTED, NONE_FOUND, GATED, CHILD, DISPUTED, HOSTILE = (
    "org/base",
    "org/reported",
    "org/none",
    "org/gated",
    "org/child",
    "org/disputed",
    "org/hostile",
)
EVERY = (FOUND, REPORTED, NONE_FOUND, GATED, CHILD, DISPUTED, HOSTILE)
SCRIPT = "<script>alert(1)</script>"
QUOTED = "\"'><img src=x onerror=alert(1)>"


def index(directory: Path) -> Path:
    """Write it: a model of each kind, one of two versions, one in which every text is hostile."""
    made = Index(directory)
    first = make.make(own(make.found_parts(FOUND)))
    made.append(first)
    made.append(make.make(own(make.found_parts(FOUND, scan_id="scan-2", delta=4.0)), first))
    made.append(make.make(own(make.reported_parts(REPORTED))))
    made.append(make.make(own(make.none_found_parts(NONE_FOUND))))
    made.append(make.failed(GATED, outcome=Outcome.GATED))
    made.append(make.make({"model": make.model(CHILD, base_model=FOUND), "survivals": (survival("same", "drifted"),)}))
    made.append(disputed())
    made.append(make.make(hostile_parts(), submitter="tester"))
    return directory


def own(parts: dict[str, Any]) -> dict[str, Any]:
    """Parts of a model that was made from no other."""
    return {**parts, "model": parts["model"].model_copy(update={"base_model": None, "relation": None})}


def hostile_parts() -> dict[str, object]:
    """Parts of a version whose texts are written to break out of a page."""
    one, two = weight_id(1, 2, 3), weight_id(2, 4, 3)
    bad = Source(origin="mallory", title=SCRIPT, url="javascript:alert(document.domain)")
    plain = Source(origin="trudy", title=QUOTED, url="http://example.org/x")
    return {
        "model": make.model(
            HOSTILE, None, architecture=SCRIPT, model_type=QUOTED, base_model=None, relation=None, files=()
        ),
        "super_weights": (
            make.weight(1, 2, 3, scan=None, group=SCRIPT, tensor=f"x{SCRIPT}"),
            make.weight(2, 4, 3, scan=None, group=SCRIPT),
        ),
        "groups": (make.group(SCRIPT, one, two, reported=True),),
        "observations": (
            make.observation((1, 2, 3), source=bad, statement=SCRIPT, caveat=QUOTED, ppl=(10.0, 1e4), corpus=SCRIPT),
            make.observation((1, 2, 3), (2, 4, 3), source=plain, statement=QUOTED, ppl=(10.0, 1e3), corpus=QUOTED),
            make.observation(source=plain, stance=Stance.NOTES, statement=SCRIPT),
        ),
        "remarks": (Remark(about=(one,), text=SCRIPT),),
    }
