"""What keeps memory small: freed memory returned to the system, and ranks that copy nothing.

glibc keeps what is freed between layers, in holes that the next layer does not fit. Without returning it the scan of
a 1.1 B model with its causal test peaked higher (figures in LOG.md). Elsewhere it is idle.
"""

import ctypes

from torch import Tensor

ROWS = 256
"""Rows of a matrix that are looked at together."""


def _find() -> "ctypes._FuncPointer | None":
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


_MALLOC_TRIM = _find()


def trim() -> None:
    """Return what is free, where the C library can."""
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def rank_of(weight: Tensor, row: int, col: int) -> int:
    """The rank of |weight[row, col]| in a matrix, 1 the largest. A sum of booleans would take eight bytes for each."""
    bound = weight[row, col].abs()
    parts = (weight[at : at + ROWS] for at in range(0, weight.shape[0], ROWS))
    return sum((int((part.abs() > bound).count_nonzero()) for part in parts), start=1)
