"""Section 4: the model rounded in many ways, z tuned on one text and figures taken on another."""

import math
from dataclasses import replace

from ...schema.rules import perplexity
from ..checkpoint.base import Checkpoint
from ..detection.corpora import Corpus, shipped_corpora
from ..detection.measure import Figures
from ..detection.options import Options, Progress
from ..detection.run import Findings
from ..parts.effects import ids_of
from ..quantization.compare import Compared, Comparison
from ..quantization.rounding import Rounding
from ..quantization.variants import Variant, blocks_of, tuning, weights_only, with_activations
from ..refusal import failed
from .options import StudyOptions
from .results import MeasuredOn, Quantization, RoundedRow, Tuned

TUNING, ROUNDING = "tuning", "rounding"


def quantization(
    findings: Findings,
    checkpoint: Checkpoint,
    options: Options,
    wanted: StudyOptions,
    progress: Progress,
    *,
    found: bool,
) -> Quantization:
    """Figures on the first text, z tuned on another; nothing is held out of a model without super weights (`found`).

    Two reads of the checkpoint, whatever the number of variants."""
    comparison = _compared_in(findings, checkpoint, options, wanted.tensors, found=found)
    corpus, other = texts(findings)
    shapes = [checkpoint.tensors[n].shape for n in comparison.names]
    plain, held = _plain(wanted, shapes), bool(comparison.held)
    tuned = comparison.run(other, [v for p in plain for v in tuning(p, wanted.clips, held)], progress, TUNING)
    best = {p: _best(p, tuned) for p in plain}
    tables = {
        "weights": [v for p in plain for v in weights_only(p, best[p], held, wanted.draws)],
        "activations": list(with_activations(held, wanted.symmetric)),
    }
    variants = list(dict.fromkeys(v for listed in tables.values() for v in listed))
    compared = comparison.run(corpus, variants, progress, ROUNDING)
    nll = _baseline(compared)
    return Quantization(
        held=ids_of(p for p in comparison.places) if held else (),
        tensors=len(comparison.names),
        parameters=sum(math.prod(shape) for shape in shapes),
        only=wanted.tensors,
        symmetric=wanted.symmetric,
        measured_on=_on(compared, findings),
        tuned_on=_on(tuned, findings),
        nll=nll,
        ppl=perplexity(nll),
        rows=tuple(_row(t, v, compared.figures[v]) for t, listed in tables.items() for v in listed),
        tuning=tuple(_tried(v, f) for v, f in tuned.figures.items()),
    )


def _compared_in(
    findings: Findings, checkpoint: Checkpoint, options: Options, tensors: str | None, *, found: bool
) -> Comparison:
    """What is rounded; raise a Refusal if that is nothing."""
    comparison = Comparison(findings, checkpoint, options, tensors)
    if not found:
        comparison.places = []
    if not comparison.names:
        raise failed(f"{checkpoint.place}: no tensor of a layer is rounded (--tensors {tensors})")
    return comparison


def _plain(wanted: StudyOptions, shapes: list[tuple[int, ...]]) -> list[Rounding]:
    """Rounding alone, for each width and block."""
    return [
        Rounding(bits, block, symmetric=wanted.symmetric)
        for bits in wanted.bits
        for block in blocks_of(shapes, wanted.blocks)
    ]


def _baseline(compared: Compared) -> float:
    """Loss per token of the unmodified model, in nats."""
    any_of_them = next(iter(compared.figures.values()))
    return sum(any_of_them.nll_baseline) / any_of_them.tokens


def texts(findings: Findings) -> tuple[Corpus, Corpus]:
    """The text that figures are taken on, and another one for tuning: the next, or one that ships with the package."""
    own = [corpus for corpus, _ in findings.corpora]
    others = [c for c in (*own[1:], *shipped_corpora()) if c.sha256 != own[0].sha256]
    return own[0], others[0]


def _best(plain: Rounding, tuned: Compared) -> dict[str, float | None]:
    """For each kind of holding the z with the least loss on the text for tuning; None if none was finite."""
    best: dict[str, tuple[float, float]] = {}
    for variant, figures in tuned.figures.items():
        z = variant.rounding.clip
        if z is None or replace(variant.rounding, clip=None) != plain:
            continue
        best.setdefault(variant.held, (math.inf, math.inf))
        if figures.finite:
            best[variant.held] = min(best[variant.held], (_nll(figures), z))
    return {held: z if math.isfinite(z) else None for held, (_, z) in best.items()}


def _nll(figures: Figures) -> float:
    return sum(figures.nll) / figures.tokens


def _on(compared: Compared, findings: Findings) -> MeasuredOn:
    windows, window = compared.windows
    return MeasuredOn(
        name=compared.corpus.name,
        sha256=compared.corpus.sha256,
        windows=windows,
        window=window,
        tokens=windows * (window - 1),
        bos=findings.tokens.bos is not None,
    )


def _row(table: str, variant: Variant, figures: Figures) -> RoundedRow:
    nll = _nll(figures) if figures.finite else None
    return RoundedRow(
        table=table,
        bits=variant.rounding.bits,
        activation_bits=variant.activations,
        block=variant.rounding.block,
        clip=variant.rounding.clip,
        held=variant.held,
        draw=variant.draw,
        restored=variant.restored,
        label=variant.label,
        finite=figures.finite,
        nll=nll,
        ppl=perplexity(nll),
    )


def _tried(variant: Variant, figures: Figures) -> Tuned:
    rounding: Rounding = variant.rounding
    nll = _nll(figures) if figures.finite else None
    return Tuned(bits=rounding.bits, block=rounding.block, held=variant.held, clip=rounding.clip or 0.0, nll=nll)
