"""Groups and measured effects as a record names them, each effect with the controls of its matrices."""

import random
from collections.abc import Iterable
from math import fsum
from typing import Any

from ...schema import rules
from ...schema.effect import Control, Corpus, Effect
from ...schema.types import Intervention
from ...schema.weight import Coordinates, GroupKind
from ..detection import constants as c
from ..detection.ablate import PlaceSet, whole_of
from ..detection.measure import Figures
from ..detection.run import Findings
from ..detection.treatments import ZERO, Treatment, Trial
from ..detection.weights import Place
from .weights import locate

STARTLESS = ":without <s>"
"""What the id of an effect says where the text lacks the `<s>` that the tokenizer would put in front."""
MATCHED = "largest |W| of the same matrix outside the finds, each removed alone"
OUTLIERS = (
    "largest |W| outside the finds, removed together: an equal share of each layer from the first find on, over all "
    "its matrices, at most 0.1 % of them (the paper takes the largest of the whole model). Digest: lines "
    "'<layer>.<parameter>[<index>, ...]' in transformers' names"
)


def group_kind(name: str) -> GroupKind:
    return GroupKind(name.partition(":")[0])


def ids_of(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(p.id for p in sorted(places, key=lambda p: (p.layer, p.expert or 0, p.row, p.col)))


def effects_of(findings: Findings, scan_id: str, groups: dict[str, PlaceSet], condition: str = "") -> Iterable[Effect]:
    """Every effect; `condition` is added to what its id says of the text."""
    named = {s: n for n, s in groups.items()}
    for trial, figures in findings.measured.trials.items():
        name = named.get(trial.members) or "+".join(ids_of(trial.members))
        for number, figure in enumerate(figures):
            text = findings.corpora[number][0].name + condition
            name_of_it = f"{scan_id[:12]}:{name}{_suffix(trial.treatment)}:{text}"
            yield _effect(findings, scan_id, name_of_it, trial, number, figure)


def _suffix(treatment: Treatment) -> str:
    """What an effect's id says of its treatment; nothing for zero."""
    factor = "" if treatment.factor is None else f"={treatment.factor:g}"
    return "" if treatment == ZERO else f":{treatment.kind}{factor}"


def _effect(findings: Findings, scan_id: str, name: str, trial: Trial, number: int, figure: Figures) -> Effect:
    corpus, batch = findings.corpora[number]
    before = sum(figure.nll_baseline) / figure.tokens
    after = sum(figure.nll) / figure.tokens if figure.finite else None
    control = _control(findings, trial.members, number)
    windows, window = batch.ids.shape
    return Effect(
        id=name,
        scan=scan_id,
        weights=ids_of(trial.members),
        intervention=trial.treatment.kind,
        scale=trial.treatment.factor,
        corpus=Corpus(
            name=corpus.name,
            sha256=corpus.sha256,
            tokens=figure.tokens,
            windows=windows,
            window=window,
            bos=findings.tokens.bos is not None,
        ),
        finite=figure.finite,
        nll_before=before,
        nll_after=after,
        ppl_before=rules.perplexity(before) or 1.0,
        ppl_after=rules.perplexity(after),
        **(_comparison(figure) if figure.finite else {}),
        recovery=_recovery(findings, trial, number, figure),
        control=control,
        outliers=_outliers(findings, trial, number),
        verdict=rules.verdict_of(
            None if after is None else after - before,
            control.worst_delta_nll if control else None,
            controlled=bool(control),
        ),
    )


def _comparison(figure: Figures) -> dict[str, Any]:
    n = figure.tokens
    per_window = n // len(figure.nll)
    deltas = tuple((a - b) / per_window for a, b in zip(figure.nll, figure.nll_baseline, strict=True))
    return {
        "kl": figure.kl / n,
        "top1_agreement": figure.agree / n,
        "stopword_before": min(figure.stopword_baseline / n, 1.0),
        "stopword_after": min(figure.stopword / n, 1.0),
        "delta_nll_windows": deltas,
        "delta_nll_ci95": interval(deltas),
    }


def interval(deltas: tuple[float, ...]) -> tuple[float, float] | None:
    """95 % interval of the mean over windows of equal length; None for fewer than INTERVAL_WINDOWS.

    Percentiles (2.5 and 97.5) of the means of RESAMPLES samples drawn with replacement by Python's own generator,
    seeded with 0: the same figures give the same interval everywhere.
    """
    if len(deltas) < c.INTERVAL_WINDOWS:
        return None
    draw = random.Random(0)
    means = sorted(fsum(draw.choices(deltas, k=len(deltas))) / len(deltas) for _ in range(c.RESAMPLES))
    edge = round(0.025 * c.RESAMPLES)
    return means[edge], means[-1 - edge]


def _delta(figure: Figures) -> float | None:
    """Change of the mean NLL; None if not finite."""
    return (sum(figure.nll) - sum(figure.nll_baseline)) / figure.tokens if figure.finite else None


def _recovery(findings: Findings, trial: Trial, number: int, figure: Figures) -> float | None:
    """How much of what zeroing does is undone; None where there is nothing to undo or a figure is not finite."""
    if trial.treatment.kind is not Intervention.RESTORE:
        return None
    left, zeroed = _delta(figure), _delta(findings.measured.trials[Trial(trial.members)][number])
    return None if left is None or not zeroed else 1.0 - left / zeroed


def _control(findings: Findings, members: PlaceSet, number: int) -> Control | None:
    """The controls from the matrices of the members, on the first windows of the same text."""
    matrices = {(p.layer, p.site, p.expert) for p in members}
    nulls = {p: f[number] for p, f in findings.measured.nulls.items() if (p.layer, p.site, p.expert) in matrices}
    if not nulls:
        return None
    deltas = [_delta(f) for f in nulls.values()]
    finite = [d for d in deltas if d is not None]
    return Control(
        kind=MATCHED,
        weights=tuple(
            Coordinates(layer=p.layer, expert=p.expert, row=p.row, col=p.col, tensor=locate(findings, p)[0].name)
            for p in nulls
        ),
        tokens=min(f.tokens for f in nulls.values()),
        worst_delta_nll=max(finite) if len(finite) == len(deltas) else None,
    )


def _outliers(findings: Findings, trial: Trial, number: int) -> Control | None:
    """The many large weights, beside the removal of everything that was found."""
    figures, ablator = findings.measured.outliers, findings.ablator
    whole = trial.treatment == ZERO and trial.members == whole_of(findings.peeler.finds.values())
    if not figures or ablator is None or not whole or not ablator.others.count:
        return None
    return Control(
        kind=OUTLIERS,
        count=ablator.others.count,
        digest=ablator.others.digest,
        tokens=figures[number].tokens,
        worst_delta_nll=_delta(figures[number]),
    )
