"""What must not change what is found: how a model is written down, and how its prompts are put together.

Properties over random edits of the cases that have most to lose: several finds, rounds, roles. `test_equivalence` holds
single edits of the pair against measured effects; here no effects are measured.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from swindex.crawler.architectures.resolve import resolve
from swindex.crawler.architectures.skeleton import build
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.lockstep import capture
from swindex.crawler.detection.peel import Peeler
from swindex.crawler.detection.proof import Proof
from swindex.crawler.detection.resident import Weights
from swindex.crawler.detection.run import Options
from swindex.crawler.detection.tokens import load_tokenizer
from swindex.crawler.scanning import quiet, scan
from swindex.schema.record import Record

from .plants import disk
from .plants.confusion import seen
from .plants.shared import one_thread
from .plants.trained import LAYERS, State

__all__ = ["one_thread"]
NAMES = ("pair", "siblings 4", "chain of three", "with a remover", "two spikes")
Found = dict[tuple[int, int, int], tuple[object, ...]]
"""By layer, row and col: role, round, position of the token, share."""

examples = settings(
    max_examples=3, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
cases = st.sampled_from(NAMES)


def found(record: Record) -> Found:
    """What a scan found, but for figures that depend on how a neuron is scaled."""
    return {(w.layer, w.row, w.col): (str(w.role), w.round, w.token.position, w.share) for w in record.super_weights}


@cache
def as_made(name: str) -> Found:
    """What is found in a case as it is; shares may differ by what another order of summing does."""
    plain = found(scan(str(seen(name).plant.folder), options=Options(effects=False)))
    return {at: (*labels, pytest.approx(share, abs=1e-5)) for at, (*labels, share) in plain.items()}


Edited = Callable[[str, Callable[[State], State]], Record]


@pytest.fixture
def edited(tmp_path_factory: pytest.TempPathFactory) -> Edited:
    """Scan a case with other tensors that compute the same."""

    def make(name: str, edit: Callable[[State], State], **config: float) -> Record:
        folder = seen(name).plant.folder
        out = disk.write(
            tmp_path_factory.mktemp("edited"), {**disk.config_of(folder), **config}, edit(disk.read(folder))
        )
        return scan(str(out), options=Options(effects=False))

    return make


def writes(name: str) -> bool:
    """Whether a matrix gives the residual's channels."""
    return name.endswith(("o_proj.weight", "down_proj.weight"))


@examples
@given(name=cases, seed=st.integers(0, 2**31))
def test_another_order_of_channels_orders_the_finds_alike(edited: Edited, name: str, seed: int) -> None:
    order = torch.randperm(72, generator=torch.Generator().manual_seed(seed))

    def permute(state: State) -> State:
        return {n: t[order] if writes(n) or t.dim() == 1 else t[:, order] for n, t in state.items()}

    there = {old: new for new, old in enumerate(order.tolist())}
    expected = {(layer, there[row], col): f for (layer, row, col), f in as_made(name).items()}
    assert found(edited(name, permute)) == expected


