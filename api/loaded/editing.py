"""Changing the super weights of a loaded model for a while, and putting them back bit by bit.

Edits of one model may be nested and may end in any order: a scalar holds what all edits that are in force make of its
original number, and once none is, its original bits. Parameters are written in place and stay the same objects, so
optimizers, `requires_grad` and tied names are not touched; autograd refuses a backward pass through the old value.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ...schema.record import Record
from ..guarding.judging import Finding, expected_bits
from .errors import LoadedError
from .holding import Element, Spot, number_of, settle, write
from .holding import read as elements
from .mapping import Place, unwrapped
from .proving import Proven, check_revision, look, prove

Change = Callable[[float], float]
Weights = Iterable[str] | str | None
"""Ids of weights, or of a group; None: all of the record that are not refuted."""


@dataclass
class _Slot:
    """A scalar that is changed: its original bits, and the changes that are in force, oldest first."""

    element: Element
    """The original."""
    changes: list[tuple[object, Change]] = field(default_factory=list)

    def now(self) -> Tensor:
        """What the scalar is to hold."""
        original = number_of(self.element)
        if not self.changes:
            return original
        value = float(original)
        for _, change in self.changes:
            value = change(value)
        return torch.tensor(value, dtype=torch.float64)


_SLOTS: WeakKeyDictionary[nn.Module, dict[Spot, _Slot]] = WeakKeyDictionary()


class Edit:
    """A change of some super weights that is in force until `restore`, or until the end of its `with`."""

    def __init__(self, found: Proven, change: Change) -> None:
        self.model = found.model
        self.places = found.places
        """Where the scalars are."""
        self.originals = {f.weight: f.value for f in found.findings}
        """Weight id -> its number in the model, without any edit."""
        self._change = change
        try:
            slots, spots = _SLOTS.setdefault(self.model, {}), self._spots()
            for spot, element in zip(spots, elements(self.model, spots), strict=True):
                slot = slots.setdefault(spot, _Slot(element))
                slot.changes.append((self, change))
                write(self.model, spot, slot.now())
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """End the change; a second time nothing happens. All scalars are tried, then the first error is raised."""
        errors: list[Exception] = []
        for spot in self._spots():
            try:
                self._end(spot)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _end(self, spot: Spot) -> None:
        slots = _SLOTS.get(self.model, {})
        slot = slots.get(spot)
        if slot is None or not any(edit is self for edit, _ in slot.changes):
            return
        slot.changes = [(edit, change) for edit, change in slot.changes if edit is not self]
        write(self.model, spot, slot.now())
        if not slot.changes:
            del slots[spot]
        if not any(name == spot[0] for name, _ in slots):
            settle(self.model, [spot[0]])

    def _spots(self) -> list[Spot]:
        """Each place once, also where several recorded scalars are one that is tied."""
        return list(dict.fromkeys(place.spot for place in self.places))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def __repr__(self) -> str:
        return f"Edit({', '.join(str(place) for place in self.places)})"


# --- what there is to do ---


def read(model: Any, record: Record | str, weights: Weights = None) -> tuple[Finding, ...]:
    """The recorded scalars as they stand in the model now, each beside what is recorded; nothing is refused.

    Raise LoadedError if the model has no place for one, or holds it quantized. An edit that is in force is seen.
    """
    return look(model, record, weights).findings


def scale(
    model: Any, record: Record | str, factor: float, weights: Weights = None, *, any_revision: bool = False
) -> Edit:
    """Multiply super weights by a factor: until `restore()` of the result, or the end of its `with`.

    Raise AnotherRevision or NotTheRecorded, before anything is touched, if the model is not the record's.
    """
    return Edit(proven(model, record, weights, any_revision), lambda value: value * factor)


def zero(model: Any, record: Record | str, weights: Weights = None, *, any_revision: bool = False) -> Edit:
    """Put zero in the place of super weights; otherwise as `scale`. `with ablated(model, record):` is the same."""
    return Edit(proven(model, record, weights, any_revision), lambda _value: 0.0)


ablated = zero


def restore(model: Any, record: Record | str | None = None, weights: Weights = None) -> tuple[str, ...]:
    """End all edits of a model; given a record, write its numbers where others stand. The ids of those written.

    A number goes into a parameter in its dtype, as a cast of the checkpoint would. Raise LoadedError for a scalar whose
    record has no bits, and AnotherRevision; that the numbers are others is what this is for.
    """
    plain = unwrapped(model)
    for edit in {id(e): e for e in _edits(plain)}.values():
        edit.restore()
    if record is None:
        return ()
    seen = look(plain, record, weights)
    check_revision(plain, seen.record)
    differing = [(place, found) for place, found in zip(seen.places, seen.findings, strict=True) if not found.ok]
    return tuple(_mend(seen, place, found) for place, found in differing)


def _edits(model: nn.Module) -> Iterator[Edit]:
    for slot in list(_SLOTS.get(model, {}).values()):
        for edit, _ in slot.changes:
            assert isinstance(edit, Edit)
            yield edit


def _mend(seen: Proven, place: Place, found: Finding) -> str:
    bits = expected_bits(place.weight, str(found.dtype))
    if bits is None:
        raise LoadedError(f"{place.weight.id}: the record has no bits for {found.dtype}, so it cannot be put back")
    write(seen.model, place.spot, number_of(Element(str(found.dtype), bits)))
    return place.weight.id


def proven(model: Any, record: Record | str, weights: Weights, any_revision: bool) -> Proven:
    """The scalars of a model that is the record's; what an edit has changed counts as it was. Raise LoadedError."""
    plain = unwrapped(model)
    originals = {spot: slot.element for spot, slot in _SLOTS.get(plain, {}).items()}
    return prove(look(plain, record, weights, originals), any_revision)
