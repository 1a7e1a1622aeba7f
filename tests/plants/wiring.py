"""Where each family's blocks keep the matrices that a plant edits, in transformers' memory layout."""

from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

WIDTH, HEADS = 48, 4
ZERO = 46
"""A channel that nothing writes: what a LayerNorm shows there is minus the mean."""


def rows(module: nn.Module) -> Tensor:
    """The (out, in) matrix of a Linear or Conv1D."""
    weight: Tensor = module.weight.data  # type: ignore[assignment, union-attr]
    return weight.T if isinstance(module, Conv1D) else weight


class Gated:
    """gate, up and down projections apart; q, k, v apart."""

    def attention(self, layer: Any) -> nn.Module:
        """The output projection."""
        return layer.self_attn.o_proj

    def values(self, layer: Any) -> Tensor:
        """The rows (out, D) of the value projection."""
        return rows(layer.self_attn.v_proj)

    def downs(self, layer: Any) -> list[Tensor]:
        """The (D, F) down projections, one per expert."""
        return [rows(layer.mlp.down_proj)]

    def fire(self, layer: Any, expert: int, col: int, channel: int) -> None:
        """Make neuron `col` read `channel` alone."""
        self._read_only(rows(layer.mlp.gate_proj)[col], channel)
        self._read_only(rows(layer.mlp.up_proj)[col], channel)

    @staticmethod
    def _read_only(row: Tensor, channel: int, strength: float = 5.0) -> None:
        row.zero_()
        row[channel], row[ZERO] = strength, -strength

    def biases(self, layer: Any) -> list[Tensor]:
        """The biases (D,) that are added to the residual."""
        return []


class Phi3(Gated):
    """gate and up fused, q, k and v fused."""

    def values(self, layer: Any) -> Tensor:
        """The last rows of the fused projection."""
        attention = layer.self_attn
        return rows(attention.qkv_proj)[-attention.num_key_value_heads * attention.head_dim :]

    def fire(self, layer: Any, expert: int, col: int, channel: int) -> None:
        """Rows `col` of both halves."""
        fused = rows(layer.mlp.gate_up_proj)
        for row in (col, fused.shape[0] // 2 + col):
            self._read_only(fused[row], channel)


class Mixture(Gated):
    """Fused experts; the router sends the token with B to the planted expert."""

    def downs(self, layer: Any) -> list[Tensor]:
        """(E, D, F) as a list."""
        return list(layer.mlp.experts.down_proj.data)

    def fire(self, layer: Any, expert: int, col: int, channel: int) -> None:
        """One expert's neuron, and the way to it."""
        fused = layer.mlp.experts.gate_up_proj.data[expert]
        for row in (col, fused.shape[0] // 2 + col):
            self._read_only(fused[row], channel)
        layer.mlp.gate.weight.data[expert, channel] = 2.0


class Biased(Gated):
    """A plain MLP with biases: the neuron's own bias keeps it silent elsewhere."""

    def fire(self, layer: Any, expert: int, col: int, channel: int) -> None:
        """Far below zero unless B is large."""
        up = self.up(layer)
        self._read_only(rows(up)[col], channel, 10.0)
        up.bias.data[col] = -15.0

    def up(self, layer: Any) -> Any:
        """The up projection."""
        raise NotImplementedError


class Glm(Phi3):
    """gate and up fused; q, k and v apart."""

    def values(self, layer: Any) -> Tensor:
        """v_proj."""
        return rows(layer.self_attn.v_proj)


class Starcoder(Biased):
    """Linear layers with GPT-2's names."""

    def downs(self, layer: Any) -> list[Tensor]:
        """c_proj."""
        return [rows(layer.mlp.c_proj)]

    def up(self, layer: Any) -> Any:
        """c_fc."""
        return layer.mlp.c_fc

    def biases(self, layer: Any) -> list[Tensor]:
        """Of both projections."""
        return [layer.self_attn.o_proj.bias.data, layer.mlp.c_proj.bias.data]


class Phi(Biased):
    """fc1 and fc2 beside attention."""

    def attention(self, layer: Any) -> nn.Module:
        """dense."""
        return layer.self_attn.dense

    def downs(self, layer: Any) -> list[Tensor]:
        """fc2."""
        return [rows(layer.mlp.fc2)]

    def up(self, layer: Any) -> Any:
        """fc1."""
        return layer.mlp.fc1

    def biases(self, layer: Any) -> list[Tensor]:
        """Of both projections."""
        return [layer.self_attn.dense.bias.data, layer.mlp.fc2.bias.data]


class Gpt2(Biased):
    """Conv1D, fused q, k, v."""

    def attention(self, layer: Any) -> nn.Module:
        """Its c_proj."""
        return layer.attn.c_proj

    def values(self, layer: Any) -> Tensor:
        """The last third."""
        return rows(layer.attn.c_attn)[2 * WIDTH :]

    def downs(self, layer: Any) -> list[Tensor]:
        """The other c_proj."""
        return [rows(layer.mlp.c_proj)]

    def up(self, layer: Any) -> Any:
        """c_fc."""
        return layer.mlp.c_fc

    def biases(self, layer: Any) -> list[Tensor]:
        """Of both projections."""
        return [layer.attn.c_proj.bias.data, layer.mlp.c_proj.bias.data]


class NeoX(Biased):
    """q, k, v fused head by head."""

    def attention(self, layer: Any) -> nn.Module:
        """dense."""
        return layer.attention.dense

    def values(self, layer: Any) -> Tensor:
        """A view (heads, head size, D) of the value rows."""
        fused = rows(layer.attention.query_key_value)
        return fused.view(HEADS, 3, WIDTH // HEADS, WIDTH)[:, 2]

    def downs(self, layer: Any) -> list[Tensor]:
        """dense_4h_to_h."""
        return [rows(layer.mlp.dense_4h_to_h)]

    def up(self, layer: Any) -> Any:
        """dense_h_to_4h."""
        return layer.mlp.dense_h_to_4h

    def biases(self, layer: Any) -> list[Tensor]:
        """Of both projections."""
        return [layer.attention.dense.bias.data, layer.mlp.dense_4h_to_h.bias.data]
