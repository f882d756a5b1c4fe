"""Bases in another order."""

import numpy as np
import torch

from epilm.batches.shuffled import shuffled

CODES = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (40, 200)).astype(np.uint8))


def test_composition_and_unknown_bases_stay():
    mixed = shuffled(CODES, torch.arange(40))
    assert mixed.dtype == torch.uint8
    assert torch.equal(mixed == 4, CODES == 4)
    assert torch.equal(mixed.sort(1).values, CODES.sort(1).values)
    assert float((mixed == CODES)[CODES < 4].float().mean()) < 0.4


def test_an_order_is_a_function_of_the_key_alone():
    keys = torch.arange(40)
    assert torch.equal(shuffled(CODES, keys)[7:9], shuffled(CODES[7:9], keys[7:9]))
    assert not torch.equal(shuffled(CODES, keys), shuffled(CODES, keys + 1))
    twice = shuffled(CODES[[0, 0]], torch.tensor([3, 3]))
    assert torch.equal(twice[0], twice[1])


def test_every_place_is_as_likely():
    """The base of the first place ends up anywhere."""
    one = torch.zeros((4000, 8), dtype=torch.uint8)
    one[:, 0] = 1
    counts = shuffled(one, torch.arange(4000)).sum(0)
    assert ((counts - 500).abs() < 5 * 21).all()  # five standard deviations
