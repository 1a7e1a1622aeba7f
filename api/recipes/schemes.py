"""How many bits a tool's scheme stores a matrix in: codes, scales and zero points, exactly; without constant tables.

A matrix is (rows, cols), rows the output channels; a stack of experts counts as so many rows. Held against what the
real tools wrote (TOOLS.md). A matrix stored as [in, out] is counted as if it were [out, in].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Bits = Callable[[int, int], int]


def _grouped(code: int, group: int, per_group: int, per_row: int = 0, per_col: int = 0, fixed: int = 0) -> Bits:
    """Codes of `code` bits, so many bits for each group along a row, each row, each column, each matrix."""

    def bits(rows: int, cols: int) -> int:
        groups = -(-cols // group) if group else 0
        return rows * (cols * code + groups * per_group + per_row) + cols * per_col + fixed

    return bits


def _nf4(rows: int, cols: int) -> int:
    """NF4 with double quantization: blocks of 64 with 8 bits each, blocks of 256 of these with 32."""
    blocks = -(-rows * cols // 64)
    return 4 * rows * cols + 8 * blocks + 32 * -(-blocks // 256)


def _tiles(rows: int, cols: int) -> int:
    """FP8 with one float32 for each tile of 128 x 128."""
    return 8 * rows * cols + 32 * -(-rows // 128) * -(-cols // 128)


@dataclass(frozen=True)
class Scheme:
    """One way to quantize, as the tool calls it."""

    name: str
    bits: Bits | None
    """Of a matrix; None where it depends on the matrix's place in the model (see `gguf`)."""
    settings: Any = None
    """What the tool's own configuration says for it."""
    experts: bool = True
    """Whether it quantizes the experts that transformers holds as one parameter."""


_ROW_WISE = {"_type": "PerRow", "_version": 1, "_data": {"dim": -1}}
INT8_WEIGHTS = {
    "_type": "Int8WeightOnlyConfig",
    "_version": 2,
    "_data": {"group_size": None, "granularity": _ROW_WISE, "set_inductor_config": True},
}
INT4_WEIGHTS = {
    "_type": "Int4WeightOnlyConfig",
    "_version": 2,
    "_data": {
        "group_size": 128,
        "set_inductor_config": True,
        "int4_packing_format": {"_type": "Int4PackingFormat", "_data": "PLAIN"},
        "int4_choose_qparams_algorithm": {"_type": "Int4ChooseQParamsAlgorithm", "_data": "TINYGEMM"},
        "int4_tile_packed_ntile": 8,
    },
}
_INT8 = _grouped(8, 0, 0, per_row=32 + 8)

LLM_COMPRESSOR = (
    Scheme("W4A16", _grouped(4, 128, 16, fixed=128)),
    Scheme("W8A16", _grouped(8, 128, 16, fixed=128)),
    Scheme("FP8_DYNAMIC", _grouped(8, 0, 0, per_row=16)),
)
TORCHAO = (Scheme("int8", _INT8, INT8_WEIGHTS), Scheme("int4", _grouped(4, 128, 16 + 16), INT4_WEIGHTS))
BITSANDBYTES = (
    Scheme("nf4", _nf4, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}, False),
    Scheme("int8", _grouped(8, 0, 0, per_row=32), {"load_in_8bit": True}, False),
)
GPTQMODEL = (
    Scheme("4bit", _grouped(4, 128, 16 + 4, per_col=32), {"bits": 4}),
    Scheme("8bit", _grouped(8, 128, 16 + 8, per_col=32), {"bits": 8}),
)
LLAMA_CPP = (Scheme("Q4_K_M", None), Scheme("Q8_0", None))
TRANSFORMERS = (
    Scheme("int8", _INT8, {"quant_method": "torchao", "quant_type": {"default": INT8_WEIGHTS}}, False),
    Scheme("fp8", _tiles, {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}),
)
