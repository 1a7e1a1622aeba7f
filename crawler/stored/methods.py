"""Which formats a checkpoint's `quantization_config` promises: a table from `quant_method` to formats, or a refusal.

A data table: a row turns the config into formats; a method without a row is refused by name. What the tensors really
hold is checked against these formats in `view`. Quantized activations are not imitated: the weights as stored meet
float32 activations.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..refusal import corrupt, unsupported
from .codec import Codec, Tensors
from .config import Config, quantization
from .integers import Awq, Gptq, Packed
from .mxfp4 import Mxfp4
from .scaled import Block, Scaled

Shapes = Mapping[str, tuple[int, ...]]


class Format(Protocol):
    """Codes under one suffix, and what they need beside them."""

    @property
    def codes(self) -> str:
        """Suffix of the tensors that hold the codes."""

    @property
    def spare(self) -> tuple[str, ...]:
        """Suffixes of tensors beside them that say nothing of the weight."""

    def target(self, stem: str) -> str:
        """Name of the weight."""

    def of(self, stem: str, tensors: Tensors) -> Codec | None:
        """How the weight of that stem is made; None if it is stored plainly. Raises DamagedError."""


class _OtherError(Exception):
    """A variant of a method that is not read; the message says which."""


ACTIVATIONS = (".input_scale", ".input_scale_ub", ".activation_scale", ".input_zero_point", ".output_scale")
CACHE = (".kv_scale", ".k_scale", ".v_scale", ".q_scale", ".k_zero_point", ".v_zero_point")
"""Scales of the key-value cache."""
WIDTHS = (2, 4, 8)
"""Widths that never straddle two words."""
CONV1D = frozenset({"gpt2", "openai-gpt", "gpt-sw3"})
"""Types whose layers are stored input first: how a packed one lies in memory is not tried."""


def _fp8(config: Config, _shapes: Shapes) -> tuple[Format, ...]:
    """DeepSeek-V3's blocks (transformers' FineGrainedFP8Config), and AutoFP8's scale per tensor."""
    if config.get("expert_dtype", "fp8") != "fp8":
        raise _OtherError(f"experts in {config['expert_dtype']}")
    blocks = _block(config.get("weight_block_size", [128, 128]), "weight_block_size")
    return (Scaled(("_scale_inv", "_scale"), blocks=blocks, spare=ACTIVATIONS + CACHE),)


def _block(value: Any, key: str) -> tuple[Block, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) != 2 or not all(type(v) is int and 0 < v < 1 << 24 for v in value):
        raise ValueError(f"{key} {value!r:.80} is not two sizes")
    return ((value[0], value[1]),)


def _fbgemm(_config: Config, _shapes: Shapes) -> tuple[Format, ...]:
    """A scale per row; fused experts are stored (E, K, N)."""
    return (Scaled(("_scale",), by_column=True, spare=ACTIVATIONS),)


def _compressed(config: Config, shapes: Shapes) -> tuple[Format, ...]:
    """compressed-tensors: formats by config group; tensors of all of them may be there."""
    if config.get("quantization_status") not in ("compressed", None):
        raise _OtherError(f"status {config['quantization_status']}")
    if _dict(config.get("sparsity_config")).get("format", "dense") != "dense":
        raise _OtherError(f"sparse as {config['sparsity_config']['format']}")
    groups = [_dict(g) for g in _dict(config.get("config_groups")).values()]
    weights = [_dict(g.get("weights")) for g in groups if g.get("weights") is not None]
    stated = [str(f) for f in (config.get("format"), *(g.get("format") for g in groups)) if f is not None]
    other = [f for f in stated if f not in COMPRESSED]
    if other or not weights:
        raise _OtherError(other[0] if other else "no weights")
    blocks = tuple(b for w in weights for b in _block(w.get("block_structure"), "block_structure"))
    bits = tuple(
        sorted({_among({"num_bits": 8} | w, "num_bits", WIDTHS) for w in weights if w.get("type", "int") == "int"})
    )
    scaled = Scaled(
        ("_scale",),
        zero="_zero_point",
        dtypes=("float8_e4m3fn", "float8_e5m2", "int8"),
        blocks=blocks,
        groups=True,
        spare=ACTIVATIONS + CACHE,
    )
    return (Packed(bits, shapes), scaled) if bits else (scaled,)


