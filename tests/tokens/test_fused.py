"""Fused loops give the ids of the plain ones."""

import numpy as np
import pytest

from epilm.tokens import _fused
from epilm.tokens.kmers import (
    kmer_ids,
)


def test_without_numba_the_ids_are_the_same(monkeypatch):
    codes = np.random.default_rng(0).integers(0, 5, (3, 50), dtype=np.uint8)
    fast = kmer_ids(codes, 6, 2)
    monkeypatch.setattr(_fused, "available", lambda: False)
    assert np.array_equal(kmer_ids(codes, 6, 2), fast)


@pytest.mark.parametrize("numba", [True, False])
def test_ids_are_written_into_an_array_that_is_given(monkeypatch, numba):
    if not numba:
        monkeypatch.setattr(_fused, "available", lambda: False)
    codes = np.random.default_rng(0).integers(0, 5, (2, 70, 20), dtype=np.uint8)
    out = np.empty((2, 70, 15), dtype=np.int64)
    assert kmer_ids(codes, 6, out=out) is out
    assert np.array_equal(out, kmer_ids(codes, 6))
    with pytest.raises(
        ValueError, match=r"out must be contiguous int64 \(2, 70, 15\), not int32 \(2, 70, 15\)"
    ):
        kmer_ids(codes, 6, out=out.astype(np.int32))
