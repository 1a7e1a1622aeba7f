"""Whether the Hub still has what records say: the full set of `swindex index check`. Needs no torch, reads no weights.

Asks for each model what main is, and for each commit that its record or a claim names whether it is there. What the Hub
says is a finding; that it could not be asked is one too, so silence never passes for health.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from huggingface_hub import HfApi

from ..index.errors import NotInIndex
from ..index.findings import Finding
from ..index.store import Index
from ..schema.record import Record
from ..schema.types import SCANNED, Outcome
from .checkpoint.base import Checkpoint
from .checkpoint.hub import HubCheckpoint
from .refusal import Refusal

Steps = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much."""
AT_ONCE = 4
"""Models that are asked about at a time."""
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
_SAYS = {Outcome.NOT_FOUND: "not-on-hub", Outcome.GATED: "closed"}
"""What it means that main cannot be opened; anything else is no answer."""
_FULL_SHA = 40


def upstream(index: Index, api: HfApi | None = None, progress: Steps | None = None) -> list[Finding]:
    """Ask the Hub about every model of an index, in its order; raise StoreError, or a Refusal if it answers nothing."""
    records = [record for model_id in index.models() if (record := _counted(index, model_id))]
    found = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for each in pool.map(partial(_asked, api=api or HfApi()), records):
            found.append(each)
            if progress is not None:
                progress("asking the Hub", len(found), len(records))
    silent = [refusal for refusal, _ in found if refusal is not None]
    if silent and len(silent) == len(found):
        raise silent[0]
    return [finding for _, findings in found for finding in findings]


def _counted(index: Index, model_id: str) -> Record | None:
    """The newest version, unless it is withdrawn."""
    try:
        record = index.read(model_id)
    except NotInIndex:
        return None
    return None if record.provenance.withdrawn else record


def _asked(record: Record, api: HfApi) -> tuple[Refusal | None, list[Finding]]:
    """What was found of one model, and the trouble that kept the Hub from answering, if that is all."""
    try:
        return None, list(_of(record, api))
    except Refusal as refusal:
        return refusal, [Finding("unasked", record.model.id, str(refusal))]


def _of(record: Record, api: HfApi) -> Iterator[Finding]:
    """Findings of one model; raise a Refusal that passes if the Hub cannot be asked."""
    model_id = record.model.id
    try:
        main = HubCheckpoint(model_id, None, api)
    except Refusal as refusal:
        yield Finding(_meaning(refusal), model_id, str(refusal))
        return
    if main.name != model_id:
        yield Finding("renamed", model_id, f"the Hub calls it {main.name}: a model under two ids")
    yield from _revisions(record, main, api)


def _meaning(refusal: Refusal) -> str:
    """The code of what the Hub says; raise what is no answer."""
    if refusal.outcome not in _SAYS:
        raise refusal
    return _SAYS[refusal.outcome]


def _revisions(record: Record, main: HubCheckpoint, api: HfApi) -> Iterator[Finding]:
    """Whether every commit that is named is there, and what the recorded one holds."""
    claimed = {o.revision for o in record.observations if o.revision and len(o.revision) == _FULL_SHA}
    recorded = record.model.revision
    for revision in sorted(claimed | ({recorded} if recorded else set())):
        at = main if revision == main.revision else _at(record.model.id, revision, api)
        if at is None:
            whose = "the recorded commit" if revision == recorded else "a commit that a claim is about"
            yield Finding("revision-gone", record.model.id, f"{revision}, {whose}, is not on the Hub any more")
        elif revision == recorded:
            yield from files_differ(record, at)
            yield from _moved(record, at, main)


def _at(model_id: str, revision: str, api: HfApi) -> HubCheckpoint | None:
    try:
        return HubCheckpoint(model_id, revision, api)
    except Refusal as refusal:
        if refusal.outcome is not Outcome.NOT_FOUND:
            raise
        return None


def files_differ(record: Record, at: Checkpoint) -> Iterator[Finding]:
    """Weight files that are not the recorded ones: a commit never changes, so one of the two is wrong."""
    for file in record.model.files:
        entry = at.entries.get(file.path)
        if entry is None:
            yield Finding("file-differs", record.model.id, f"{file.path} is not at commit {at.revision}")
        elif entry.size != file.size or (entry.sha256 and file.sha256 and entry.sha256 != file.sha256):
            told = f"has {entry.size} bytes and sha256 {entry.sha256}, recorded are {file.size} and {file.sha256}"
            yield Finding("file-differs", record.model.id, f"{file.path} at commit {at.revision} {told}")


def _moved(record: Record, at: Checkpoint, main: Checkpoint) -> Iterator[Finding]:
    """That main has other weights than the commit that we scanned; a new README changes nothing."""
    scanned = any(s.outcome in SCANNED for s in record.scans)
    if scanned and _weights(at) != _weights(main):
        told = f"main is {main.revision}, with other weights than the recorded {at.revision}: scan it again"
        yield Finding("moved-on", record.model.id, told)


def _weights(checkpoint: Checkpoint) -> dict[str, tuple[int, str | None]]:
    entries = checkpoint.entries.values()
    return {e.path: (e.size, e.sha256 or e.git_oid) for e in entries if e.path.endswith(_WEIGHTS)}
