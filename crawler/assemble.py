"""From a detector's findings to the parts of a record: coordinates on disk, bits, effects with controls, the scan.

Every found scalar is read once more from the file, by its own few bytes, and must be the number that was in memory.
"""

import hashlib
import resource
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from ..schema import rules
from ..schema.bits import bits_of, decode_bits
from ..schema.canonical import canonical_bytes
from ..schema.effect import Control, Corpus, Effect
from ..schema.model import Model, Relation
from ..schema.record import Record
from ..schema.scan import Cost, Event, LayerProfile, Prompt, Scan, Settings
from ..schema.types import Intervention, Outcome, Role, Verdict
from ..schema.weight import Coordinates, Group, GroupKind, SuperWeight, Token
from .architectures.skeleton import Skeleton
from .checkpoint.base import Checkpoint
from .checkpoint.header import TensorInfo
from .detection import constants as c
from .detection.ablate import PlaceSet, groups_of
from .detection.massive import Change, kappa
from .detection.measure import Figures
from .detection.peel import PEELED, Seen
from .detection.run import Findings, Options
from .detection.weights import Find, Place
from .refusal import Refusal, corrupt

DETECTOR = "swindex 0.1.0"
MAX_EVENTS = 64
STRONG = frozenset({Verdict.CONFIRMED, Verdict.PARTIAL, Verdict.NON_FINITE})


@dataclass(frozen=True)
class Result:
    """The parts of a record that one scan gives."""

    model: Model
    scan: Scan
    super_weights: tuple[SuperWeight, ...] = ()
    groups: tuple[Group, ...] = ()
    effects: tuple[Effect, ...] = ()

    def record(self, submitter: str) -> Record:
        """A first version with just this scan."""
        parts = {k: getattr(self, k) for k in ("model", "super_weights", "groups", "effects")}
        provenance = {"version": 1, "previous": None, "time": self.scan.time, "submitter": submitter}
        return Record.make(provenance=provenance, scans=(self.scan,), **parts)


def now() -> str:
    """This moment in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def refused(model_id: str, revision: str | None, refusal: Refusal, checkpoint: Checkpoint | None = None) -> Result:
    """The result of a scan that could not be made."""
    settings = Settings(detector=DETECTOR, constants=c.as_settings())
    model = Model(id=model_id, revision=revision, **_config_facts(checkpoint))
    identity = {"model": model_id, "revision": revision, "outcome": refusal.outcome.value, "reason": str(refusal)}
    scan = Scan(
        id=_digest({**identity, "settings": settings.model_dump(mode="json")}),
        outcome=refusal.outcome,
        revision=revision,
        reason=str(refusal)[:4000],
        settings=settings,
        time=now(),
        libraries=_libraries(),
        cost=None if checkpoint is None else _cost(checkpoint, 0.0),
    )
    return Result(model, scan)


def _config_facts(checkpoint: Checkpoint | None) -> dict[str, Any]:
    try:
        raw = checkpoint.config if checkpoint else {}
    except Refusal:
        raw = {}
    names = raw.get("architectures")
    architecture = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    model_type = raw.get("model_type")
    return {"architecture": architecture, "model_type": model_type if isinstance(model_type, str) else None}


def assemble(checkpoint: Checkpoint, findings: Findings, options: Options) -> Result:
    """The parts of a record."""
    settings = _settings(findings, options)
    base, relation = checkpoint.base_model
    model = _model(checkpoint, findings.skeleton, base, relation)
    profile = _profile(findings)
    scan_id = _digest(
        {
            "model": model.model_dump(mode="json"),
            "settings": settings.model_dump(mode="json"),
            "profile": [p.model_dump(mode="json") for p in profile],
        }
    )
    finds = list(findings.peeler.finds.values())
    groups = groups_of(finds)
    effects = tuple(_effects(findings, scan_id, groups))
    weights = tuple(_weight(checkpoint, findings, f, groups, scan_id) for f in finds)
    scan = Scan(
        id=scan_id,
        outcome=_outcome(finds, effects, options),
        revision=checkpoint.revision,
        settings=settings,
        time=now(),
        device=options.device,
        libraries=_libraries(),
        layers=len(findings.skeleton.layers),
        layers_covered=tuple(p.layer for p in profile),
        **_experts(findings),
        profile=profile,
        events=tuple(_events(findings)),
        rounds=len(findings.peeler.streams) - 1,
        converged=findings.peeler.converged,
        fits_float16=_fits(profile),
        cost=_cost(checkpoint, findings.seconds),
    )
    group_parts = tuple(Group(id=n, kind=_kind(n), members=_ids(s)) for n, s in groups.items())
    return Result(model, scan, weights, group_parts, effects)


# --- the model and the scan ---


def _model(checkpoint: Checkpoint, skeleton: Skeleton, base: str | None, relation: str | None) -> Model:
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


def _settings(findings: Findings, options: Options) -> Settings:
    return Settings(
        detector=DETECTOR,
        constants={**c.as_settings(), "windows": options.windows, "window": options.window},
        prompts=tuple(
            Prompt(name=name, token_ids=tuple(ids), bos=findings.tokens.bos == ids[0])
            for name, ids in zip(findings.prompts, findings.peeler.batch.ids.tolist(), strict=True)
        ),
        corpora=tuple(f"{corpus.name} sha256:{corpus.sha256}" for corpus, _ in findings.corpora),
        effects=options.effects,
    )


def _profile(findings: Findings) -> tuple[LayerProfile, ...]:
    return tuple(
        LayerProfile(layer=s.layer, activation_in=s.activation_in, activation_out=s.activation_out, residual=s.residual)
        for s in findings.peeler.layers
    )


def _fits(profile: Iterable[LayerProfile]) -> bool:
    figures = [f for p in profile for f in (p.activation_in, p.activation_out, p.residual)]
    return all(f is not None and f <= c.FLOAT16_MAX for f in figures)


def _experts(findings: Findings) -> dict[str, Any]:
    seen = findings.peeler.experts_seen
    if not any(seen.values()):
        return {}
    config = findings.skeleton.model.config.get_text_config()
    count = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None) or 0
    return {"experts": int(count) * len(seen), "experts_covered": sum(len(e) for e in seen.values())}


def _cost(checkpoint: Checkpoint, seconds: float) -> Cost:
    try:
        size = sum(checkpoint.entries[f].size for f in checkpoint.weight_files)
    except Refusal:
        size = 0
    return Cost(
        bytes_read=checkpoint.meter.bytes,
        bytes_checkpoint=size,
        seconds=round(seconds, 3),
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        requests=checkpoint.meter.requests,
    )


def _libraries() -> dict[str, str]:
    return {n: version(n) for n in ("torch", "transformers", "huggingface_hub")}


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def _outcome(finds: list[Find], effects: tuple[Effect, ...], options: Options) -> Outcome:
    if not options.effects:
        return Outcome.UNTESTED if finds else Outcome.NONE_FOUND
    return Outcome.FOUND if any(e.verdict in STRONG for e in effects) else Outcome.NONE_FOUND


# --- weights ---


def _weight(
    checkpoint: Checkpoint, findings: Findings, find: Find, groups: dict[str, PlaceSet], scan_id: str
) -> SuperWeight:
    place = find.place
    info, index = locate(findings, place)
    bits, value = _bits(checkpoint, info, index, findings.values[place])
    mine = [(len(s), n) for n, s in groups.items() if place in s]
    return SuperWeight(
        id=place.id,
        tensor=info.name,
        layer=place.layer,
        expert=place.expert,
        row=place.row,
        col=place.col,
        index=index,
        shape=info.shape,
        dtype=info.dtype,
        value=value,
        bits=bits,
        file=info.file,
        byte_offset=_offset(info, index),
        role=_role(findings, find),
        group=max(mine)[1] if mine else None,
        activation_in=find.activation_in,
        activation_out=find.activation_out,
        share=find.share,
        coherence=find.coherence,
        rank=find.rank,
        round=find.round,
        token=_token(findings, find.token),
        scan=scan_id,
    )


def locate(findings: Findings, place: Place) -> tuple[TensorInfo, tuple[int, ...]]:
    """The stored tensor that holds a scalar and the scalar's index in it."""
    site = findings.sites[place.layer][place.site]
    target = f"{findings.skeleton.layers_path}.{place.layer}.{site.parameter}"
    sources = findings.skeleton.placements[target].sources
    if place.expert is not None and len(sources) > 1:
        return sources[place.expert][1], (place.row, place.col)
    info = sources[0][1]
    pair = (place.col, place.row) if site.transposed else (place.row, place.col)
    return info, pair if place.expert is None else (place.expert, *pair)


