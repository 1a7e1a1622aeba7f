"""Why the status of a record is what it is: the rule of `schema.status` that decided, and what it was given, in words.

Concludes nothing: it reads the derived status and names the inputs by the functions that the rule itself uses.
"""

import math
from collections.abc import Sequence

from ..schema import rules
from ..schema.conflicts import origins, rivals
from ..schema.observation import Stance
from ..schema.record import Record
from ..schema.status import INCOMPLETE_RATIO, GroupStatus, WeightStatus
from ..schema.types import Basis, Location, Verdict
from ..schema.verdicts import Verdicts, reported_delta_nll
from ..schema.weight import SuperWeight

_MEASURED = (
    f"confirmed from {rules.CONFIRMED_NLL:g} nat per token and {rules.CONFIRMED_CONTROL:g} times the worst control, "
    f"partial from {rules.PARTIAL_NLL:g} nat and {rules.PARTIAL_CONTROL:g} times it"
)
_REPORTED = (
    f"without a control: confirmed from {rules.CONFIRMED_NLL:g} nat per token, partial from {rules.PARTIAL_NLL:g}"
)


class Reasons:
    """Gives the reasons for the parts of one record's status."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._verdicts = Verdicts(record.effects, record.observations)
        self._by_id = {s.weight: s for s in record.status.weights}

    # --- location ---

    def location(self, weight: SuperWeight) -> str:
        """Why its location is confirmed, reported, disputed or refuted."""
        status = self._by_id[weight.id]
        if status.location is Location.CONFIRMED:
            return f"scan {str(weight.scan)[:12]} of ours found it"
        said = [self._claimed(status), *self._denied(weight.id)]
        if status.location is Location.REFUTED:
            said.append(f"removing it does nothing, alone ({status.alone}) and together ({status.grouped})")
        if status.location is Location.DISPUTED:
            said += [*self._rivals(weight), *self._not_refuted(weight, status)]
        return "; ".join(said)

    def _claimed(self, status: WeightStatus) -> str:
        claims = f"claimed by {', '.join(status.origins)}" if status.origins else "claimed by nobody"
        back = set(self._who(status.weight, Stance.DENIES)) & self._ever(status.weight)
        return f"{claims}{f' ({_and(sorted(back))} denies its own claim, which is withdrawn so)' if back else ''}"

    def _ever(self, weight: str) -> set[str]:
        found = (o for o in self._record.observations if o.stance is Stance.CLAIMS and weight in o.weights)
        return {o.source.origin for o in found}

    def _who(self, weight: str, stance: Stance) -> tuple[str, ...]:
        return origins(weight, stance, self._record.observations)

    def _denied(self, weight: str) -> list[str]:
        denies = self._who(weight, Stance.DENIES)
        return [f"denied by {_and(denies)}" if denies else "denied by nobody"]

    def _rivals(self, weight: SuperWeight) -> list[str]:
        """The same row and column in other layers, as far as they count."""
        others = [r for r in rivals(weight, self._record.super_weights) if r.scan is None]
        standing = [r for r in others if self._by_id[r.id].location is not Location.REFUTED]
        return [f"the same row and column is named in {_and([r.id for r in standing])}"] if standing else []

    def _not_refuted(self, weight: SuperWeight, status: WeightStatus) -> list[str]:
        """What keeps a scalar that somebody denies from being refuted."""
        if not self._who(weight.id, Stance.DENIES):
            return []
        if len(status.origins) > 1:
            return ["not refuted, as more than one origin claims it"]
        if status.alone is not Verdict.INERT:
            return [f"not refuted, as removing it was not shown to do nothing (alone: {status.alone})"]
        return [f"not refuted, as it does something in {status.grouped_in} ({status.grouped})"]

    # --- effect ---

    def alone(self, status: WeightStatus) -> str:
        """Why removing a scalar alone has this verdict."""
        return self._verdict([status.weight], status.alone_basis)

    def group(self, status: GroupStatus, members: Sequence[str]) -> str:
        """Why removing a set has this verdict, and what seems to be missing from it."""
        why = self._verdict(members, status.basis)
        more = f"; sets that hold it and {_and(status.missing)} do clearly more (over x{INCOMPLETE_RATIO:g})"
        return why + (more if status.missing else "")

    def grouped(self, status: WeightStatus) -> str:
        """Why a scalar has this verdict together with others."""
        if status.grouped_in is None:
            return "in no set of more than one"
        members = next(g.members for g in self._record.groups if g.id == status.grouped_in)
        verdict = next(g.verdict for g in self._record.status.groups if g.group == status.grouped_in)
        gain = self._verdicts.gain(members, status.weight)
        adds = "what it adds to the rest is not known" if gain is None else f"it adds {_nat(gain)} to the rest"
        least = f"inert up to {math.log(INCOMPLETE_RATIO):.3f} unless it does something alone"
        return f"the strongest of its sets is {status.grouped_in} ({verdict}), where {adds} ({least})"

    def _verdict(self, members: Sequence[str], basis: Basis | None) -> str:
        if basis is Basis.MEASURED:
            return self._measured(members)
        if basis is Basis.REPORTED:
            return self._reported(members)
        return "nobody's figures are for removing exactly this"

    def _measured(self, members: Sequence[str]) -> str:
        effects = self._verdicts.deciding(frozenset(members))
        told = [f"{_nat(e.delta_nll)} on {e.corpus.name}, {_control(e.control)}: {e.verdict}" for e in effects]
        return f"measured by us: {'; '.join(told)}; the weakest counts ({_MEASURED})"

    def _reported(self, members: Sequence[str]) -> str:
        found = self._verdicts.reported[frozenset(members)]
        told = [f"{o.source.origin} {_nat(reported_delta_nll(o))}: {v}" for v, o in found]
        return f"by sources' figures: {'; '.join(told)}; the weakest counts ({_REPORTED})"


def _nat(delta: float | None) -> str:
    return "not finite" if delta is None or math.isinf(delta) else f"{delta:+.4g} nat"


def _control(control: object) -> str:
    if control is None:
        return "no control"
    worst = getattr(control, "worst_delta_nll", None)
    return f"worst control {_nat(worst)}"


def _and(names: Sequence[str]) -> str:
    return ", ".join(names)