COMPRESSED = frozenset({"float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "mixed-precision"})


def _gptq(config: Config, _shapes: Shapes) -> tuple[Format, ...]:
    """GPTQ: 2, 4 and 8 bits in int32 words."""
    layout = str(config.get("checkpoint_format") or config.get("format") or "gptq")
    if layout not in ("gptq", "gptq_v2") or config.get("is_marlin_format"):
        raise _OtherError("marlin" if config.get("is_marlin_format") else layout)
    if config.get("pack_dtype", "int32") != "int32":
        raise _OtherError(f"packed in {config['pack_dtype']}")
    bits = _among(config, "bits", WIDTHS)
    return (Gptq(None if config.get("dynamic") else bits, _group(config), 2 if layout == "gptq_v2" else 1),)


def _awq(config: Config, _shapes: Shapes) -> tuple[Format, ...]:
    """AWQ: 4 bits, packed for gemm."""
    layout = str(config.get("version") or config.get("format") or "gemm").lower()
    if layout != "gemm" or config.get("zero_point") is False:
        raise _OtherError(layout if layout != "gemm" else "without zero points")
    _among(config, "bits" if "bits" in config else "w_bit", (4,))
    return (Awq(_group(config)),)


def _mxfp4(_config: Config, _shapes: Shapes) -> tuple[Format, ...]:
    """gpt-oss' experts."""
    return (Mxfp4(),)


def _auto_round(config: Config, shapes: Shapes) -> tuple[Format, ...]:
    """AutoRound, where it packs as GPTQ or AWQ do."""
    packing = str(config.get("packing_format") or config.get("backend"))
    if packing not in AUTO_ROUND or _dict(config.get("extra_config")):
        raise _OtherError(packing if packing not in AUTO_ROUND else "exceptions by layer")
    return AUTO_ROUND[packing](config, shapes)


AUTO_ROUND: dict[str, Callable[[Config, Shapes], tuple[Format, ...]]] = {
    "auto_round:auto_gptq": _gptq,
    "auto_round:auto_awq": _awq,
}
METHODS: dict[str, Callable[[Config, Shapes], tuple[Format, ...]]] = {
    "auto-round": _auto_round,
    "awq": _awq,
    "compressed-tensors": _compressed,
    "fbgemm_fp8": _fbgemm,
    "fp8": _fp8,
    "gptq": _gptq,
    "mxfp4": _mxfp4,
}
"""quant_method -> its formats. All others (bitsandbytes, aqlm, hqq, torchao, ...) are refused by name."""


def formats(raw: Config, place: str, shapes: Shapes | None = None) -> tuple[Format, ...]:
    """The formats of a checkpoint, none for a plain one; raise a Refusal for a method that is not read."""
    config = quantization(raw)
    if config is None:
        return ()
    method = config.get("quant_method") if isinstance(config, dict) else None
    name = method if isinstance(method, str) else "unknown method"
    made = METHODS.get(name)
    try:
        if made is None:
            raise _OtherError("")
        if made in (_gptq, _awq, _auto_round) and raw.get("model_type") in CONV1D:
            raise _OtherError(f"for {raw['model_type']}")
        return made(config, shapes or {})
    except _OtherError as variant:
        named = f"{name}, {variant}" if str(variant) else name
        reason = f"weights are quantized ({named}); scan the checkpoint it was made from"
        raise unsupported(f"{place}: {reason}") from None
    except ValueError as error:
        raise corrupt(f"{place}: config.json: quantization_config: {error}") from None


def _dict(value: Any) -> Config:
    return value if isinstance(value, dict) else {}


def _among(config: Config, key: str, known: tuple[int, ...]) -> int:
    value = config.get(key)
    if type(value) is not int:
        raise ValueError(f"{key} {value!r:.80} is not a number of bits")
    if value not in known:
        raise _OtherError(f"{value} bits")
    return value


def _group(config: Config) -> int:
    value = config.get("group_size", config.get("q_group_size", 128))
    if type(value) is not int or not (value == -1 or 0 < value < 1 << 24):
        raise ValueError(f"group_size {value!r:.80} is no size")
    return value
