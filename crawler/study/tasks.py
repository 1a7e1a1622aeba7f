"""Zero-shot tasks (table 1), with everything that was found and without: by lm-eval, where it is installed.

The whole model is resident meanwhile, as transformers' own class computes it; lm-eval sees that model and its
tokenizer, so tasks and metrics are its own. It fetches their data as it is set up to. Knows no task.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from logging import ERROR, getLogger
from typing import Any

import torch

from ..checkpoint.base import Checkpoint
from ..detection.ablate import whole_of
from ..detection.looped import MOST, resident
from ..detection.options import Options, Progress
from ..detection.resident import Weights
from ..detection.run import Findings
from ..detection.weights import removed
from ..refusal import failed, one_line
from .options import StudyOptions
from .results import TaskResult

ABSENT = "not run: lm-eval is not installed (pip install lm-eval)"
STEP = "tasks"


def is_there() -> bool:
    """Whether lm-eval can be imported."""
    try:
        import_module("lm_eval")
    except ModuleNotFoundError:
        return False
    return True


def zero_shot(
    findings: Findings, checkpoint: Checkpoint, options: Options, wanted: StudyOptions, progress: Progress
) -> tuple[TaskResult, ...]:
    """Results by task and metric; raise a Refusal where a task cannot be run or the model is too large for memory."""
    _check_size(findings, options.compute)
    with closing(Weights(findings.skeleton, checkpoint, options.device, options.compute)) as weights, resident(weights):
        progress(STEP, 0, 2)
        before = _evaluated(findings, wanted)
        progress(STEP, 1, 2)
        with _without_finds(findings):
            after = _evaluated(findings, wanted)
        progress(STEP, 2, 2)
    return tuple(
        TaskResult(task=task, metric=metric, examples=examples, before=value, after=after[task, metric][0])
        for (task, metric), (value, examples) in before.items()
    )


def _check_size(findings: Findings, compute: str) -> None:
    whole = sum(p.numel() for p in findings.skeleton.model.parameters()) * getattr(torch, compute).itemsize
    if whole > MOST:
        raise failed(f"tasks need the whole model in memory, {whole:,} bytes in {compute}; at most {MOST:,} may be")


@contextmanager
def _without_finds(findings: Findings) -> Iterator[None]:
    """The resident model without everything that was found."""
    with ExitStack() as stack:
        for place in whole_of(findings.peeler.finds.values()):
            stack.enter_context(removed(findings.sites[place.layer], [place]))
        yield


Scores = dict[tuple[str, str], tuple[float, int | None]]
"""By task and metric: the value, and how many examples."""


def _evaluated(findings: Findings, wanted: StudyOptions) -> Scores:
    evaluator, models, tasks = (
        import_module(f"lm_eval.{name}") for name in ("evaluator", "models.huggingface", "tasks")
    )
    getLogger("lm_eval").setLevel(ERROR)
    getLogger("lm_eval.models.huggingface").setLevel(ERROR)
    try:
        model = models.HFLM(
            pretrained=findings.skeleton.model,
            tokenizer=findings.tokens.tokenizer,
            add_bos_token=findings.tokens.bos is not None,
        )
        manager = tasks.TaskManager(include_path=wanted.task_folder)
        made = evaluator.simple_evaluate(
            model=model, tasks=list(wanted.tasks), num_fewshot=0, limit=wanted.limit, task_manager=manager,
            bootstrap_iters=0, log_samples=False,
        )  # fmt: skip
    except Exception as error:
        raise failed(f"lm-eval: {', '.join(wanted.tasks)}: {type(error).__name__}: {one_line(str(error))}") from None
    return _scores(made)


def _scores(made: Any) -> Scores:
    """Accuracies of lm-eval's results."""
    counts = {task: each.get("effective") for task, each in (made.get("n-samples") or {}).items()}
    return {
        (task, name.partition(",")[0]): (float(value), counts.get(task))
        for task, results in made["results"].items()
        for name, value in results.items()
        if name.partition(",")[0] in ("acc", "acc_norm") and isinstance(value, int | float)
    }
