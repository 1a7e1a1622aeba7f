"""What a crawl wants: a TOML file that a curator edits, read strictly, and the rules that leave a listed model out.

A key that is not known, or a value that cannot be meant, is one line that names the file and the key. What is not said
is as `default_policy.toml` says. Knows rows, not pages; asks nobody.
"""

import json
import re
import tomllib
from collections.abc import Callable
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...schema.errors import UsageError
from ...schema.model import Relation
from ..refusal import one_line
from .row import Row

SORTS = ("created_at", "downloads", "last_modified", "likes", "trending_score")
"""What the Hub sorts by."""
DEFAULT = Path(__file__).with_name("default_policy.toml")
MAX_FILE = 10_000_000

_RANGE = re.compile(r"(min:{0}(,max:{0})?|max:{0}(,min:{0})?)".format(r"\d{1,15}(\.\d{1,6})?[KMBT]?"))

_GLOB = re.compile(r"[*?\[]")


def _sort(value: str) -> str:
    if value not in SORTS:
        raise ValueError(f"{value!r}: the Hub sorts by {', '.join(SORTS)}")
    return value


def _range(value: str) -> str:
    if not _RANGE.fullmatch(value):
        raise ValueError(f"{value!r} is not a range as min:1B,max:14B")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


Said = Annotated[str, Field(min_length=1, max_length=500)]
Positive = Annotated[int, Field(ge=1, le=(1 << 53) - 1)]


class Listing(_Section):
    """What to ask the Hub's listing for, in the Hub's own words."""

    filters: tuple[Said, ...] = ("safetensors",)
    pipeline_tag: str | None = "text-generation"
    """Empty: models of every task."""
    sort: Annotated[str, AfterValidator(_sort)] | None = "downloads"
    num_parameters: Annotated[str, AfterValidator(_range)] | None = None
    author: Said | None = None
    search: Said | None = None
    limit: Positive | None = None


class Models(_Section):
    """Which of the listed models to leave out. A name is `org`, `org/name`, or either with * and ?."""

    max_bytes: Positive | None = None
    gated: bool = True
    allow: tuple[Said, ...] = ()
    deny: tuple[Said, ...] = ()
    leave_relations: tuple[Relation, ...] = (Relation.ADAPTER, Relation.QUANTIZED)
    leave_tags: tuple[Said, ...] = ("gguf", "peft", "lora")
    leave_architectures: tuple[Said, ...] = ()
    retry_failed: bool = False

    @cached_property
    def allowed(self) -> "Names":
        """The only models to take, if any are given."""
        return Names(self.allow)

    @cached_property
    def denied(self) -> "Names":
        """The models not to take."""
        return Names(self.deny)

    @cached_property
    def architectures(self) -> re.Pattern[str]:
        """The lower-case architectures that are left out."""
        return _any(self.leave_architectures)


class FineTunes(_Section):
    """What to do with a fine-tune whose base model has a record; `enough`: see that the weights survive, no scan."""

    survival: Literal["enough", "then_scan", "off"] = "then_scan"
    max_relative_drift: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of a recorded scalar, against the base model's; beyond it the model is scanned."""


class Workers(_Section):
    """How many scans at a time, and what one may take."""

    count: Annotated[int, Field(ge=1, le=1024)] = 1
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    minutes: Annotated[float, Field(gt=0)] = 240.0
    """For one model."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the Hub's rate limit, where several machines ask with one token."""


class Budget(_Section):
    """What one run may spend; it stops in order when one of these is spent."""

    requests: Positive | None = None
    bytes: Positive | None = None
    hours: Annotated[float, Field(gt=0)] | None = None


