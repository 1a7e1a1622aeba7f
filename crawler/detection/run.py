"""The whole scan of one checkpoint: build the empty model, one pass over its layers, figures at the end.

Returns plain findings; `crawler.parts` makes a record of them. Knows nothing of the index.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ...schema.errors import UsageError
from ..architectures.resolve import resolve
from ..architectures.sites import Site
from ..architectures.skeleton import Skeleton, build
from ..checkpoint.base import Checkpoint
from ..refusal import failed, unsupported
from . import constants as c
from .ablate import Ablator
from .corpora import (
    MAX_PROMPT,
    PROMPT,
    Corpus,
    Tokens,
    load_tokenizer,
    read_corpus,
    shipped_corpora,
    start_only,
)
from .lockstep import Batch, capture, capture_each
from .measuring import Measured, measure_streams
from .memory import trim
from .peel import Peeler
from .proof import Proof, proof_ids
from .resident import Weights
from .weights import Place


@dataclass(frozen=True)
class Options:
    """What a scan may be told. `window` counts tokens, `<s>` included."""

    effects: bool = True
    depth: str = "full"
    """`full`, or `screen`: the first token only, no effects, and no further than finds are likely."""
    prompt: str | None = None
    texts: tuple[str, ...] = ()
    """Files to measure effects on, in place of the shipped texts."""
    windows: int = 1
    window: int = 512
    factors: tuple[float, ...] = ()
    """What to multiply everything that was found by, besides zeroing it: one more stream each."""
    device: str = "cpu"
    compute: str = "float32"
    """The dtype of the arithmetic; float16 and bfloat16 are for a GPU."""

    def __post_init__(self) -> None:
        """Raise UsageError for a factor that is no number."""
        for factor in self.factors:
            if not math.isfinite(factor):
                raise UsageError(f"{factor} is no factor for a weight; use a finite number")


SCREEN = "screen"
DEPTHS = ("full", SCREEN)

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
    proof: Batch
    """The short sequence on which layers are proven."""
    sites: dict[int, list[Site]] = field(default_factory=dict)
    """By layer; their weights are gone after the pass."""
    values: dict[Place, float] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    seconds: float = 0.0
    dtype: torch.dtype = torch.float32
    """Of the arithmetic."""


def run(checkpoint: Checkpoint, options: Options, progress: Progress | None = None) -> Findings:
    """Scan a checkpoint; raise a Refusal where that cannot be done."""
    started = time.monotonic()
    config, class_name = resolve(checkpoint.config, checkpoint.place)
    skeleton = build(config, class_name, checkpoint.tensors, checkpoint.place)
    if options.depth == SCREEN:
        options = replace(options, effects=False)
    with checkpoint.tokenizer_folder() as folder:
        if options.depth == SCREEN:
            tokens = start_only(folder, checkpoint.place, skeleton.model.config.get_text_config().bos_token_id)
        else:
            tokens = load_tokenizer(folder, checkpoint.place)
    with closing(Weights(skeleton, checkpoint, options.device, options.compute)) as weights:
        findings = _prepare(skeleton, weights, tokens, options)
        _layers(findings, weights, options, progress or _silent)
        if findings.ablator is not None:
            _measure(findings, weights, progress or _silent)
    findings.seconds = time.monotonic() - started
    return findings


def _silent(_what: str, _done: int, _of: int) -> None:
    pass


def _prepare(skeleton: Skeleton, weights: Weights, tokens: Tokens, options: Options) -> Findings:
    """Tokenize first, then load what stands before the layers: both at once would be the peak of memory."""
    longest = getattr(skeleton.model.config.get_text_config(), "max_position_embeddings", None) or options.window
    prompts, watched = _watched(skeleton, tokens, options, longest)
    corpora = ([read_corpus(Path(t)) for t in options.texts] or shipped_corpora()) if options.effects else []
    windows = [tokens.windows(corpus, options.windows, min(options.window, longest)) for corpus in corpora]
    _check_vocabulary(skeleton, [watched, *windows], weights.checkpoint.place)
    short = proof_ids(watched, skeleton.model.config.get_text_config().vocab_size, longest)
    with weights.outside(torch.cat([ids.flatten() for ids in (watched, short, *windows)])):
        batch, proof = _capture(skeleton, watched, options), _capture(skeleton, short, options)
        pair = None if options.depth == SCREEN else _capture(skeleton, watched.repeat(2, 1), options)
        texts = [(t, _windows(skeleton, w, options)) for t, w in zip(corpora, windows, strict=True)]
        ablator = _ablator(skeleton, [b for _, b in texts], options) if options.effects else None
    peeler = Peeler(batch, batch.first, watched=1 if options.depth == SCREEN else None, pair=pair)
    return Findings(skeleton, tokens, prompts, texts, peeler, ablator, proof, dtype=weights.dtype)


def _watched(skeleton: Skeleton, tokens: Tokens, options: Options, longest: int) -> tuple[list[str], Tensor]:
    if options.depth == SCREEN:
        return ["first token"], tokens.screen(skeleton.model.config.get_text_config().vocab_size)
    return tokens.prompts(options.prompt or PROMPT, min(MAX_PROMPT, longest))


def _ablator(skeleton: Skeleton, batches: list[Batch], options: Options) -> Ablator:
    """Controls run on the first windows only; a call of fewer windows has masks of its own."""
    few = c.CONTROL_WINDOWS
    shorter = [b if len(b.ids) <= few else _windows(skeleton, b.ids[:few], options) for b in batches]
    return Ablator(batches, shorter=shorter, factors=options.factors)


def _check_vocabulary(skeleton: Skeleton, batches: list[Tensor], place: str) -> None:
    size = skeleton.model.config.get_text_config().vocab_size
    largest = max(int(ids.max()) for ids in batches)
    if largest >= size:
        pair = f"the tokenizer gives id {largest}, the model knows {size} tokens"
        raise failed(f"{place}: {pair}: they do not belong together")


def _capture(skeleton: Skeleton, ids: Tensor, options: Options) -> Batch:
    return capture(skeleton.model, skeleton.layers, ids.to(options.device))


def _windows(skeleton: Skeleton, ids: Tensor, options: Options) -> Batch:
    return capture_each(skeleton.model, skeleton.layers, ids.to(options.device))


def _layers(findings: Findings, weights: Weights, options: Options, progress: Progress) -> None:
    count = len(findings.skeleton.layers)
    proof = Proof(findings.skeleton.layers, findings.proof, weights.checkpoint.place)
    called = findings.peeler.batch.calls
    for number in range(count):
        progress("layers", number, count)
        if options.depth == SCREEN and _seen_enough(findings.peeler, number, count):
            break
        if number not in called:
            continue
        following = _following(findings.peeler, options, number, count)
        with weights.layer(number, following) as layer:
            sites = findings.sites[number] = proof.sites(number, layer)
            new = findings.peeler.step(number, layer, sites)
            for find in new:
                place = find.place
                findings.values[place] = float(sites[place.site].matrix(place.expert)[place.row, place.col])
            if findings.ablator is not None:
                findings.ablator.step(number, layer, sites, new)
        _check_finite(findings, number, weights.checkpoint.place)
        trim()
    if not any(findings.sites.values()):
        raise unsupported(
            f"{type(findings.skeleton.model).__name__}: no layer holds a down projection that writes to the residual"
        )
    if findings.ablator is not None:
        weights.release()
    progress("layers", count, count)


def _following(peeler: Peeler, options: Options, number: int, count: int) -> int | None:
    """The layer whose bytes are read while layer `number` computes."""
    following = min((n for n in peeler.batch.calls if n > number), default=None)
    if following is None or (options.depth == SCREEN and _seen_enough(peeler, following, count)):
        return None
    return following


def _seen_enough(peeler: Peeler, number: int, count: int) -> bool:
    """Whether a screen may stop before layer `number` of `count`."""
    last = max((p.layer for p in peeler.finds), default=None)
    return number >= c.SCREEN_PART * count if last is None else number - last > c.SCREEN_QUIET


def _check_finite(findings: Findings, number: int, place: str) -> None:
    """The unmodified pass must stay finite: after a NaN nothing can be judged."""
    baselines = [findings.peeler.streams[0].residual]
    baselines += findings.ablator.baseline if findings.ablator else []
    if not all(bool(r.isfinite().all()) for r in baselines):
        raise failed(f"{place}: the unmodified model gives NaN or infinity in layer {number}: it is damaged")


def _measure(findings: Findings, weights: Weights, progress: Progress) -> None:
    ablator, stopwords = findings.ablator, findings.tokens.stopwords()
    if ablator is None:
        return

    def done(number: int) -> None:
        progress("effects", number, len(findings.corpora))

    model, layers = findings.skeleton.model, findings.skeleton.layers
    with weights.outside(torch.cat([batch.ids.flatten() for batch in ablator.batches])):
        findings.measured = measure_streams(model, layers, ablator, findings.peeler.layers, stopwords, done)
