"""Passes of one shape: each different window once, whatever stands beside it."""

import numpy as np
import torch

from epilm.variants.passes import passes, steady_rows


def test_every_window_is_answered_once_by_its_equal():
    rng = np.random.default_rng(0)
    keys = [bytes([x]) for x in rng.integers(0, 30, 200)]
    answered, computed = [], []
    for each in passes(keys, 8):
        assert len(each.rows) == 8
        assert len(each.asked) == len(each.slots)
        for row, slot in zip(each.asked, each.slots):
            assert keys[each.rows[slot]] == keys[row]
        answered += each.asked.tolist()
        computed += list(dict.fromkeys(keys[row] for row in each.rows))
    assert sorted(answered) == list(range(200))
    assert sorted(computed) == sorted(set(keys))


def test_a_row_whose_bits_heed_its_place_or_a_neighbour_goes_alone():
    values = torch.rand(3, 5, generator=torch.Generator().manual_seed(1))

    def by_place(rows):
        return (values[rows] + 1e-7 * torch.arange(len(rows))[:, None],)

    def by_neighbour(rows):
        return (values[rows], values[rows] + values[rows].mean())

    def steady(rows):
        return (values[rows] * 2,)

    assert steady_rows(steady, 3, 8) == 8
    assert steady_rows(by_place, 3, 8) == 1
    assert steady_rows(by_neighbour, 3, 8) == 1
    assert steady_rows(by_place, 3, 1) == 1
