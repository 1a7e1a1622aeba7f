"""The product of a float32 matrix with a bfloat16 one, as exact as in float32, by bfloat16 hardware.

A float32 number is exactly the sum of three bfloat16 ones (3 x 8 bits of significand), and the product of two bfloat16
numbers is exact in float32. So three bfloat16 products that are added up in float32 give what one float32 product
gives, rounded as often; with AMX in half the time. torch 2.13 has no such operation for CPUs (its bfloat16 products
round what they give to bfloat16; `out_dtype=` is for GPUs), but its library carries MKL, of which the documented
`cblas_gemm_bf16bf16f32` is called here. Where anything is missing `available` says no.

What differs from float32: numbers below 2**-126, weights or parts of inputs, count as zero; inputs within 2**-9 of the
largest float32 give NaN. What is not finite gives what is not finite, though infinity may become NaN.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

PLAIN = "SWINDEX_PLAIN"
"""Environment variable: if set, no use is made of this module."""
TOGETHER = 1 << 8
"""Rows up to which the three parts are multiplied in one call: it reads the weight once and takes thrice the memory."""
BLOCK = 64
"""Rows that are split together: they stay in the processor's cache meanwhile."""
ERROR = 1e-6
"""Relative error (of the norm) above which the library is not trusted. Seen: 1.5e-7; in float32 3.4e-7."""
ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112
"""As CBLAS numbers them."""

_LIBRARY = torch.library.Library("swindex", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("mm(Tensor left, Tensor right, Tensor? bias=None) -> Tensor")  # type: ignore[no-untyped-call]


def available() -> bool:
    """Whether products may be computed so here: the processor, the library, and what it gives for an example."""
    return not os.environ.get(PLAIN) and _works()


@cache
def _works() -> bool:
    if sys.byteorder != "little" or not torch.cpu.get_capabilities().get("amx_bf16") or _gemm() is None:
        return False
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(24, 96, generator=draw), torch.randn(40, 96, generator=draw).bfloat16()
    exact = left.double() @ right.double().T
    return bool((mm(left, right.T).double() - exact).norm() <= ERROR * exact.norm())


@cache
def _gemm() -> Callable[..., None] | None:
    """MKL's product of bfloat16 matrices that adds to a float32 one, as torch's own library carries it."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        found = library.cblas_gemm_bf16bf16f32
    except (OSError, AttributeError):
        return None
    whole, real, place = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
    found.argtypes = [*[whole] * 6, real, place, whole, place, whole, real, place, whole]
    found.restype = None
    return found


def mm(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left (N, K) float32 times right (K, M) bfloat16, which has unit stride along an axis, plus bias (M,): float32."""
    rows, columns, parts = len(left), right.shape[1], _parts(left)
    if rows > TOGETHER:
        made = torch.empty(rows, columns)
        for at in (2, 1, 0):  # the smallest first
            _product(parts[at * rows : (at + 1) * rows], right, made, add=at < 2)
    else:
        each = _scratch("products", (3 * rows, columns), torch.float32)
        _product(parts, right, each)
        made = torch.add(each[2 * rows :], each[rows : 2 * rows]).add_(each[:rows])
    return made if bias is None else made.add_(bias)


def _parts(left: Tensor) -> Tensor:
    """Three bfloat16 matrices below one another (3N, K) whose sum is a float32 one (N, K), the largest first."""
    rows, inner = left.shape
    parts = _scratch("parts", (3 * rows, inner), torch.bfloat16)
    for at in range(0, rows, BLOCK):
        block = left[at : at + BLOCK]
        high, middle, low = parts.view(3, rows, inner)[:, at : at + BLOCK]
        rest = torch.sub(block, high.copy_(block), out=_scratch("rest", (len(block), inner), torch.float32))
        rest -= middle.copy_(rest)
        low.copy_(rest)
    return parts


_MEMORY = threading.local()


def _scratch(name: str, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Memory of this thread that is used again and again: fresh pages for each product take a tenth of its time."""
    size = shape[0] * shape[1]
    kept = getattr(_MEMORY, name, None)
    if kept is None or kept.numel() < size:
        kept = torch.empty(size, dtype=dtype)
        setattr(_MEMORY, name, kept)
    return kept[:size].view(shape)


def _product(left: Tensor, right: Tensor, made: Tensor, *, add: bool = False) -> None:
    """Put left (N, K) times right (K, M), both bfloat16, in `made` (N, M) float32, or add it to what is there."""
    (rows, inner), columns = left.shape, right.shape[1]
    gemm = _gemm()
    if not made.numel() or gemm is None:
        return
    way, stride = (TRANSPOSED, right.stride(1)) if right.stride(0) == 1 else (AS_IT_IS, right.stride(0))
    sizes = (rows, columns, inner)
    a, b = (left.data_ptr(), inner), (right.data_ptr(), stride)
    gemm(ROW_MAJOR, AS_IT_IS, way, *sizes, 1.0, *a, *b, float(add), made.data_ptr(), columns)


_LIBRARY.impl("mm", mm, "CPU")  # type: ignore[no-untyped-call]
MM = torch.ops.swindex.mm.default
"""`mm` as an operation of torch's, which modes of dispatch see."""