class BreakerRule(_Section):
    """When a run stops because its results change too much at once."""

    least: Annotated[int, Field(ge=1, le=100_000)] = 3
    """Losses below which nothing is concluded."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Part of the models known to have super weights that may be lost."""
    outage: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Failures in a row that may pass: the Hub or the network is down."""


class Policy(_Section):
    """Everything that a curator decides about a crawl."""

    listing: Listing = Listing()
    models: Models = Models()
    fine_tunes: FineTunes = FineTunes()
    workers: Workers = Workers()
    budget: Budget = Budget()
    breaker: BreakerRule = BreakerRule()

    @classmethod
    def read(cls, path: Path = DEFAULT) -> Self:
        """Read a policy file; raise UsageError in one line that names the file and the key."""
        try:
            text = path.read_bytes()[: MAX_FILE + 1].decode("utf-8")
            data = tomllib.loads(text)
        except OSError as error:
            raise UsageError(f"{path}: the policy cannot be read: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise UsageError(one_line(f"{path}: the policy is not TOML: {error}")) from None
        return _checked(cls, data, str(path))

    def but(self, **sections: dict[str, Any]) -> Self:
        """The same with other values, as `but(listing={"author": "org"})`; None leaves a value; raise UsageError."""
        data = self.model_dump(mode="json")
        for name, values in sections.items():
            data[name] |= {key: value for key, value in values.items() if value is not None}
        return _checked(type(self), data, "options")

    def rule_against(self, row: Row) -> tuple[str, str] | None:
        """The first rule that leaves a model out (its name, of which there are few), and the reason in full."""
        for name, rule in RULES:
            reason = rule(self.models, row)
            if reason is not None:
                return name, reason
        return None


P = TypeVar("P", bound=Policy)


# --- rules ---


def _disabled(models: Models, row: Row) -> str | None:
    return "disabled by the Hub" if row.disabled else None


def _gated(models: Models, row: Row) -> str | None:
    return "gated, and the policy leaves gated models out" if row.gated and not models.gated else None


def _denied(models: Models, row: Row) -> str | None:
    return "its name is on the policy's deny list" if row.model_id in models.denied else None


def _not_allowed(models: Models, row: Row) -> str | None:
    outside = models.allow and row.model_id not in models.allowed
    return "its name is not on the policy's allow list" if outside else None


def _relation(models: Models, row: Row) -> str | None:
    left = row.relation is not None and row.relation in models.leave_relations
    return f"the policy leaves out what is {row.relation} from another model" if left else None


def _tag(models: Models, row: Row) -> str | None:
    found = next((t for t in models.leave_tags if t in row.tags or t == row.library), None)
    return f"the policy leaves out models with the tag {found}" if found else None


def _architecture(models: Models, row: Row) -> str | None:
    left = models.leave_architectures and row.architecture and models.architectures.match(row.architecture.lower())
    return f"the policy leaves out the architecture {row.architecture}" if left else None


def _size(models: Models, row: Row) -> str | None:
    if models.max_bytes is None or row.size is None or row.size <= models.max_bytes:
        return None
    return f"{row.size} bytes, more than --max-bytes {models.max_bytes}"


RULES: tuple[tuple[str, Callable[[Models, Row], str | None]], ...] = (
    ("disabled", _disabled),
    ("denied", _denied),
    ("not allowed", _not_allowed),
    ("gated", _gated),
    ("relation", _relation),
    ("tag", _tag),
    ("architecture", _architecture),
    ("too large", _size),
)
"""The name under which a rule is counted, and the rule; the first that gives a reason decides."""


# --- names ---


class Names:
    """Models by name, without regard to case: `org`, `org/name`, or either with * and ?; any number of plain ones."""

    def __init__(self, given: tuple[str, ...]) -> None:
        lower = [g.lower() for g in given]
        self._plain = frozenset(g for g in lower if not _GLOB.search(g))
        self._globs = _any(tuple(g if "/" in g else f"{g}/*" for g in lower if _GLOB.search(g)))

    def __contains__(self, model_id: str) -> bool:
        name = model_id.lower()
        plain = name in self._plain or name.partition("/")[0] in self._plain
        return plain or self._globs.match(name) is not None


def _any(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(g.lower()) for g in globs) or r"(?!)")


# --- reading ---


def _checked(kind: type[P], data: Any, where: str) -> P:
    try:
        return kind.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise UsageError(one_line(f"{where}: {_said(kind, error)}")) from None


def _said(kind: type[Policy], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    section, *inside = [str(part) for part in first["loc"]]
    key = f"[{section}] {'.'.join(inside)}".rstrip()
    if first["type"] == "extra_forbidden":
        known: Any = kind.model_fields[section].annotation if inside else kind
        return f"{key}: no such key; there are {', '.join(known.model_fields)}"
    return f"{key}: {first['msg'].removeprefix('Value error, ')}"
