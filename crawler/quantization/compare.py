"""Variants of one model on one text: a residual stream each, taken through the layers in one read of the checkpoint.

Each layer's bytes are read once, kept while the variants round them in turn, and dropped. Streams, calls and figures
are those of the scan (`lockstep`, `measure`): what is measured here is comparable with its effects.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..checkpoint.base import Checkpoint
from ..detection.corpora import Corpus
from ..detection.lockstep import Batch, capture_each, carry
from ..detection.measure import Figures, measure
from ..detection.memory import trim
from ..detection.options import Options, Progress
from ..detection.resident import Weights
from ..detection.run import Findings
from ..detection.side import fork
from ..detection.weights import Place
from .activations import Keep, rounded_inputs
from .holding import (
    LARGEST,
    NONE,
    RANDOM,
    SUPER,
    largest_others,
    on_disk,
    random_others,
    rounded_parameters,
    rounded_tensors,
    super_weights,
)
from .variants import Variant
from .view import Held, ReadOnce, Rounded


@dataclass(frozen=True)
class Compared:
    """Figures of each variant, against the unrounded model on the same tokens."""

    corpus: Corpus
    windows: tuple[int, int]
    """How many, and tokens of each."""
    figures: dict[Variant, Figures]


class Comparison:
    """Rounds one scanned model in many ways. Raise a Refusal where the model's layers cannot be taken one by one."""

    def __init__(self, findings: Findings, checkpoint: Checkpoint, options: Options, part: str | None = None) -> None:
        """`part`: round only tensors with this in their name."""
        self.findings, self.options = findings, options
        self.once = ReadOnce(checkpoint)
        self.names = tuple(n for n in rounded_tensors(findings.skeleton) if part is None or part in n)
        self.places = super_weights(findings)

    @cached_property
    def held(self) -> Held:
        """The super weights, by stored tensor; those in tensors that are rounded."""
        return {n: i for n, i in on_disk(self.findings, self.places).items() if n in set(self.names)}

    def run(self, corpus: Corpus, variants: Sequence[Variant], progress: Progress, what: str) -> Compared:
        """Figures of the variants on the first windows of a text."""
        options, skeleton = self.options, self.findings.skeleton
        longest = getattr(skeleton.model.config.get_text_config(), "max_position_embeddings", None) or options.window
        ids = self.findings.tokens.windows(corpus, options.windows, min(options.window, longest)).to(options.device)
        with closing(Weights(skeleton, self.once, options.device, options.compute)) as weights:
            with weights.outside(ids):
                batch = capture_each(skeleton.model, skeleton.layers, ids)
            streams = self._through(weights, batch, variants, progress, what)
            figures = self._figures(weights, batch, streams)
        return Compared(corpus, (int(ids.shape[0]), int(ids.shape[1])), dict(zip(variants, figures, strict=True)))

    def _through(
        self, weights: Weights, batch: Batch, variants: Sequence[Variant], progress: Progress, what: str
    ) -> list[Tensor]:
        """The final residuals: of the unrounded model, then of each variant."""
        streams = [fork(batch.first) for _ in range(len(variants) + 1)]
        views = [Rounded(self.once, self.names, v.rounding, self._held_by(v)) for v in variants]
        batch.forget()
        for done, number in enumerate(sorted(batch.calls)):
            progress(what, done, len(batch.calls))
            with self.once.keeping():
                with weights.layer(number) as layer:
                    carry(layer, number, batch, streams[0])
                for variant, view, stream in zip(variants, views, streams[1:], strict=True):
                    with weights.seen_through(view), weights.layer(number) as layer, self._inputs(variant, number):
                        carry(layer, number, batch, stream)
            trim()
        weights.release()
        progress(what, len(batch.calls), len(batch.calls))
        return streams

    def _figures(self, weights: Weights, batch: Batch, streams: list[Tensor]) -> list[Figures]:
        model, layers = self.findings.skeleton.model, self.findings.skeleton.layers
        stopwords = self.findings.tokens.stopwords()
        with weights.outside(batch.ids), torch.no_grad():
            return measure(model, layers, batch, streams[0], streams[1:], stopwords)

    def _held_by(self, variant: Variant) -> Held:
        if variant.held == RANDOM:
            return random_others(self.once.tensors, self.held, variant.draw)
        return {NONE: {}, SUPER: self.held, LARGEST: largest_others(self.findings, self.held)}[variant.held]

    @contextmanager
    def _inputs(self, variant: Variant, number: int) -> Iterator[None]:
        """The resident layer, its inputs rounded if the variant says so."""
        if variant.activations is None:
            yield
            return
        prefix = f"{self.findings.skeleton.paths[number]}."
        here = [t.removeprefix(prefix) for t in rounded_parameters(self.findings.skeleton) if t.startswith(prefix)]
        keep = self._kept(number, here) if variant.restored else ()
        with rounded_inputs(self.findings.skeleton.layers[number], here, variant.activations, keep):
            yield

    def _kept(self, number: int, parameters: list[str]) -> tuple[Keep, ...]:
        """Where super activations stand in the inputs of a layer: what super weights of earlier layers write to the
        residual, and what those of this layer read."""
        sites = {s.parameter: at for at, s in enumerate(self.findings.sites.get(number, []))}
        rows = tuple(sorted({p.row for p in self.places if p.layer < number}))

        def channels(name: str) -> tuple[int, ...]:
            return _columns(self.places, number, sites[name]) if name in sites else rows

        return tuple(Keep(name, channels(name)) for name in parameters)


def _columns(places: Sequence[Place], number: int, site: int) -> tuple[int, ...]:
    """The neurons that the super weights of one projection read."""
    return tuple(sorted({p.col for p in places if (p.layer, p.site) == (number, site)}))
