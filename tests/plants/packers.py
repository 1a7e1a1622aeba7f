"""Quantizers written from the formats' definitions, mostly one element at a time; nothing of swindex.

Each takes a weight (N, K) and gives the tensors to store, by what they add to the module's name, and the weight that
they mean in float64. Definitions: DeepSeek-V3 README (FP8), compressed-tensors (pack_to_int32), AutoGPTQ and AutoAWQ
(pack of their linear layers), OCP Microscaling Formats 1.0 (MXFP4).
"""

from collections.abc import Callable
from math import ceil

import numpy as np
import torch
from torch import Tensor

Matrix = np.ndarray
Stored = dict[str, Tensor]
Packer = Callable[[Matrix], tuple[Stored, Matrix]]

E2M1 = {0: 0.0, 1: 0.5, 2: 1.0, 3: 1.5, 4: 2.0, 5: 3.0, 6: 4.0, 7: 6.0}


def e4m3(byte: int) -> float:
    """The number that a float8 e4m3fn byte means."""
    sign, exponent, mantissa = -1.0 if byte >> 7 else 1.0, byte >> 3 & 15, byte & 7
    return sign * (mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))


MEANS = np.array([e4m3(byte) for byte in range(256)])


def _half(value: float) -> float:
    return float(np.float16(value))


def fp8(scale_name: str, block: tuple[int, int] | None, shape: Callable[[int, int], tuple[int, ...]]) -> Packer:
    """Float8 e4m3 with a float32 scale per block; `shape` is that of the stored scales, given their grid."""

    def pack(w: Matrix) -> tuple[Stored, Matrix]:
        high, wide = block or w.shape
        high, wide = high or w.shape[0], wide or w.shape[1]
        grid = ceil(w.shape[0] / high), ceil(w.shape[1] / wide)
        scales, shares = np.zeros(grid, np.float32), np.zeros(w.shape)
        for i in range(grid[0]):
            for j in range(grid[1]):
                part = w[i * high : (i + 1) * high, j * wide : (j + 1) * wide]
                scales[i, j] = float(np.abs(part).max()) / 448 or 1.0
                shares[i * high : (i + 1) * high, j * wide : (j + 1) * wide] = scales[i, j]
        weight = torch.from_numpy(w / shares).to(torch.float32).to(torch.float8_e4m3fn)
        stored = {".weight": weight, scale_name: torch.from_numpy(scales).reshape(shape(*grid))}
        return stored, MEANS[weight.view(torch.uint8).numpy()] * shares

    return pack


def int8(zero_points: bool) -> Packer:
    """compressed-tensors int-quantized: int8 per row, bfloat16 scales, perhaps zero points."""

    def pack(w: Matrix) -> tuple[Stored, Matrix]:
        codes, means = np.zeros(w.shape, np.int8), np.zeros(w.shape)
        scales, zeros = torch.zeros(len(w), 1, dtype=torch.bfloat16), np.zeros((len(w), 1), np.int8)
        for n, row in enumerate(w):
            scales[n] = float(np.abs(row).max()) / 100 or 1.0
            zeros[n] = n % 7 - 3 if zero_points else 0
            for k, value in enumerate(row):
                codes[n, k] = round(float(value) / float(scales[n])) + zeros[n, 0]
                means[n, k] = (int(codes[n, k]) - int(zeros[n, 0])) * float(scales[n])
        stored = {".weight": torch.from_numpy(codes), ".weight_scale": scales}
        return stored | ({".weight_zero_point": torch.from_numpy(zeros)} if zero_points else {}), means

    return pack


def _quantize(w: Matrix, bits: int, group_of: list[int], zero_at: Callable[[int, int], int]) -> tuple[Matrix, ...]:
    """Codes (N, K), half-precision scales (N, G), zeros (N, G) and what they mean."""
    count, most = max(group_of) + 1, (1 << bits) - 1
    members = [[k for k, of in enumerate(group_of) if of == g] for g in range(count)]
    scales, zeros = np.zeros((len(w), count)), np.zeros((len(w), count), int)
    codes, means = np.zeros(w.shape, int), np.zeros(w.shape)
    for n, row in enumerate(w):
        for g in range(count):
            zeros[n, g] = zero_at(n, g)
            room = min(zeros[n, g], most - zeros[n, g]) or 1
            largest = float(np.abs(row[members[g]]).max())
            scales[n, g] = _half(largest / room) or 1.0
        for k, value in enumerate(row):
            g = group_of[k]
            codes[n, k] = min(max(round(float(value) / scales[n, g]) + zeros[n, g], 0), most)
            means[n, k] = (codes[n, k] - zeros[n, g]) * scales[n, g]
    return codes, scales, zeros, means


