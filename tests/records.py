"""Small valid records for tests, of each kind an index can hold.

The parts (`weight`, `scan`, `effect`, ...) have defaults that fit together: a model of four layers whose down
projections are (16, 32) in bfloat16. `*_parts` give the parts of a version as plain keyword arguments, `make` puts a
version together, and `reported`, `found`, `none_found`, `failed` do both. Figures are round numbers, not measurements.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from swindex.schema.effect import Control, Corpus, Effect
from swindex.schema.model import Integrity, Model, Relation, WeightFile
from swindex.schema.observation import Granularity, Observation, Remark, Source, Stance
from swindex.schema.record import Record
from swindex.schema.rules import verdict_of
from swindex.schema.scan import Cost, Event, LayerProfile, Prompt, Scan, Settings
from swindex.schema.types import SCANNED, Intervention, Outcome, Role, weight_id
from swindex.schema.weight import Coordinates, Group, GroupKind, SuperWeight, Token

MODEL_ID = "org/tiny"
REVISION = "a" * 40
OTHER_REVISION = "b" * 40
TIME = "2026-11-21T07:00:00Z"
SHAPE = (16, 32)
VALUES = {"be8c": -0.2734375, "3f80": 1.0, "4000": 2.0}
"""Hex bits in bfloat16 and the number they mean."""


def sha256(text: str) -> str:
    """A digest of its own for each text."""
    return hashlib.sha256(text.encode()).hexdigest()


def tensor(layer: int) -> str:
    """The name of a layer's down projection."""
    return f"model.layers.{layer}.mlp.down_proj.weight"


def model(model_id: str = MODEL_ID, revision: str | None = REVISION, **more: Any) -> Model:
    """A model of four layers; `more` overrides fields."""
    fields: dict[str, Any] = {
        "id": model_id,
        "revision": revision,
        "architecture": "LlamaForCausalLM",
        "model_type": "llama",
        "parameters": 123456,
        "dtype": "bfloat16",
        "layers": 4,
        "hidden_size": 16,
        "base_model": "org/base",
        "relation": Relation.FINETUNE,
        "files": (WeightFile(path="model.safetensors", size=4096, sha256=sha256(model_id), integrity=Integrity.RANGE),),
    }
    return Model(**{**fields, **more})


def weight(
    layer: int = 1,
    row: int = 2,
    col: int = 3,
    *,
    scan: str | None = "scan-1",
    group: str | None = None,
    bits: str = "be8c",
    **more: Any,
) -> SuperWeight:
    """A scalar that `scan` found, or with scan=None one that only outside sources name (no bits)."""
    known: dict[str, Any] = {"value": VALUES[bits], "bits": bits, "dtype": "bfloat16", "shape": SHAPE}
    ours: dict[str, Any] = {
        **known,
        "file": "model.safetensors",
        "byte_offset": 256 + 2 * (row * SHAPE[1] + col),
        "role": Role.CREATOR,
        "activation_in": 50.5,
        "activation_out": -400.25,
        "share": 0.875,
        "coherence": 0.75,
        "rank": 1,
        "round": 0,
        "token": Token(position=0, id=1, text="<s>", kind="bos"),
    }
    fields: dict[str, Any] = {
        "id": weight_id(layer, row, col),
        "tensor": tensor(layer),
        "layer": layer,
        "row": row,
        "col": col,
        "index": (row, col),
        "scan": scan,
        "group": group,
        **(ours if scan else {}),
    }
    return SuperWeight(**{**fields, **more})


def group(group_id: str, *members: str, kind: GroupKind = GroupKind.NEURON, reported: bool = False) -> Group:
    """A group of weight ids."""
    return Group(id=group_id, kind=kind, members=members, reported=reported)


def corpus(name: str = "slice") -> Corpus:
    """A text that an effect was measured on."""
    return Corpus(name=name, sha256="d" * 64, tokens=1000, windows=4, window=256, bos=True)


