"""Spans of arrays, gathered at once."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from epilm.store.arrays import gather_spans, spans


@given(
    st.integers(0, 12),
    st.lists(
        st.tuples(st.integers(-9, 20), st.integers(0, 12), st.integers(-2, 12)),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 9),
    st.sampled_from([np.uint8, np.float16]),
)
def test_spans_by_copy_and_by_index_are_those_of_a_loop(size, places, width, kind):
    flat = np.arange(1, size + 1).astype(kind)
    begin, low, length = (np.array(x, np.int64) for x in zip(*places, strict=True))
    low = np.minimum(low, size)
    high = np.clip(low + length, low, size)
    slow = [
        [int(flat[p]) if a <= p < b else 77 for p in range(s, s + width)]
        for s, a, b in zip(begin, low, high, strict=True)
    ]
    on = tuple(map(torch.from_numpy, (flat, begin, low, high)))
    for found in (
        spans(flat, begin, low, high, width, 77),
        spans(*on, width, 77),
        gather_spans(*on, width, 77),
    ):
        assert found.tolist() == slow
        assert str(found.dtype).rsplit(".")[-1] == np.dtype(kind).name