@examples
@given(name=cases, seed=st.integers(0, 2**31))
def test_another_order_of_neurons_orders_the_finds_alike(edited: Edited, name: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    width = disk.read(seen(name).plant.folder)["model.layers.0.mlp.up_proj.weight"].shape[0]
    orders = [torch.randperm(width, generator=generator) for _ in range(LAYERS)]

    def permute(state: State) -> State:
        return {n: _neurons(n, t, orders) for n, t in state.items()}

    there = [{old: new for new, old in enumerate(order.tolist())} for order in orders]
    expected = {(layer, row, there[layer][col]): f for (layer, row, col), f in as_made(name).items()}
    assert found(edited(name, permute)) == expected


def _neurons(name: str, tensor: Tensor, orders: list[Tensor]) -> Tensor:
    if ".mlp." not in name:
        return tensor
    order = orders[int(name.split(".")[2])]
    return tensor[:, order] if writes(name) else tensor[order]


@examples
@given(name=cases, seed=st.integers(0, 2**31))
def test_every_neuron_may_be_scaled_against_its_column(edited: Edited, name: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def rescale(state: State) -> State:
        for layer in range(LAYERS):
            up, down = (state[f"model.layers.{layer}.mlp.{p}_proj.weight"] for p in ("up", "down"))
            factors = torch.exp2(torch.randint(-6, 7, (len(up),), generator=generator))
            up *= factors[:, None]
            down /= factors
        return state

    assert found(edited(name, rescale)) == as_made(name)


@examples
@given(name=cases, scale=st.sampled_from([2.0**-9, 0.25, 8.0, 2.0**10]))
def test_the_size_of_the_whole_residual_does_not_matter(edited: Edited, name: str, scale: float) -> None:
    def resize(state: State) -> State:
        state["model.norm.weight"] /= scale  # the head is the embedding
        return {n: t * scale if writes(n) or "embed" in n else t for n, t in state.items()}

    epsilon = disk.config_of(seen(name).plant.folder)["rms_norm_eps"]
    assert found(edited(name, resize, rms_norm_eps=epsilon * scale**2)) == as_made(name)


# --- prompts ---


@cache
def prompts() -> Tensor:
    """The watched sequences (2, T)."""
    return load_tokenizer(disk.CHECKPOINTS / "stories260k", "here").prompts()[1]


def peeled(name: str, ids: Tensor) -> set[tuple[str, str, int]]:
    """Finds in sequences (B, T) of one's own: id, role, round."""
    quiet()
    checkpoint = LocalCheckpoint(seen(name).plant.folder)
    skeleton = build(*resolve(checkpoint.config, checkpoint.place), checkpoint.tensors, checkpoint.place)
    weights = Weights(skeleton, checkpoint)
    with weights.outside(ids):
        batch = capture(skeleton.model, skeleton.layers, ids)
    peeler, proof = Peeler(batch, batch.first), Proof(skeleton.layers, batch, checkpoint.place)
    for number in range(len(skeleton.layers)):
        with weights.layer(number) as layer:
            peeler.step(number, layer, proof.sites(number, layer))
    return {(p.id, str(f.role), f.round) for p, f in peeler.finds.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_prompts_does_not_matter(name: str) -> None:
    assert peeled(name, prompts().flip(0)) == peeled(name, prompts())


@pytest.mark.parametrize("name", ["pair", "siblings 4", "with a remover"])
def test_prompts_watched_one_by_one_give_together_what_they_give_at_once(name: str) -> None:
    apart = [peeled(name, prompts()[n : n + 1]) for n in range(2)]

    assert apart[0] | apart[1] == peeled(name, prompts())


@pytest.mark.parametrize("name", ["pair", "chain of three"])
def test_a_prompt_that_stands_there_twice_changes_nothing(name: str) -> None:
    assert peeled(name, torch.cat([prompts(), prompts()])) == peeled(name, prompts())


# --- files ---


def sharded(name: str, folder: Path, seed: int, count: int) -> Path:
    """A case's tensors dealt out at random to so many files."""
    state = disk.read(seen(name).plant.folder)
    dealt = torch.randint(count, (len(state),), generator=torch.Generator().manual_seed(seed)).tolist()
    file_of = {n: f"model-{k + 1:05}-of-{count:05}.safetensors" for n, k in zip(state, dealt, strict=True)}
    disk.write(folder, disk.config_of(seen(name).plant.folder), {})
    (folder / "model.safetensors").unlink()
    for file in set(file_of.values()):
        save_file({n: t for n, t in state.items() if file_of[n] == file}, folder / file, metadata={"format": "pt"})
    size = sum(t.nbytes for t in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": file_of}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@examples
@given(name=st.sampled_from(["pair", "with a remover"]), seed=st.integers(0, 2**31), count=st.integers(2, 5))
def test_files_cut_otherwise_give_the_same_record(tmp_path_factory, name: str, seed: int, count: int) -> None:
    whole = seen(name).record
    options = Options(texts=(str(disk.TEXT),), windows=2, window=201)
    parts = scan(str(sharded(name, tmp_path_factory.mktemp("sharded"), seed, count)), options=options)

    assert parts.scans[0].profile == whole.scans[0].profile
    assert parts.scans[0].events == whole.scans[0].events
    assert parts.groups == whole.groups
    assert [_without_file(w) for w in parts.super_weights] == [_without_file(w) for w in whole.super_weights]
    assert [_without_scan(e) for e in parts.effects] == [_without_scan(e) for e in whole.effects]


def _without_file(weight) -> dict[str, object]:
    return weight.model_dump(exclude={"file", "byte_offset", "scan"})


def _without_scan(effect) -> dict[str, object]:
    return effect.model_dump(exclude={"id", "scan"})
