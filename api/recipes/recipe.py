"""A recipe: a record, a tool, and maybe the checkpoint that is to be quantized, joined into a file and what it says.

Knows records and the other modules here; writes nothing and prints nothing.
"""

from dataclasses import dataclass
from typing import Any

from ... import __version__
from ...crawler.checkpoint.base import Checkpoint
from ...index.errors import StoreError
from ...schema.observation import Stance
from ...schema.record import Record
from ..page import clean
from ..paste import short
from ..standing import why_none
from . import cost as costs
from .comment import lines
from .cost import Cost
from .kept import Chosen, Kept, chosen
from .names import names_of
from .schemes import Scheme
from .table import Plan, Tool
from .transforms import remarks

Json = dict[str, Any]
_HEADS = (("gpt_neox.", "embed_out"), ("gpt_neox_japanese.", "embed_out"))
"""What a tensor's name begins with, and what such models call their output head."""
_GGUF_TYPES = {"bfloat16": "bf16"}


class NothingKnown(StoreError):
    """A model of which the index knows neither super weights nor that there are none."""

    exit_status = 1


@dataclass(frozen=True)
class Recipe:
    """What a tool is to be given; without a text where there is nothing to protect."""

    model: str
    tool: Tool
    scheme: Scheme
    units: tuple[str, ...]
    cost: Cost
    comment: tuple[str, ...]
    source: Json
    text: str | None

    def as_json(self) -> Json:
        """Plain data: model, tool, scheme, units, bits per weight, comment, source, text."""
        figures = {name: _number(getattr(self.cost, name)) for name in ("without", "protected", "added")}
        counts = {"weights": self.cost.weights, "kept": self.cost.kept, "unknown": self.cost.unknown}
        return {
            "model": self.model,
            "tool": self.tool.name,
            "scheme": self.scheme.name,
            "units": list(self.units),
            "bits_per_weight": {**figures, **counts},
            "comment": list(self.comment),
            "source": self.source,
            "text": self.text,
        }


def recipe(
    record: Record, tool: Tool, scheme: Scheme, model: str | None = None, checkpoint: Checkpoint | None = None
) -> Recipe:
    """The recipe for a model from a record of its own, or of its base.

    `checkpoint` is what is to be quantized: the scalars are looked for in it, and all bits counted. Raise Transformed
    where they are not there, NothingKnown, UnnamedTensor, or a Refusal where it cannot be read.
    """
    asked, found = model or record.model.id, chosen(record)
    source = source_of(record)
    if not found.kept:
        return Recipe(
            asked, tool, scheme, (), costs.unknown("nothing is kept"), (_nothing(record, found),), source, None
        )
    seen = remarks(record, found.kept, checkpoint) if checkpoint else []
    architecture = _architecture(record, checkpoint)
    names = [names_of(k.tensor, k.expert, architecture) for k in found.kept]
    units = tuple(dict.fromkeys(tool.unit_of(n) for n in names))
    cost = _cost(record, found.kept, tool, scheme, architecture, checkpoint)
    fused = any(n.is_expert for n in names)
    comment = tuple(clean(line) for line in lines(asked, record, found, tool, units, cost, seen, fused))
    head = next((head for begins, head in _HEADS if found.kept[0].tensor.startswith(begins)), "lm_head")
    plan = Plan(units, scheme, head, fused, _gguf_type(found.kept, checkpoint), comment, source)
    return Recipe(asked, tool, scheme, units, cost, comment, source, tool.write(plan))


def source_of(record: Record) -> Json:
    """Where it comes from: which record of which model, and who wrote it out."""
    told = record.provenance
    return {
        "record_of": record.model.id,
        "revision": record.model.revision,
        "record_version": told.version,
        "record_digest": told.digest,
        "swindex": __version__,
    }


def _cost(
    record: Record, kept: tuple[Kept, ...], tool: Tool, scheme: Scheme, architecture: str | None, at: Checkpoint | None
) -> Cost:
    if at is None:
        return costs.of_record(kept, tool, scheme, record.model.parameters)
    return costs.of_checkpoint(at, kept, tool, scheme, architecture)


def _architecture(record: Record, checkpoint: Checkpoint | None) -> str | None:
    named = checkpoint.config.get("architectures") if checkpoint else None
    return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else record.model.architecture


def _gguf_type(kept: tuple[Kept, ...], checkpoint: Checkpoint | None) -> str:
    """What holds the stored values: bfloat16 as it is, all else as float16."""
    stored = checkpoint.tensors if checkpoint else {}
    dtypes = {stored[k.tensor].dtype if k.tensor in stored else k.dtype for k in kept}
    return _GGUF_TYPES.get(dtypes.pop() or "", "f16") if len(dtypes) == 1 else "f16"


def _nothing(record: Record, found: Chosen) -> str:
    """That there is nothing to protect, on whose word; raise NothingKnown where nobody says so."""
    model, outcome = record.model.id, record.status.outcome
    denied = any(o.stance is Stance.DENIES for o in record.observations)
    why = why_none(outcome, found.left_out, denied)
    if why is None:
        what = f"{model}: no super weight is on record ({outcome}), which does not mean that there is none"
        raise NothingKnown(f"{what}{_unnamed(record)}; to look: swindex scan {model}")
    return clean(f"{model}: nothing to protect: {why}.")


def _unnamed(record: Record) -> str:
    """What sources claim without saying in which tensor."""
    claims = (o for o in record.observations if o.stance is Stance.CLAIMS)
    places = dict.fromkeys(short(t.model_dump()) for o in claims for t in o.targets if not t.tensor)
    return f"; claimed without the name of a tensor: {', '.join(places)}" if places else ""


def _number(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]
