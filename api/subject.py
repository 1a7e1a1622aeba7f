"""Which record `verify` holds against which checkpoint: a model's own, or that of the model it was made from.

Knows the index and who names a base (the caller, a record, the model's card on the Hub); opens checkpoints, compares
nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..crawler.checkpoint.base import Checkpoint
from ..crawler.refusal import Refusal
from ..index.errors import NotInIndex
from ..schema.record import Record
from ..schema.types import Outcome
from .names import parse_model_id

Ask = Callable[[str], Record]
"""Gives the newest record of a model, or raises NotInIndex."""
Open = Callable[[str | None], Checkpoint]
"""Opens the checkpoint to read, at a revision or, with None, at its newest."""
GENERATIONS = 4
"""Bases of bases that are asked for at most."""


class Subject(NamedTuple):
    """A record, the checkpoint to hold against it, and who named the base: option, record, card; None for its own."""

    record: Record
    checkpoint: Checkpoint
    named_by: str | None = None


def choose(model: str, ask: Ask, opened: Open, revision: str | None = None, of: str | None = None) -> Subject:
    """The record for a model and the checkpoint to read.

    The record of `of` if that is given, else the model's own if it names scalars, else that of its base. Without
    `revision` a model is read at the commit its own record is pinned to. Raise NotInIndex, UsageError, StoreError, or a
    Refusal where the checkpoint cannot be opened.
    """
    own = _record(model, ask)
    pinned = revision or (own.model.revision if own else None)
    if of is not None:
        return Subject(ask(parse_model_id(of)), opened(pinned), "option")
    if own and own.super_weights:
        return Subject(own, opened(pinned))
    checkpoint = _open(model, own, ask, opened, pinned)
    return _of_base(model, own, ask, checkpoint)


def _record(model: str, ask: Ask) -> Record | None:
    try:
        return ask(parse_model_id(model))
    except NotInIndex:
        return None


def _absence(model: str, ask: Ask) -> str:
    """What the index says of a model that it does not have."""
    try:
        ask(model)
    except NotInIndex as error:
        return str(error)
    return f"{model} is in the index by now"


def _open(model: str, own: Record | None, ask: Ask, opened: Open, revision: str | None) -> Checkpoint:
    """The checkpoint of a model without scalars of its own, which may name its base."""
    try:
        return opened(revision)
    except Refusal as refusal:
        if own is not None or not refusal.lasting or refusal.outcome is Outcome.GATED:
            raise
        raise NotInIndex(f"{_absence(model, ask)}; nor can it name its base: {refusal}") from None


def _of_base(model: str, own: Record | None, ask: Ask, checkpoint: Checkpoint) -> Subject:
    named = own.model.base_model if own else None
    by, base = ("record", named) if named else ("card", checkpoint.base_model[0])
    for _ in range(GENERATIONS):
        record = _record(base, ask) if base else None
        if record is None or record.super_weights:
            break
        base = record.model.base_model
    else:
        record = None
    if record is not None:
        return Subject(record, checkpoint, by)
    why = f"its base {base} is not in the index either" if base else "nobody names its base"
    if own is not None:
        raise NotInIndex(f"{model}: its record names no scalar, and {why}; to name a base: --of MODEL")
    raise NotInIndex(f"{_absence(model, ask)}; {why}; to compare it with another model: --of MODEL")
