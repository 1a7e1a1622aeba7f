"""Whether a checkpoint holds the recorded super weights, and whether all else in its weight files is as it was.

Scalars are read by their own few bytes (`crawler.verifying`). For everything else there is: the digest that the Hub
states for a file, which costs nothing; SHA-256 of the files against the record's (`full`), which tells the file; a
baseline, which tells tensor and rows, also of a cast checkpoint. What these cannot compare is `not_checkable`.

    checkpoint, place, revision     what was read
    record_of, record_revision      whose super weights they should be; null without a record
    scalars[]   weight, place, state (see `judging`), recorded_dtype, recorded_bits, recorded_value, dtype, bits, value,
                flipped (bits that differ, 0 the lowest), reason
    files[]     path, state (same, changed, not_checkable), by (record, baseline), reason
    tensors[]   those that are not what the baseline says: name, state (changed, gone, new, not_checkable), rows (first
                and last of each run, counted through all axes but the last), reason
    elsewhere   what was looked at beside the scalars: nothing, stated (the Hub's word on its files), files, tensors
    flips[]     with --flips: weight, range (see `ranges`), flips[] (see `flips`)
    ok          true if all that was asked could be checked and nothing is changed or gone
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from ...crawler.checkpoint.base import Checkpoint
from ...crawler.refusal import Refusal
from ...crawler.verifying import Answer, Check, verify
from ...schema.record import Record
from ...schema.types import Outcome
from ...schema.weight import SuperWeight
from .baseline import Baseline, Step, TensorDigests, take
from .judging import BAD, Finding, State, found, judge, standing


class Same(StrEnum):
    """What a digest says."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    NEW = "new"
    NOT_CHECKABLE = "not_checkable"


_WRONG = frozenset({Same.CHANGED, Same.GONE, Same.NEW})


@dataclass(frozen=True)
class FileAnswer:
    """A weight file, and whose word it is held against."""

    path: str
    state: Same
    by: str
    reason: str | None = None


@dataclass(frozen=True)
class TensorAnswer:
    """A tensor that is not what the baseline says."""

    name: str
    state: Same
    rows: tuple[tuple[int, int], ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Guarded:
    """What was found out about a checkpoint; see the module."""

    checkpoint: str
    place: str
    revision: str | None
    record_of: str | None = None
    record_revision: str | None = None
    scalars: tuple[Finding, ...] = ()
    files: tuple[FileAnswer, ...] = ()
    tensors: tuple[TensorAnswer, ...] = ()
    elsewhere: str = "nothing"
    unread: bool = False
    """Whether a scalar could not be read, as against stored in a way that tells nothing."""

    @property
    def _states(self) -> list[Same]:
        return [*(f.state for f in self.files), *(t.state for t in self.tensors)]

    @property
    def alarms(self) -> int:
        """How many scalars, files and tensors are not what they should be."""
        return sum(s in _WRONG for s in self._states) + sum(f.state in BAD for f in self.scalars)

    @property
    def exit_status(self) -> int:
        """1 if something is changed or gone; 3 if no scalar could be checked, one not be read, or a digest not be
        compared that was asked for; else 0."""
        if self.alarms:
            return 1
        blind = bool(self.scalars) and not any(f.ok for f in self.scalars)
        return 3 if self.unread or blind or Same.NOT_CHECKABLE in self._states else 0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "ok": self.exit_status == 0}


def guard(
    checkpoint: Checkpoint,
    record: Record | None = None,
    *,
    baseline: Baseline | None = None,
    full: bool = False,
    step: Step | None = None,
) -> Guarded:
    """Hold a checkpoint against a record, a baseline, or both; raise a Refusal if it cannot be read at all.

    With `full` or a baseline every byte of the weight files is read. A damaged file is then an answer, not a Refusal.
    """
    scalars, unread = _scalars(checkpoint, record) if record else ((), False)
    files = tuple(_stated(checkpoint, record))
    tensors: tuple[TensorAnswer, ...] = ()
    looked = "stated" if files else "nothing"
    if full or baseline:
        looked = "tensors" if baseline else "files"
        cast = any(f.state is State.CAST for f in scalars)
        read, tensors = _elsewhere(checkpoint, record if full else None, baseline, cast, step)
        files = read if full else (*files, *read)
    model = record.model if record else None
    return Guarded(
        checkpoint=checkpoint.model_id,
        place=checkpoint.place,
        revision=checkpoint.revision,
        record_of=model.id if model else None,
        record_revision=model.revision if model else None,
        scalars=scalars,
        files=files,
        tensors=tensors,
        elsewhere=looked,
        unread=unread,
    )


def _elsewhere(
    checkpoint: Checkpoint, record: Record | None, baseline: Baseline | None, cast: bool, step: Step | None
) -> tuple[tuple[FileAnswer, ...], tuple[TensorAnswer, ...]]:
    """Read everything, and hold it against the record's digests and a baseline's."""
    by = "baseline" if baseline else "record"
    try:
        taken = take(checkpoint, like=baseline, step=step)
    except Refusal as refusal:
        if refusal.outcome is not Outcome.CORRUPT:
            raise
        return (FileAnswer(checkpoint.place, Same.CHANGED, by, str(refusal)),), ()
    files = list(_by_record(taken, record, cast)) if record else []
    if baseline is None:
        return tuple(files), ()
    tensors = tuple(_tensors(taken, baseline))
    return (*files, *_headers(taken, baseline, alike=not tensors)), tensors


