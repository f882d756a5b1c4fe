"""Rows of binding: labels side by side in a store's numbers, and which are drawn in every epoch."""

from dataclasses import replace

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.tasks.binding import BinLabels, Bins
from epilm.tasks.binding.binding_options import BindingSpec, check_binding
from epilm.tasks.binding.bins import grid
from epilm.tasks.binding.rows import (
    BindingRows,
    BinDraw,
    CellBins,
    join_labels,
    validation_rows,
)
from epilm.tokens.random import scrambled
from toy_binding import LARGE, toy_labels, toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",), chroms=LARGE)


def rows_of(store, *tables, cells=()):
    return join_labels(
        tables, chroms=store.chroms, sizes=store.sizes, cell_types=store.cell_types, cells=cells
    )


def test_contigs_past_the_numbers_of_two_bytes_keep_their_labels():
    names = tuple(f"ctg{i}" for i in range(40_000))
    bins = grid(dict.fromkeys(names[-2:], 1400))
    table = BinLabels(bins, ("A",), np.array([[1], [0]], np.int8), "CTCF")
    rows = join_labels([table], chroms=names, sizes=[1400] * len(names), cell_types=["A"])
    assert rows.chrom.tolist() == [39_998, 39_999]
    assert rows.values[:, 0, 0].tolist() == [1, 0]
    taken = CellBins(bins, 0, names).take(slice(0, 2))
    assert taken.chroms.tolist() == [39_998, 39_999]


