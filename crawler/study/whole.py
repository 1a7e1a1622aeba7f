"""A whole study of one checkpoint: its scan, then one part after the other. Nothing is written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...schema.record import Record
from ...schema.types import Outcome
from ..checkpoint.base import Checkpoint
from ..detection.ablate import whole_of
from ..detection.options import Options, Progress
from ..detection.run import Findings, run
from ..parts.result import DETECTOR, libraries, now
from ..parts.whole import assemble
from ..refusal import Refusal
from ..scanning import check_device, open_checkpoint, quiet
from ..stored.view import in_floats
from .options import ACTIVATION, QUANTIZATION, SCALE, TASKS, TOKENS, WITH_EFFECTS, StudyOptions
from .results import Study
from .rounded import quantization
from .tasks import ABSENT, is_there, zero_shot
from .trace import trace

NOTHING = "there is nothing to remove, as nothing was found"
LOOPED = "its layers are called more than once, and only the scan covers that"


def make_study(
    target: str,
    *,
    revision: str | None = None,
    options: Options | None = None,
    wanted: StudyOptions | None = None,
    progress: Progress | None = None,
) -> Study:
    """Measure a folder or a Hub model as the paper does; raise a Refusal where it cannot be scanned."""
    quiet()
    options, wanted = options or Options(), wanted or StudyOptions()
    check_device(options.device, options.compute)
    return measure(in_floats(open_checkpoint(target, revision)), options, wanted, progress or _silent)


def measure(checkpoint: Checkpoint, options: Options, wanted: StudyOptions, progress: Progress) -> Study:
    """The same for an open checkpoint in floats."""
    factors = wanted.factors if wanted.wants(SCALE) else ()
    needed = wanted.wants(*WITH_EFFECTS, ACTIVATION, TOKENS, TASKS)
    options = replace(options, effects=needed, factors=tuple(f for f in factors if f not in (0.0, 1.0)))
    findings = run(checkpoint, options, progress)
    record = assemble(checkpoint, findings, options).record("swindex study")
    parts = _Parts(findings, checkpoint, options, wanted, progress, record)
    made = {name: parts.made(name, make) for name, make in parts.table().items() if wanted.wants(*name.split())}
    return Study(
        time=now(),
        detector=DETECTOR,
        device=options.device,
        compute_dtype=options.compute,
        libraries=libraries(),
        parts=wanted.only,
        left_out=parts.left_out,
        record=record.model_dump(mode="json"),
        trace=made.get(f"{ACTIVATION} {TOKENS}"),
        quantization=made.get(QUANTIZATION),
        tasks=made.get(TASKS) or (),
        tasks_limit=wanted.limit,
    )


def _silent(*_: object) -> None:
    pass


class _LeftOut(Exception):
    """A part that cannot be measured; the message says why."""


class _Parts:
    """The parts behind the scan."""

    def __init__(
        self,
        findings: Findings,
        checkpoint: Checkpoint,
        options: Options,
        wanted: StudyOptions,
        progress: Progress,
        record: Record,
    ) -> None:
        self.findings, self.checkpoint, self.options = findings, checkpoint, options
        self.wanted, self.progress, self.record = wanted, progress, record
        self.left_out: dict[str, str] = {}

    def table(self) -> dict[str, Callable[[], Any]]:
        """Names of parts, and what measures them together."""
        return {f"{ACTIVATION} {TOKENS}": self._trace, QUANTIZATION: self._quantization, TASKS: self._tasks}

    def made(self, names: str, make: Callable[[], Any]) -> Any:
        """What a part gives; None where it is left out, and why is noted."""
        try:
            return make()
        except _LeftOut as reason:
            self.left_out |= {name: str(reason) for name in names.split() if self.wanted.wants(name)}
            return None

    def _check(self, *, finds: bool) -> None:
        if self.findings.skeleton.looped:
            raise _LeftOut(LOOPED)
        if finds and not whole_of(self.findings.peeler.finds.values()):
            raise _LeftOut(NOTHING)

    def _trace(self) -> Any:
        self._check(finds=True)
        return trace(self.findings, self.checkpoint, self.options, self.wanted.prompt, self.progress)

    def _quantization(self) -> Any:
        self._check(finds=False)
        found = self.record.scans[-1].outcome is Outcome.FOUND
        return quantization(self.findings, self.checkpoint, self.options, self.wanted, self.progress, found=found)

    def _tasks(self) -> Any:
        if not is_there():
            raise _LeftOut(ABSENT)
        if not self.wanted.tasks:
            raise _LeftOut("not run: no task was named (--task NAME)")
        self._check(finds=True)
        try:
            return zero_shot(self.findings, self.checkpoint, self.options, self.wanted, self.progress)
        except Refusal as refusal:
            raise _LeftOut(f"not run: {refusal}") from None
