"""Spans of arrays, gathered at once."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from epilm.store.arrays import gather_spans, spans, unknown_runs


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


@given(st.lists(st.integers(0, 4), max_size=60))
def test_runs_of_unknown_bases_are_those_of_a_plain_walk(codes):
    found = [list(run) for run in unknown_runs(np.array(codes, np.uint8))]
    plain = [i for i, code in enumerate(codes) if code > 3]
    assert [i for begin, end in found for i in range(begin, end)] == plain
    assert all(a[1] < b[0] for a, b in pairwise(found))


def test_runs_go_on_over_the_blocks_that_a_genome_is_read_in(monkeypatch):
    monkeypatch.setattr("epilm.store.arrays._BLOCK", 4)
    codes = np.array([0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0, 1, 4], np.uint8)
    assert unknown_runs(codes).tolist() == [[3, 9], [13, 14]]