def test_an_epoch_is_every_positive_once_and_ten_negatives_each_drawn_anew(store):
    rows = rows_of(store, toy_labels(store, ambiguous=0.1, state=0))
    bins = np.flatnonzero(rows.chrom == 0)
    draw = BinDraw(rows, bins, [0, 2], negatives=2, seed=3)
    first, second = draw.epoch(0), draw.epoch(1)
    for epoch in (first, second):
        labels = rows.take(epoch)[3][:, 0]
        assert sorted(epoch[labels == 1].tolist()) == sorted(draw.positives.tolist())
        assert (labels >= 0).all()
        assert len(np.unique(epoch)) == len(epoch) == len(draw)
        assert set((epoch % 3).tolist()) == {0, 2}
        assert np.isin(epoch // 3, bins).all()
        for cell in (0, 2):  # each cell type has the same share
            mine = labels[epoch % 3 == cell]
            assert (mine == 0).sum() == 2 * (mine == 1).sum()
    assert not np.array_equal(np.sort(first), np.sort(second))
    again = BinDraw(rows, bins, [0, 2], negatives=2, seed=3).epoch(1)
    assert np.array_equal(again, second)
    assert not np.array_equal(BinDraw(rows, bins, [0, 2], negatives=2, seed=4).epoch(1), second)


def rare_and_common():
    """One cell type, 60 bins: A binds the first twelve, B the twelfth and the one after it."""
    values = np.zeros((60, 1, 2), np.int8)
    values[:12, 0, 0] = values[11:13, 0, 1] = 1
    return BindingRows(
        np.zeros(60, np.int16),
        np.arange(60) * 200,
        200,
        values,
        ("K562",),
        np.array([0]),
        ("A", "B"),
        ("chr2",),
    )


def test_even_factors_walk_through_their_own_positives():
    rows = rare_and_common()
    draw = BinDraw(rows, np.arange(60), [0], negatives=2, per_epoch=9, even=True)
    assert len(draw) == len(draw.epoch(0)) == 8 * 3  # four of each, and two negatives for every one
    epochs = [draw.epoch(e) for e in range(3)]
    bound = [[row for row in epoch if row < 13] for epoch in epochs]
    # B's two come twice in every epoch; A's twelve once in three, its twelfth is one of B's.
    of_a = sorted(row for epoch in bound for row in epoch if row < 11)
    assert of_a == list(range(11))
    assert [epoch.count(12) for epoch in bound] == [2, 2, 2]
    assert sorted(epoch.count(11) for epoch in bound) == [2, 2, 3]
    plain = BinDraw(rows, np.arange(60), [0], negatives=2, per_epoch=9)
    assert max(plain.epoch(e).tolist().count(12) for e in range(3)) == 1
    assert BinDraw(rows, np.arange(60), [0], per_epoch=9, even=True).epoch(5).tolist() == (
        BinDraw(rows, np.arange(60), [0], per_epoch=9, even=True).epoch(5).tolist()
    )


def test_what_cannot_be_divided_evenly_is_refused():
    rows = rare_and_common()
    for per_epoch, kept in ((1, rows), (None, rows), (9, replace(rows, factors=("A",)))):
        with pytest.raises(UsageError, match="positives cannot be divided evenly among factors"):
            BinDraw(kept, np.arange(60), [0], per_epoch=per_epoch, even=True)
    with pytest.raises(UsageError, match="--even-factors.*with --positives-per-epoch"):
        check_binding(BindingSpec(even_factors=True))


def test_negatives_are_the_first_unbound_bins_of_a_shuffle_that_is_never_listed(store):
    rows = rows_of(store, toy_labels(store, ambiguous=0.3))
    bins = np.flatnonzero(rows.chrom < 2)
    draw = BinDraw(rows, bins, [1], negatives=1, seed=5)
    shuffle = bins[scrambled(np.arange(len(bins)), len(bins), 5, 0xD0, 7, 1)]
    unbound = shuffle[rows.values[shuffle, 1, 0] == 0][: len(draw.positives)]
    epoch = draw.epoch(7)
    drawn = epoch[rows.take(epoch)[3][:, 0] == 0] // 3
    assert sorted(drawn.tolist()) == sorted(unbound.tolist())


def test_a_capped_epoch_walks_through_all_positives_in_turn(store):
    rows = rows_of(store, toy_labels(store))
    draw = BinDraw(rows, np.flatnonzero(rows.chrom == 0), [0], negatives=1, per_epoch=30)
    total = len(draw.positives)
    epochs = [draw.epoch(e) for e in range(-(-total // 30))]
    met = np.concatenate([e[rows.take(e)[3][:, 0] == 1] for e in epochs])
    assert all(len(e) == 60 for e in epochs)
    assert set(met.tolist()) == set(draw.positives.tolist())
    assert len(met) < total + 30


def test_too_few_negatives_are_said(store):
    rows = rows_of(store, toy_labels(store))
    draw = BinDraw(rows, np.flatnonzero(rows.chrom == 0), [0], negatives=50)
    assert "every epoch has all of them" in draw.notes[0]
    assert len(draw.epoch(0)) == len(draw) == (rows.chrom == 0).sum()


def test_factors_side_by_side_have_missing_labels_where_one_has_no_bin_or_cell(store):
    both = toy_labels(store, "A", 1)
    one = toy_labels(store, "B", 2, cells=["typeB"]).take(np.arange(100, 300))
    rows = rows_of(store, both, one)
    assert rows.values.shape == (len(both), 3, 2)
    assert (rows.values[:, [0, 2], 1] == -1).all()
    assert np.array_equal(rows.values[100:300, 1, 1], one.values[:, 0])
    assert (rows.values[300:, :, 1] == -1).all()
    assert "missing labels are masked" in rows.notes[-1]


def test_labels_of_another_genome_or_cell_are_refused(store):
    labels = toy_labels(store)
    past = Bins(("chr3",), np.zeros(1, np.int16), np.array([19_900], np.int32))
    with pytest.raises(
        InputError, match=r"chr3:19900-20100; expected an end of at most 20000.*two assemblies"
    ):
        rows_of(store, BinLabels(past, ("typeA",), np.ones((1, 1), np.int8), "TF"))
    other = Bins(("1",), np.zeros(1, np.int16), np.array([600], np.int32))
    with pytest.raises(InputError, match="no bin of the labels lies on a chromosome of the store"):
        rows_of(store, BinLabels(other, ("typeA",), np.ones((1, 1), np.int8), "TF"))
    with pytest.raises(InputError, match=r"not in the store. Found liver.*--cell-map"):
        rows_of(store, replace(labels, cells=("typeA", "liver", "typeC")))
    with pytest.raises(InputError, match=r"a factor comes twice. Found TF, TF"):
        rows_of(store, labels, labels)
    part = replace(labels, bins=replace(labels.bins, chroms=("chr1", "chr2", "chr9")))
    assert (
        "on chromosomes that the store has not (chr9) are left out" in rows_of(store, part).notes[0]
    )


def test_validation_takes_all_bound_and_the_same_sample_of_unbound_bins(store):
    rows = rows_of(store, toy_labels(store, ambiguous=0.1))
    bins = np.flatnonzero(rows.chrom == 1)
    all_of_them, none = validation_rows(rows, bins, [0, 1])
    some, said = validation_rows(rows, bins, [0, 1], negatives=50)
    labels = rows.take(some)[3][:, 0]
    assert (labels == 0).sum() == 50
    assert (labels == 1).sum() == (rows.values[bins][:, :2] == 1).sum()
    assert set(some.tolist()) < set(all_of_them.tolist())
    assert not none
    assert "its precision is higher" in said[0]
    assert np.array_equal(some, validation_rows(rows, bins, [0, 1], negatives=50)[0])
    empty = replace(rows, values=np.zeros_like(rows.values))
    with pytest.raises(
        InputError, match="no validation bin is bound: no epoch could be called the best"
    ):
        validation_rows(empty, bins, [0])


def test_steps_of_an_epoch_are_its_rows_cut(store):
    rows = rows_of(store, toy_labels(store))
    draw = BinDraw(rows, np.flatnonzero(rows.chrom == 0), [0], negatives=1)
    steps = draw.steps(2, 16)
    assert np.array_equal(np.concatenate(steps), draw.epoch(2))
    assert {len(step) for step in steps[:-1]} == {16}
    assert len(draw.steps(0, 16)) == len(steps)


def test_a_row_says_where_it_lies_and_rows_are_grouped_by_cell_type(store):
    rows = rows_of(store, toy_labels(store))
    at = 5 * len(rows.cells) + 1
    assert rows.origin_of(at) == "chr1:250-450 in typeB"
    mixed = np.array([7, 4, 3, 1, 0])  # in cell types B, B, A, B, A
    assert [mixed[group].tolist() for group in rows.groups(mixed)] == [[0, 3], [1, 4, 7]]
    places = rows.take(np.array([at]))
    assert (places.cells.tolist(), places.chroms.tolist(), places.starts.tolist()) == (
        [1],
        [0],
        [250],
    )
    assert rows.fingerprint() != replace(rows, values=1 - rows.values).fingerprint()


def test_bins_to_predict_are_taken_in_the_order_they_come(store):
    bins = Bins(("chr3", "chr1"), np.array([0, 1], np.int16), np.array([400, 200], np.int32))
    places = CellBins(bins, 2, tuple(store.chroms)).take(np.arange(2))
    assert places.chroms.tolist() == [2, 0]
    assert places.starts.tolist() == [400, 200]
    assert places.cells.tolist() == [2, 2]
    assert places.labels is None
