"""Bundles of tensors: all of them are found, all of them move, and what is no tensor stays."""

import pytest
import torch

from epilm.batch import Batch, Sequences, Windows, tensors_of

IDS = torch.tensor([[2, 5, 3], [2, 3, 0]])
DNA = Sequences(IDS, torch.zeros_like(IDS), IDS > 0, labels=IDS, most=4, full=True)
BATCH = Batch(
    rows=torch.arange(2),
    cells=torch.zeros(2),
    regions=IDS,
    dna=DNA,
    owner=torch.arange(2),
    clean=DNA,
    states_most=3,
)


def test_tensors_of_bundles_within_are_found_too():
    assert len(list(tensors_of(DNA))) == 4
    assert len(list(tensors_of(BATCH))) == 4 + 2 * 4
    assert list(tensors_of(3)) == []


@pytest.mark.parametrize("bundle", [DNA, BATCH, Windows(IDS, IDS > 0, codes=IDS, full=True)])
def test_all_tensors_move_and_nothing_else_changes(bundle):
    moved = bundle.to("meta")
    assert {tensor.device.type for tensor in tensors_of(moved)} == {"meta"}
    assert [t.shape for t in tensors_of(moved)] == [t.shape for t in tensors_of(bundle)]
    assert {tensor.device.type for tensor in tensors_of(bundle)} == {"cpu"}
    for name in ("most", "full", "states_most", "states", "factors"):
        if hasattr(bundle, name):
            assert getattr(moved, name) == getattr(bundle, name)


def test_the_length_is_that_of_the_samples():
    assert (len(BATCH), len(Windows(IDS, IDS > 0))) == (2, 2)
