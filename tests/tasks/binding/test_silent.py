"""Where a signal is 0 everywhere: on a stretch, on a chromosome of a part, in all that is read."""

from types import SimpleNamespace

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.store.tracks import SignalTable
from epilm.tasks.binding import silent
from epilm.tasks.binding.silent import check_signals, is_silent, silent_notes, stretches

SIZES = np.array([100, 60, 80])
OFFSETS = np.array([0, 10, 16, 24])  # bins of 10 bp


def table(rows, values):
    """Values a row of tracks; `rows` the track of each cell type, or None for one of all."""
    return SignalTable("a", np.array(values, np.float16), 10, rows, OFFSETS, SIZES, "max")


def quiet(*loud):
    values = np.zeros(24, np.float16)
    values[list(loud)] = 1
    return values


def store(signal):
    names = ["liver", "blood"]
    return SimpleNamespace(
        signals={"a": signal}, chroms=("chr1", "chr2", "chr3"), cell_number=names.index
    )


def test_stretches_reach_from_the_first_to_the_last_base_of_each_chromosome():
    starts = np.array([500, 90, 7, 20])
    assert stretches(np.array([1, 1, 0, 0]), starts, 50) == [(0, 7, 70), (1, 90, 550)]


@pytest.mark.parametrize("block", [1 << 20, 2])
def test_a_stretch_is_silent_where_no_bin_that_it_touches_has_a_value(block, monkeypatch):
    monkeypatch.setattr(silent, "_BLOCK", block)
    values = quiet(4, 15)  # chr1:40-50 and the last bin of chr2
    given = table(None, [values])
    for chrom, size in enumerate(SIZES.tolist()):
        for start in range(0, size, 5):
            for end in range(start + 5, size + 1, 5):
                bins = values[OFFSETS[chrom] + start // 10 : OFFSETS[chrom] - (-end // 10)]
                assert is_silent(given, 0, (chrom, start, end)) == (not bins.any())
    assert not is_silent(given, 0, (1, 0, 900))  # past the end there is nothing to look at
    assert is_silent(given, 0, (0, 60, 900))


def test_a_cell_type_without_a_track_is_silent():
    given = table(np.array([-1, 0]), [quiet(4)])
    assert is_silent(given, 0, (0, 0, 100))
    assert not is_silent(given, 1, (0, 0, 100))


def test_chromosomes_are_named_for_each_cell_type_and_a_common_track_once():
    places = [(0, 0, 100), (1, 0, 60)]
    apart = store(table(np.array([0, 1]), [quiet(4), quiet()]))
    lines = silent_notes(apart, ["a", "motif:CTCF"], ["liver", "blood"], places, "training")
    assert [line.split(":")[0] for line in lines] == [
        "a of liver is 0 on chr2, training",
        "a of blood is 0 on all of chr1, chr2, training",
    ]
    shared = store(table(None, [quiet(4)]))
    (line,) = silent_notes(shared, ["a"], ["liver", "blood"], places, "test")
    assert line.startswith("a is 0 on chr2, test: no signal of the file lies there")


def test_what_nobody_can_learn_from_is_refused():
    given = store(table(np.array([0, 1]), [quiet(4), quiet()]))
    check_signals(given, ["a"], ["liver", "blood"], [(0, 0, 100)])  # one cell type has it
    with pytest.raises(
        InputError,
        match=r"--signals: the signal is 0 everywhere in the training part.*Found a on chr1, chr3",
    ):
        check_signals(given, ["a"], ["blood"], [(0, 0, 100), (2, 0, 80)])
