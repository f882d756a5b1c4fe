"""The token functions as compiled loops, where numba is importable; the same results to the bit.

numba is optional on the training path (a GPU machine may have torch alone), so it
is imported at the first call, and every caller has a plain numpy or torch version
beside it. Arrays in, arrays filled in place. Speed: benchmarks rows 1 and 2.
"""

import os
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

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


class Draws(NamedTuple):
    """What a mask depends on besides the tokens; see `epilm.tokens.masking.draws`.

    Attributes
    ----------
    bases : three generator states, one a question, before the key is absorbed
    span : tokens hidden before and after a centre
    limits : bounds below which 53 bits are a centre, [MASK], or a random id
    random_range : the lowest random id and how many there are
    """

    bases: tuple[int, int, int]
    span: tuple[int, int]
    limits: tuple[int, int, int]
    random_range: tuple[int, int]


def kmer_ids(codes: np.ndarray, k: int, stride: int, out: np.ndarray) -> None:
    """Fill `out` (N, L) int64 with the ids of `codes` (N, W) uint8."""
    _required().kmer_ids(codes, k, stride, _buffers(codes.shape[1], k), out)


def mask_tokens(
    ids: np.ndarray,
    maskable: np.ndarray,
    keys: np.ndarray,
    draws: Draws,
    masked: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Fill `masked` and `labels` (N, L) int64 from `ids` int64, `maskable` bool and `keys` (N,)
    int64.
    """
    _required().mask_tokens(ids, maskable, keys, *draws, masked, labels)


def _buffers(width: int, k: int) -> np.ndarray:
    # Two bits a base: 16 bits hold 8 bases. Seven words are the most that k <= 12 needs.
    return np.empty((7, width), dtype=np.uint16 if k <= 8 else np.uint32)


def _required() -> ModuleType:
    loops = _loops()
    assert loops is not None, "ask available() first"
    return loops
