"""Layers that have parameters in common: each layer comes with them, and it is known which they are."""

import pytest
import torch

from swindex.crawler.architectures.resolve import resolve
from swindex.crawler.architectures.skeleton import Skeleton, build
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.resident import Weights

from .plants import generic, tiny
from .plants.shared import one_thread

__all__ = ["one_thread"]
DOWN = "shared_transf.feed_forward.down_proj.weight"
HYBRID = (1, 3, 4)
"""Layers of the tiny zamba that have the shared block."""


@pytest.fixture(scope="module")
def zamba(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalCheckpoint, Skeleton]:
    """A tiny model without a plant, and the empty one that is made from its config."""
    folder = tmp_path_factory.mktemp("shared") / "zamba"
    generic.save(tiny.tiny_model("zamba", 1), "zamba", folder)
    checkpoint = LocalCheckpoint(folder)
    config, name = resolve(checkpoint.config, checkpoint.place)
    return checkpoint, build(config, name, checkpoint.tensors, checkpoint.place)


def test_a_parameter_of_several_layers_is_shared_in_each_of_them(zamba: tuple[LocalCheckpoint, Skeleton]) -> None:
    assert [n for n in range(5) if zamba[1].is_shared(n, DOWN)] == list(HYBRID)


def test_a_parameter_of_one_layer_is_not(zamba: tuple[LocalCheckpoint, Skeleton]) -> None:
    assert not any(zamba[1].is_shared(n, "linear.weight") for n in HYBRID)


def test_every_layer_comes_with_all_its_weights(zamba: tuple[LocalCheckpoint, Skeleton]) -> None:
    checkpoint, skeleton = zamba
    plain = generic.layers_of(tiny.tiny_model("zamba", 1))
    weights = Weights(skeleton, checkpoint)
    for number in range(5):
        with weights.layer(number) as layer:
            for name, parameter in layer.named_parameters():
                assert torch.equal(parameter, plain[number].get_parameter(name)), (number, name)
        assert all(p.is_meta for p in layer.parameters())
    weights.close()
