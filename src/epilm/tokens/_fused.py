"""The token functions as compiled loops, where numba is importable; the same results to the bit.

numba is optional on the training path (a GPU machine may have torch alone), so it
is imported at the first call, and every caller has a plain numpy or torch version
beside it. Arrays in, arrays filled in place. Speed: benchmarks rows 1 and 2.
"""

import os
from functools import lru_cache
from types import ModuleType

import numpy as np


@lru_cache(maxsize=1)
def _loops() -> ModuleType | None:
    if os.environ.get("EPILM_NO_NUMBA"):
        return None
    try:
        from epilm.tokens import _loops
    except (ImportError, RuntimeError):  # no numba, or nowhere it could keep its cache
        return None
    return _loops


def available() -> bool:
    """Whether the compiled loops can be used; EPILM_NO_NUMBA=1 switches them off."""
    return _loops() is not None


def kmer_ids(codes: np.ndarray, k: int, stride: int, out: np.ndarray) -> None:
    """Fill `out` (N, L) int64 with the ids of `codes` (N, W) uint8; `out` may be a strided view."""
    buffers = np.empty((4, codes.shape[1]), dtype=np.uint32)
    _required().kmer_ids(codes, k, stride, buffers, out)


def mask_tokens(
    ids: np.ndarray,
    maskable: np.ndarray,
    states: np.ndarray,
    left: int,
    right: int,
    limits: tuple[int, int, int],
    random_range: tuple[int, int],
    masked: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Fill `masked` and `labels` (N, L) int64; the meaning is that of `epilm.tokens.masking`.

    `states` int64 (N, 3) are the generator's states before the position is absorbed, one for
    each of the three draws; `limits` the bounds below which a draw is a centre, [MASK], or random.
    """
    _required().mask_tokens(ids, maskable, states, left, right, limits, random_range, masked, labels)


def _required() -> ModuleType:
    loops = _loops()
    assert loops is not None, "ask available() first"
    return loops
