"""The control of many large weights: exactly the largest, never a find, undone to the bit, and what a record says."""

import hashlib
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from swindex.crawler.detection import constants as c
from swindex.crawler.detection import outliers
from swindex.crawler.detection.outliers import Outliers, largest, without
from swindex.crawler.scanning import scan
from swindex.schema.effect import Control
from swindex.schema.types import Intervention, Verdict

from .plants import disk, families, trained
from .plants.shared import Scanned, one_thread, options, scanned

__all__ = ["one_thread"]
LOGITS = 5e-6


class Layer(nn.Module):
    """Parameters of these shapes, named p0, p1, ..."""

    def __init__(self, *values: Tensor) -> None:
        super().__init__()
        for number, value in enumerate(values):
            self.register_parameter(f"p{number}", nn.Parameter(value, requires_grad=False))


def chosen(layer: nn.Module, count: int) -> list[tuple[str, int]]:
    """What was taken, by parameter and flat position."""
    return [(name, i) for name, at in largest(layer, count).items() for i in at.tolist()]


def by_sorting(layer: nn.Module, count: int) -> list[tuple[str, int]]:
    """The same by sorting everything."""
    every = [
        (-abs(value), order, i, name)
        for order, (name, p) in enumerate(layer.named_parameters())
        if p.dim() > 1
        for i, value in enumerate(p.flatten().tolist())
        if value != 0
    ]
    return [(name, i) for _, _, i, name in sorted(sorted(every)[:count], key=lambda e: (e[1], e[2]))]


# --- selection ---

SHAPES = st.lists(st.sampled_from([(3, 5), (16, 8), (40, 33), (4, 6, 7), (1, 1), (2, 300)]), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.integers(0, 400), st.sampled_from([None, 1, 3]), st.integers(1, 64))
def test_exactly_the_largest_are_taken_and_of_equal_ones_the_first(shapes, seed, count, levels, block) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    if levels is not None:  # many equal ones, zeros too
        values = [(v * levels).round() for v in values]
    layer = Layer(*values)
    old, outliers.BLOCK = outliers.BLOCK, block
    try:
        assert chosen(layer, count) == by_sorting(layer, count)
    finally:
        outliers.BLOCK = old


def test_more_than_a_block_holds_are_taken_from_one_block() -> None:
    layer = Layer(torch.arange(1.0, 10_001.0).reshape(100, 100))

    assert chosen(layer, 7000) == [("p0", i) for i in range(3000, 10_000)]


def test_vectors_are_not_weights() -> None:
    layer = Layer(torch.full((9,), 100.0), torch.ones(2, 2))

    assert chosen(layer, 2) == [("p1", 0), ("p1", 1)]


def test_zeros_are_never_taken() -> None:
    assert chosen(Layer(torch.tensor([[0.0, -0.0, 1e-45]])), 3) == [("p0", 2)]


# --- removal ---


def test_within_they_are_zero_and_afterwards_every_bit_is_back() -> None:
    torch.manual_seed(0)
    odd = torch.tensor([[-0.0, 1e-45, -1e-45, 3.0e38, -3.0e38, 1.0]])
    layer = Layer(torch.randn(20, 30), odd, torch.randn(2, 5, 6))
    before = {n: p.data.clone().view(torch.int32) for n, p in layer.named_parameters()}
    taken = largest(layer, 40)
    inside: dict[str, Tensor] = {}

    def fail() -> None:
        with without(layer, taken):
            inside.update({n: p.data.clone() for n, p in layer.named_parameters()})
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    for name, parameter in layer.named_parameters():
        assert torch.equal(parameter.data.view(torch.int32), before[name])
        expected = before[name].view(torch.float32).clone()
        expected.view(-1)[taken.get(name, torch.empty(0, dtype=torch.int64))] = 0
        assert torch.equal(inside[name], expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 59))
def test_the_shares_of_the_layers_add_up_and_differ_by_one_at_most(layers: int, first: int) -> None:
    first = min(first, layers - 1)
    big = Layer(torch.empty(0, 1))
    big.p0.data = torch.zeros(1).expand(10_000, 10_000)  # sizes alone matter
    shares = [Outliers(layers, first)._share(number, big) for number in range(first, layers)]

    assert sum(shares) == c.OUTLIERS
    assert max(shares) - min(shares) <= 1


def test_a_small_layer_gives_a_thousandth_at_most() -> None:
    torch.manual_seed(0)
    others = Outliers(layers=1)
    taken = others.choose(0, Layer(torch.randn(100, 70)))

    assert sum(at.numel() for at in taken.values()) == others.count == 7


# --- in a scan ---


