"""Rows of windows: every place in every cell type once, nothing with too many N, nothing listed."""

import tracemalloc
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import RecipeError, TrainingError
from epilm.store.arrays import unknown_runs
from epilm.store.sample_spec import SampleSpec
from epilm.store.window_table import (
    WindowTable,
    grid_runs,
    validation_rows,
    window_rows,
)

NOTHING = np.zeros((0, 2), np.int64)


def sizes_alone(sizes, cells, rows=None, known=None, proxies=None):
    """What a table needs of a store, without a genome."""
    rows = np.arange(cells) if rows is None else np.array(rows)
    everywhere = np.ones((rows.max() + 1, len(sizes)), bool)
    return SimpleNamespace(
        path="invented.store",
        chroms=tuple(f"chr{c + 1}" for c in range(len(sizes))),
        sizes=tuple(sizes),
        cell_types=tuple(f"cell{t}" for t in range(cells)),
        states=SimpleNamespace(
            rows=rows,
            proxies=proxies or {},
            known_chroms=lambda: everywhere if known is None else np.array(known, bool),
        ),
    )


def table_of(
    sizes,
    cells,
    spec=None,
    subset="train",
    streams=("dna", "states"),
    unknown=None,
    rows=None,
    **states,
):
    spec = spec or SampleSpec(unit="windows")
    return WindowTable(
        sizes_alone(sizes, cells, rows, **states),
        spec,
        subset,
        streams,
        unknown=[NOTHING] * len(sizes) if unknown is None else unknown,
    )


# -- runs of N


