"""Figures 4 and 5: the super activation behind each layer, and the next token, with everything found and without.

The streams are those of the scan's `Ablator`, on the watched prompts, a prompt and one text. One more read.
"""

import math
from collections import Counter
from contextlib import closing
from dataclasses import replace

import torch
from torch import Tensor

from ..checkpoint.base import Checkpoint
from ..detection.ablate import Ablator, whole_of
from ..detection.corpora import Corpus
from ..detection.lockstep import Batch, capture, logits
from ..detection.measure import CHUNK
from ..detection.options import Options, Progress
from ..detection.resident import Weights
from ..detection.run import Findings
from ..detection.weights import Place
from ..parts.effects import ids_of
from ..refusal import failed
from .results import Carried, MeasuredOn, Token, Trace

MOST = 6
"""Tokens shown of either model."""
CHANNELS = 4
"""Channels drawn at most: those that the most of what was found writes to."""
STEP = "activations"


def trace(findings: Findings, checkpoint: Checkpoint, options: Options, prompt: str, progress: Progress) -> Trace:
    """Both figures; raise a Refusal where a prompt gives no token."""
    whole = whole_of(findings.peeler.finds.values())
    with closing(Weights(findings.skeleton, checkpoint, options.device, options.compute)) as weights:
        batches = _batches(findings, weights, prompt, options)
        ablator = Ablator(batches, singles=0, controls=0)
        carried = _carry(findings, weights, ablator, progress)
        after = ablator.sets[whole]
        with weights.outside(torch.cat([b.ids.flatten() for b in batches])):
            asked = [_probabilities(findings, batches[1], r[1], last=True) for r in (ablator.baseline, after)]
            text = [_probabilities(findings, batches[2], r[2], last=False) for r in (ablator.baseline, after)]
    return Trace(
        weights=ids_of(whole),
        channels=carried,
        tokens_watched=batches[0].ids.numel(),
        others=ablator.others.count,
        prompt=prompt,
        prompt_bos=findings.tokens.bos is not None,
        next=_shown(findings, *asked),
        mean=_shown(findings, *text),
        mean_on=measured_on(findings.corpora[0][0], batches[2].ids, findings),
    )


def measured_on(corpus: Corpus, ids: Tensor, findings: Findings) -> MeasuredOn:
    """A text as results name it, of token ids (windows, window)."""
    windows, window = (int(n) for n in ids.shape)
    bos = findings.tokens.bos is not None
    tokens = windows * (window - 1)
    return MeasuredOn(name=corpus.name, sha256=corpus.sha256, windows=windows, window=window, tokens=tokens, bos=bos)


def _batches(findings: Findings, weights: Weights, prompt: str, options: Options) -> list[Batch]:
    """The watched prompts, the prompt, and the first window of the first text."""
    skeleton, tokens = findings.skeleton, findings.tokens
    start = [] if tokens.bos is None else [tokens.bos]
    ids = [*start, *tokens.ids(prompt)]
    if len(ids) < 2:
        raise failed(f"the prompt {prompt[:40]!r} gives no token with this tokenizer; use --prompt TEXT")
    wanted = [findings.peeler.batch.ids, torch.tensor([ids]), findings.corpora[0][1].ids[:1]]
    on_device = [w.to(options.device) for w in wanted]
    with weights.outside(torch.cat([w.flatten() for w in on_device])):
        return [capture(skeleton.model, skeleton.layers, w) for w in on_device]


def _carry(findings: Findings, weights: Weights, ablator: Ablator, progress: Progress) -> tuple[Carried, ...]:
    """Take all streams through the layers; what the first channels hold behind each."""
    finds, rows = list(findings.peeler.finds.values()), _channels(findings)
    numbers = sorted(ablator.batches[0].calls)
    seen: list[list[tuple[float | None, ...]]] = []
    for done, number in enumerate(numbers):
        progress(STEP, done, len(numbers))
        following = numbers[done + 1] if done + 1 < len(numbers) else None
        with weights.layer(number, following) as layer:
            ablator.step(number, layer, findings.sites[number], [f for f in finds if f.place.layer == number])
        removed = ablator.sets.get(_so_far(findings, number), ablator.baseline)
        streams = [ablator.baseline[0], removed[0], (ablator.outliers or ablator.baseline)[0]]
        seen.append([tuple(_height(s, row) for s in streams) for row in rows])
    weights.release()
    progress(STEP, len(numbers), len(numbers))
    return tuple(_carried(row, numbers, [behind[at] for behind in seen]) for at, row in enumerate(rows))


def _so_far(findings: Findings, number: int) -> frozenset[Place]:
    """What was found up to a layer."""
    return frozenset(p for p in whole_of(findings.peeler.finds.values()) if p.layer <= number)


def _channels(findings: Findings) -> list[int]:
    """The channels that are drawn, those first that most of what was found writes to."""
    counted = Counter(p.row for p in sorted(whole_of(findings.peeler.finds.values()), key=lambda p: (p.layer, p.row)))
    return [row for row, _ in counted.most_common(CHANNELS)]


def _height(residual: Tensor, channel: int) -> float | None:
    """The value of a channel at the token where it is largest; None if not finite."""
    values = residual[..., channel].flatten()
    value = float(values[values.abs().argmax()])
    return value if math.isfinite(value) else None


def _carried(row: int, numbers: list[int], heights: list[tuple[float | None, ...]]) -> Carried:
    unmodified, removed, others = (tuple(h[at] for h in heights) for at in range(3))
    return Carried(channel=row, layers=tuple(numbers), unmodified=unmodified, removed=removed, others_removed=others)


def _probabilities(findings: Findings, batch: Batch, residual: Tensor, *, last: bool) -> Tensor:
    """Probabilities (V,) of the next token, float64: behind the last position, or their mean over all positions."""
    model, layers, length = findings.skeleton.model, findings.skeleton.layers, batch.ids.shape[1]
    one = replace(batch, residual=None, calls={})
    sums, first = torch.zeros(0), length - 1 if last else 0
    for start in range(first, length, CHUNK):
        keep = torch.arange(start, min(start + CHUNK, length), device=batch.ids.device)
        made = logits(model, layers, one, residual, keep)[0].double().softmax(-1).sum(0)
        sums = made if not len(sums) else sums + made
    return sums / (length - first)


def _shown(findings: Findings, before: Tensor, after: Tensor) -> tuple[Token, ...]:
    """The most likely tokens of either, those first that are the most likely before."""
    finite = bool(after.isfinite().all())
    chosen = [*before.topk(MOST).indices.tolist(), *(after.topk(MOST).indices.tolist() if finite else ())]
    order = sorted(dict.fromkeys(chosen), key=lambda i: -float(before[i]))
    return tuple(
        Token(id=i, text=_spelt(findings, i), before=float(before[i]), after=float(after[i]) if finite else None)
        for i in order
    )


def _spelt(findings: Findings, token: int) -> str:
    """The text of a token; of one that is nothing but a space the piece that the tokenizer calls it."""
    tokenizer = findings.tokens.tokenizer
    text = str(tokenizer.decode([token]))
    return text if text.strip(" ") else str(tokenizer.convert_ids_to_tokens(token))
