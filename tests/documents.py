"""Documents of `view` for tests, beside the records they are made of."""

from __future__ import annotations

from typing import Any

from swindex.schema.observation import Stance
from swindex.schema.record import Record

from . import records as make

Json = dict[str, Any]


def plain(record: Record) -> Json:
    """A record as plain JSON data."""
    return record.model_dump(mode="json")


def disputed() -> Record:
    """One weight that one source claims with a figure and another denies."""
    parts: Json = {
        "model": make.model("org/disputed", None, base_model=None, relation=None, files=()),
        "super_weights": (make.weight(1, 2, 3, scan=None, group="pair"), make.weight(2, 2, 4, scan=None, group="pair")),
        "groups": (make.group("pair", "L1.R2.C3", "L2.R2.C4", reported=True),),
        "observations": (
            make.observation((1, 2, 3), ppl=(10.0, 100.0), corpus="wiki", caveat="one window"),
            make.observation((1, 2, 3), origin="sun-2025", stance=Stance.DENIES, statement="Not there."),
        ),
    }
    return make.make(parts)
