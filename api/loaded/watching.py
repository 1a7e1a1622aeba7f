"""Whether a loaded model still holds what it held: its super weights between batches, and all of its weights by sums.

`intact` compares with a record, once. `Guard` keeps what it saw when it was made and says what differs since.

The scalars cost one small read for each device. Sums are for everything else: every row of every parameter has one, of
its bytes as 32-bit words, each times an odd number of its own, modulo 2**64. A flipped bit changes it by an odd number
times a power of two up to 2**31, and two flips in a row by something that is not zero either: neither goes unseen. More
may cancel by chance, and whoever knows the sums can make them cancel: they are no digests, as `guarding.baseline` has
them of files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...schema.bits import decode_bits
from ...schema.record import Record
from ..guarding.judging import BAD, Finding
from .editing import Weights
from .holding import INTEGERS, Element, held, read
from .mapping import Place
from .proving import check_revision, look, prove
from .sharded import is_sharded

CHUNKS = {"cpu": 1 << 17}
"""Words that are summed at a time, by the kind of device: what stays in a processor's cache."""
CHUNK = 1 << 24
"""The same on any other device."""


@dataclass(frozen=True)
class Report:
    """What the scalars of a model are, each held against the record. True if all are what it says."""

    findings: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return all(f.ok for f in self.findings)

    @property
    def changed(self) -> tuple[Finding, ...]:
        """Those that are not what the record says."""
        return tuple(f for f in self.findings if f.state in BAD)


def intact(model: Any, record: Record | str, weights: Weights = None, *, any_revision: bool = False) -> Report:
    """Whether the super weights of a model that was just loaded are the recorded ones.

    Raise AnotherRevision if the model says that it is of another commit, LoadedError if it has no place for one.
    """
    seen = look(model, record, weights)
    if not any_revision:
        check_revision(seen.model, seen.record)
    return Report(seen.findings)


@dataclass(frozen=True)
class Changed:
    """A scalar that is not what it was: its bits before and now. Bits differ in length where the dtype changed."""

    weight: str
    place: str
    dtype_before: str
    bits_before: str
    value_before: float
    dtype: str
    bits: str
    value: float
    flipped: tuple[int, ...]
    """Bits that differ, 0 the lowest; none where the dtype changed."""

    def __str__(self) -> str:
        was = f"{self.value_before:.9g} ({self.dtype_before} {self.bits_before})"
        now = f"{self.value:.9g} ({self.dtype} {self.bits})"
        flips = f", bit {', '.join(map(str, self.flipped))}" if self.flipped else ""
        return f"{self.place}: {was} -> {now}{flips}"


@dataclass(frozen=True)
class Rows:
    """Rows of a parameter (all axes but the last, counted through) whose sums are not what they were."""

    parameter: str
    rows: tuple[int, ...]
    reason: str | None = None

    def __str__(self) -> str:
        first = ", ".join(map(str, self.rows[:8]))
        return f"{self.parameter}: {self.reason or f'row {first}'}{', ...' if len(self.rows) > 8 else ''}"


class Guard:
    """Watches a model that runs. When it is made the scalars must be what the record says.

    `check()` reads the super weights: a few bytes, once for each device, so that it can be called between batches.
    `check_all()` sums every parameter, which reads them all; it needs `everything=True` when the guard is made, and 8
    bytes for each row. A model that was moved has not changed; one that was cast has, or one that is being edited.
    """

    def __init__(
        self,
        model: Any,
        record: Record | str,
        weights: Weights = None,
        *,
        everything: bool = False,
        any_revision: bool = False,
    ) -> None:
        seen = prove(look(model, record, weights), any_revision)
        self.model = seen.model
        self.places: tuple[Place, ...] = seen.places
        self._spots = [p.spot for p in self.places]
        self._before = read(self.model, self._spots)
        self._sums = dict(_sums(self.model)) if everything else None

    def check(self) -> tuple[Changed, ...]:
        """The super weights that changed since the guard was made; none if all are well."""
        now = read(self.model, self._spots)
        both = zip(self.places, self._before, now, strict=True)
        return tuple(_changed(place, old, new) for place, old, new in both if old != new)

    def check_all(self) -> tuple[Rows, ...]:
        """The rows of all parameters that changed since the guard was made; none if all are well."""
        if self._sums is None:
            raise ValueError("a guard that sums everything is made with everything=True")
        return tuple(_compared(self._sums, dict(_sums(self.model))))


def _changed(place: Place, old: Element, new: Element) -> Changed:
    same = old.dtype == new.dtype
    differs = int(old.bits, 16) ^ int(new.bits, 16) if same else 0
    flipped = tuple(n for n in range(4 * len(old.bits)) if differs >> n & 1)
    before, now = decode_bits(old.bits, old.dtype), decode_bits(new.bits, new.dtype)
    return Changed(place.weight.id, str(place), old.dtype, old.bits, before, new.dtype, new.bits, now, flipped)


# --- sums ---


def _sums(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameter name -> a sum for each of its rows, on its device; tied ones once, of a shard the rows it has."""
    for name, _ in model.named_parameters():
        tensor: Any = held(model, name).detach()
        yield name, _of_rows(tensor.to_local() if is_sharded(tensor) else tensor)


def _of_rows(tensor: Tensor) -> Tensor:
    whole = tensor.contiguous().reshape(-1, tensor.shape[-1] if tensor.dim() else 1)
    if not whole.numel():
        return torch.zeros(0, dtype=torch.int64, device=tensor.device)
    rows = whole.view(torch.int32 if whole.shape[1] * whole.itemsize % 4 == 0 else INTEGERS[tensor.dtype])
    odd = torch.arange(rows.shape[1], dtype=torch.int64, device=rows.device).mul_(2).add_(1)
    step = max(1, CHUNKS.get(rows.device.type, CHUNK) // rows.shape[1])
    return torch.cat([(rows[at : at + step] * odd).sum(dim=1) for at in range(0, len(rows), step)])


def _compared(before: dict[str, Tensor], now: dict[str, Tensor]) -> Iterator[Rows]:
    for name in sorted(before.keys() ^ now.keys()):
        yield Rows(name, (), "no such parameter before" if name in now else "the parameter is gone")
    both = [name for name in before if name in now]
    alike = [n for n in both if before[n].shape == now[n].shape]
    yield from (Rows(n, (), "another number of rows") for n in both if n not in set(alike))
    differs = {n: before[n].to(now[n].device) != now[n] for n in alike}
    by_device: dict[torch.device, list[str]] = {}
    for name, mask in differs.items():
        by_device.setdefault(mask.device, []).append(name)
    for names in by_device.values():
        found = torch.stack([differs[n].any() for n in names]).tolist()
        for name, any_of_it in zip(names, found, strict=True):
            if any_of_it:
                yield Rows(name, tuple(differs[name].nonzero().flatten().tolist()))
