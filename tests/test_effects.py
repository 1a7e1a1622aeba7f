"""What is put in a set's place equals the same done to a plain model, and what a record says of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection import constants as c
from swindex.crawler.detection.ablate import Ablator, apart_of
from swindex.crawler.detection.lockstep import capture, logits
from swindex.crawler.detection.proof import Proof
from swindex.crawler.detection.run import Findings, Options, run
from swindex.crawler.detection.treatments import Trial, scale
from swindex.crawler.detection.weights import Find, Place
from swindex.crawler.parts.effects import interval
from swindex.crawler.parts.whole import assemble
from swindex.crawler.scanning import quiet, scan
from swindex.schema.effect import Effect
from swindex.schema.errors import UsageError
from swindex.schema.record import Record
from swindex.schema.types import Intervention, Outcome, Role, Verdict
from swindex.schema.weight import GroupKind

from .plants import disk, families, trained, treated
from .plants.reference import Spot
from .plants.shared import Scanned, one_thread, options, scanned

__all__ = ["one_thread"]
LOGITS = 5e-6
"""Largest difference of two logits, relative to the largest logit."""
CASES: dict[str, Callable] = {
    "pair-llama": lambda folder: trained.repacked("llama", trained.PAIR, (172, 173), folder),
    "siblings": lambda folder: trained.siblings(4, folder),
    "backup": trained.backup,
    "chain": lambda folder: trained.backup(folder, last=3),
    "two_experts": trained.two_experts,
    "remover": trained.remover,
    "passing": trained.passing,
    **{name: partial(families.make, name) for name in sorted(families.TABLE)},
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """A plant, scanned on four windows."""
    name: str = request.param
    return scanned(name, CASES[name], tmp_path_factory)


def spots(trial: Trial) -> list[Spot]:
    """The members, as the plain model knows them."""
    return [Spot(p.layer, p.expert, p.row, p.col) for p in trial.members]


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over the largest absolute value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


# --- every stream is what it says ---


@pytest.mark.parametrize("kind", ["mean", "class_mean", "restore"])
def test_a_treated_set_gives_the_logits_of_a_plain_model_treated_so(case: Scanned, kind: str) -> None:
    assert case.findings.ablator is not None
    mine = {t: r for t, r in case.findings.ablator.trials.items() if t.treatment.kind == kind}
    assert mine
    for trial, residuals in mine.items():
        theirs = treated.by_layer(case.plant.folder, case.ids, spots(trial), kind)

        assert difference(case.stream_logits(residuals), theirs) <= LOGITS, trial


@pytest.mark.parametrize("name", ["pair-llama", "siblings", "backup", "chain", "passing"])
def test_a_mean_is_that_of_the_products(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = scanned(name, CASES[name], tmp_path_factory)
    assert made.findings.ablator is not None
    for trial, residuals in made.findings.ablator.trials.items():
        if trial.treatment.kind is Intervention.MEAN:
            theirs = treated.by_product(made.plant.folder, made.ids, spots(trial))

            assert difference(made.stream_logits(residuals), theirs) <= LOGITS, trial


ORDINARY = ((1, 67, 172), (1, 5, 20), (1, 67, 21), (2, 67, 30), (2, 9, 20), (4, 5, 40))
"""Scalars whose products are there at every token and differ; channel 67 is massive at `<s>` alone."""


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ablator, Callable[[Tensor], Tensor]]:
    """An ablator that was told these are finds, on three windows, and what gives a residual's logits."""
    state = disk.read(trained.ONE)
    for layer, row, col in ORDINARY[1:]:
        state[trained.DOWN.format(layer)][row, col] = 1.5 + layer
    folder = disk.write(tmp_path_factory.mktemp("ordinary"), disk.config_of(trained.ONE), state)
    model, ids = disk.plain(folder), disk.windows(3, 65)
    layers = model.model.layers
    batch = capture(model, layers, ids)
    ablator, proof = Ablator([batch], controls=0, factors=(0.25,)), Proof(layers, batch, "here")
    for number, layer in enumerate(layers):
        new = [found(*at) for at in ORDINARY if at[0] == number]
        ablator.step(number, layer, proof.sites(number, layer), new)
    return folder, ablator, lambda residual: logits(model, layers, batch, residual, torch.arange(65))


def found(layer: int, row: int, col: int) -> Find:
    """A find at these coordinates."""
    return Find(Place(layer, 0, None, row, col), Role.CREATOR, 0, 0, 1.0, 1.0, 1.0, 1.0, 1)


@pytest.mark.parametrize("kind", ["mean", "class_mean", "restore"])
def test_what_differs_from_token_to_token_is_treated_alike(ordinary, kind: str) -> None:
    folder, ablator, logits_of = ordinary
    mine = {t: r[0] for t, r in ablator.trials.items() if t.treatment.kind == kind}
    assert len(mine) >= 4
    for trial, residual in mine.items():
        theirs = treated.by_layer(folder, disk.windows(3, 65), spots(trial), kind)

        assert difference(logits_of(residual), theirs) <= LOGITS, trial


