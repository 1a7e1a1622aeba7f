"""What keeps memory small: freed memory returned to the system, and ranks that copy nothing.

glibc keeps what is freed between layers, in holes that the next layer does not fit. Without returning it the scan of
a 1.1 B model with its causal test peaked higher (figures in LOG.md). Elsewhere it is idle.
"""

import ctypes

from torch import Tensor

ROWS = 256
"""Rows of a matrix that are looked at together."""


LARGE = 8 << 20
"""Bytes of a block that comes from the system by itself."""
END = 64 << 20
"""Free bytes at the end of the heap that stay: what a layer computes with comes and goes there."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def _find(name: str) -> "ctypes._FuncPointer | None":
    try:
        return getattr(ctypes.CDLL(None), name)  # type: ignore[no-any-return]
    except (OSError, AttributeError):
        return None


_MALLOC_TRIM, _MALLOPT = _find("malloc_trim"), _find("mallopt")


def keep_large_apart() -> None:
    """Let blocks of LARGE bytes and more come from the system and go back to it at once, and END free bytes at the end
    of the heap, where the C library can.

    Left alone it raises these bounds as it goes, and what a layer leaves behind in its heap is in the way of the next:
    figures in LOG.md. It holds for the whole process.
    """
    if _MALLOPT is not None:
        _MALLOPT(_M_MMAP_THRESHOLD, LARGE)
        _MALLOPT(_M_TRIM_THRESHOLD, END)


def trim() -> None:
    """Return what is free, where the C library can."""
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def rank_of(weight: Tensor, row: int, col: int) -> int:
    """The rank of |weight[row, col]| in a matrix, 1 the largest. A sum of booleans would take eight bytes for each."""
    bound = weight[row, col].abs()
    parts = (weight[at : at + ROWS] for at in range(0, weight.shape[0], ROWS))
    return sum((int((part.abs() > bound).count_nonzero()) for part in parts), start=1)
