"""Majority of states and pooled signals: worked examples (protocols 5.6, 5.8) and a per-base slow
version.
"""

from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from epilm.tokens import pooling
from epilm.tokens.pooling import MISSING, pool_states, pool_to_tokens, token_bins

BINS = np.arange(6, dtype=np.uint8)[None]


def as_on_a_gpu(function, *tensors, **how):
    """The road of tensors that numpy cannot read; on the CPU it gives way to numpy."""
    with patch.object(pooling, "_on_cpu", lambda _: False):
        return function(*tensors, **how)


def slow_states(codes, offset, bin, k, stride, tokens):
    """Base by base: count the states of a token's bases; none if most have none; else the most
    frequent, left first.
    """
    out = []
    for row, into in zip(codes.tolist(), offset.tolist(), strict=True):
        states = []
        for t in range(tokens):
            at = [(into + t * stride + j) // bin for j in range(k)]
            bases = [row[b] if b < len(row) else MISSING for b in at]
            known = [state for state in bases if state != MISSING]
            if 2 * (k - len(known)) > k:
                states.append(MISSING)
            else:
                counts = Counter(known)
                states.append(next(s for s in known if counts[s] == max(counts.values())))
        out.append(states)
    return np.array(out, dtype=np.uint8).reshape(len(codes), tokens)


@pytest.mark.parametrize(
    ("offset", "counts", "changes"),
    [
        (0, [29, 28, 29, 28, 28], [29, 57, 86, 114]),
        (50, [21, 29, 29, 28, 29, 6], [21, 50, 79, 107, 136]),
        (100, [14, 29, 28, 29, 29, 13], [14, 43, 71, 100, 129]),
        (150, [7, 29, 28, 29, 28, 21], [7, 36, 64, 93, 121]),
    ],
)
def test_worked_windows_of_1000_bp_at_every_offset(offset, counts, changes):
    states = pool_states(BINS, np.array([offset]), bin=200, k=7, stride=7, tokens=142)[0]
    assert np.bincount(states).tolist() == counts
    assert (np.flatnonzero(np.diff(states.astype(int))) + 1).tolist() == changes


@pytest.mark.parametrize(("token", "state"), [(28, 0), (57, 2), (85, 2), (114, 4)])
def test_worked_tokens_on_an_edge(token, state):
    """Token 28 has 4 bases of bin 0 and 3 of bin 1; 57 has 1 and 6; 85 has 5 and 2; 114 has 2 and
    5.
    """
    offset = np.array([0])
    assert pool_states(BINS, offset, bin=200, k=7, stride=7, tokens=142)[0, token] == state
    assert token_bins(offset, bin=200, k=7, stride=7, tokens=142)[0, token] == state


@pytest.mark.parametrize(
    ("bins", "offset", "state"),
    [
        ([1, 2], 197, 1),  # 3 and 3: the left one
        ([MISSING, 2], 197, 2),  # half the bases have none: not most of them
        ([1, MISSING], 197, 1),
        ([MISSING, 2], 196, MISSING),  # 4 of 6
        ([1, MISSING], 198, MISSING),
        ([4, 4], 197, 4),
    ],
)
def test_ties_and_bins_without_a_state(bins, offset, state):
    codes, into = np.array([bins], dtype=np.uint8), np.array([offset])
    assert pool_states(codes, into, bin=200, k=6, stride=6, tokens=1).tolist() == [[state]]


def test_states_are_compared_and_not_bins():
    """Bins of 2 bp, k = 7: three bins of 2, 2 and 2 bases and one of 1; state 9 has 3 bases in two
    bins.
    """
    codes = np.array([[9, 1, 2, 9]], dtype=np.uint8)
    assert pool_states(codes, np.array([0]), bin=2, k=7, stride=7, tokens=1).tolist() == [[9]]


def test_missing_bases_do_not_win_with_fewer_than_half():
    """3 of 7 bases without a state are more than either state has, but not most of the token."""
    codes = np.array([[MISSING, MISSING, MISSING, 1, 1, 2, 2]], dtype=np.uint8)
    assert pool_states(codes, np.array([0]), bin=1, k=7, stride=7, tokens=1).tolist() == [[1]]


def test_the_token_a_bin_names_is_the_one_its_state_comes_from():
    codes = np.array([[MISSING, 2]], dtype=np.uint8)
    how = {"bin": 200, "k": 6, "stride": 6, "tokens": 1}
    assert token_bins(np.array([197]), **how).tolist() == [[0]]
    assert token_bins(np.array([197]), **how, codes=codes).tolist() == [[1]]


@st.composite
def segmentations(draw):
    k, bin = draw(st.integers(3, 7)), draw(st.integers(1, 25))
    stride, tokens = draw(st.integers(1, 9)), draw(st.integers(1, 20))
    windows, n = draw(st.integers(1, 3)), draw(st.integers(1, 30))
    few = st.sampled_from([0, 1, 2, MISSING])  # ties and equal neighbours are frequent
    codes = draw(
        st.lists(st.lists(few, min_size=n, max_size=n), min_size=windows, max_size=windows)
    )
    offset = draw(st.lists(st.integers(0, 3 * bin), min_size=windows, max_size=windows))
    return np.array(codes, dtype=np.uint8), np.array(offset), bin, k, stride, tokens


@given(segmentations())
def test_the_majority_is_that_of_a_count_base_by_base(drawn):
    codes, offset, bin, k, stride, tokens = drawn
    how = {"bin": bin, "k": k, "stride": stride, "tokens": tokens}
    fast = pool_states(codes, offset, **how)
    assert fast.dtype == np.uint8
    assert np.array_equal(fast, slow_states(codes, offset, bin, k, stride, tokens))
    given = torch.from_numpy(codes), torch.from_numpy(offset)
    for same in (pool_states(*given, **how), as_on_a_gpu(pool_states, *given, **how)):
        assert same.dtype == torch.uint8
        assert np.array_equal(same.numpy(), fast)


@given(segmentations())
def test_bins_are_those_of_a_count_base_by_base(drawn):
    _, offset, bin, k, stride, tokens = drawn
    found = token_bins(offset, bin=bin, k=k, stride=stride, tokens=tokens)
    for row, into in zip(found, offset.tolist(), strict=True):
        for t, mine in enumerate(row.tolist()):
            counts = Counter((into + t * stride + j) // bin for j in range(k))
            assert mine == min(b for b, n in counts.items() if n == max(counts.values()))
    how = {"bin": bin, "k": k, "stride": stride, "tokens": tokens}
    for same in (
        token_bins(torch.from_numpy(offset), **how),
        as_on_a_gpu(token_bins, torch.from_numpy(offset), **how),
    ):
        assert same.dtype == torch.int64
        assert np.array_equal(same.numpy(), found)


@given(segmentations())
def test_with_the_codes_a_token_has_the_state_of_its_bin(drawn):
    """What hiding a whole bin relies on, for tokens no wider than a bin."""
    codes, offset, bin, k, stride, tokens = drawn
    bin += k
    how = {"bin": bin, "k": k, "stride": stride, "tokens": tokens}
    bins = token_bins(offset, codes=codes, **how)
    wide = np.concatenate([codes, np.full((len(codes), 200), MISSING, np.uint8)], 1)
    states = pool_states(codes, offset, **how)
    of_bin = np.take_along_axis(wide, bins, 1)
    assert np.array_equal(states, of_bin)
    given = torch.from_numpy(offset)
    for same in (
        token_bins(given, codes=torch.from_numpy(codes), **how),
        as_on_a_gpu(token_bins, given, codes=torch.from_numpy(codes), **how),
    ):
        assert np.array_equal(same.numpy(), bins)


def test_no_bins_at_all_is_no_state():
    none = np.zeros((2, 0), dtype=np.uint8)
    assert (pool_states(none, np.zeros(2, int), bin=200, k=7, stride=7, tokens=3) == MISSING).all()
    given = torch.from_numpy(none), torch.zeros(2, dtype=torch.int64)
    same = as_on_a_gpu(pool_states, *given, bin=200, k=7, stride=7, tokens=3)
    assert (same == MISSING).all()


def test_the_worked_signals():
    """k = 3, stride 3: accessibility by its maximum, mappability by its minimum."""
    access = np.array([[0, 5, 1, 2, 2, 2]], dtype=np.float32)
    maps = np.array([[1, 1, 0.25, 1, 0.5, 1]], dtype=np.float32)
    assert pool_to_tokens(access, 3, 3, "max").tolist() == [[5, 2]]
    assert pool_to_tokens(maps, 3, 3, "min").tolist() == [[0.25, 0.5]]
    assert pool_to_tokens(access, 3, 3, "mean").tolist() == [[2, 2]]


@given(
    st.integers(1, 60),
    st.integers(3, 7),
    st.integers(1, 9),
    st.sampled_from(["max", "min", "mean"]),
    st.booleans(),
)
def test_signals_are_those_of_a_loop_over_tokens(width, k, stride, how, whole):
    signal = np.random.default_rng(width).normal(size=(2, width)).astype(np.float32)
    tokens = max((width - k) // stride + 1, 0) if whole else -(-width // stride)
    if tokens < 1:
        with pytest.raises(ValueError, match="hold no"):
            pool_to_tokens(signal, k, stride, how)
        return
    reduce = {"max": np.max, "min": np.min, "mean": np.mean}[how]
    slow = np.stack([reduce(signal[:, t * stride : t * stride + k], 1) for t in range(tokens)], 1)
    fast = pool_to_tokens(signal, k, stride, how, None if whole else tokens)
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-6)
    same = pool_to_tokens(torch.from_numpy(signal), k, stride, how, None if whole else tokens)
    assert np.array_equal(same.numpy(), fast)


def test_the_signal_given_is_left_as_it_was():
    signal = np.array([[0, 5, 1, 2, 2, 2]], dtype=np.float32)
    pool_to_tokens(signal, 3, 3, "max")
    assert signal.tolist() == [[0, 5, 1, 2, 2, 2]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(5), 3, 3, "max"), r"shape \(5,\), not \(windows, bases\)"),
        ((np.zeros((1, 9)), 3, 3, "median"), "'median' is none of max, min, mean"),
        ((np.zeros((1, 2)), 3, 3, "max"), "2 bases hold no 1 tokens of 3"),
        ((np.zeros((1, 9)), 3, 3, "max", 4), "9 bases hold no 4 tokens of 3"),
    ],
)
def test_impossible_pools_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        pool_to_tokens(*arguments)


def test_impossible_bins_are_refused():
    with pytest.raises(ValueError, match="a bin of 0 bp"):
        pool_states(BINS, np.array([0]), bin=0, k=7, stride=7)
    with pytest.raises(ValueError, match=r"not \(windows, bins\)"):
        pool_states(BINS[0], np.array([0]), bin=200, k=7, stride=7)