def effect(
    effect_id: str,
    *weights: str,
    scan: str = "scan-1",
    delta: float | None = 3.0,
    worst: float | None = 0.01,
    controlled: bool = True,
    **more: Any,
) -> Effect:
    """Zeroing `weights` changed the mean NLL by `delta` nat (None: not finite); the worst control by `worst`."""
    before, after = 2.0, None if delta is None else 2.0 + delta
    control = Control(kind="largest", weights=(Coordinates(layer=1, row=5, col=6),), worst_delta_nll=worst)
    measured = None if after is None else after - before
    fields: dict[str, Any] = {
        "id": effect_id,
        "scan": scan,
        "weights": weights,
        "intervention": Intervention.ZERO,
        "corpus": corpus(),
        "finite": delta is not None,
        "nll_before": before,
        "nll_after": after,
        "ppl_before": math.exp(before),
        "ppl_after": None if after is None else math.exp(after),
        "kl": 1.5,
        "top1_agreement": 0.25,
        "delta_nll_windows": () if delta is None else (delta, delta),
        "control": control if controlled else None,
        "verdict": verdict_of(measured, worst if controlled else None, controlled=controlled),
    }
    return Effect(**{**fields, **more})


def scan(scan_id: str = "scan-1", outcome: Outcome = Outcome.FOUND, **more: Any) -> Scan:
    """A scan of all four layers, or one that could not be made and says why."""
    made: dict[str, Any] = {
        "layers": 4,
        "layers_covered": (0, 1, 2, 3),
        "profile": tuple(LayerProfile(layer=i, activation_in=1.5, activation_out=2.5, residual=3.5) for i in range(4)),
        "rounds": 1,
        "converged": True,
        "fits_float16": True,
        "cost": Cost(bytes_read=4096, bytes_checkpoint=4096, seconds=1.5, peak_memory=1 << 20, requests=3),
    }
    fields: dict[str, Any] = {
        "id": scan_id,
        "outcome": outcome,
        "settings": Settings(
            detector="swindex 0.1.0",
            constants={"tau": 0.5, "k": 3},
            prompts=(Prompt(name="default", token_ids=(1, 2, 3), bos=True),),
            corpora=("slice",),
            effects=outcome is not Outcome.UNTESTED,
        ),
        "time": TIME,
        "device": "cpu",
        "libraries": {"torch": "2.6.0"},
        **(made if outcome in SCANNED else {"reason": f"{outcome.value}: cannot be read; try again later"}),
    }
    return Scan(**{**fields, **more})


def event(layer: int = 1, channel: int = 2, *weights: str) -> Event:
    """A massive activation that `weights` explain."""
    return Event(
        layer=layer,
        channel=channel,
        stream=0,
        role=Role.CREATOR,
        token=Token(position=0, id=1, text="<s>", kind="bos"),
        before=0.5,
        after=-400.25,
        kappa=0.75,
        origin="mlp",
        spread="concentrated",
        weights=weights,
    )


def observation(
    *places: tuple[int, int, int],
    origin: str = "yu-2024",
    stance: Stance = Stance.CLAIMS,
    ppl: tuple[float, float] | None = None,
    **more: Any,
) -> Observation:
    """A source's statement about scalars (layer, row, col), or with none about the model; `ppl` before and after."""
    measured: dict[str, Any] = {
        "intervention": Intervention.ZERO,
        "changed": Granularity.SCALAR,
        "ppl_before": ppl and ppl[0],
        "ppl_after": ppl and ppl[1],
    }
    fields: dict[str, Any] = {
        "source": Source(origin=origin, title=f"About {origin}", url=f"https://example.org/{origin}"),
        "granularity": Granularity.SCALAR if places else Granularity.MODEL,
        "stance": stance,
        "targets": tuple(Coordinates(layer=at, row=row, col=col, tensor=tensor(at)) for at, row, col in places),
        "statement": "A super weight.",
        **(measured if ppl else {}),
    }
    return Observation(**{**fields, **more})