def _offset(info: TensorInfo, index: tuple[int, ...]) -> int:
    flat = 0
    for at, size in zip(index, info.shape, strict=True):
        flat = flat * size + at
    return info.start + flat * info.bits // 8


def _bits(checkpoint: Checkpoint, info: TensorInfo, index: tuple[int, ...], in_memory: float) -> tuple[str, float]:
    start = _offset(info, index)
    bits = bits_of(bytes(checkpoint.read_range(info.file, start, start + info.bits // 8)))
    value = decode_bits(bits, info.dtype or "packed")
    if torch.tensor(value, dtype=torch.float32) != torch.tensor(in_memory, dtype=torch.float32):
        raise corrupt(f"{checkpoint.place}: {info.name}{list(index)} is {value} on disk, {in_memory} was computed with")
    return bits, value


def _role(findings: Findings, find: Find) -> Role:
    """A peeled find is transient if its channel does not stay massive (the last layer excepted)."""
    later = findings.peeler.layers[find.place.layer + 1 : -1]
    stays = sum(find.place.row in layer.massive for layer in later)
    if find.role in PEELED and later and stays < c.PERSIST * len(later):
        return Role.TRANSIENT
    return find.role


def _token(findings: Findings, flat: int) -> Token:
    ids = findings.peeler.batch.ids
    position = flat % ids.shape[1]
    token = int(ids.flatten()[flat])
    text, kind = findings.tokens.kind(position, token)
    return Token(position=position, id=token, text=text, kind=kind)


def _events(findings: Findings) -> Iterable[Event]:
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
        token=_token(findings, change.token),
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


# --- groups and effects ---


def _kind(name: str) -> GroupKind:
    return GroupKind(name.partition(":")[0])


def _ids(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(p.id for p in sorted(places, key=lambda p: (p.layer, p.expert or 0, p.row, p.col)))


def _effects(findings: Findings, scan_id: str, groups: dict[str, PlaceSet]) -> Iterable[Effect]:
    named = {s: n for n, s in groups.items()}
    for members, figures in findings.sets.items():
        name = named.get(members) or "+".join(_ids(members))
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
        weights=_ids(members),
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
