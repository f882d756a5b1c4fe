"""Baselines of binding: features against one bin at a time, and whether a planted signal is
found.
"""

import numpy as np
import pytest

from epilm.baselines.bin_models import fit_kmer_state, sample_bins
from epilm.baselines.features import state_shares
from epilm.errors import InputError, StoreError
from epilm.metrics.bin_scores import score_bins
from epilm.tasks.binding import BinLabels, grid, split_bins
from toy_tracks import toy_track_store

SIZES = {"chr1": 24_050, "chr2": 16_000, "chr3": 9_990}
PLACES = {"valid": ["chr2"], "test": ["chr3"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("store") / "toy", lonely=("typeX",), n_share=0)


def labels_of(store, rule):
    """Bound where `rule(features)` says so, in every cell type with tracks."""
    bins = grid(SIZES, margin=0)
    values = np.empty((len(bins), 3), np.int8, order="F")
    for c in range(3):
        values[:, c] = rule(store, c, bins)
    return BinLabels(bins, ("typeA", "typeB", "typeC"), values, "F")


def by_state(store, cell, bins):
    shares = state_shares(
        store.states,
        np.full(len(bins), cell),
        bins.chrom.astype(np.int64),
        bins.start.astype(np.int64),
        200,
    )
    return shares[:, 2] > 0.5


def test_any_blocks_give_the_same_predictions(store):
    labels = labels_of(store, by_state)
    model = fit_kmer_state(labels, store, k=2, cells=["typeA"], **PLACES)
    bins = labels.bins.take(slice(0, 300))
    whole = model.scores("typeB", bins)
    assert np.array_equal(np.concatenate(list(model.predict("typeB", bins, block=37))), whole)
    again = fit_kmer_state(labels, store, k=2, cells=["typeA"], **PLACES)
    assert np.array_equal(again.scores("typeB", bins), whole)


def test_a_state_that_binds_is_found_in_a_cell_type_and_chromosome_not_seen(store):
    labels = labels_of(store, by_state)
    test = labels.bins.inside(["chr3"])
    model = fit_kmer_state(labels, store, k=2, cells=["typeA", "typeB"], **PLACES)
    with_states = score_bins(
        labels.of("typeC")[test], model.scores("typeC", labels.bins.take(test))
    )
    plain = fit_kmer_state(labels, store, k=2, states=False, cells=["typeA", "typeB"], **PLACES)
    without = score_bins(labels.of("typeC")[test], plain.scores("typeC", labels.bins.take(test)))
    assert with_states["auroc"] > 0.95
    assert without["auroc"] < 0.7
    assert model.chosen["cells"] == ["typeA", "typeB"]
    assert model.chosen["n_train"]["unbound"] <= 10 * model.chosen["n_train"]["bound"]


def test_all_bound_bins_and_a_sample_of_the_unbound_are_learned_from():
    values = np.random.default_rng(0).choice(
        np.array([1, 0, -1], np.int8), 5000, p=[0.02, 0.93, 0.05]
    )
    bins = np.flatnonzero(np.arange(5000) % 3 > 0)
    rows = sample_bins(values, bins, negatives=10, seed=1)
    assert set(rows) <= set(bins)
    assert len(np.unique(rows)) == len(rows)
    bound = int((values[bins] == 1).sum())
    assert np.bincount(values[rows] + 1, minlength=3).tolist() == [0, 10 * bound, bound]
    assert not np.array_equal(rows, sample_bins(values, bins, negatives=10, seed=2))
    everything = sample_bins(values, bins, negatives=10**6, seed=1)
    assert np.array_equal(everything, bins[values[bins] >= 0])


def test_the_sample_is_that_of_fine_tuning_s_first_epoch():
    from epilm.tasks.binding import rows as data

    values = np.random.default_rng(0).choice(
        np.array([1, 0, -1], np.int8), 3000, p=[0.02, 0.93, 0.05]
    )
    rows = data.BindingRows(
        np.zeros(3000, np.int16),
        np.arange(3000) * 50,
        200,
        np.stack([values, values], 1)[:, :, None],
        ("A", "B"),
        np.array([0, 1]),
        ("F",),
        ("chr1",),
    )
    bins = np.arange(500, 2500)
    epoch = data.BinDraw(rows, bins, [1], negatives=10, seed=3).epoch(0)
    assert np.array_equal(
        np.sort(epoch // 2), sample_bins(values, bins, negatives=10, seed=3, cell=1)
    )


def test_what_is_missing_is_named(store, tmp_path):
    labels = labels_of(store, by_state)
    with pytest.raises(StoreError, match=r"the cell type lacks a track. Found typeX: no states"):
        next(
            fit_kmer_state(labels, store, k=2, cells=["typeA"], **PLACES).predict(
                "typeX", labels.bins
            )
        )
    with pytest.raises(StoreError, match=r"the store has no signal histone"):
        fit_kmer_state(labels, store, signals=["histone"], **PLACES)
    other = BinLabels(labels.bins, ("typeA", "typeB", "liver"), labels.values, "F")
    with pytest.raises(
        InputError, match=r"a cell type of the labels is not in the store .*Found liver"
    ):
        fit_kmer_state(other, store, **PLACES)
    with pytest.raises(InputError, match=r"F, training bins: the labels hold one class alone"):
        fit_kmer_state(
            BinLabels(labels.bins, labels.cells, np.zeros_like(labels.values), "F"), store, **PLACES
        )
    bare = toy_track_store(tmp_path / "bare", n_states=0, signals=())
    with pytest.raises(StoreError, match=r"the store has no chromatin states"):
        fit_kmer_state(labels, bare, states=True, **PLACES)
    elsewhere = BinLabels(
        grid({"chr9": 3000, "chr8": 3000}),
        ("typeA",),
        np.tile([[1], [0]], (33, 1)).astype(np.int8),
        "F",
    )
    with pytest.raises(InputError, match=r"the store lacks a chromosome of the bins. Found chr9"):
        fit_kmer_state(elsewhere, store, valid=["chr8"])


def test_windows_of_training_bins_stay_out_of_validation(store):
    labels = labels_of(store, by_state)
    split = split_bins(labels.bins, valid=["chr1:10000-15000"], apart_bp=800)
    ends = labels.bins.start + 200 + 400
    before = (split == 0) & (labels.bins.chrom == 0) & (labels.bins.start < 10_000)
    assert ends[before].max() <= 10_000 - 400
