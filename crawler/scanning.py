"""Scan one checkpoint, a folder or a Hub repository, and return a record. Nothing is written.

A checkpoint that cannot be scanned gives a record whose scan says why; only wrong usage raises.
"""

import os
import re
from contextlib import AbstractContextManager, nullcontext
from logging import CRITICAL
from pathlib import Path

import torch

from ..schema.errors import UsageError
from ..schema.record import Record
from ..schema.types import Outcome
from .architectures.resolve import resolve
from .checkpoint.base import Checkpoint
from .checkpoint.local import LocalCheckpoint
from .detection.run import Options, Progress, run
from .parts.result import Result, refused
from .parts.whole import assemble
from .pickles.view import without_pickles
from .refusal import Refusal, failed
from .stored.view import in_floats

COMPUTE = ("float32", "bfloat16", "float16")
_NO_MEMORY = re.compile("out of memory|not enough memory|allocate memory", re.IGNORECASE)
"""What torch says, which knows no MemoryError."""


def open_checkpoint(target: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint that `target` names: a folder if there is one, else a Hub repository."""
    if os.path.isdir(target):
        if revision is not None:
            raise UsageError(f"{target} is a folder: --revision is for Hub repositories")
        return LocalCheckpoint(Path(target))
    if os.path.lexists(target):
        raise UsageError(f"{target!r} is not a folder; name the folder that the checkpoint lies in")
    if target.startswith((".", "/", "~")) or target.count("/") != 1:
        raise UsageError(f"{target!r} is neither a folder nor a model id of the form org/name")
    from .checkpoint.hub import HubCheckpoint

    return HubCheckpoint(target, revision)


def scan_checkpoint(
    checkpoint: Checkpoint, options: Options, progress: Progress | None = None, *, allow_pickle: bool = False
) -> Result:
    """Scan an open checkpoint; a Refusal, or an error that a damaged model causes in torch, becomes a result.

    `allow_pickle`: weights that are there only as `pytorch_model.bin` are unpickled, tensors alone, in a process apart.
    """
    try:
        with _readable(checkpoint, allow_pickle) as readable:
            seen = in_floats(readable)
            return assemble(seen, run(seen, options, progress), options)
    except Refusal as refusal:
        return refused(checkpoint.model_id, checkpoint.revision, refusal, checkpoint)
    except UsageError:
        raise
    except Exception as error:
        if os.environ.get("SWINDEX_DEBUG"):
            raise
        unforeseen = _unforeseen(error, checkpoint.place)
        return refused(checkpoint.model_id, checkpoint.revision, unforeseen, checkpoint)


def _readable(checkpoint: Checkpoint, allow_pickle: bool) -> AbstractContextManager[Checkpoint]:
    """The checkpoint, for a while without pickles if that is allowed; a model that cannot be scanned is not opened."""
    if not allow_pickle:
        return nullcontext(checkpoint)
    resolve(checkpoint.config, checkpoint.place)
    return without_pickles(checkpoint)


def _unforeseen(error: Exception, place: str) -> Refusal:
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return Refusal(Outcome.TOO_LARGE, f"{place}: out of memory; scan it on a larger machine")
    what = f"{type(error).__name__}: {error}"
    return failed(f"{place}: the scan broke off: {what} (set SWINDEX_DEBUG=1 for the traceback)")


def scan(
    target: str,
    *,
    revision: str | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
    allow_pickle: bool = False,
) -> Record:
    """Scan a folder or a Hub model and return its record (version 1, not in any index).

    `allow_pickle` as for `scan_checkpoint`.
    """
    quiet()
    options = options or Options()
    check_device(options.device, options.compute)
    try:
        checkpoint = open_checkpoint(target, revision)
    except Refusal as refusal:
        return refused(target, refusal.revision, refusal).record("swindex scan")
    return scan_checkpoint(checkpoint, options, progress, allow_pickle=allow_pickle).record("swindex scan")


def check_device(name: str, compute: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"{name!r} is no device that torch knows; use cpu, cuda or cuda:N") from None
    if compute not in COMPUTE:
        raise UsageError(f"{compute!r} is no dtype to compute in; use {', '.join(COMPUTE)}")
    if compute != COMPUTE[0] and device.type == "cpu":
        raise UsageError(f"computing in {compute} is for a GPU (--device cuda); on a CPU it is float32")


def quiet() -> None:
    """Keep transformers' own notes off the terminal; ours say what matters."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity(CRITICAL)  # its errors are raised too, and name whole configs
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
