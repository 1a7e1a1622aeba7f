"""All parts of a record from a detector's findings."""

from ...schema.scan import Scan
from ...schema.weight import Group
from ..checkpoint.base import Checkpoint
from ..detection.ablate import groups_of, settled
from ..detection.run import Findings, Options
from .effects import STARTLESS, effects_of, group_kind, ids_of
from .result import Result, cost_of, libraries, now, scan_id_of
from .scan import events_of, experts_of, fits_float16, gains_of, model_of, outcome_of, profile_of, settings_of
from .weights import weight_of


def assemble(checkpoint: Checkpoint, findings: Findings, options: Options) -> Result:
    """The parts of a record."""
    settings = settings_of(findings, options)
    base, relation = checkpoint.base_model
    model = model_of(checkpoint, findings.skeleton, base, relation)
    profile = profile_of(findings)
    scan_id = scan_id_of(model, settings, profile)
    finds = list(findings.peeler.finds.values())
    groups = groups_of(finds) | settled(finds, findings.peeler.layers)
    effects = tuple(effects_of(findings, scan_id, groups))
    if findings.startless is not None:
        effects += tuple(effects_of(findings.startless, scan_id, groups, STARTLESS))
    weights = tuple(weight_of(checkpoint, findings, f, groups, scan_id) for f in finds)
    scan = Scan(
        id=scan_id,
        outcome=outcome_of(finds, effects, options, converged=findings.peeler.converged),
        revision=checkpoint.revision,
        settings=settings,
        time=now(),
        device=options.device,
        libraries=libraries(),
        layers=len(findings.skeleton.layers),
        layers_covered=tuple(p.layer for p in profile),
        **experts_of(findings),
        profile=profile,
        events=tuple(events_of(findings)),
        norm_gains=tuple(gains_of(findings)),
        rounds=len(findings.peeler.streams) - 1,
        converged=findings.peeler.converged,
        fits_float16=fits_float16(profile),
        cost=cost_of(checkpoint, findings.seconds),
    )
    group_parts = tuple(Group(id=n, kind=group_kind(n), members=ids_of(s)) for n, s in groups.items())
    return Result(model, scan, weights, group_parts, effects)