def test_a_mean_that_differs_is_that_of_the_products_too(ordinary) -> None:
    folder, ablator, logits_of = ordinary
    for trial, (residual,) in ablator.trials.items():
        if trial.treatment.kind is Intervention.MEAN:
            theirs = treated.by_product(folder, disk.windows(3, 65), spots(trial))

            assert difference(logits_of(residual), theirs) <= LOGITS, trial


@pytest.fixture(scope="module")
def swept() -> tuple[LocalCheckpoint, Findings, Record]:
    """stories260k-pair with three factors."""
    quiet()
    checkpoint = LocalCheckpoint(disk.CHECKPOINTS / "stories260k-pair")
    chosen = Options(texts=(str(disk.TEXT),), windows=4, window=101, factors=(0.5, -2.0, 1e38))
    findings = run(checkpoint, chosen)
    return checkpoint, findings, assemble(checkpoint, findings, chosen).record("test")


def test_a_scaled_set_is_the_file_with_scaled_elements(swept, tmp_path) -> None:
    _, _, record = swept
    tensors = disk.read(disk.CHECKPOINTS / "stories260k-pair")
    for factor in (0.5, -2.0):
        copy = {n: t.clone() for n, t in tensors.items()}
        for weight in record.super_weights:
            copy[weight.tensor][weight.index] *= factor
        folder = disk.write(tmp_path / str(factor), disk.config_of(disk.CHECKPOINTS / "stories260k-pair"), copy)
        theirs = disk.plain_nll(disk.plain_logits(disk.plain(folder), disk.windows(4, 101)), disk.windows(4, 101))
        mine = next(e for e in record.effects if e.scale == factor)

        assert mine.nll_after == pytest.approx(theirs, abs=1e-4)
        assert set(mine.weights) == {w.id for w in record.super_weights}


def test_only_everything_together_is_scaled(swept) -> None:
    _, findings, _ = swept
    factors = [t.treatment for t in findings.ablator.trials if t.treatment.kind is Intervention.SCALE]

    assert factors == [scale(0.5), scale(-2.0), scale(1e38)]


def test_a_weight_beyond_float32_is_not_finite_and_decides_nothing(swept) -> None:
    _, _, record = swept
    beyond = next(e for e in record.effects if e.scale == 1e38)

    assert (beyond.finite, beyond.verdict, beyond.nll_after) == (False, Verdict.NON_FINITE, None)
    assert {e.verdict for e in record.effects if e.intervention is Intervention.ZERO} <= {
        Verdict.INERT,
        Verdict.CONFIRMED,
    }


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_factor_must_be_a_number(factor: float) -> None:
    with pytest.raises(UsageError, match="is no factor"):
        Options(factors=(factor,))


# --- which sets ---


def kinds(record: Record, kind: Intervention) -> set[frozenset[str]]:
    """The sets to which something was done."""
    return {frozenset(e.weights) for e in record.effects if e.intervention is kind}


def test_scalars_and_groups_are_averaged_and_only_groups_restored(case: Scanned) -> None:
    groups = {frozenset(g.members) for g in case.record.groups if "without" not in g.id}

    assert kinds(case.record, Intervention.MEAN) == groups | {frozenset([w.id]) for w in case.record.super_weights}
    assert kinds(case.record, Intervention.RESTORE) == kinds(case.record, Intervention.CLASS_MEAN) == groups


# --- known answers ---

FULL = Options(texts=(str(disk.TEXT),), windows=24, window=201)


@pytest.fixture(scope="module")
def one() -> Record:
    """stories260k-one on the windows that its PROVENANCE.md states."""
    return scan(str(disk.CHECKPOINTS / "stories260k-one"), options=FULL)


def effect(record: Record, kind: Intervention) -> Effect:
    """The only effect of a kind."""
    (found,) = [e for e in record.effects if e.intervention is kind]
    return found


def test_the_super_activation_put_back_is_all_that_was_missing(one: Record) -> None:
    # The planted neuron is silent but on `<s>`, and channel J is massive there: what is put back is what was cut.
    restored = effect(one, Intervention.RESTORE)

    assert restored.nll_after == pytest.approx(restored.nll_before, abs=1e-6)
    assert restored.recovery == pytest.approx(1.0, abs=1e-6)
    assert restored.verdict is Verdict.INERT


def test_a_constant_of_one_class_of_tokens_is_its_own_mean(one: Record) -> None:
    averaged = effect(one, Intervention.CLASS_MEAN)

    assert averaged.nll_after == pytest.approx(averaged.nll_before, abs=1e-6)


def test_a_spike_spread_over_all_tokens_does_not_do_its_work(one: Record) -> None:
    # 400 at `<s>` becomes 400 / 201 at every token: as if it were gone.
    assert effect(one, Intervention.MEAN).verdict is Verdict.CONFIRMED


