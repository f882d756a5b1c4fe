"""States and signals as they lie in memory."""

import numpy as np
import pytest

from epilm.errors import StoreError
from epilm.store.making.writer import write_store
from epilm.store.reader import Store
from epilm.store.track_arrays import SignalArrays, StateArrays
from toy_tracks import toy_track_store

SIZES = {"chr1": 2050, "chr2": 800, "chr3": 190}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"), chroms=SIZES, lonely=("bare",))


# -- the fingerprint
# ---------------------------------------------------------------------------------


def arrays(**change):
    codes = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    return StateArrays(
        **{"codes": codes, "cells": {"a": 0, "b": 1}, "bin": 200, "names": ("x", "y"), **change}
    )


GENOME = {"chr1": np.zeros(450, np.uint8)}


def made(folder, **change):
    return Store.open(write_store(folder, genome=GENOME, overwrite=True, **change))


# -- what is refused
# ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"states": arrays(bin=100)},
            r"states has another shape.*Found \(2, 3\); expected \(2, 5\)",
        ),
        ({"states": arrays(cells={"a": 4})}, r"expected \(5, 3\)"),
        (
            {"states": arrays(names=("x",))},
            "a state has no name. Found 1; expected 0 to 0, or 255 for unknown",
        ),
        (
            {"states": arrays(names=tuple(map(str, range(255))))},
            "too many states. Found 255; expected at most 254",
        ),
        (
            {"signals": {"a": SignalArrays(np.zeros((1, 9)))}},
            r"the signal a has another shape.*\(1, 450\)",
        ),
        (
            {"signals": {"a/b": SignalArrays(np.zeros((1, 450)))}},
            "no name of a signal. Found 'a/b'",
        ),
    ],
)
def test_tracks_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, change, message):
    with pytest.raises(StoreError, match=message):
        made(tmp_path / "s", **change)
    assert list(tmp_path.iterdir()) == []


def test_values_float16_cannot_hold_are_cut_and_counted(tmp_path):
    values = np.full((1, 450), np.nan)
    values[0, :4] = [1.5, 70_000, 65_504, -1e9]
    store = made(tmp_path / "s", signals={"depth": SignalArrays(values, {"a": 0})})
    assert store.signals["depth"].windows([0], [0], [0], 5)[0].tolist() == [
        1.5,
        65_504,
        65_504,
        -65_504,
        0,
    ]
    assert store.info.signals["depth"]["cut"] == 2