def _words(codes: Matrix, bits: int, order: list[int] | None = None) -> Matrix:
    """Rows of codes as rows of int32 words; `order[i]` is the code that lies in slot i of a word."""
    per = 32 // bits
    words = np.zeros((len(codes), ceil(codes.shape[1] / per)), np.uint32)
    for r, row in enumerate(codes):
        for w in range(words.shape[1]):
            for slot in range(per):
                at = w * per + (order[slot] if order else slot)
                if at < len(row):
                    words[r, w] |= np.uint32(int(row[at]) << (slot * bits))
    return words.view(np.int32)


def gptq(bits: int, group: int, version: int = 1, order: bool = False) -> Packer:
    """GPTQ; `order`: the groups are dealt out (desc_act)."""

    def pack(w: Matrix) -> tuple[Stored, Matrix]:
        group_of = [k // group for k in range(w.shape[1])]
        if order:
            np.random.default_rng(0).shuffle(group_of)
        middle, most = 1 << (bits - 1), (1 << bits) - 1
        codes, scales, zeros, means = _quantize(w, bits, group_of, lambda n, g: middle - 1 + (n + g) % 2)
        written = (zeros - 1) & most if version == 1 else zeros
        return {
            ".qweight": torch.from_numpy(_words(codes, bits).T.copy()),
            ".qzeros": torch.from_numpy(_words(written.T, bits)),
            ".scales": torch.from_numpy(scales.T.astype(np.float16)),
            ".g_idx": torch.tensor(group_of, dtype=torch.int32),
        }, means

    return pack


def awq(group: int) -> Packer:
    """AWQ for gemm: eight outputs in a word, in the order 0 2 4 6 1 3 5 7."""

    def pack(w: Matrix) -> tuple[Stored, Matrix]:
        group_of, order = [k // group for k in range(w.shape[1])], [0, 2, 4, 6, 1, 3, 5, 7]
        codes, scales, zeros, means = _quantize(w, 4, group_of, lambda n, g: 7 + (n + g) % 2)
        return {
            ".qweight": torch.from_numpy(_words(codes.T, 4, order)),
            ".qzeros": torch.from_numpy(_words(zeros.T, 4, order)),
            ".scales": torch.from_numpy(scales.T.astype(np.float16)),
        }, means

    return pack


def packed(bits: int, group: int | None, zero_points: bool = False, order: bool = False) -> Packer:
    """compressed-tensors pack-quantized; `group` None: a scale per row."""

    def pack(w: Matrix) -> tuple[Stored, Matrix]:
        group_of = [k // (group or w.shape[1]) for k in range(w.shape[1])]
        if order:
            np.random.default_rng(0).shuffle(group_of)
        middle = 1 << (bits - 1)
        zero_at = (lambda n, g: middle - 1 + (n + g) % 2) if zero_points else (lambda n, g: middle)
        codes, scales, zeros, means = _quantize(w, bits, group_of, zero_at)
        stored = {
            ".weight_packed": torch.from_numpy(_words(codes, bits)),
            ".weight_scale": torch.from_numpy(scales.astype(np.float16)),
            ".weight_shape": torch.tensor(w.shape),
        }
        if zero_points:
            stored[".weight_zero_point"] = torch.from_numpy(_words(zeros.T, bits).T.copy())
        if order:
            stored[".weight_g_idx"] = torch.tensor(group_of, dtype=torch.int32)
        return stored, means

    return pack


def mxfp4(blocks: Matrix, scales: Matrix) -> Matrix:
    """What blocks (E, N, G, 16) and scales (E, N, G) mean: the weight (E, 32 G, N)."""
    experts, out, groups, _ = blocks.shape
    means = np.zeros((experts, groups * 32, out))
    for e in range(experts):
        for n in range(out):
            for k in range(groups * 32):
                byte = int(blocks[e, n, k // 32, k % 32 // 2])
                code = byte >> 4 if k % 2 else byte & 15
                means[e, k, n] = (-1) ** (code >> 3) * E2M1[code & 7] * 2.0 ** (int(scales[e, n, k // 32]) - 127)
    return means
