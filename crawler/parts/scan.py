"""The scan itself: the model as built, settings, activation profile, experts seen, events, outcome."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ...schema.effect import Effect
from ...schema.model import Model, Relation
from ...schema.scan import Event, LayerProfile, Prompt, Settings
from ...schema.types import Outcome, Role, Verdict
from ..architectures.skeleton import Skeleton
from ..checkpoint.base import Checkpoint
from ..detection import constants as c
from ..detection.massive import Change, kappa
from ..detection.peel import Seen
from ..detection.run import Findings, Options
from ..detection.weights import Find, Place
from .result import DETECTOR
from .weights import token_of

MAX_EVENTS = 64
STRONG = frozenset({Verdict.CONFIRMED, Verdict.PARTIAL, Verdict.NON_FINITE})


def model_of(checkpoint: Checkpoint, skeleton: Skeleton, base: str | None, relation: str | None) -> Model:
    dtypes: Counter[str] = Counter()
    for info in checkpoint.tensors.values():
        dtypes[info.dtype or "packed"] += info.elements
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
    )


def settings_of(findings: Findings, options: Options) -> Settings:
    return Settings(
        detector=DETECTOR,
        constants={**c.as_settings(), "windows": options.windows, "window": options.window},
        prompts=tuple(
            Prompt(name=name, token_ids=tuple(ids), bos=findings.tokens.bos == ids[0])
            for name, ids in zip(findings.prompts, findings.peeler.batch.ids.tolist(), strict=True)
        ),
        corpora=tuple(f"{corpus.name} sha256:{corpus.sha256}" for corpus, _ in findings.corpora),
        effects=options.effects,
        compute_dtype=options.compute,
    )


def profile_of(findings: Findings) -> tuple[LayerProfile, ...]:
    return tuple(
        LayerProfile(layer=s.layer, activation_in=s.activation_in, activation_out=s.activation_out, residual=s.residual)
        for s in findings.peeler.layers
    )


def fits_float16(profile: Iterable[LayerProfile]) -> bool:
    figures = [f for p in profile for f in (p.activation_in, p.activation_out, p.residual)]
    return all(f is not None and f <= c.FLOAT16_MAX for f in figures)


def experts_of(findings: Findings) -> dict[str, Any]:
    seen = findings.peeler.experts_seen
    if not any(seen.values()):
        return {}
    config = findings.skeleton.model.config.get_text_config()
    count = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None) or 0
    return {"experts": int(count) * len(seen), "experts_covered": sum(len(e) for e in seen.values())}


def outcome_of(finds: list[Find], effects: tuple[Effect, ...], options: Options) -> Outcome:
    if not options.effects:
        return Outcome.UNTESTED if finds else Outcome.NONE_FOUND
    return Outcome.FOUND if any(e.verdict in STRONG for e in effects) else Outcome.NONE_FOUND


def events_of(findings: Findings) -> Iterable[Event]:
    strongest = sorted(findings.peeler.seen, key=lambda s: -_height(s.explained.change))
    kept: dict[tuple[int, int, int, Role], Seen] = {}
    for seen in strongest:
        change = seen.explained.change
        kept.setdefault((seen.layer, seen.stream, change.channel, change.role), seen)
    for seen in sorted(list(kept.values())[:MAX_EVENTS], key=lambda s: (s.layer, s.stream, s.explained.change.channel)):
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
        token=token_of(findings, change.token),
        before=change.before,
        after=change.after,
        kappa=kappa(seen.residual, change.channel),
        ratio_to_median=float(seen.residual[change.channel].abs()) / median if median else None,
        origin=found.origin,
        spread=found.spread,
        n_eff=found.n_eff,
        coherence=found.coherence,
        persistent=sum(change.channel in x.massive for x in later) >= c.PERSIST * len(later) if later else None,
        weights=tuple(Place(seen.layer, m.site, m.expert, m.row, m.col).id for m in found.members),
    )