def test_an_overflow_is_never_no_effect_whatever_was_done(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = scanned("explosive", trained.explosive, tmp_path_factory, 4, 201)
    by_kind = {e.intervention: e for e in made.record.effects}

    for kind in (Intervention.ZERO, Intervention.MEAN):
        assert (by_kind[kind].finite, by_kind[kind].verdict) == (False, Verdict.NON_FINITE)
        assert by_kind[kind].delta_nll_ci95 is None
    assert by_kind[Intervention.RESTORE].finite
    assert by_kind[Intervention.RESTORE].recovery is None
    assert made.record.scans[0].outcome is Outcome.FOUND


# --- finds that do not last ---


def test_the_rest_is_measured_where_a_layers_finds_turn_out_transient(tmp_path_factory) -> None:
    made = scanned("passing", trained.passing, tmp_path_factory)
    first, second, passing = (s.id for s in made.plant.scalars[:3])
    (rest,) = [g for g in made.record.groups if "without" in g.id]

    assert (rest.id, rest.kind, rest.members) == ("joint:without:L2", GroupKind.JOINT, (second, first))
    assert {w.id: str(w.role) for w in made.record.super_weights}[passing] == "transient"
    assert made.effect(first, second).verdict is Verdict.CONFIRMED


def test_the_rest_equals_the_file_with_zeros(tmp_path_factory, tmp_path) -> None:
    made = scanned("passing", trained.passing, tmp_path_factory)
    first, second = made.plant.scalars[:2]
    edits = [(s.tensor, s.index) for s in (first, second)]
    zeroed = disk.plain(disk.edited(made.plant.folder, tmp_path / "zeroed", edits))
    expected = disk.plain_nll(disk.plain_logits(zeroed, made.ids), made.ids)

    assert made.effect(first.id, second.id).nll_after == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["pair-llama", "chain", "siblings", "remover"])
def test_no_rest_is_recorded_where_all_finds_last(name: str, tmp_path_factory) -> None:
    made = scanned(name, CASES[name], tmp_path_factory)

    assert [g.id for g in made.record.groups if "without" in g.id] == []


def test_the_rest_of_a_single_layer_is_nothing(tmp_path_factory) -> None:
    made = scanned("siblings", CASES["siblings"], tmp_path_factory)

    assert apart_of(made.findings.peeler.finds.values()) == {}


# --- controls on fewer windows ---


def test_controls_run_on_the_first_window_and_say_so(one: Record) -> None:
    removal = effect(one, Intervention.ZERO)

    assert c.CONTROL_WINDOWS == 1
    assert removal.control is not None
    assert (removal.corpus.tokens, removal.control.tokens) == (24 * 200, 200)


def test_a_control_is_the_file_with_that_zero_on_that_window(one: Record, tmp_path) -> None:
    control = effect(one, Intervention.ZERO).control
    assert control is not None
    ids = disk.windows(1, 201)
    base = disk.plain_nll(disk.plain_logits(disk.plain(disk.CHECKPOINTS / "stories260k-one"), ids), ids)
    deltas = []
    for number, at in enumerate(control.weights):
        edit = (str(at.tensor), (at.row or 0, at.col or 0))
        folder = disk.edited(disk.CHECKPOINTS / "stories260k-one", tmp_path / str(number), [edit])
        deltas.append(disk.plain_nll(disk.plain_logits(disk.plain(folder), ids), ids) - base)

    assert control.worst_delta_nll == pytest.approx(max(deltas), abs=1e-5)
    assert len(control.weights) == c.CONTROLS


# --- the interval ---


def test_too_few_windows_give_no_interval(tmp_path_factory) -> None:
    assert interval((1.0, 2.0, 3.0)) is None
    assert interval(()) is None


def test_equal_windows_have_an_interval_of_no_width() -> None:
    assert interval((0.25,) * 8) == (0.25, 0.25)


def test_an_interval_is_that_of_the_normal_approximation_for_many_windows() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    low, high = interval(tuple((3 + 2 * values).tolist())) or (0.0, 0.0)
    middle, half = float(3 + 2 * values.mean()), 1.96 * float(2 * values.std()) / 20

    assert low == pytest.approx(middle - half, abs=0.1 * half)
    assert high == pytest.approx(middle + half, abs=0.1 * half)


def test_the_record_holds_the_interval_of_its_windows(one: Record) -> None:
    removal = effect(one, Intervention.ZERO)
    assert removal.delta_nll_ci95 is not None

    assert removal.delta_nll_ci95 == interval(removal.delta_nll_windows)
    assert removal.delta_nll_ci95[0] < removal.delta_nll < removal.delta_nll_ci95[1]


def test_four_windows_have_an_interval_and_three_have_none() -> None:
    record = scan(str(disk.CHECKPOINTS / "stories260k-one"), options=options(3, 64))

    assert effect(record, Intervention.ZERO).delta_nll_ci95 is None
    record = scan(str(disk.CHECKPOINTS / "stories260k-one"), options=options(4, 64))
    assert effect(record, Intervention.ZERO).delta_nll_ci95 is not None
