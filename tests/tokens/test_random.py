"""Counter-based randomness: splitmix64's published values, the same bits everywhere, no bias to
speak of.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from epilm.tokens.random import (
    hash_bits,
    integers,
    permutation,
    scrambled,
    state,
    threshold,
    uniform,
)

int64 = st.integers(-(2**63), 2**63 - 1)


def splitmix(counters: list[int]) -> int:
    """The definition, in Python's unbounded integers."""
    z, full = 0, 2**64 - 1
    for counter in counters:
        z = (z + (counter + 1) * 0x9E3779B97F4A7C15) & full
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & full
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & full
        z ^= z >> 31
    return z


@pytest.mark.parametrize(
    ("counter", "published"),
    [
        (0, 0xE220A8397B1DCDAF),
        (1, 0x6E789E6AA1B965F4),
        (2, 0x06C45D188009454F),
        (3, 0xF88BB8A8724C81EC),
    ],
)
def test_the_first_outputs_are_those_published_for_seed_0(counter, published):
    assert splitmix([counter]) == published
    assert int(hash_bits(counter)) == published >> 11


@given(st.lists(int64, min_size=1, max_size=4))
def test_integers_numpy_and_torch_give_the_bits_of_the_definition(counters):
    expected = splitmix(counters) >> 11
    assert int(hash_bits(*counters)) == expected
    assert hash_bits(*(torch.tensor([c]) for c in counters)).tolist() == [expected]
    assert hash_bits(*(np.array([c]) for c in counters)).tolist() == [expected]
    assert hash_bits(*counters[:-1], torch.tensor([counters[-1]])).tolist() == [expected]
    assert int(state(*counters)) & (2**64 - 1) == splitmix(counters)


def test_counters_broadcast_and_do_not_depend_on_the_company_they_keep():
    rows, at = torch.tensor([[3], [9]]), torch.arange(5)
    table = hash_bits(1, rows, at)
    assert table.shape == (2, 5)
    assert int(table[1, 4]) == int(hash_bits(1, 9, 4))
    assert torch.equal(torch.from_numpy(hash_bits(1, rows.numpy(), at.numpy())), table)


def test_a_zero_dimensional_array_is_taken_too():
    assert hash_bits(np.int64(4)).item() == hash_bits(4).item() == hash_bits(np.array(4)).item()


def test_uniform_numbers_are_uniform_and_below_one():
    draws = uniform(11, torch.arange(200_000))
    assert draws.dtype == torch.float64
    assert 0 <= draws.min() < draws.max() < 1
    counts = torch.histc(draws.float(), bins=20, min=0, max=1)
    chi2 = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi2 < 43.8  # 0.1 % point with 19 degrees of freedom
    assert abs(torch.corrcoef(torch.stack([draws[1:], draws[:-1]]))[0, 1]) < 0.01


@given(st.integers(1, 2**31 - 1), int64)
def test_integers_stay_in_their_range(high, counter):
    assert 0 <= int(integers(high, counter)) < high


def test_every_integer_is_drawn_equally_often():
    counts = torch.bincount(integers(7, 3, torch.arange(70_000)), minlength=7)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 22.5  # 0.1 % point with 6 degrees of freedom


@pytest.mark.parametrize("high", [0, -1, 2**31])
def test_integers_refuses_an_impossible_range(high):
    with pytest.raises(ValueError, match="high is"):
        integers(high, 1)


@given(st.integers(0, 300), st.integers(0, 10), st.integers(0, 10))
def test_a_permutation_holds_every_row_once_and_repeats(n, seed, epoch):
    order = permutation(n, seed, epoch)
    assert sorted(order.tolist()) == list(range(n))
    assert np.array_equal(order, permutation(n, seed, epoch))


def test_epochs_are_shuffled_differently():
    assert not np.array_equal(permutation(100, 1, 0), permutation(100, 1, 1))


def test_threshold_is_the_share_of_bits_below_it():
    share = (hash_bits(2, torch.arange(100_000)) < threshold(0.025)).double().mean()
    assert share == pytest.approx(0.025, abs=0.002)
    assert threshold(0) == 0
    assert threshold(1) == 2**53


@given(st.integers(1, 400), st.integers(0, 5), st.integers(0, 5))
def test_scrambled_is_a_permutation_in_numpy_and_torch(n, seed, epoch):
    shuffled = scrambled(np.arange(n), n, seed, epoch)
    assert sorted(shuffled.tolist()) == list(range(n))
    assert scrambled(torch.arange(n), n, seed, epoch).tolist() == shuffled.tolist()


def test_scrambled_gives_a_point_without_the_others_and_in_any_shape():
    whole = scrambled(np.arange(1000), 1000, 4)
    assert scrambled(np.array([[7, 3]]), 1000, 4).tolist() == [[whole[7], whole[3]]]
    assert scrambled(np.array([], dtype=np.int64), 1000, 4).tolist() == []


def test_every_number_lands_everywhere_equally_often():
    counts = np.zeros((7, 7))
    for seed in range(7_000):
        counts[np.arange(7), scrambled(np.arange(7), 7, seed)] += 1
    assert ((counts - 1000) ** 2 / 1000).sum() < 67.9  # 0.1 % point with 36 degrees of freedom


def test_neighbours_in_a_large_shuffle_have_nothing_to_do_with_each_other():
    n = 381_000_000
    at = scrambled(np.arange(100_000), n, 0, 0)
    assert len(np.unique(at)) == len(at)
    assert 0 <= at.min() < at.max() < n
    assert abs(np.corrcoef(at[1:], at[:-1])[0, 1]) < 0.01
    assert at.mean() == pytest.approx(n / 2, rel=0.01)
    assert not np.array_equal(at, scrambled(np.arange(100_000), n, 0, 1))
    counts = np.bincount(at * 20 // n, minlength=20)
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 43.8  # 0.1 % point with 19 degrees of freedom


@pytest.mark.parametrize(("index", "n"), [([0], 0), ([0], 2**40 + 1), ([5], 5), ([-1], 5)])
def test_scrambled_refuses_what_is_out_of_range(index, n):
    with pytest.raises(ValueError, match="scrambled"):
        scrambled(np.array(index), n, 1)
