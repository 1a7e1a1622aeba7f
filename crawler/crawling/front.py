"""What a caller asks of a crawl before it runs: the policy with what was said on the command line, and the plan."""

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ...index.store import Index
from ..checkpoint.hub import HubCheckpoint
from ..refusal import Refusal
from .child import token
from .decide import Decision, judge, record_of
from .plan import ASSUMED_RATE, Plan, index_rate
from .plan import plan as plan_listing
from .policy import DEFAULT, Policy
from .row import Row
from .state import State
from .supply import check_names


def policy_of(path: Path | None = None, **sections: dict[str, Any]) -> Policy:
    """The policy in a file (None: the shipped one) with other values in its sections; raise UsageError."""
    return Policy.read(path or DEFAULT).but(**sections)


def plan(models: list[str], *, index: Path, policy: Policy | None = None, api: HfApi | None = None) -> Plan:
    """What `crawl` would do; reads the listing (and, for named models, what the Hub says of each), and no weights."""
    check_names(models)
    policy, api = policy or Policy.read(), api or HfApi(token=token())
    store = None if Index(index).vacant else Index(index)
    with State.read(store) as state:
        if not models:
            return plan_listing(policy, state, store, api=api)
        rate = state.rate() or index_rate(store)
    made = Plan(rate or ASSUMED_RATE, rate is not None, policy.workers.count)
    for text in dict.fromkeys(models):
        made.add(_decision(text, store, policy, api))
    return made


def _decision(text: str, store: Index | None, policy: Policy, api: HfApi) -> Decision:
    """What becomes of a named model, which the Hub is asked about."""
    model_id, _, revision = text.partition("@")
    try:
        checkpoint = HubCheckpoint(model_id, revision or None, api)
    except Refusal as refusal:
        return Decision(Row(model_id, refusal.revision or ""), "skip", refusal.outcome, str(refusal))
    return decision_on(checkpoint, size_of(checkpoint), store, policy)


def decision_on(checkpoint: HubCheckpoint, size: int | None, store: Index | None, policy: Policy) -> Decision:
    """What becomes of a model of `size` bytes at the commit that is open."""
    row, most = Row(checkpoint.model_id, str(checkpoint.revision), size), policy.models.max_bytes
    if most is not None and row.size is not None and row.size > most:
        return Decision(row, "skip", "too large", f"{row.size} bytes, more than --max-bytes {most}")
    return Decision(row, *judge(record_of(store, row.model_id), row.revision, store, policy))


def size_of(checkpoint: HubCheckpoint, otherwise: int | None = None) -> int | None:
    """Bytes of the weight files; `otherwise` where they cannot be told."""
    try:
        return sum(checkpoint.entries[f].size for f in checkpoint.weight_files)
    except Refusal:
        return otherwise
