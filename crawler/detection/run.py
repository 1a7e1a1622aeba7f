"""The whole scan of one checkpoint: build the empty model, one pass over its layers, figures at the end.

Returns plain findings; `crawler.parts` makes a record of them. Knows nothing of the index.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..architectures.resolve import resolve
from ..architectures.sites import Site, find_sites
from ..architectures.skeleton import Skeleton, build
from ..checkpoint.base import Checkpoint
from ..refusal import failed, unsupported
from .ablate import Ablator, PlaceSet
from .corpora import MAX_PROMPT, PROMPT, Corpus, Tokens, load_tokenizer, read_corpus, shipped_corpora
from .lockstep import Batch, capture
from .measure import Figures, measure
from .memory import trim
from .peel import Peeler
from .resident import Weights
from .weights import Place


@dataclass(frozen=True)
class Options:
    """What a scan may be told. `window` counts tokens, `<s>` included."""

    effects: bool = True
    prompt: str | None = None
    texts: tuple[str, ...] = ()
    """Files to measure effects on, in place of the shipped texts."""
    windows: int = 1
    window: int = 512
    device: str = "cpu"
    compute: str = "float32"
    """The dtype of the arithmetic; float16 and bfloat16 are for a GPU."""


Progress = Callable[[str, int, int], None]
"""Called with what is done ("layers", "effects"), how much of it, and of how much."""


@dataclass
class Findings:
    """What a scan saw."""

    skeleton: Skeleton
    tokens: Tokens
    prompts: list[str]
    """Names of the watched sequences, rows of `peeler.batch.ids`."""
    corpora: list[tuple[Corpus, Batch]]
    peeler: Peeler
    ablator: Ablator | None
    sites: dict[int, list[Site]] = field(default_factory=dict)
    """By layer; their weights are gone after the pass."""
    values: dict[Place, float] = field(default_factory=dict)
    sets: dict[PlaceSet, list[Figures]] = field(default_factory=dict)
    """By set, a figure per corpus."""
    nulls: dict[Place, list[Figures]] = field(default_factory=dict)
    seconds: float = 0.0
    dtype: torch.dtype = torch.float32
    """Of the arithmetic."""


def run(checkpoint: Checkpoint, options: Options, progress: Progress | None = None) -> Findings:
    """Scan a checkpoint; raise a Refusal where that cannot be done."""
    started = time.monotonic()
    config, class_name = resolve(checkpoint.config, checkpoint.place)
    skeleton = build(config, class_name, checkpoint.tensors, checkpoint.place)
    with checkpoint.tokenizer_folder() as folder:
        tokens = load_tokenizer(folder, checkpoint.place)
    with closing(Weights(skeleton, checkpoint, options.device, options.compute)) as weights:
        findings = _prepare(skeleton, weights, tokens, options)
        _layers(findings, weights, progress or _silent)
        if findings.ablator is not None:
            _measure(findings, weights, progress or _silent)
    findings.seconds = time.monotonic() - started
    return findings


def _silent(_what: str, _done: int, _of: int) -> None:
    pass


def _prepare(skeleton: Skeleton, weights: Weights, tokens: Tokens, options: Options) -> Findings:
    """Tokenize first, then load what stands before the layers: both at once would be the peak of memory."""
    longest = getattr(skeleton.model.config.get_text_config(), "max_position_embeddings", None) or options.window
    prompts, watched = tokens.prompts(options.prompt or PROMPT, min(MAX_PROMPT, longest))
    corpora = ([read_corpus(Path(t)) for t in options.texts] or shipped_corpora()) if options.effects else []
    windows = [tokens.windows(corpus, options.windows, min(options.window, longest)) for corpus in corpora]
    _check_vocabulary(skeleton, [watched, *windows], weights.checkpoint.place)
    with weights.outside():
        batch = _capture(skeleton, watched, options)
        texts = [(c, _capture(skeleton, w, options)) for c, w in zip(corpora, windows, strict=True)]
    ablator = Ablator([b for _, b in texts]) if options.effects else None
    return Findings(skeleton, tokens, prompts, texts, Peeler(batch, batch.first), ablator, dtype=weights.dtype)


def _check_vocabulary(skeleton: Skeleton, batches: list[Tensor], place: str) -> None:
    size = skeleton.model.config.get_text_config().vocab_size
    largest = max(int(ids.max()) for ids in batches)
    if largest >= size:
        pair = f"the tokenizer gives id {largest}, the model knows {size} tokens"
        raise failed(f"{place}: {pair}: they do not belong together")


def _capture(skeleton: Skeleton, ids: Tensor, options: Options) -> Batch:
    return capture(skeleton.model, skeleton.layers, ids.to(options.device))


def _layers(findings: Findings, weights: Weights, progress: Progress) -> None:
    count = len(findings.skeleton.layers)
    for number in range(count):
        progress("layers", number, count)
        with weights.layer(number, number + 1 if number + 1 < count else None) as layer:
            sites = find_sites(layer)
            findings.sites[number] = sites
            new = findings.peeler.step(number, layer, sites)
            for find in new:
                place = find.place
                findings.values[place] = float(sites[place.site].matrix(place.expert)[place.row, place.col])
            if findings.ablator is not None:
                findings.ablator.step(number, layer, sites, new)
        _check_finite(findings, number, weights.checkpoint.place)
        trim()
    if not any(findings.sites.values()):
        raise unsupported(f"{type(findings.skeleton.model).__name__}: no down projection is known in its layers")
    if findings.ablator is not None:
        weights.release()
    progress("layers", count, count)


def _check_finite(findings: Findings, number: int, place: str) -> None:
    """The unmodified pass must stay finite: after a NaN nothing can be judged."""
    baselines = [findings.peeler.streams[0].residual]
    baselines += findings.ablator.baseline if findings.ablator else []
    if not all(bool(r.isfinite().all()) for r in baselines):
        raise failed(f"{place}: the unmodified model gives NaN or infinity in layer {number}: it is damaged")


def _measure(findings: Findings, weights: Weights, progress: Progress) -> None:
    ablator = findings.ablator
    if ablator is None:
        return
    sets, nulls = list(ablator.sets.items()), list(ablator.nulls.items())
    findings.sets = {s: [] for s, _ in sets}
    findings.nulls = {p: [] for p, _ in nulls}
    streams = [r for _, r in sets] + [r for _, r in nulls]
    stopwords = findings.tokens.stopwords()
    model, layers = findings.skeleton.model, findings.skeleton.layers
    with weights.outside(), torch.no_grad():
        for number, (_, batch) in enumerate(findings.corpora):
            progress("effects", number, len(findings.corpora))
            figures = measure(model, layers, batch, ablator.baseline[number], [r[number] for r in streams], stopwords)
            for (members, _), figure in zip(sets, figures[: len(sets)], strict=True):
                findings.sets[members].append(figure)
            for (place, _), figure in zip(nulls, figures[len(sets) :], strict=True):
                findings.nulls[place].append(figure)
    progress("effects", len(findings.corpora), len(findings.corpora))
