"""MXFP4 experts as gpt-oss stores them: 32 e2m1 codes share a power of two (OCP Microscaling Formats 1.0).

`X_blocks` uint8 (E, N, G, 16): two codes a byte, the lower nibble first; `X_scales` uint8 (E, N, G), exponent + 127.
The weight X is (E, K, N) with K = 32 * G: stored with its output axis first, used with its input axis first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checkpoint.header import TensorInfo
from .codec import Codec, DamagedError, Element, Read, Tensors, as_float, expect, need, number, small_floats
from .words import flat

E2M1 = tuple(sign * v for sign in (1.0, -1.0) for v in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0))
"""Value of each code: sign, two bits of exponent, one of mantissa (OCP MX 1.0, section 5.3.3)."""
BLOCK = 32


@dataclass(frozen=True)
class Experts(Codec):
    """Fused experts (E, K, N)."""

    codes: TensorInfo
    parts: dict[str, TensorInfo]

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """(E, K, N)."""
        experts, out, groups, _ = self.codes.shape
        return experts, groups * BLOCK, out

    @property
    def units(self) -> int:  # type: ignore[override]
        """Experts."""
        return self.codes.shape[0]

    @property
    def dtype(self) -> str:
        """The format's name."""
        return "mxfp4"

    def decode(self, first: int, codes: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        """Experts from `first` on."""
        _, out, groups, half = self.codes.shape
        pairs = codes.view(-1, out, groups * half).transpose(1, 2).contiguous()  # (E, K / 2, N): cheaper as bytes
        halves = torch.stack((pairs & 15, pairs >> 4), dim=2)  # (E, K / 2, 2, N)
        scale = as_float(parts["scale"][first : first + len(pairs)]).transpose(1, 2)[:, :, None]  # (E, G, 1, N)
        values = small_floats(halves.view(-1, groups, BLOCK, out), 2, 1)
        return values.mul_(scale).view(-1, groups * BLOCK, out)

    def element(self, index: tuple[int, ...], read: Read) -> Element:
        """The byte, which holds two codes; index and shape are (E, N, K) as stored."""
        expert, col, row = index
        named, code = self.packed_element((expert, row, col), (self.shape[0], self.shape[2], self.shape[1]), read)
        scale = self.parts["scale"]
        return replace(named, value=E2M1[code] * number(scale, flat((expert, row, col // BLOCK), scale.shape), read))


@dataclass(frozen=True)
class Mxfp4:
    """The format by its suffixes."""

    codes: str = "_blocks"
    spare: tuple[str, ...] = ()

    def target(self, stem: str) -> str:
        """Name of the weight."""
        return stem

    def of(self, stem: str, tensors: Tensors) -> Codec:
        """The experts of that stem."""
        blocks = tensors[stem + self.codes]
        if blocks.dtype != "uint8" or len(blocks.shape) != 4 or blocks.shape[-1] != BLOCK // 2 or not blocks.elements:
            raise DamagedError(f"{blocks.name} is {blocks.dtype} {list(blocks.shape)}, expected uint8 [E, N, G, 16]")
        scales = need(tensors, f"{stem}_scales", blocks.name)
        return Experts(blocks, {"scale": expect(scales, ("uint8", "float8_e8m0fnu"), blocks.shape[:-1])})
