"""Groups and measured effects as a record names them, each effect with the controls of its matrices."""

from collections.abc import Iterable
from typing import Any

from ...schema import rules
from ...schema.effect import Control, Corpus, Effect
from ...schema.types import Intervention
from ...schema.weight import Coordinates, GroupKind
from ..detection.ablate import PlaceSet
from ..detection.measure import Figures
from ..detection.run import Findings
from ..detection.weights import Place
from .weights import locate


def group_kind(name: str) -> GroupKind:
    return GroupKind(name.partition(":")[0])


def ids_of(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(p.id for p in sorted(places, key=lambda p: (p.layer, p.expert or 0, p.row, p.col)))


def effects_of(findings: Findings, scan_id: str, groups: dict[str, PlaceSet]) -> Iterable[Effect]:
    named = {s: n for n, s in groups.items()}
    for members, figures in findings.sets.items():
        name = named.get(members) or "+".join(ids_of(members))
        for number, figure in enumerate(figures):
            yield _effect(findings, scan_id, name, members, number, figure)


def _effect(findings: Findings, scan_id: str, name: str, members: PlaceSet, number: int, figure: Figures) -> Effect:
    corpus, batch = findings.corpora[number]
    before = sum(figure.nll_baseline) / figure.tokens
    after = sum(figure.nll) / figure.tokens if figure.finite else None
    control = _control(findings, members, number)
    windows, window = batch.ids.shape
    return Effect(
        id=f"{scan_id[:12]}:{name}:{corpus.name}",
        scan=scan_id,
        weights=ids_of(members),
        intervention=Intervention.ZERO,
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
        control=control,
        verdict=rules.verdict_of(
            None if after is None else after - before,
            control.worst_delta_nll if control else None,
            controlled=bool(control),
        ),
    )


def _comparison(figure: Figures) -> dict[str, Any]:
    n = figure.tokens
    per_window = n // len(figure.nll)
    return {
        "kl": figure.kl / n,
        "top1_agreement": figure.agree / n,
        "stopword_before": min(figure.stopword_baseline / n, 1.0),
        "stopword_after": min(figure.stopword / n, 1.0),
        "delta_nll_windows": tuple((a - b) / per_window for a, b in zip(figure.nll, figure.nll_baseline, strict=True)),
    }


def _control(findings: Findings, members: PlaceSet, number: int) -> Control | None:
    """The controls from the matrices of the members, on the same tokens."""
    matrices = {(p.layer, p.site, p.expert) for p in members}
    nulls = {p: f[number] for p, f in findings.nulls.items() if (p.layer, p.site, p.expert) in matrices}
    if not nulls:
        return None
    finite = all(f.finite for f in nulls.values())
    deltas = [(sum(f.nll) - sum(f.nll_baseline)) / f.tokens for f in nulls.values()]
    return Control(
        kind="largest |W| of the same matrix outside the finds, each removed alone",
        weights=tuple(
            Coordinates(layer=p.layer, expert=p.expert, row=p.row, col=p.col, tensor=locate(findings, p)[0].name)
            for p in nulls
        ),
        worst_delta_nll=max(deltas) if finite else None,
    )
