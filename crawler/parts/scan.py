"""The scan itself: the model as built, settings, activation profile, experts seen, events, outcome."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ...schema.effect import Effect
from ...schema.model import Model, Relation
from ...schema.scan import Event, ExpertsSeen, LayerProfile, NormGain, Prompt, Settings
from ...schema.types import Intervention, Outcome, Role, Verdict
from ..architectures.skeleton import Skeleton
from ..checkpoint.base import Checkpoint
from ..detection import constants as c
from ..detection.massive import Change, kappa
from ..detection.peel import Seen
from ..detection.run import SCREEN, Findings, Options
from ..detection.weights import Find, Place
from ..stored.codec import Quantized
from .content import content_of
from .settings import asked, named
from .weights import token_of

MAX_EVENTS = 64
STRONG = frozenset({Verdict.CONFIRMED, Verdict.PARTIAL, Verdict.NON_FINITE})


def model_of(checkpoint: Checkpoint, skeleton: Skeleton, base: str | None, relation: str | None) -> Model:
    dtypes: Counter[str] = Counter()
    for info in checkpoint.tensors.values():
        dtypes[info.codec.dtype if isinstance(info, Quantized) else info.dtype or "packed"] += info.elements
    config = skeleton.model.config.get_text_config()
    return Model(
        id=checkpoint.model_id,
        revision=checkpoint.revision,
        architecture=type(skeleton.model).__name__,
        model_type=skeleton.model.config.model_type,
        parameters=sum(i.elements for i in checkpoint.tensors.values()),
        dtype=dtypes.most_common(1)[0][0],
        layers=len(skeleton.layers),
        hidden_size=config.hidden_size,
        base_model=base,
        relation=Relation(relation) if relation else None,
        files=checkpoint.files_read(),
        content=content_of(checkpoint.source),
    )


def settings_of(findings: Findings, options: Options) -> Settings:
    return Settings(
        **asked(options),
        prompts=tuple(
            Prompt(name=name, token_ids=tuple(ids), bos=findings.tokens.bos == ids[0])
            for name, ids in zip(findings.prompts, findings.peeler.batch.ids.tolist(), strict=True)
        ),
        corpora=named(corpus for corpus, _ in findings.corpora),
    )


def profile_of(findings: Findings) -> tuple[LayerProfile, ...]:
    return tuple(
        LayerProfile(layer=s.layer, activation_in=s.activation_in, activation_out=s.activation_out, residual=s.residual)
        for s in findings.peeler.layers
    )


def fits_float16(profile: Iterable[LayerProfile]) -> bool:
    figures = [f for p in profile for f in (p.activation_in, p.activation_out, p.residual) if f is not None]
    return all(p.finite for p in profile) and max(figures, default=0.0) <= c.FLOAT16_MAX


def experts_of(findings: Findings) -> dict[str, Any]:
    """How many experts there are, and which the watched tokens reached."""
    layers, covered = [], 0
    for number, sites in findings.sites.items():
        for at, count in enumerate(s.projection.experts for s in sites):
            if count is not None:
                seen = findings.peeler.experts_seen.get((number, at), set())
                layers.append(ExpertsSeen(layer=number, experts=count, seen=_ranges(seen)))
                covered += len(seen)
    if not layers:
        return {}
    return {"experts": sum(x.experts for x in layers), "experts_covered": covered, "experts_seen": tuple(layers)}


def _ranges(numbers: set[int]) -> str:
    """`0-3,7` for {0, 1, 2, 3, 7}."""
    first = sorted(n for n in numbers if n - 1 not in numbers)
    last = sorted(n for n in numbers if n + 1 not in numbers)
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(first, last, strict=True))


def gains_of(findings: Findings) -> Iterable[NormGain]:
    """Gains of norms behind the channels that were made massive."""
    for (number, channel), gain in sorted(findings.peeler.gains.items()):
        placement = findings.skeleton.placements[f"{findings.skeleton.paths[number]}.{gain.parameter}"]
        yield NormGain(
            layer=number,
            channel=channel,
            tensor=placement.names[0],
            value=gain.stored,
            offset=gain.offset,
            ratio_to_median=gain.ratio_to_median,
        )


def outcome_of(finds: list[Find], effects: tuple[Effect, ...], options: Options, *, converged: bool) -> Outcome:
    """How the scan ended. With candidates left after the last round the harmless ones prove nothing."""
    if not options.effects or options.depth == SCREEN:
        return Outcome.UNTESTED if finds or options.depth == SCREEN else Outcome.NONE_FOUND
    removals = [e for e in effects if e.intervention is Intervention.ZERO]
    if any(e.verdict in STRONG for e in removals):
        return Outcome.FOUND
    return Outcome.NONE_FOUND if converged or not finds else Outcome.UNTESTED


def events_of(findings: Findings) -> Iterable[Event]:
    strongest = sorted(findings.peeler.seen, key=lambda s: (s.text is not None, -_height(s.explained.change)))
    kept: dict[tuple[int, int, int, Role], Seen] = {}
    for seen in strongest:
        change = seen.explained.change
        kept.setdefault((seen.layer, seen.stream, change.channel, change.role), seen)
    highest = sorted(kept.values(), key=lambda s: -_height(s.explained.change))[:MAX_EVENTS]
    for seen in sorted(highest, key=lambda s: (s.layer, s.stream, s.explained.change.channel)):
        yield _event(findings, seen)


def _height(change: Change) -> float:
    """How massive the channel was, before a remover or after any other."""
    return max(abs(change.before), abs(change.after))


def _event(findings: Findings, seen: Seen) -> Event:
    found, change = seen.explained, seen.explained.change
    later = findings.peeler.layers[seen.layer + 1 : -1]
    median = float(seen.residual.abs().median())
    return Event(
        layer=seen.layer,
        channel=change.channel,
        stream=seen.stream,
        role=change.role,
        token=token_of(findings, change.at // findings.peeler.copies, seen.text),
        before=change.before,
        after=change.after,
        kappa=kappa(seen.residual, change.channel),
        ratio_to_median=float(seen.residual[change.channel].abs()) / median if median else None,
        origin=found.origin,
        spread=found.spread,
        n_eff=found.n_eff,
        coherence=found.coherence,
        persistent=sum(x.stands(change.channel, seen.text) for x in later) >= c.PERSIST * len(later) if later else None,
        weights=tuple(Place(seen.layer, m.site, m.expert, m.row, m.col).id for m in found.members),
    )
