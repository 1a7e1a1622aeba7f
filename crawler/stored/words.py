"""Which bytes of a stored tensor hold the code at an index. Needs no torch: `verify` uses it too.

Codes of a few bits lie side by side in little-endian words, along one axis of the tensor.
"""

from dataclasses import dataclass
from math import prod

AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Nibble of an AWQ word that holds column 0, 1, ... of its eight (AutoAWQ, gemm packing)."""


@dataclass(frozen=True)
class Word:
    """The word that holds a code: its first byte within the tensor, its bytes, and the code's lowest bit in it."""

    offset: int
    size: int
    shift: int


@dataclass(frozen=True)
class Packing:
    """Codes of `bits` bits in words of `size` bytes, side by side along `axis` (from the end) in `order`."""

    bits: int
    size: int
    axis: int
    order: tuple[int, ...] = ()

    @property
    def per_word(self) -> int:
        """Codes in a word."""
        return self.size * 8 // self.bits

    def word(self, stored: tuple[int, ...], index: tuple[int, ...]) -> Word | None:
        """The word of the code at `index`, in a tensor of words of shape `stored`; None if it has no such place.

        Stored axes beyond those of the index are parts of the last one.
        """
        if len(stored) < len(index):
            return None
        shape = (*stored[: len(index) - 1], prod(stored[len(index) - 1 :]))
        at, slot = list(index), index[self.axis] % self.per_word
        at[self.axis] = index[self.axis] // self.per_word
        if any(i >= n for i, n in zip(at, shape, strict=True)):
            return None
        slot = self.order[slot] if self.order else slot
        return Word(flat(at, shape) * self.size, self.size, slot * self.bits)

    def code(self, raw: bytes, word: Word) -> int:
        """The code in the bytes of its word."""
        return int.from_bytes(raw, "little") >> word.shift & ((1 << self.bits) - 1)


def flat(index: tuple[int, ...] | list[int], shape: tuple[int, ...]) -> int:
    """Position of an element in row-major order."""
    position = 0
    for at, size in zip(index, shape, strict=True):
        position = position * size + at
    return position


# Name of a format in records -> where its codes are.
PACKINGS: dict[str, Packing] = {
    "mxfp4": Packing(4, 1, -1),
    "gptq-int2": Packing(2, 4, -2),
    "gptq-int4": Packing(4, 4, -2),
    "gptq-int8": Packing(8, 4, -2),
    "awq-int4": Packing(4, 4, -1, AWQ_ORDER),
    "pack-int2": Packing(2, 4, -1),
    "pack-int4": Packing(4, 4, -1),
    "pack-int8": Packing(8, 4, -1),
    "zero-point-int8": Packing(8, 1, -1),
}