# --- scalars ---


def _scalars(checkpoint: Checkpoint, record: Record) -> tuple[tuple[Finding, ...], bool]:
    weights = standing(record)
    checks = verify(record.model_copy(update={"super_weights": weights}), checkpoint).checks
    findings = tuple(_finding(w, c) for w, c in zip(weights, checks, strict=True))
    return findings, any(c.unread for c in checks)


def _finding(weight: SuperWeight, check: Check) -> Finding:
    place = f"{check.tensor}{list(check.index)}"
    if check.stored_bits is not None and check.stored_dtype is not None and not weight.packed:
        return judge(weight, place, check.stored_dtype, check.stored_bits)
    states = {Answer.SAME: State.INTACT, Answer.DRIFTED: State.CHANGED, Answer.GONE: State.GONE}
    state = states.get(check.answer, State.NOT_CHECKABLE)
    return found(weight, place, state, check.stored_dtype, check.stored_bits, None, (), check.reason)


# --- files ---


def _stated(checkpoint: Checkpoint, record: Record | None) -> Iterator[FileAnswer]:
    """What the source itself says of its files, which costs nothing; a folder says nothing."""
    for file in record.model.files if record else ():
        entry = checkpoint.entries.get(file.path)
        if entry and entry.sha256 and file.sha256:
            same = entry.sha256 == file.sha256
            reason = None if same else f"sha256 is {entry.sha256}, recorded {file.sha256}"
            yield FileAnswer(file.path, Same.SAME if same else Same.CHANGED, "record", reason)


def _by_record(taken: Baseline, record: Record, cast: bool) -> Iterator[FileAnswer]:
    """The files against the digests that the record states."""
    recorded = {file.path: file for file in record.model.files}
    for path, read in taken.files.items():
        known = recorded.get(path)
        why = _incomparable(known, read.size, cast)
        if why or known is None:
            yield FileAnswer(path, Same.NOT_CHECKABLE, "record", why)
        elif read.sha256 == known.sha256:
            yield FileAnswer(path, Same.SAME, "record")
        else:
            yield FileAnswer(path, Same.CHANGED, "record", f"sha256 is {read.sha256}, recorded {known.sha256}")


def _incomparable(known: Any, size: int, cast: bool) -> str | None:
    """Why a file's digest says nothing of it."""
    if cast:
        return "the checkpoint was cast, so its files are others"
    if known is None:
        return "the record knows no file of that name"
    if known.sha256 is None:
        return "the record has no digest of it"
    return None if size == known.size else f"it has {size:,} bytes, the recorded file {known.size:,}: another file"


def _headers(taken: Baseline, baseline: Baseline, alike: bool) -> Iterator[FileAnswer]:
    """Files that are byte for byte those of the baseline, or, where all tensors are alike, have other headers."""
    for path, read in taken.files.items():
        known = baseline.files.get(path)
        if known is not None and known.sha256 == read.sha256:
            yield FileAnswer(path, Same.SAME, "baseline")
        elif known is not None and alike and known.size == read.size and _dtypes(taken) == _dtypes(baseline):
            yield FileAnswer(path, Same.CHANGED, "baseline", "its header is another, though all tensors are the same")


def _dtypes(of: Baseline) -> dict[str, str]:
    return {name: tensor.dtype for name, tensor in of.tensors.items()}


# --- tensors ---


def _tensors(taken: Baseline, baseline: Baseline) -> Iterator[TensorAnswer]:
    for name, known in baseline.tensors.items():
        here = taken.tensors.get(name)
        if here is None:
            yield TensorAnswer(name, Same.GONE, (), "no tensor of that name")
        elif answer := _tensor(name, known, here):
            yield answer
    for name in taken.tensors.keys() - baseline.tensors.keys():
        yield TensorAnswer(name, Same.NEW, (), "the baseline has no tensor of that name")


def _tensor(name: str, known: TensorDigests, here: TensorDigests) -> TensorAnswer | None:
    if known.shape != here.shape:
        return TensorAnswer(name, Same.CHANGED, (), f"shape {list(here.shape)}, was {list(known.shape)}")
    if known.dtype == here.dtype:
        if known.blocks == here.blocks:
            return None
        both = zip_longest(known.blocks, here.blocks)
        rows = _runs([n for n, (a, b) in enumerate(both) if a != b], known)
        return TensorAnswer(name, Same.CHANGED, rows)
    if here.dtype not in known.whole or here.dtype not in here.whole:
        return TensorAnswer(
            name, Same.NOT_CHECKABLE, (), f"stored as {here.dtype}, digested as {', '.join(known.whole)}"
        )
    same = here.whole[here.dtype] == known.whole[here.dtype]
    reason = f"not what a cast of {known.dtype} to {here.dtype} gives"
    return None if same else TensorAnswer(name, Same.CHANGED, (), reason)


def _runs(blocks: list[int], known: TensorDigests) -> tuple[tuple[int, int], ...]:
    """The rows of blocks, first and last of each run."""
    rows = 1
    for size in known.shape[:-1]:
        rows *= size
    runs: list[list[int]] = []
    for block in blocks:
        first, last = block * known.rows, min((block + 1) * known.rows, rows) - 1
        if runs and runs[-1][1] + 1 == first:
            runs[-1][1] = last
        else:
            runs.append([first, last])
    return tuple((first, last) for first, last in runs)