def by_hand(folder: Path, first: int, finds: list[disk.Edit]) -> tuple[dict[str, Tensor], list[str]]:
    """A Llama checkpoint's tensors without the largest others of each layer from `first` on, and their list."""
    tensors = disk.read(folder)
    config = disk.config_of(folder)
    layers = config["num_hidden_layers"]
    order = [f"self_attn.{p}_proj" for p in "qkvo"] + [f"mlp.{p}_proj" for p in ("gate", "up", "down")]
    lines: list[str] = []
    for layer in range(first, layers):
        names = [f"model.layers.{layer}.{p}.weight" for p in order]
        every = torch.cat([tensors[n].flatten() for n in names]).abs()
        start = 0
        for name in names:
            for tensor, (row, col) in finds:
                if tensor == name:
                    every[start + row * tensors[name].shape[1] + col] = 0
            start += tensors[name].numel()
        share = min(7000 // (layers - first), math.floor(0.001 * len(every)))
        cut = every.sort(descending=True).values[share - 1]
        lines += _cut(tensors, names, finds, float(cut), layer)
    return tensors, lines


def _cut(tensors: dict[str, Tensor], names: list[str], finds: list[disk.Edit], least: float, layer: int) -> list[str]:
    lines = []
    for name in names:
        for row, col in (tensors[name].abs() >= least).nonzero().tolist():
            if (name, (row, col)) not in finds:
                tensors[name][row, col] = 0
                lines.append(f"{layer}.{name.split('.', 3)[3]}[{row}, {col}]\n")
    return lines


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("pair-llama", lambda folder: trained.repacked("llama", trained.PAIR, (172, 173), folder)),
        ("chain", lambda folder: trained.backup(folder, last=3)),
    ],
)
def test_the_stream_is_the_file_without_them(name: str, make, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = scanned(name, make, tmp_path_factory)
    assert made.findings.ablator is not None
    finds = [(s.tensor, s.index) for s in made.plant.scalars]
    tensors, lines = by_hand(made.plant.folder, 1, finds)
    folder = disk.write(tmp_path_factory.mktemp("cut"), disk.config_of(made.plant.folder), tensors)
    theirs = disk.plain_logits(disk.plain(folder), made.ids)
    ours = made.stream_logits(made.findings.ablator.outliers)
    control = whole(made)

    assert float((ours - theirs).abs().max() / theirs.abs().max()) <= LOGITS
    assert (control.count, control.digest) == (len(lines), hashlib.sha256("".join(lines).encode()).hexdigest())


def whole(made: Scanned) -> Control:
    """The control beside the removal of everything."""
    (found,) = [e.outliers for e in made.record.effects if e.outliers is not None]
    return found


def test_the_figure_is_that_of_the_plain_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = scanned("pair-llama", lambda f: trained.repacked("llama", trained.PAIR, (172, 173), f), tmp_path_factory)
    tensors, _ = by_hand(made.plant.folder, 1, [(s.tensor, s.index) for s in made.plant.scalars])
    folder = disk.write(tmp_path_factory.mktemp("cut"), disk.config_of(made.plant.folder), tensors)
    nll = [disk.plain_nll(disk.plain_logits(disk.plain(f), made.ids), made.ids) for f in (made.plant.folder, folder)]

    assert whole(made).worst_delta_nll == pytest.approx(nll[1] - nll[0], abs=1e-4)
    assert whole(made).tokens == 4 * 100


@pytest.mark.parametrize("family", ["gpt2", "mixtral", "olmo2", "qwen3_moe"])
def test_every_layout_gives_its_share_and_only_everything_carries_it(family: str, tmp_path_factory) -> None:
    made = scanned(family, lambda folder: families.make(family, folder), tmp_path_factory)
    (effect,) = [e for e in made.record.effects if e.outliers is not None]
    layers = [made.findings.skeleton.model.get_submodule(path) for path in made.findings.skeleton.paths]
    sizes = [sum(p.numel() for p in layer.parameters() if p.dim() > 1) for layer in layers]

    assert whole(made).count == sum(size // 1000 for size in sizes[families.FIRST :])
    assert effect.intervention is Intervention.ZERO
    assert set(effect.weights) == {s.id for s in made.plant.scalars}


def test_without_a_find_nothing_is_removed() -> None:
    record = scan(str(disk.CHECKPOINTS / "stories260k"), options=options(1, 64))

    assert record.effects == ()


def test_a_control_that_overflows_is_null_and_decides_nothing(tmp_path: Path) -> None:
    # A gate of layer 3 is shut at every token by its one largest weight; open, its neuron overflows float32.
    state = disk.read(trained.ONE)
    gate, up = (state[f"model.layers.3.mlp.{p}_proj.weight"][172] for p in ("gate", "up"))
    down = state["model.layers.3.mlp.down_proj.weight"][:, 172]
    state["model.layers.3.post_attention_layernorm.weight"][64] = 1.0
    state["model.embed_tokens.weight"][:, 64] = 1.0
    gate[:65], up[:64], down[65] = torch.tensor([1e15] * 64 + [-1e30]), 1e25, 1.0
    folder = disk.write(tmp_path / "gate", disk.config_of(trained.ONE), state)
    record = scan(str(folder), options=options(1, 201))
    removal = next(e for e in record.effects if e.outliers is not None)

    assert removal.outliers is not None
    assert removal.outliers.worst_delta_nll is None
    assert removal.verdict is Verdict.CONFIRMED
