"""Windows of a genome to masked-LM inputs: the pieces put together change nothing."""

import numpy as np
import pytest
import torch

from epilm.errors import InputError
from epilm.tokens import _fused
from epilm.tokens.kmers import kmer_ids
from epilm.tokens.windows import cut_windows, masked_windows


@pytest.fixture(scope="module")
def genome():
    codes = np.random.default_rng(0).integers(0, 4, 5000, dtype=np.uint8)
    codes[1000:1010] = 4
    return codes


def test_labels_and_visible_ids_together_are_the_tokens(genome):
    starts = np.array([0, 990, 4485])
    made = masked_windows(genome, starts, width=515, k=6, rate=0.3, keys=torch.arange(3), seed=1)
    whole = torch.where(made.labels == -100, made.ids, made.labels)
    for row, start in zip(whole, starts, strict=True):
        assert row.tolist() == [2, *kmer_ids(genome[start : start + 515], 6).tolist(), 3]
    assert made.mask.all()
    assert made.segments.shape == made.ids.shape
    assert not made.segments.any()
    assert (made.labels[whole == 1] == -100).all()


def test_a_window_does_not_depend_on_its_neighbours(genome):
    arguments = {"width": 100, "k": 4, "rate": 0.3, "seed": 1, "random_from": "kmers_only"}
    both = masked_windows(genome, np.array([7, 70]), keys=torch.tensor([4, 5]), **arguments)
    alone = masked_windows(genome, np.array([70]), keys=torch.tensor([5]), **arguments)
    assert torch.equal(both.ids[1:], alone.ids)
    assert torch.equal(both.labels[1:], alone.labels)


@pytest.mark.parametrize("start", [-1, 4951])
def test_a_window_that_leaves_the_genome_is_refused(genome, start):
    with pytest.raises(InputError, match=rf"a window leaves the sequence\. Found {start}-"):
        cut_windows(genome, np.array([5, start]), 50)


def test_without_numba_the_inputs_are_the_same(genome, monkeypatch):
    arguments = {
        "width": 300,
        "k": 5,
        "stride": 2,
        "rate": 0.3,
        "seed": 1,
        "keys": torch.tensor([4, 5]),
    }
    starts = np.array([980, 4700])
    fast = masked_windows(genome, starts, **arguments)
    monkeypatch.setattr(_fused, "available", lambda: False)
    plain = masked_windows(genome, starts, **arguments)
    for name in ("ids", "segments", "mask", "labels"):
        assert torch.equal(getattr(fast, name), getattr(plain, name))


def test_a_memory_map_is_read(genome, tmp_path):
    np.save(tmp_path / "g.npy", genome)
    arguments = {"width": 100, "k": 6, "rate": 0.3, "seed": 1, "keys": torch.tensor([4])}
    mapped = masked_windows(np.load(tmp_path / "g.npy", mmap_mode="r"), np.array([3]), **arguments)
    assert torch.equal(mapped.ids, masked_windows(genome, np.array([3]), **arguments).ids)
