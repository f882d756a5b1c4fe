"""Bases without tokens; what they are is in test_window_reader.py, beside the tokens."""

import numpy as np
import pytest
import torch

from epilm.batches.base_reader import BaseReader
from epilm.errors import RecipeError, StoreError
from toy_tracks import toy_track_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("store"))


def test_one_cell_type_on_one_strand_is_the_plain_reader(store):
    reader = BaseReader(store, 300, signals=[("accessibility", "max", "log1p")])
    chroms, starts = [0, 0, 1], [-20, 400, 900]
    for reverse in (False, True):
        one = reader(1, chroms, starts, reverse=reverse)
        plain = reader.plain([1] * 3, chroms, starts, np.full(3, reverse))
        assert torch.equal(one.codes, plain.codes)
        assert torch.equal(one.tracks, plain.tracks)
        assert one.codes.shape == (3, 300)
        assert len(one) == 3
    forward, back = (reader(1, chroms, starts, reverse=each) for each in (False, True))
    assert torch.equal(forward.tracks.flip(1), back.tracks)
    assert (back.codes[0, -20:] == 4).all()  # before the chromosome there is no base


def test_without_signals_there_are_no_tracks(store):
    assert BaseReader(store, 300)(0, [0], [0]).tracks is None


def test_unknown_signals_poolings_and_transforms_are_refused(store):
    with pytest.raises(StoreError, match="no signal rnaseq.*--signal rnaseq:CELL=FILE"):
        BaseReader(store, 300, signals=[("rnaseq", "max", "raw")])
    with pytest.raises(RecipeError, match="unknown pooling"):
        BaseReader(store, 300, signals=[("accessibility", "median", "raw")])
    with pytest.raises(RecipeError, match="unknown transform"):
        BaseReader(store, 300, signals=[("accessibility", "max", "log")])
