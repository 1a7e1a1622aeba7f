"""Identical files share one scan: what another repository's scan found holds here, and is recorded as taken from there.

A twin is a record of ours with the same `Model.content` whose own scan was made by this detector with these settings.
A shared scan is never shared further: every one names the repository in which it was made. Reads no weights.
"""

from collections.abc import Iterable
from typing import Any

from ...schema.effect import Effect
from ...schema.model import Relation
from ...schema.record import Record
from ...schema.scan import Cost, Scan, SharedFrom
from ...schema.weight import Group, SuperWeight
from ..checkpoint.base import Checkpoint
from ..detection.corpora import corpora_of
from ..detection.options import Options
from ..parts.content import content_of
from ..parts.result import Result, digest
from ..parts.settings import asked, named
from .jobs import Done, Job
from .own import is_own


def own_scan(record: Record, options: Options) -> Scan | None:
    """The newest scan made in this repository, at the record's commit, as these options would; None without one."""
    if record.provenance.withdrawn or record.model.revision is None or options.prompt is not None:
        return None
    wanted: dict[str, Any] = {**asked(options), "corpora": named(corpora_of(options))}
    for scan in reversed(record.scans):
        told = {key: getattr(scan.settings, key) for key in wanted}
        if is_own(scan, record) and told == wanted:
            return scan
    return None


def share(twin: Record, checkpoint: Checkpoint, options: Options) -> Done | None:
    """The twin's scan as one of this repository's; None if it is no twin, or has no scan of its own to give."""
    content, scan = content_of(checkpoint), own_scan(twin, options)
    if scan is None or content is None or content != twin.model.content or twin.model.id == checkpoint.model_id:
        return None
    job = Job(
        checkpoint.model_id, checkpoint.revision, sum(checkpoint.entries[f].size for f in checkpoint.weight_files)
    )
    meter = checkpoint.meter
    return Done(job, _result(twin, scan, checkpoint), "twin", meter.bytes, meter.requests)


def _result(twin: Record, scan: Scan, checkpoint: Checkpoint) -> Result:
    scan_id = digest({"model": checkpoint.model_id, "revision": checkpoint.revision, "shared": scan.id})
    base, relation = checkpoint.base_model
    own = {
        "id": checkpoint.model_id,
        "revision": checkpoint.revision,
        "base_model": base,
        "relation": Relation(relation) if relation else None,
        "files": checkpoint.files_read(),
    }
    weights = tuple(w for w in twin.super_weights if w.scan == scan.id)
    groups = _groups(twin, {w.id for w in weights})
    return Result(
        twin.model.model_copy(update=own),
        _shared(twin, scan, checkpoint, scan_id),
        tuple(_moved(w, groups, scan_id) for w in weights),
        groups,
        tuple(_renamed(e, scan, scan_id) for e in twin.effects if e.scan == scan.id),
    )


def _shared(twin: Record, scan: Scan, checkpoint: Checkpoint, scan_id: str) -> Scan:
    """The scan as this repository's: when, where and how it was made stay; what it cost here is next to nothing."""
    size = sum(checkpoint.entries[f].size for f in checkpoint.weight_files)
    meter = checkpoint.meter
    cost = Cost(bytes_read=meter.bytes, bytes_checkpoint=size, seconds=0.0, requests=meter.requests)
    origin = SharedFrom(model_id=twin.model.id, revision=str(twin.model.revision), scan=scan.id)
    update = {"id": scan_id, "revision": checkpoint.revision, "cost": cost, "shared_from": origin}
    return scan.model_copy(update=update)


def _groups(twin: Record, weights: set[str]) -> tuple[Group, ...]:
    """The twin's own groups; what outside sources say of it is not said of this repository."""
    return tuple(g for g in twin.groups if not g.reported and weights >= set(g.members))


def _moved(weight: SuperWeight, groups: Iterable[Group], scan_id: str) -> SuperWeight:
    held = any(g.id == weight.group for g in groups)
    return weight.model_copy(update={"scan": scan_id, "group": weight.group if held else None})


def _renamed(effect: Effect, scan: Scan, scan_id: str) -> Effect:
    """The effect under the new scan's id, which its own begins with (`parts.effects`)."""
    name = effect.id.removeprefix(f"{scan.id[:12]}:")
    return effect.model_copy(update={"id": f"{scan_id[:12]}:{name}", "scan": scan_id})
