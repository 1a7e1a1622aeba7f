"""What the detector's parts do, one fact at a time, and how each kind of spike is labelled."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import AutoTokenizer

from swindex.crawler.architectures.prove import Prover
from swindex.crawler.architectures.sites import Projection, Site, watching
from swindex.crawler.architectures.watch import Layout
from swindex.crawler.detection import constants as c
from swindex.crawler.detection.ablate import Ablator, groups_of
from swindex.crawler.detection.attribution import Explained, explain
from swindex.crawler.detection.corpora import Corpus, read_corpus, shipped_corpora
from swindex.crawler.detection.lockstep import Batch
from swindex.crawler.detection.massive import Change, changes, kappa, massive
from swindex.crawler.detection.run import Options
from swindex.crawler.detection.tokens import Tokens, load_tokenizer
from swindex.crawler.detection.weights import Find, Place, removed
from swindex.crawler.refusal import Refusal
from swindex.crawler.scanning import scan
from swindex.schema.record import Record
from swindex.schema.scan import Event
from swindex.schema.types import Outcome, Role, Verdict

from .plants import Plant, disk, families, trained
from .plants.shared import Scanned, one_thread, options, scanned

__all__ = ["one_thread"]

# --- massive channels ---


def residual(width: int, **channels: float) -> torch.Tensor:
    """One residual (1, D): ones, but for the channels named c<number>."""
    h = torch.ones(1, width)
    for name, value in channels.items():
        h[0, int(name[1:])] = value
    return h


def admitted(h: torch.Tensor) -> set[int]:
    """Massive channels of a single residual."""
    return set(massive(h)[0].nonzero().flatten().tolist())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, set()),
        ({"c3": 300.0}, {3}),
        ({"c3": 300.0, "c7": -275.0}, {3, 7}),
        ({"c788": 300.5, "c1384": -274.8, "c4062": -272.8}, {788, 1384, 4062}),
        ({"c525": -1800.0, "c1693": 1435.0, "c1113": -1263.0}, {525, 1693, 1113}),
        ({"c400": 300.0, "c698": -300.0, "c1159": 300.0, "c2029": -300.0}, {400, 698, 1159, 2029}),
    ],
)
def test_near_equal_siblings_are_all_massive(values: dict[str, float], expected: set[int]) -> None:
    assert admitted(residual(4096, **values)) == expected


def test_a_channel_just_at_the_energy_of_all_weaker_ones_is_massive() -> None:
    assert admitted(residual(101, c0=10.0)) == {0}
    assert admitted(residual(101, c0=9.99)) == set()


def test_no_more_than_sixteen_channels_are_massive() -> None:
    h = torch.full((1, 64), 1e-6)
    h[0, :17] = 100.0

    assert admitted(h) == set()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([48, 128, 768, 2048]), st.floats(1e-3, 1e4))
def test_noise_has_no_massive_channel(seed: int, width: int, scale: float) -> None:
    noise = scale * torch.randn(16, width, generator=torch.Generator().manual_seed(seed))

    assert not massive(noise).any()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_scale_does_not_matter(seed: int, scale: float) -> None:
    h = torch.randn(4, 64, generator=torch.Generator().manual_seed(seed))
    h[:, 5] *= 40

    assert torch.equal(massive(h), massive(scale * h))


def test_a_residual_that_is_not_finite_has_no_massive_channel() -> None:
    assert admitted(residual(64, c1=math.inf)) == set()
    assert admitted(residual(64, c1=math.nan)) == set()


def test_zeros_have_no_massive_channel() -> None:
    assert admitted(torch.zeros(1, 64)) == set()


def test_kappa_is_the_energy_over_that_of_all_weaker_channels() -> None:
    h = residual(101, c7=30.0, c8=-20.0)[0]

    assert kappa(h, 8) == pytest.approx(400 / 99)
    assert kappa(h, 7) == pytest.approx(900 / 499)


# --- events ---


def one_change(before: float, after: float) -> list[tuple[Role, float, float]]:
    """What is said of channel 3 that goes from `before` to `after` while nothing else moves."""
    found = changes(residual(64, c3=before), residual(64, c3=after))
    return [(e.role, e.before, e.after) for e in found]


@pytest.mark.parametrize(
    ("before", "after", "role"),
    [
        (0.0, 300.0, Role.CREATOR),
        (-5.0, -300.0, Role.CREATOR),
        (149.0, 300.0, Role.CREATOR),
        (150.0, 300.0, Role.AMPLIFIER),
        (240.0, 300.0, Role.AMPLIFIER),
        (704.0, 896.0, Role.AMPLIFIER),  # OLMo-7B layer 7: 192 of 896
        (928.0, 472.0, Role.REMOVER),  # OLMo-7B layer 30
        (300.0, 210.0, Role.REMOVER),
        (300.0, 0.0, Role.REMOVER),
    ],
)
def test_the_role_follows_from_what_was_there_before(before: float, after: float, role: Role) -> None:
    assert one_change(before, after) == [(role, before, after)]


@pytest.mark.parametrize(("before", "after"), [(300.0, 300.0), (241.0, 300.0), (300.0, 211.0), (0.0, 5.0)])
def test_a_small_change_is_no_event(before: float, after: float) -> None:
    assert one_change(before, after) == []


def test_a_change_of_sign_is_a_removal_and_an_event_of_the_new_value() -> None:
    assert sorted(r for r, _, _ in one_change(300.0, -200.0)) == [Role.AMPLIFIER, Role.REMOVER]
    assert sorted(r for r, _, _ in one_change(300.0, -700.0)) == [Role.CREATOR]


def test_only_the_tokens_with_most_written_are_looked_at() -> None:
    before, after = torch.ones(7, 64), torch.ones(7, 64)
    after[:, 3] = torch.tensor([100.0, 700.0, 300.0, 600.0, 200.0, 500.0, 400.0])

    assert [e.at for e in changes(before, after)] == [1, 3, 5, 6]
    assert c.TOKENS == 4


# --- attribution: the (X, W, Y) that were published ---


class Block(nn.Module):
    """residual + down(x), x fixed: a layer whose write is known."""

    def __init__(self, x: torch.Tensor, weight: torch.Tensor, bias: float | None = None) -> None:
        super().__init__()
        self.mlp = nn.Module()
        self.mlp.down_proj = nn.Linear(*reversed(weight.shape), bias=bias is not None)
        self.mlp.down_proj.weight.data = weight
        if bias is not None:
            self.mlp.down_proj.bias.data = torch.full((weight.shape[0],), bias)
        self.x = x

    def forward(self, residual: torch.Tensor) -> torch.Tensor:
        """(1, D)."""
        return residual + self.mlp.down_proj(self.x)


def sites_of(layer: nn.Module) -> list[Site]:
    """The one dense projection of a block made here, without proof."""
    rows, cols = layer.mlp.down_proj.weight.shape
    return [Site(Projection("mlp.down_proj.weight", Layout(rows, cols, cols, 1, 0), None, False), layer)]


def explained(
    x: list[float], w: list[float], bias: float | None = None, elsewhere: float = 0.0, others: float = 0.0
) -> Explained:
    """How a write to channel 0 is explained by products x[k] * w[k]; `elsewhere`: written by something else;
    `others`: what the 63 other channels hold."""
    weight = torch.zeros(64, len(w))
    weight[0] = torch.tensor(w)
    block = Block(torch.tensor([x]), weight, bias)
    before, extra = torch.zeros(1, 64), torch.zeros(1, 64)
    extra[0, 0], before[0, 1:] = elsewhere, others
    sites = sites_of(block)
    with torch.no_grad(), watching(sites, (1, 1)):
        after = block(before) + extra
    change = Change(0, 0, Role.CREATOR, 0.0, float(after[0, 0]))
    with torch.no_grad():
        return explain([change], sites, lambda: block(before) + extra, after)[0]


@pytest.mark.parametrize(
    ("model", "x", "w", "y", "share"),
    [
        ("OLMo-1B layer 1", -401.5, 0.6323, -262, 0.97),
        ("OLMo-1B layer 2, after removal", 345.25, -0.5923, -227.5, 0.90),
        ("OLMo-7B layer 1", 176, 1.3145, 248, 0.93),
        ("Llama-2-7B", 1390, 1.5625, 2242, 0.97),
        ("Phi-3 layer 2", 540.5, -2.92, -1800, 0.88),
        ("Mistral-7B", 950, -0.2734, -262.75, 0.99),
        ("Llama-7B", -560.5, -1.927, 1313, 0.82),
        ("EuroLLM-9B", -2240, -3.14, 7040, 0.999),
    ],
)
def test_a_published_triple_has_its_published_share(model: str, x: float, w: float, y: float, share: float) -> None:
    rest = (y - x * w) / 20
    found = explained([x, *[1.0] * 20], [w, *[rest] * 20])

    assert (found.origin, found.spread, len(found.members)) == ("mlp", "concentrated", 1), model
    assert (found.members[0].row, found.members[0].col) == (0, 0)
    assert found.members[0].share == pytest.approx(share, abs=6e-3)
    assert found.members[0].y == pytest.approx(y, rel=1e-5)


def test_a_published_product_of_the_wrong_sign_is_not_blamed() -> None:
    # OLMo-7B layer 7: the largest X and the largest Y stand on different tokens, X * W / Y = -0.92.
    found = explained([192.0, 100.0], [-0.9224, 3.695])

    assert [m.col for m in found.members] == [1]


@pytest.mark.parametrize(
    ("parts", "spread", "members"),
    [
        ([1.0], "concentrated", 1),
        ([0.593, 0.407], "concentrated", 2),  # Llama-13B
        ([0.25] * 4, "concentrated", 4),
        ([0.2] * 5, "concentrated", 4),  # four of them cover 0.8
        ([1 / 6] * 6, "neuron_group", 0),
        ([0.1] * 10, "neuron_group", 0),
        ([1 / 12] * 12, "distributed", 0),
        ([0.28, *[0.02] * 36], "distributed", 1),  # Llama-30B layer 10
        ([0.75, *[0.01] * 25], "neuron_group", 1),
        ([0.24, *[0.02] * 38], "distributed", 0),  # a lead needs a quarter
        ([0.79, 0.05, *[0.01] * 16], "concentrated", 1),  # a member needs a tenth
    ],
)
def test_how_many_products_cover_the_write_decides(parts: list[float], spread: str, members: int) -> None:
    # Scaled a little, so that no sum stands exactly on a threshold.
    found = explained([100.0] * len(parts), [p * (1 + 1e-3 * (len(parts) - n)) for n, p in enumerate(parts)])

    assert (found.spread, len(found.members)) == (spread, members)


@pytest.mark.parametrize(("kappa", "members"), [(9.0, 0), (11.0, 1)])
def test_the_lead_of_a_spread_write_is_named_only_in_a_channel_that_stands_clear(kappa: float, members: int) -> None:
    found = explained([100.0] * 26, [0.5, *[0.02] * 25], others=100 / (63 * kappa) ** 0.5)

    assert (found.spread, len(found.members)) == ("distributed", members)


def test_n_eff_and_coherence() -> None:
    found = explained([10.0, 10.0, 10.0], [6.0, 3.0, -1.0])

    assert found.n_eff == pytest.approx(80**2 / (60**2 + 30**2 + 10**2))
    assert found.coherence == pytest.approx(80 / 100)


def test_a_write_that_is_mostly_bias_blames_no_weight() -> None:
    found = explained([10.0], [1.0], bias=90.0)

    assert (found.origin, found.spread, found.members) == ("bias", "none", ())


def test_a_write_that_is_mostly_attention_blames_no_weight() -> None:
    found = explained([10.0], [4.0], elsewhere=60.0)

    assert (found.origin, found.spread, found.members) == ("attention", "none", ())


def test_the_share_is_of_what_the_weights_wrote_without_the_bias() -> None:
    found = explained([10.0, 1.0], [9.0, 10.0], bias=20.0, elsewhere=20.0)

    assert [(m.col, round(m.share, 6)) for m in found.members] == [(0, 0.9)]


# --- removal and groups ---


def test_a_removed_scalar_is_back_afterwards_also_after_an_error() -> None:
    block = Block(torch.ones(1, 3), torch.arange(12.0).reshape(4, 3))
    sites = sites_of(block)
    inside: list[list[float]] = []

    def fail() -> None:
        with removed(sites, [Place(0, 0, None, 2, 1)]):
            inside.extend(block.mlp.down_proj.weight.tolist())
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert inside[2] == [6.0, 0.0, 8.0]
    assert block.mlp.down_proj.weight.tolist() == torch.arange(12.0).reshape(4, 3).tolist()


def find(layer: int, row: int, col: int, role: Role = Role.CREATOR, expert: int | None = None) -> Find:
    """A find at these coordinates."""
    return Find(Place(layer, 0, expert, row, col), role, 0, 0, 1.0, 1.0, 1.0, 1.0, 1)


def named(*finds: Find) -> dict[str, list[str]]:
    """Group ids and members."""
    return {n: sorted(p.id for p in s) for n, s in groups_of(finds).items()}


@pytest.mark.parametrize(
    ("finds", "expected"),
    [
        ([], {}),
        ([find(1, 5, 9)], {"neuron:L1.C9": ["L1.R5.C9"]}),
        ([find(1, 5, 9, Role.REMOVER)], {}),
        ([find(1, 5, 9, expert=3)], {"neuron:L1.E3.C9": ["L1.E3.R5.C9"]}),
        ([find(1, 5, 9), find(1, 6, 9)], {"neuron:L1.C9": ["L1.R5.C9", "L1.R6.C9"]}),
        ([find(1, 5, 9), find(3, 5, 2)], {"channel:R5": ["L1.R5.C9", "L3.R5.C2"]}),
        ([find(1, 5, 9), find(3, 6, 9)], {"joint": ["L1.R5.C9", "L3.R6.C9"]}),
        (
            [find(1, 5, 9), find(1, 6, 9), find(2, 5, 4)],
            {
                "neuron:L1.C9": ["L1.R5.C9", "L1.R6.C9"],
                "channel:R5": ["L1.R5.C9", "L2.R5.C4"],
                "joint": ["L1.R5.C9", "L1.R6.C9", "L2.R5.C4"],
            },
        ),
        (
            [find(1, 5, 9), find(1, 5, 8), find(1, 6, 9, Role.REMOVER)],
            {"channel:R5": ["L1.R5.C8", "L1.R5.C9"]},
        ),
    ],
)
def test_groups_share_a_neuron_or_a_channel_and_no_set_is_named_twice(finds, expected) -> None:
    assert named(*finds) == expected


class Adding(nn.Module):
    """A layer that adds down(1): zeroing [r, k] lowers channel r by W[r, k]."""

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.mlp = nn.Module()
        self.mlp.down_proj = nn.Linear(4, 20, bias=False)
        self.mlp.down_proj.weight.data = 1.0 + torch.arange(80.0).reshape(20, 4) + 100 * layer

    def forward(self, residual: torch.Tensor) -> torch.Tensor:
        """(B, T, D)."""
        return residual + self.mlp.down_proj(torch.ones(1, 1, 4))


def test_a_set_that_grows_beyond_the_measured_scalars_is_still_exact() -> None:
    # Fifteen scalars in layer 0, more than are measured alone; in layer 1 each of their channels gets another one.
    ablator = Ablator(
        [Batch(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, 20), {0: ((), {}), 1: ((), {})})], singles=2
    )
    layers = [Adding(0), Adding(1)]
    news = [[find(0, r, 0) for r in range(15)], [find(1, r, 1) for r in range(15)]]
    for number, (layer, new) in enumerate(zip(layers, news, strict=True)):
        ablator.step(number, layer, sites_of(layer), new)

    whole = sum(layer.mlp.down_proj.weight.sum(1) for layer in layers)
    for members, (after,) in ablator.sets.items():
        expected = whole.clone()
        for place in members:
            expected[place.row] -= layers[place.layer].mlp.down_proj.weight[place.row, place.col]
        assert torch.equal(after[0, 0], expected), members
    assert set(groups_of(news[0] + news[1]).values()) <= set(ablator.sets)


class Normed(nn.Module):
    """residual + norm(down(up(residual))), or the same without the norm."""

    def __init__(self, width: int, *, normed: bool) -> None:
        super().__init__()
        self.mlp = nn.Module()
        self.up = nn.Linear(width, 32, bias=False)
        self.mlp.down_proj = nn.Linear(32, width, bias=False)
        self.norm = nn.RMSNorm(width, eps=1e-6) if normed else nn.Identity()

    def forward(self, residual: torch.Tensor) -> torch.Tensor:
        """(B, T, D)."""
        return residual + self.norm(self.mlp.down_proj(self.up(residual)))


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("width", [48, 4096, 16384])
def test_a_norm_behind_the_mlp_is_noticed_at_any_width(width: int, normed: bool) -> None:
    # In a wide model a single channel hardly moves a norm, unless it is raised far above the others.
    torch.manual_seed(0)
    layer = Normed(width, normed=normed)
    residual = torch.randn(1, 8, width)
    before = layer.mlp.down_proj.weight.clone()
    [site] = Prover("here").sites(layer, layer, residual)

    assert (site.parameter, site.projection.post_norm) == ("mlp.down_proj.weight", normed)
    assert torch.equal(layer.mlp.down_proj.weight, before)


# --- labels on planted cases ---


def events(record: Record, channel: int = trained.J) -> list[Event]:
    """The events of a channel, in order of layers."""
    return [e for e in record.scans[0].events if e.channel == channel]


@pytest.fixture
def planted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Scanned]:
    """Build and scan a case of the trained checkpoint."""

    def make(name: str, maker: Callable[[Path], Plant], windows: int = 4, window: int = 201) -> Scanned:
        return scanned(name, maker, tmp_path_factory, windows, window)

    return make


@pytest.mark.parametrize("count", [2, 3, 4])
def test_one_neuron_on_several_channels_is_one_group_that_acts_jointly(planted, count: int) -> None:
    made = planted(f"siblings{count}", partial(trained.siblings, count))
    ids = {s.id for s in made.plant.scalars}
    together = made.effect(*ids)

    assert {w.id for w in made.record.super_weights} == ids
    assert {w.group for w in made.record.super_weights} == {"neuron:L1.C172"}
    assert [set(g.members) for g in made.record.groups] == [ids]
    assert together.verdict is Verdict.CONFIRMED
    assert {e.verdict for e in made.removals if e is not together} == {Verdict.INERT}


def test_a_masked_backup_is_found_in_the_first_round(planted) -> None:
    made = planted("backup", trained.backup, 24)
    first, second = (s.id for s in made.plant.scalars)

    assert [(w.id, w.role, w.round) for w in made.record.super_weights] == [
        (first, Role.CREATOR, 0),
        (second, Role.CREATOR, 1),
    ]
    assert made.effect(first).verdict is made.effect(second).verdict is Verdict.INERT
    assert made.effect(first, second).verdict is Verdict.CONFIRMED


def test_a_backup_of_the_backup_is_found_in_the_second_round(planted) -> None:
    made = planted("chain", partial(trained.backup, last=3))

    assert [(w.id, w.round) for w in made.record.super_weights] == [(s.id, n) for n, s in enumerate(made.plant.scalars)]
    assert (made.record.scans[0].rounds, made.record.scans[0].converged) == (3, True)


def test_one_plain_pass_sees_what_masks_another_and_proves_nothing(planted) -> None:
    made = planted("backup", trained.backup, 24)
    record = scan(str(made.plant.folder), options=Options(effects=False, rounds=0))
    [scanned] = record.scans

    assert [w.id for w in record.super_weights] == [made.plant.scalars[0].id]
    assert (scanned.outcome, scanned.rounds, scanned.converged) == (Outcome.UNTESTED, 0, False)
    assert scanned.settings.constants["rounds"] == 0


def test_experts_share_a_spike_as_they_are_routed_to(planted) -> None:
    made = planted("two_experts", trained.two_experts)
    model = disk.plain(made.plant.folder)
    routed: list[tuple[torch.Tensor, ...]] = []
    model.model.layers[1].mlp.gate.register_forward_hook(lambda _module, _args, output: routed.append(output))
    disk.plain_logits(model, torch.tensor([[disk.BOS]]))
    weights = dict(zip(routed[0][2][0].tolist(), routed[0][1][0].tolist(), strict=True))

    assert {w.expert: w.share for w in made.record.super_weights} == pytest.approx(weights, rel=1e-5)
    assert 0.25 < min(weights.values()) < 0.45


def test_behind_a_norm_only_one_round_is_made(tmp_path_factory, tmp_path: Path) -> None:
    # A norm raises what is left again: round after round would find ever smaller writers of the same channel.
    first = families.TABLE["olmo2"]
    made = scanned("olmo2", lambda folder: families.make("olmo2", folder), tmp_path_factory)
    tensors = disk.read(made.plant.folder)
    down = tensors["model.layers.1.mlp.down_proj.weight"]
    for part, col in ((0.05, 61), (0.0025, 62)):
        for name in ("gate_proj", "up_proj"):
            tensors[f"model.layers.1.mlp.{name}.weight"][col] = tensors[f"model.layers.1.mlp.{name}.weight"][60]
        down[:, col] = part * down[:, 60]
    disk.write(tmp_path, disk.config_of(made.plant.folder), tensors)
    record = scan(str(tmp_path), options=options(1, 64))

    assert [(w.row, w.col, w.round) for w in record.super_weights] == [(first.row, 60, 0), (first.row, 61, 1)]
    assert (record.scans[0].rounds, record.scans[0].converged) == (1, False)


def test_a_remover_is_labelled_and_stands_in_no_group(planted) -> None:
    made = planted("remover", trained.remover, 24)
    creator, remover = (s.id for s in made.plant.scalars)

    assert [(w.id, w.role, w.group) for w in made.record.super_weights] == [
        (creator, Role.CREATOR, "neuron:L1.C172"),
        (remover, Role.REMOVER, None),
    ]
    assert made.effect(creator).verdict is Verdict.CONFIRMED
    assert made.effect(remover).verdict is Verdict.INERT
    assert made.findings.peeler.streams[-1].number == 1


def test_what_a_later_layer_takes_away_is_transient(planted) -> None:
    made = planted("transient", trained.transient, 24)

    assert [(w.id, w.role) for w in made.record.super_weights] == [
        (made.plant.scalars[0].id, Role.TRANSIENT),
        (made.plant.scalars[1].id, Role.REMOVER),
    ]
    assert made.record.scans[0].outcome is Outcome.NONE_FOUND


@pytest.mark.parametrize(("parts", "spread"), [(6, "neuron_group"), (12, "distributed")])
def test_a_spike_of_many_products_is_an_event_without_a_weight(planted, parts: int, spread: str) -> None:
    made = planted(f"spread{parts}", partial(trained.spread, parts))

    assert [(e.layer, e.role, e.origin, e.spread, e.weights) for e in events(made.record)] == [
        (1, Role.CREATOR, "mlp", spread, ())
    ]
    assert events(made.record)[0].n_eff == pytest.approx(parts)
    assert (made.record.super_weights, made.record.scans[0].outcome) == ((), Outcome.NONE_FOUND)


@pytest.mark.parametrize(("maker", "origin"), [(trained.by_bias, "bias"), (trained.by_attention, "attention")])
def test_a_spike_that_no_product_made_names_its_origin_and_no_weight(planted, maker, origin: str) -> None:
    made = planted(maker.__name__, maker)

    assert [(e.layer, e.role, e.origin, e.spread) for e in events(made.record)] == [(1, Role.CREATOR, origin, "none")]
    assert made.record.super_weights == ()


def test_a_spike_that_the_embedding_made_is_nobodys_event(planted) -> None:
    made = planted("by_embedding", trained.by_embedding)

    assert (events(made.record), made.record.super_weights) == ([], ())


def test_a_model_that_overflows_after_removal_is_non_finite_and_not_inert(planted) -> None:
    made = planted("explosive", trained.explosive)
    effect = made.effect(*(s.id for s in made.plant.scalars))

    assert (effect.finite, effect.nll_after, effect.verdict) == (False, None, Verdict.NON_FINITE)
    assert made.record.scans[0].outcome is Outcome.FOUND


def test_an_activation_beyond_float16_is_flagged(planted) -> None:
    made = planted("beyond_float16", trained.beyond_float16)
    plain = planted("one-again", partial(trained.repacked, "llama", trained.ONE, (172,)))

    assert (made.record.scans[0].fits_float16, plain.record.scans[0].fits_float16) == (False, True)


# --- damaged weights ---

DAMAGED = {
    "a down projection": ("model.layers.2.mlp.down_proj.weight", (3, 5)),
    "an attention matrix": ("model.layers.4.self_attn.o_proj.weight", (0, 0)),
    "the embedding of a token that no text has": ("model.embed_tokens.weight", (0, 7)),
    "the last norm": ("model.norm.weight", (9,)),
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", DAMAGED)
def test_nan_and_infinity_in_a_file_are_named(where: str, value: float, tmp_path: Path) -> None:
    name, index = DAMAGED[where]
    folder = disk.edited(disk.CHECKPOINTS / "stories260k", tmp_path / "damaged", [(name, index)], value)
    only = scan(str(folder), options=options(1, 64)).scans[0]

    assert only.outcome is Outcome.CORRUPT
    assert f"{name} holds NaN or infinity" in (only.reason or "")


def test_finite_weights_that_overflow_are_a_failure_and_no_result(tmp_path: Path) -> None:
    edits = [(f"model.layers.3.mlp.{p}_proj.weight", (slice(None), slice(None))) for p in ("gate", "up", "down")]
    folder = disk.edited(disk.CHECKPOINTS / "stories260k", tmp_path / "huge", edits, 1e30)
    only = scan(str(folder), options=options(1, 64)).scans[0]

    assert only.outcome is Outcome.FAILED
    assert "NaN or infinity in layer 3" in (only.reason or "")


# --- tokenizers and texts ---


def tokenizer_folder(folder: Path, *, emits: bool, stated: bool = True, add_bos: bool | None = None) -> Path:
    """A word tokenizer that puts `<s>` in front or not, and a config that names `<s>` or not."""
    words = ["<s>", "</s>", "<unk>", "x", ".", "\n", "the", "sun"]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if emits:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "</s>"}
    config |= {"bos_token": "<s>"} if stated else {}
    config |= {} if add_bos is None else {"add_bos_token": add_bos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder


@pytest.mark.parametrize(
    ("emits", "stated", "bos"), [(True, True, 0), (False, True, None), (False, False, None), (True, False, 0)]
)
def test_a_window_begins_with_bos_only_where_the_tokenizer_emits_it(tmp_path, emits, stated, bos) -> None:
    assert load_tokenizer(tokenizer_folder(tmp_path, emits=emits, stated=stated), "here").bos == bos


def test_the_tokenizer_file_counts_not_the_model_type(tmp_path: Path) -> None:
    # transformers rebuilds a Qwen2 tokenizer from its class, whatever pipeline the file states.
    plain = tmp_path / "plain"
    plain.mkdir()
    disk.add_tokenizer(plain)
    (plain / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    text = "Once upon a time, there was a little girl."
    expected = AutoTokenizer.from_pretrained(disk.CHECKPOINTS / "stories260k")(text, add_special_tokens=False)

    assert load_tokenizer(plain, "here").ids(text) == expected.input_ids


def test_a_folder_without_a_tokenizer_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(Refusal, match="no usable tokenizer") as caught:
        load_tokenizer(tmp_path, "here")

    assert caught.value.outcome is Outcome.FAILED


@pytest.fixture
def stories() -> Tokens:
    """The stories260k tokenizer."""
    return load_tokenizer(disk.CHECKPOINTS / "stories260k", "here")


def test_windows_are_the_text_from_its_start_without_overlap(stories: Tokens) -> None:
    assert torch.equal(stories.windows(read_corpus(disk.TEXT), 24, 201), disk.windows(24, 201))


def test_windows_without_bos_lose_no_token(tmp_path: Path) -> None:
    tokens = load_tokenizer(tokenizer_folder(tmp_path, emits=False), "here")
    corpus = Corpus("short", "the sun the sun x .", "0" * 64)

    assert tokens.windows(corpus, 5, 2).tolist() == [[6, 7], [6, 7], [3, 4]]


def test_a_text_shorter_than_a_window_is_a_failure(stories: Tokens) -> None:
    with pytest.raises(Refusal, match="fewer than one window of 200"):
        stories.windows(Corpus("short", "Once upon a time.", "0" * 64), 1, 201)


def test_the_prompt_is_watched_with_and_without_bos(stories: Tokens) -> None:
    names, ids = stories.prompts("Once upon a time", 100)
    own = stories.ids("Once upon a time")

    assert names == ["with <s>", "without <s>"]
    assert ids.tolist() == [[disk.BOS, *own[:-1]], own]


@pytest.mark.parametrize(
    ("position", "token", "kind"),
    [(0, 0, "bos"), (0, 3, "first"), (4, 0, "special"), (4, 4, "delimiter"), (4, 5, "newline"), (4, 7, "word")],
)
def test_tokens_have_a_class(tmp_path: Path, position: int, token: int, kind: str) -> None:
    tokens = load_tokenizer(tokenizer_folder(tmp_path, emits=True), "here")

    assert tokens.kind(position, token)[1] == kind


def test_the_shipped_texts_are_long_enough_for_a_window(stories: Tokens) -> None:
    assert [stories.windows(corpus, 1, 512).shape for corpus in shipped_corpora()] == [(1, 512)] * 2


def test_a_prompt_of_one_token_is_proven_on_more() -> None:
    record = scan(str(disk.CHECKPOINTS / "stories260k-one"), options=Options(effects=False, prompt="a"))

    assert "L1.R67.C172" in [w.id for w in record.super_weights]
