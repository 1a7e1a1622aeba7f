"""The whole scan of one checkpoint: build the empty model, one pass over its layers, figures at the end.

Returns plain findings; `crawler.parts` makes a record of them. Knows nothing of the index.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..architectures.resolve import resolve
from ..architectures.sites import Site
from ..architectures.skeleton import Skeleton, build
from ..checkpoint.base import Checkpoint
from ..refusal import failed, unsupported
from . import constants as c
from .ablate import Ablator
from .corpora import Corpus, corpora_of
from .lockstep import Batch, Looped, capture, capture_each
from .looped import LoopedAblator, LoopedPeeler, prove, resident
from .measuring import Measured, measure_streams
from .memory import keep_large_apart, trim
from .options import SCREEN as SCREEN
from .options import Options as Options
from .options import Progress as Progress
from .peel import Peeler
from .proof import Proof, proof_ids
from .resident import Weights
from .startless import only_startless
from .texts import watch_texts
from .tokens import MAX_PROMPT, PROMPT, Tokens, load_tokenizer, start_only
from .weights import Place

Capture = Callable[[PreTrainedModel, nn.ModuleList, Tensor], Batch]


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
    startless: "Findings | None" = None
    """The same with effects on a window without `<s>`, where the tokenizer puts it there."""
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
    keep_large_apart()
    with checkpoint.tokenizer_folder() as folder:
        if options.depth == SCREEN:
            tokens = start_only(folder, checkpoint.place, skeleton.model.config.get_text_config().bos_token_id)
        else:
            tokens = load_tokenizer(folder, checkpoint.place)
    with closing(Weights(skeleton, checkpoint, options.device, options.compute)) as weights:
        findings = _prepare(skeleton, weights, tokens, options)
        (_looped if skeleton.looped else _layers)(findings, weights, options, progress or _silent)
        if findings.ablator is not None:
            _measure(findings, weights, progress or _silent)
    findings.seconds = time.monotonic() - started
    return findings


def _silent(*_: object) -> None:
    pass


def _prepare(skeleton: Skeleton, weights: Weights, tokens: Tokens, options: Options) -> Findings:
    """Tokenize first, then load what stands before the layers: both at once would be the peak of memory."""
    longest = getattr(skeleton.model.config.get_text_config(), "max_position_embeddings", None) or options.window
    prompts, watched = _watched(skeleton, tokens, options, longest)
    corpora = corpora_of(options)
    windows = [tokens.windows(corpus, options.windows, min(options.window, longest)) for corpus in corpora]
    without = _startless(tokens, corpora, min(options.window, longest))
    _check_vocabulary(skeleton, [watched, *windows, *without], weights.checkpoint.place)
    short = proof_ids(watched, skeleton.model.config.get_text_config().vocab_size, longest)
    with weights.outside(torch.cat([ids.flatten() for ids in (watched, short, *windows, *without)])):
        proof, batch = _capture(skeleton, short, options), _capture(skeleton, watched, options)
        pair = None if _alone(skeleton, options) else _capture(skeleton, watched.repeat(2, 1), options)
        texts = [(t, _windows(skeleton, w, options)) for t, w in zip(corpora, windows, strict=True)]
        ablator = _ablator(skeleton, [b for _, b in texts], options) if options.effects else None
        bare = [(t, _capture(skeleton, w, options)) for t, w in zip(corpora, without, strict=False)]
    kind = LoopedPeeler if skeleton.looped else Peeler
    watched_tokens = 1 if options.depth == SCREEN else None
    peeler = kind(batch, batch.first, options.rounds, watched_tokens, pair)
    findings = Findings(skeleton, tokens, prompts, texts, peeler, ablator, proof, dtype=weights.dtype)
    if skeleton.looped:
        return findings
    for _, text in texts:
        text.forget()
    return _with_startless(findings, bare, options)


def _alone(skeleton: Skeleton, options: Options) -> bool:
    """Whether no two streams go through a layer together."""
    return options.depth == SCREEN or skeleton.looped


def _startless(tokens: Tokens, corpora: list[Corpus], window: int) -> list[Tensor]:
    """A window (1, T) of the first text without `<s>`, where the tokenizer puts it there."""
    length = min(c.STARTLESS, window - 1)
    if tokens.bos is None or length < 2:
        return []
    return [replace(tokens, bos=None).windows(t, 1, length) for t in corpora[:1]]


def _with_startless(findings: Findings, texts: list[tuple[Corpus, Batch]], options: Options) -> Findings:
    if texts:
        tokens, ablator = replace(findings.tokens, bos=None), Ablator([b for _, b in texts], factors=options.factors)
        findings.startless = replace(findings, tokens=tokens, corpora=texts, ablator=ablator, measured=Measured())
    return findings


def _watched(skeleton: Skeleton, tokens: Tokens, options: Options, longest: int) -> tuple[list[str], Tensor]:
    if options.depth == SCREEN:
        return ["first token"], tokens.screen(skeleton.model.config.get_text_config().vocab_size)
    return tokens.prompts(options.prompt or PROMPT, min(MAX_PROMPT, longest))


def _ablator(skeleton: Skeleton, batches: list[Batch], options: Options) -> Ablator:
    """Controls run on the first windows only; a call of fewer windows has masks of its own."""
    few = c.CONTROL_WINDOWS
    shorter = [b if len(b.ids) <= few else _windows(skeleton, b.ids[:few], options) for b in batches]
    kind = LoopedAblator if skeleton.looped else Ablator
    return kind(batches, shorter=shorter, factors=options.factors)


def _check_vocabulary(skeleton: Skeleton, batches: list[Tensor], place: str) -> None:
    size = skeleton.model.config.get_text_config().vocab_size
    largest = max(int(ids.max()) for ids in batches)
    if largest >= size:
        pair = f"the tokenizer gives id {largest}, the model knows {size} tokens"
        raise failed(f"{place}: {pair}: they do not belong together")


def _capture(skeleton: Skeleton, ids: Tensor, options: Options, how: Capture = capture) -> Batch:
    """How the model calls its layers. If it calls one more than once there is nothing to keep: they are all joined."""
    ids = ids.to(options.device)
    if not skeleton.looped:
        try:
            return how(skeleton.model, skeleton.layers, ids)
        except Looped:
            skeleton.join()
    return Batch(ids, torch.zeros(*ids.shape, skeleton.model.config.get_text_config().hidden_size, device=ids.device))


def _windows(skeleton: Skeleton, ids: Tensor, options: Options) -> Batch:
    return _capture(skeleton, ids, options, capture_each)


def _looped(findings: Findings, weights: Weights, _: Options, progress: Progress) -> None:
    """All layers at once, where they are called more than once."""
    skeleton, peeler, ablator = findings.skeleton, findings.peeler, findings.ablator
    count, place = len(skeleton.layers), weights.checkpoint.place
    progress("layers", 0, count)
    with resident(weights):
        findings.sites = sites = prove(skeleton, findings.proof, place)
        for number, here in sites.items():
            _refuse_shared(findings, number, here, place)
        if isinstance(peeler, LoopedPeeler):
            peeler.peel(skeleton, sites)
        finds = list(peeler.finds.values())
        for p in (f.place for f in finds):
            findings.values[p] = float(sites[p.layer][p.site].matrix(p.expert)[p.row, p.col])
        if isinstance(ablator, LoopedAblator):
            ablator.treat_all(skeleton, sites, finds)
    _check_finite(findings, count - 1, place)
    weights.release()
    progress("layers", count, count)


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
            _refuse_shared(findings, number, sites, weights.checkpoint.place)
            new = findings.peeler.step(number, layer, sites, _texts(findings, number, layer))
            for find in new:
                place = find.place
                findings.values[place] = float(sites[place.site].matrix(place.expert)[place.row, place.col])
            if findings.ablator is not None:
                findings.ablator.step(number, layer, sites, new)
            if (bare := findings.startless) is not None and bare.ablator is not None:
                bare.ablator.step(number, layer, sites, only_startless(findings.peeler, number, new))
        _check_finite(findings, number, weights.checkpoint.place)
        if findings.ablator is not None:
            trim()
    if not any(findings.sites.values()):
        raise unsupported(
            f"{type(findings.skeleton.model).__name__}: no layer holds a down projection that writes to the residual"
        )
    if findings.ablator is not None:
        weights.release()
    progress("layers", count, count)


def _refuse_shared(findings: Findings, number: int, sites: list[Site], place: str) -> None:
    """One down projection in several layers: removed in one it is removed in all, which one pass cannot do."""
    shared = next((s.parameter for s in sites if findings.skeleton.is_shared(number, s.parameter)), None)
    if shared is not None:
        raise unsupported(
            f"{place}: {shared} of layer {number} is a down projection that other layers share: not covered"
        )


def _texts(findings: Findings, number: int, layer: nn.Module) -> Callable[[], None] | None:
    """The watching of the texts in a layer, where there are any."""
    if findings.ablator is None:
        return None
    return partial(watch_texts, number, layer, findings.sites[number], findings.ablator, findings.peeler)


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
    bare = findings.startless
    batches = [*ablator.batches, *(bare.ablator.batches if bare is not None and bare.ablator is not None else [])]
    with weights.outside(torch.cat([batch.ids.flatten() for batch in batches])):
        findings.measured = measure_streams(model, layers, ablator, findings.peeler.layers, stopwords, done)
        if bare is not None and bare.ablator is not None and bare.ablator.trials:
            bare.measured = measure_streams(model, layers, bare.ablator, bare.peeler.layers, stopwords, _silent)
