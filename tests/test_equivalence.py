"""One pass of the detector equals loading the whole model, zeroing stored elements, and running it again."""

from functools import partial

import pytest
import torch
from torch import Tensor

from swindex.schema.types import Role

from .plants import disk, families, makers, reference, trained
from .plants.shared import Scanned, one_thread, scanned

__all__ = ["one_thread"]
LOGITS = 5e-6
"""Largest difference of two logits, relative to the largest logit."""
NLL = 1e-4
"""nat per token."""


@pytest.fixture(params=sorted(families.TABLE))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """A family's plant, scanned."""
    name: str = request.param
    return scanned(name, lambda folder: families.make(name, folder), tmp_path_factory)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over the largest absolute value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def edits(scan: Scanned, weights: tuple[str, ...]) -> list[disk.Edit]:
    """The stored elements that a record says these weights are."""
    return [(w.tensor, w.index) for w in scan.record.super_weights if w.id in weights]


def test_layers_one_at_a_time_give_the_logits_of_the_plain_model(family: Scanned) -> None:
    assert family.findings.ablator is not None
    ours = family.stream_logits(family.findings.ablator.baseline)
    theirs = disk.plain_logits(disk.plain(family.plant.folder), family.ids)

    assert difference(ours, theirs) <= LOGITS


def test_a_removed_set_gives_the_logits_of_the_file_with_zeros(family: Scanned, tmp_path_factory) -> None:
    assert family.findings.ablator is not None
    for number, (places, residuals) in enumerate(family.findings.ablator.sets.items()):
        ids = tuple(p.id for p in places)
        zeroed = disk.edited(family.plant.folder, tmp_path_factory.mktemp("zeroed") / str(number), edits(family, ids))
        theirs = disk.plain_logits(disk.plain(zeroed), family.ids)

        assert difference(family.stream_logits(residuals), theirs) <= LOGITS, ids


def test_the_figures_are_those_of_the_plain_models(family: Scanned, tmp_path_factory) -> None:
    base = disk.plain_logits(disk.plain(family.plant.folder), family.ids)
    for number, effect in enumerate(family.removals):
        to = tmp_path_factory.mktemp("zeroed") / str(number)
        zeroed = disk.edited(family.plant.folder, to, edits(family, effect.weights))
        changed = disk.plain_logits(disk.plain(zeroed), family.ids)

        assert effect.nll_before == pytest.approx(disk.plain_nll(base, family.ids), abs=NLL)
        assert effect.nll_after == pytest.approx(disk.plain_nll(changed, family.ids), abs=NLL)
        assert effect.kl == pytest.approx(disk.plain_kl(base, changed), abs=NLL)
        assert effect.top1_agreement == pytest.approx(disk.plain_top1(base, changed), abs=2 / family.ids.numel())


def test_one_pass_finds_what_removing_and_running_again_finds(family: Scanned) -> None:
    peeler = family.findings.peeler
    expected = reference.rounds(family.plant.folder, peeler.batch.ids, most=1 if peeler.post_norm else 10)
    found = {(f.round, *_spot(f.place), str(f.role)) for f in peeler.finds.values()}

    assert found == {(n, *spot, role) for n, spots in enumerate(expected) for spot, role in spots.items()}


def _spot(place) -> tuple[int, int | None, int, int]:
    return (place.layer, place.expert, place.row, place.col)


CASES = {
    "pair-llama": lambda folder: trained.repacked("llama", trained.PAIR, (172, 173), folder),
    "siblings": lambda folder: trained.siblings(4, folder),
    "backup": trained.backup,
    "chain": lambda folder: trained.backup(folder, last=3),
    "chain of seven": partial(makers.chain, 6),
    "most of a write": partial(makers.mostly, 0.7),
    "two_experts": trained.two_experts,
    "remover": trained.remover,
    "transient": trained.transient,
}


@pytest.mark.parametrize("case", CASES)
def test_the_trained_plants_too(case: str, tmp_path_factory) -> None:
    scan = scanned(case, CASES[case], tmp_path_factory)
    expected = reference.rounds(scan.plant.folder, scan.findings.peeler.batch.ids)
    found = {(f.round, *_spot(f.place), str(f.role)) for f in scan.findings.peeler.finds.values()}

    assert found == {(n, *spot, role) for n, spots in enumerate(expected) for spot, role in spots.items()}


# --- invariance ---


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """stories260k-pair as it is."""
    return scanned("pair-llama", CASES["pair-llama"], tmp_path_factory, windows=24, window=201)


def figures(scan: Scanned) -> dict[str, tuple[float | None, ...]]:
    """Per find what must not depend on how a neuron is scaled."""
    return {w.id: (w.activation_out, w.share, w.coherence) for w in scan.record.super_weights}


@pytest.mark.parametrize("factor", [3.0, -0.125])
def test_scaling_a_neuron_against_its_column_changes_no_find_and_no_share(pair, factor, tmp_path_factory) -> None:
    other = scanned(f"x{factor}", lambda folder: trained.rescaled(folder, 172, factor), tmp_path_factory)

    assert list(figures(other)) == list(figures(pair))
    for weight, expected in figures(pair).items():
        assert figures(other)[weight] == pytest.approx(expected, rel=1e-6)


def test_reordering_the_channels_reorders_the_finds(pair: Scanned, tmp_path_factory) -> None:
    order = torch.randperm(72, generator=torch.Generator().manual_seed(3))
    other = scanned("permuted", lambda folder: trained.permuted(folder, order), tmp_path_factory, 24, 201)
    row = int((order == trained.J).nonzero())

    assert [(w.layer, w.row, w.col, w.role) for w in other.record.super_weights] == [
        (1, row, col, Role.CREATOR) for col in (172, 173)
    ]
    for mine, theirs in zip(other.record.super_weights, pair.record.super_weights, strict=True):
        assert mine.share == pytest.approx(theirs.share, rel=1e-6)
    for mine, theirs in zip(other.removals, pair.removals, strict=True):
        assert mine.nll_after == pytest.approx(theirs.nll_after, abs=NLL)