@given(
    st.lists(st.booleans(), min_size=1, max_size=80),
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(0, 12),
)
def test_the_grid_is_the_one_that_counting_every_window_gives(unknown, width, stride, most):
    codes = np.where(unknown, 4, 0).astype(np.uint8)
    runs, left_out = grid_runs(
        len(codes), unknown_runs(codes), width=width, stride=stride, most_unknown=most
    )
    places = range(0, len(codes) - width + 1, stride)
    plain = [s // stride for s in places if sum(unknown[s : s + width]) <= most]
    assert [g for first, end in runs for g in range(first, end)] == plain
    assert left_out == len(places) - len(plain)


# -- the table


def test_every_place_in_every_cell_type_is_one_row():
    table = table_of([5000, 3500, 900], 3, SampleSpec(unit="windows", window_stride=700))
    found = Counter(
        zip(*(column.tolist() for column in table.at(np.arange(len(table)))), strict=True)
    )
    expected = [
        (t, c, s) for t in range(3) for c, n in ((0, 6), (1, 4)) for s in range(0, 700 * n, 700)
    ]
    assert found == Counter(expected)
    assert table.windows == 10
    assert table.notes == ("shorter than a window, in no sample: chr3",)


def test_held_out_chromosomes_and_cell_types_share_no_row_with_training():
    spec = SampleSpec(unit="windows", holdout_chroms=("chr2",), holdout_cells=("cell1",))
    parts = {name: table_of([4000, 3000], 3, spec, name) for name in ("train", "holdout", "all")}
    rows = {
        name: set(
            zip(*(column.tolist() for column in table.at(np.arange(len(table)))), strict=True)
        )
        for name, table in parts.items()
    }
    assert all(len(rows[name]) == len(parts[name]) for name in parts)
    assert {(t, c) for t, c, _ in rows["train"]} == {(0, 0), (2, 0)}
    assert {(t, c) for t, c, _ in rows["holdout"]} == {(0, 1), (1, 1), (2, 1), (1, 0)}
    assert rows["train"] | rows["holdout"] == rows["all"]
    assert not rows["train"] & rows["holdout"]


def test_a_cell_type_is_not_held_out_while_its_track_is_trained_under_another_name():
    spec = SampleSpec(unit="windows", holdout_cells=("cell2",))  # reads the track of cell0
    with pytest.raises(
        RecipeError, match=r"very track.*Found cell2: the track of cell0.*Hold out cell0 as well"
    ):
        table_of([4000], 3, spec, rows=[0, 1, 0])
    both = SampleSpec(unit="windows", holdout_cells=("cell2", "cell0"))
    assert set(table_of([4000], 3, both, rows=[0, 1, 0]).at([0, 1])[0].tolist()) == {1}


def test_without_states_a_row_is_a_place_alone():
    spec = SampleSpec(unit="windows", holdout_cells=("cell0",))
    table = table_of([4000, 3000], 3, spec, streams=("dna",))
    assert len(table) == 7
    assert set(table.at(np.arange(7))[0].tolist()) == {0}
    assert "holdout_cells changes nothing" in table.notes[0]
    assert len(table_of([4000], 3, spec, "holdout", ("dna",))) == 0


def test_cell_types_without_a_track_are_left_out_and_named():
    table = table_of([2000], 3, rows=[0, -1, 1])
    assert table.cells.tolist() == [0, 2]
    assert table.notes == ("1 cell types without a track of states are in no sample: cell1",)


def rows_of(table):
    """(cell type, chromosome) of every row, counted."""
    cells, chroms, _ = table.at(np.arange(len(table)))
    return Counter(zip(cells.tolist(), chroms.tolist(), strict=True))


def test_a_proxy_does_not_double_its_source_and_gives_way_to_it():
    table = table_of([2000], 3, rows=[0, 1, 0], proxies={"cell0": "cell2"})
    assert rows_of(table) == {(1, 0): 2, (2, 0): 2}
    assert table.notes == (
        "the states of cell0 are those of cell2, a declared proxy",
        "a track of several cell types is read once, not again as cell0 (that of cell2)",
    )


def test_places_without_a_state_come_once_not_once_a_cell_type():
    known = [[1, 1, 0], [1, 0, 0], [1, 1, 0]]  # nothing on chr3, cell1 nothing on chr2
    spec = SampleSpec(unit="windows")
    table = table_of([2000, 3000, 1000], 3, spec, known=known)
    assert rows_of(table) == {
        **{(t, 0): 2 for t in range(3)},
        **{(t, 1): 3 for t in (0, 2)},
        (0, 2): 1,
    }
    assert table.windows == 6
    assert table.notes == (
        "no cell type has a state on chr3: read once, not once a cell type",
        "1 chromosomes without a state of a cell type are not read there: cell1 on chr2",
    )
    # Held out or not, no row is in both parts, and none is lost.
    spec = SampleSpec(unit="windows", holdout_chroms=("chr2",), holdout_cells=("cell0",))
    parts = {
        name: rows_of(table_of([2000, 3000, 1000], 3, spec, name, known=known))
        for name in ("train", "holdout", "all")
    }
    assert parts["train"] == {(1, 0): 2, (2, 0): 2, (1, 2): 1}
    assert parts["holdout"] == {(0, 1): 3, (2, 1): 3, (0, 0): 2}
    assert parts["train"] + parts["holdout"] == parts["all"]


def test_a_jittered_window_never_leaves_its_chromosome_or_meets_more_n():
    spec = SampleSpec(
        unit="windows", window_bp=100, window_stride=50, window_jitter=49, window_max_n=0.1
    )
    gaps = np.array([[300, 420]])
    table = table_of([1000], 1, spec, unknown=[gaps])
    starts = table.at(np.arange(len(table)))[2]
    n = np.zeros(1000, int)
    n[300:420] = 1
    for start in starts:
        assert start + 49 + 100 <= 1000
        assert all(n[start + j : start + j + 100].sum() <= 10 for j in range(50))


def test_127_cell_types_of_hg19_cost_kilobytes():
    lengths = [
        249_250_621,
        243_199_373,
        198_022_430,
        191_154_276,
        180_915_260,
        171_115_067,
        159_138_663,
    ] * 2
    # A gap of 10 kb every 5 Mb.
    gaps = [np.arange(10_000, size - 10_000, 5_000_000)[:, None] + [0, 10_000] for size in lengths]
    tracemalloc.start()
    table = table_of(lengths, 127, unknown=gaps)
    rows = window_rows(len(table), batch=8192, step=10**6, seed=3)
    cells, chroms, starts = table.at(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 356_000_000 > len(table) > 350_000_000
    assert peak < 3_000_000
    assert len(np.unique(rows)) == 8192
    assert set(cells.tolist()) == set(range(127))
    assert set(chroms.tolist()) == set(range(14))
    assert all(start + 1000 <= lengths[chrom] for chrom, start in zip(chroms, starts, strict=True))


def test_the_table_refuses_what_is_impossible():
    with pytest.raises(RecipeError, match=r"samples\.window_bp.*Found 0"):
        table_of([2000], 1, SampleSpec(unit="windows", window_bp=0))
    with pytest.raises(RecipeError, match=r"samples\.holdout_chroms.*chr9"):
        table_of([2000], 1, SampleSpec(unit="windows", holdout_chroms=("chr9",)))
    with pytest.raises(RecipeError, match=r"unknown subset"):
        table_of([2000], 1, subset="test")
    store = sizes_alone([2000], 1)
    store.states = None
    with pytest.raises(
        RecipeError, match=r"reads chromatin states, the store has none.*epilm build --states"
    ):
        WindowTable(store, SampleSpec(unit="windows"), "train", ("dna", "states"))
    with pytest.raises(IndexError, match="0 to 1"):
        table_of([2000], 1).at([2])


# -- the order


@given(st.integers(4, 60), st.integers(1, 4), st.integers(0, 3))
def test_an_epoch_holds_no_row_twice_and_the_next_is_another(n, batch, seed):
    steps = n // batch
    epochs = [
        np.concatenate(
            [window_rows(n, batch=batch, step=e * steps + s, seed=seed) for s in range(steps)]
        )
        for e in (0, 1)
    ]
    for rows in epochs:
        assert len(np.unique(rows)) == len(rows) == steps * batch
        assert rows.min() >= 0
        assert rows.max() < n


def test_a_whole_epoch_is_a_permutation():
    rows = np.concatenate([window_rows(600, batch=6, step=s, seed=1) for s in range(100)])
    assert sorted(rows.tolist()) == list(range(600))


def test_too_few_windows_for_a_batch_are_refused():
    with pytest.raises(
        TrainingError, match=r"more windows than there are\. Found 3 windows.*window_stride"
    ):
        window_rows(3, batch=4, step=0, seed=0)


def test_the_same_held_out_windows_are_scored_every_time():
    rows = validation_rows(10**9, 64, seed=2)
    assert np.array_equal(rows, validation_rows(10**9, 64, seed=2))
    assert len(np.unique(rows)) == 64
    assert len(validation_rows(0, 64, 0)) == 0