def reported_parts(model_id: str = MODEL_ID, revision: str | None = None) -> dict[str, Any]:
    """Parts of a version that rests on outside claims: two weights, one group that was removed as a whole."""
    ids = (weight_id(1, 2, 3), weight_id(2, 4, 3))
    return {
        "model": model(model_id, revision, files=()),
        "super_weights": (
            weight(1, 2, 3, scan=None, group="reported-1"),
            weight(2, 4, 3, scan=None, group="reported-1"),
        ),
        "groups": (group("reported-1", *ids, kind=GroupKind.JOINT, reported=True),),
        "observations": (
            observation((1, 2, 3)),
            observation((1, 2, 3), (2, 4, 3), origin="sun-2025", ppl=(10.0, 1000.0)),
        ),
        "remarks": (Remark(about=ids[:1], text="The paper gives the layer only in its appendix."),),
    }


def found_parts(
    model_id: str = MODEL_ID, revision: str | None = REVISION, scan_id: str = "scan-1", delta: float = 3.0
) -> dict[str, Any]:
    """Parts of a version whose scan confirmed a weight alone and in a group with a second, inert one."""
    one, two = weight_id(1, 2, 3), weight_id(1, 7, 3)
    return {
        "model": model(model_id, revision),
        "super_weights": (
            weight(1, 2, 3, scan=scan_id, group="neuron-1-3"),
            weight(1, 7, 3, scan=scan_id, group="neuron-1-3", bits="3f80", rank=2),
        ),
        "groups": (group("neuron-1-3", one, two),),
        "effects": (
            effect(f"{scan_id}-alone-1", one, scan=scan_id, delta=delta),
            effect(f"{scan_id}-alone-2", two, scan=scan_id, delta=0.001),
            effect(f"{scan_id}-group", one, two, scan=scan_id, delta=delta + 0.5),
        ),
        "scans": (scan(scan_id, events=(event(1, 2, one),)),),
    }


def none_found_parts(
    model_id: str = MODEL_ID, revision: str | None = REVISION, scan_id: str = "scan-1"
) -> dict[str, Any]:
    """Parts of a version whose scan covered everything and found nothing."""
    return {"model": model(model_id, revision), "scans": (scan(scan_id, Outcome.NONE_FOUND),)}


def failed_parts(
    model_id: str = MODEL_ID,
    revision: str | None = REVISION,
    scan_id: str = "scan-1",
    outcome: Outcome = Outcome.GATED,
) -> dict[str, Any]:
    """Parts of a version whose scan could not be made."""
    return {"model": Model(id=model_id, revision=revision), "scans": (scan(scan_id, outcome),)}


def make(
    parts: dict[str, Any],
    previous: Record | None = None,
    *,
    time: str = TIME,
    submitter: str = "tester",
    **provenance: Any,
) -> Record:
    """Put a version together that follows `previous` (None: the first); `provenance` overrides fields of it.

    Parts may hold `withdrawn`, as for `Index.add`.
    """
    said = {name: part for name, part in parts.items() if name != "withdrawn"}
    chain = {
        "withdrawn": parts.get("withdrawn"),
        "version": previous.provenance.version + 1 if previous else 1,
        "previous": previous.provenance.digest if previous else None,
    }
    return Record.make(**said, provenance={**chain, "time": time, "submitter": submitter, **provenance})


def reported(model_id: str = MODEL_ID, revision: str | None = None, previous: Record | None = None) -> Record:
    """A version that rests on outside claims only."""
    return make(reported_parts(model_id, revision), previous)


def found(
    model_id: str = MODEL_ID,
    revision: str | None = REVISION,
    previous: Record | None = None,
    scan_id: str = "scan-1",
    delta: float = 3.0,
) -> Record:
    """A version with one scan, which confirmed a weight alone and in its group."""
    return make(found_parts(model_id, revision, scan_id, delta), previous)


def none_found(
    model_id: str = MODEL_ID, revision: str | None = REVISION, previous: Record | None = None, scan_id: str = "scan-1"
) -> Record:
    """A version with one scan, which found nothing."""
    return make(none_found_parts(model_id, revision, scan_id), previous)


def failed(
    model_id: str = MODEL_ID,
    revision: str | None = REVISION,
    previous: Record | None = None,
    scan_id: str = "scan-1",
    outcome: Outcome = Outcome.GATED,
) -> Record:
    """A version with one scan, which could not be made."""
    return make(failed_parts(model_id, revision, scan_id, outcome), previous)
