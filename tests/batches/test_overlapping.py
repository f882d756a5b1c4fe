"""Tokenised once for all, or window by window: the same numbers."""

import numpy as np
import pytest
import torch

from epilm.batches.overlapping import OverlappingReader
from epilm.batches.window_reader import EBERT_PLUS_SIGNALS, WindowReader
from epilm.models.model_spec import ModelSpec
from toy_tracks import toy_track_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"), n_share=0.05)


def same(one, other):
    assert torch.equal(one.ids, other.ids)
    assert torch.equal(one.mask, other.mask)
    for name in ("states", "signals", "codes", "tracks"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        assert a is None or torch.equal(a, b), name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("spec", "window_bp"),
    [
        (ModelSpec(name="ebert", streams=("dna", "states"), k=7, stride=7, max_tokens=150), 1000),
        (
            ModelSpec(
                name="ebert",
                streams=("dna", "states"),
                k=6,
                stride=6,
                pad_to_max=True,
                max_tokens=190,
            ),
            1000,
        ),
        (
            ModelSpec(name="ebert", streams=("dna", "states"), k=5, stride=3, special_tokens=False),
            700,
        ),
        (
            ModelSpec(
                name="ebert", streams=("dna", "states"), k=7, stride=7, tail="pad", max_tokens=150
            ),
            1000,
        ),
        (ModelSpec(name="dbert", streams=("dna",), k=7, stride=7), 1000),
    ],
)
def test_windows_of_neighbouring_bins_are_those_read_one_by_one(store, spec, window_bp, reverse):
    """Starts 0, 50, 100 and 150 bp into a bin of states, before a chromosome and after it, a gap,
    two chromosomes.
    """
    ends = np.array(store.sizes)
    starts = np.concatenate(
        [
            np.arange(-400, 3000, 50),
            [9000, 9050, 9130],
            np.arange(ends[1] - 1200, ends[1] - 200, 50),
        ]
    )
    chroms = np.concatenate([np.zeros(71, np.int64), np.ones(20, np.int64)])
    once = OverlappingReader(store, spec, window_bp, signals=EBERT_PLUS_SIGNALS)
    plain = WindowReader(store, spec, window_bp, signals=EBERT_PLUS_SIGNALS)
    for cell in range(2):
        strands = np.full(len(starts), reverse)
        expected = plain(np.full(len(starts), cell), chroms, starts, strands)
        same(once(cell, chroms, starts, reverse=reverse), expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_store_of_tensors_gives_the_same_bits(store, reverse):
    spec = ModelSpec(name="ebert", streams=("dna", "states"), k=7, stride=7, max_tokens=150)
    held = store.to("cpu")
    assert isinstance(held.genome, torch.Tensor)
    starts, chroms = np.arange(-400, 3000, 50), np.zeros(68, np.int64)
    windows = [
        OverlappingReader(s, spec, 1000, signals=EBERT_PLUS_SIGNALS)(
            1, chroms, starts, reverse=reverse
        )
        for s in (store, held)
    ]
    same(*windows)


def test_windows_far_apart_are_left_to_the_plain_reader(store, monkeypatch):
    spec = ModelSpec(name="ebert", streams=("dna", "states"), k=7, stride=7, max_tokens=150)
    reader = OverlappingReader(store, spec, 1000)
    monkeypatch.setattr(reader, "_stretch", None)  # would fail if it were called
    assert reader(0, np.zeros(3, np.int64), np.array([0, 5000, 10000])).ids.shape == (3, 144)
