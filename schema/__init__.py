"""The record: pydantic models, the rules that make one valid, its JSON Schema. Imports nothing of swindex else.

Names are loaded on first use, so importing this package does not import pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .canonical import canonical_bytes as canonical_bytes
    from .canonical import digest_of as digest_of
    from .canonical import strict_loads as strict_loads
    from .decision import Decision as Decision
    from .decision import DecisionKind as DecisionKind
    from .decision import Settled as Settled
    from .decision import claim_id as claim_id
    from .effect import Control as Control
    from .effect import Corpus as Corpus
    from .effect import Effect as Effect
    from .errors import JsonError as JsonError
    from .errors import RecordError as RecordError
    from .errors import SwindexError as SwindexError
    from .errors import UsageError as UsageError
    from .model import Integrity as Integrity
    from .model import Model as Model
    from .model import Relation as Relation
    from .model import WeightFile as WeightFile
    from .observation import Granularity as Granularity
    from .observation import Metric as Metric
    from .observation import Observation as Observation
    from .observation import Remark as Remark
    from .observation import Source as Source
    from .observation import Stance as Stance
    from .record import Provenance as Provenance
    from .record import Record as Record
    from .record import Withdrawn as Withdrawn
    from .scan import Cost as Cost
    from .scan import Event as Event
    from .scan import LayerProfile as LayerProfile
    from .scan import Prompt as Prompt
    from .scan import Scan as Scan
    from .scan import Settings as Settings
    from .scan import SharedFrom as SharedFrom
    from .status import Status as Status
    from .survival import Fate as Fate
    from .survival import Survival as Survival
    from .survival import Survivor as Survivor
    from .types import Intervention as Intervention
    from .types import Outcome as Outcome
    from .types import Role as Role
    from .types import Verdict as Verdict
    from .types import weight_id as weight_id
    from .weight import Coordinates as Coordinates
    from .weight import Group as Group
    from .weight import GroupKind as GroupKind
    from .weight import SuperWeight as SuperWeight
    from .weight import Token as Token

_WHERE = {
    "canonical": ("canonical_bytes", "digest_of", "strict_loads"),
    "decision": ("Decision", "DecisionKind", "Settled", "claim_id"),
    "effect": ("Control", "Corpus", "Effect"),
    "errors": ("JsonError", "RecordError", "SwindexError", "UsageError"),
    "model": ("Integrity", "Model", "Relation", "WeightFile"),
    "observation": ("Granularity", "Metric", "Observation", "Remark", "Source", "Stance"),
    "record": ("Provenance", "Record", "Withdrawn"),
    "scan": ("Cost", "Event", "LayerProfile", "Prompt", "Scan", "Settings", "SharedFrom"),
    "status": ("Status",),
    "survival": ("Fate", "Survival", "Survivor"),
    "types": ("Intervention", "Outcome", "Role", "Verdict", "weight_id"),
    "weight": ("Coordinates", "Group", "GroupKind", "SuperWeight", "Token"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
