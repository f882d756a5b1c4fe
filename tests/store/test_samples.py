"""Samples: regions of one cell type in order."""

import numpy as np
import pytest

from epilm.errors import RecipeError, TrainingError
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import cell_lists, make_samples
from epilm.store.sampling import NoSharedOrder, no_shared_order, order, rows_at
from toy_store import toy_store


@pytest.fixture(scope="module")
def open_everywhere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("open")
    return toy_store(folder, per_chrom=(23, 12), accessible=np.ones((35, 1), bool))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(40, 30), cells=3)


@pytest.mark.parametrize(
    ("tail", "n", "left_out"), [("drop", 3, 5), ("pad", 5, 0), ("cross", 3, 5)]
)
def test_23_and_12_regions_make_3_5_and_3_samples(open_everywhere, tail, n, left_out):
    samples = make_samples(open_everywhere, SampleSpec(tail=tail))
    assert len(samples) == n
    assert samples.dropped == left_out


def test_a_padded_tail_keeps_its_regions_and_ends_in_minus_one(open_everywhere):
    samples = make_samples(open_everywhere, SampleSpec(tail="pad"))
    assert samples.regions[2].tolist() == [20, 21, 22, *[-1] * 7]
    assert samples.regions[3].tolist() == list(range(23, 33))


def test_only_cross_runs_over_a_chromosome_end(open_everywhere):
    assert make_samples(open_everywhere, SampleSpec(tail="cross")).regions[2].tolist() == list(
        range(20, 30)
    )
    chrom = open_everywhere.regions["chrom"]
    for tail in ("drop", "pad"):
        for row in make_samples(open_everywhere, SampleSpec(tail=tail)).regions:
            assert len(set(chrom[row[row >= 0]])) == 1


def test_stride_one_gives_every_run_of_ten(open_everywhere):
    samples = make_samples(open_everywhere, SampleSpec(group_stride=1))
    assert len(samples) == (23 - 9) + (12 - 9)
    assert samples.regions[1].tolist() == list(range(1, 11))


def test_consecutive_means_consecutive_in_the_cell_type(tmp_path):
    # protocols 3.1: X has r1 and r3, Y has r1 and r2; r2 lies between and X does not see it
    access = np.array([[1, 1], [0, 1], [1, 0]], bool)
    store = toy_store(tmp_path, per_chrom=(3,), accessible=access)
    samples = make_samples(store, SampleSpec(regions=2, group_stride=2))
    assert samples.regions.tolist() == [[0, 2], [0, 1]]
    assert samples.cells.tolist() == [0, 1]


def test_every_sample_is_a_run_of_its_cell_types_list(store):
    samples = make_samples(store, SampleSpec(regions=4, group_stride=3))
    for row, cell, first in zip(samples.regions, samples.cells, samples.first, strict=True):
        open_rows = np.flatnonzero(store.accessible(int(cell)))
        at = np.searchsorted(open_rows, row[0])
        assert open_rows[at : at + 4].tolist() == row.tolist()
        assert samples.lists.flat[first : first + 4].tolist() == row.tolist()


def test_hold_outs_split_chromosomes_and_cell_types(store):
    spec = SampleSpec(regions=3, group_stride=3, holdout_chroms=("chr2",), holdout_cells=("cell2",))
    train, held = make_samples(store, spec), make_samples(store, spec, "holdout")
    chrom = store.regions["chrom"]
    assert set(train.cells) == {0, 1}
    assert set(chrom[train.regions.ravel()]) == {0}
    assert all(chrom[r].min() == 1 for r, c in zip(held.regions, held.cells, strict=True) if c != 2)
    assert {0, 1} == set(chrom[held.regions[held.cells == 2].ravel()])
    everything = make_samples(store, SampleSpec(regions=3, group_stride=3), "all")
    assert len(everything) >= len(train) + len(held)


def test_nothing_held_out_leaves_no_held_out_sample(store):
    assert len(make_samples(store, SampleSpec(), "holdout")) == 0


def test_foreign_regions_are_open_elsewhere_and_closed_here(store):
    spec = SampleSpec(holdout_chroms=("chr2",), holdout_cells=("cell2",))
    lists = cell_lists(store, spec, "train", foreign=True)
    here, there = store.accessible(0), store.accessible(1)
    expected = np.flatnonzero(there & ~here & (store.regions["chrom"] == 0))
    assert lists.of(0).tolist() == expected.tolist()
    assert len(lists.of(2)) == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SampleSpec(regions=0), "samples.regions: the value is out of range. Found 0"),
        (SampleSpec(group_stride=0), "samples.group_stride"),
        (SampleSpec(tail="dorp"), "samples.tail: unknown value. Found dorp. Did you mean drop"),
        (SampleSpec(holdout_chroms=("chr20",)), "Found chr20. Did you mean chr2"),
        (SampleSpec(holdout_cells=("cel1",)), "Did you mean cell1"),
        (SampleSpec(normalise_factors="z"), "samples.normalise_factors"),
        (SampleSpec(factor_order="name"), "samples.factor_order"),
        (SampleSpec(matrix_weight="yes"), "samples.matrix_weight"),
    ],
)
def test_impossible_specifications_name_their_key(store, spec, message):
    with pytest.raises(RecipeError, match=message):
        make_samples(store, spec)


def test_an_unknown_subset_is_refused(store):
    with pytest.raises(RecipeError, match="unknown subset"):
        make_samples(store, SampleSpec(), "valid")


def shares(samples, rows):
    held = samples.regions[rows].ravel()
    held = held[held >= 0]
    return len(held) - len(set(held.tolist()))


def test_no_batch_shares_a_region_and_nothing_is_lost_needlessly(tmp_path):
    store = toy_store(tmp_path, per_chrom=(400,), cells=6, factors=0, contacts=False)
    samples = make_samples(store, SampleSpec(regions=4, group_stride=4, tail="pad"))
    plain = order(len(samples), 0, 0)
    assert sum(shares(samples, plain[a : a + 16]) > 0 for a in range(0, len(samples) - 16, 16)) > 5
    rows = no_shared_order(samples, 16, 0, 0)
    assert len(rows) == len(samples) // 16 * 16
    assert all(shares(samples, rows[a : a + 16]) == 0 for a in range(0, len(rows), 16))
    assert len(set(rows.tolist())) > 0.97 * len(rows)
    assert not np.array_equal(rows, no_shared_order(samples, 16, 0, 1))
    assert np.array_equal(rows, no_shared_order(samples, 16, 0, 0))


def dealt_slowly(samples, batch, seed, epoch, group):
    """Row after row: into this group where it fits, else it waits for the next."""
    n = len(samples)
    fresh, waiting, out = order(n, seed, epoch).tolist(), [], []
    sizes = [min(group, batch - a) for a in range(0, batch, group)] * (n // batch)
    for size in sizes:
        taken, mine, left = set(), [], []

        def fits(row, taken=taken, mine=mine, size=size):
            regions = {int(r) for r in samples.regions[row] if r >= 0}
            if len(mine) == size or regions & taken:
                return False
            taken |= regions
            mine.append(row)
            return True

        for row in waiting:
            if not fits(row):
                left.append(row)
        while len(mine) < size and fresh:
            row = fresh.pop(0)
            if not fits(row):
                left.append(row)
        for row in order(n, seed, epoch).tolist():
            fits(row)
        waiting = left
        out += mine
    return out


def test_an_epoch_dealt_out_step_by_step_is_the_epoch_dealt_out_at_once(tmp_path):
    store = toy_store(tmp_path, per_chrom=(200,), cells=5, factors=0, contacts=False)
    samples = make_samples(store, SampleSpec(regions=3, group_stride=2, tail="pad"))
    whole = no_shared_order(samples, 12, 5, 0, 8)
    assert whole.tolist() == dealt_slowly(samples, 12, 5, 0, 8)
    by_step = NoSharedOrder(samples, 12, 5, 8)
    steps = len(whole) // 12
    rows = [rows_at(len(samples), batch=12, step=s, seed=5, order_of=by_step) for s in range(steps)]
    assert np.concatenate(rows).tolist() == whole.tolist()
    # A run that goes on in the middle of the second epoch has the rows it would have had.
    step = steps + steps // 2
    again = rows_at(
        len(samples), batch=12, step=step, seed=5, order_of=NoSharedOrder(samples, 12, 5, 8)
    )
    at = (step - steps) * 12
    assert again.tolist() == no_shared_order(samples, 12, 5, 1, 8)[at : at + 12].tolist()


def test_a_step_deals_out_no_more_than_its_own_groups(tmp_path):
    store = toy_store(tmp_path, per_chrom=(200,), cells=5, factors=0, contacts=False)
    samples = make_samples(store, SampleSpec(regions=3, group_stride=2))
    dealt = NoSharedOrder(samples, 12, 5, 4)
    dealt.rows(0, 0, 12)
    assert (dealt._dealt[1].rows >= 0).sum() == 12


def test_samples_are_the_same_whatever_is_looked_up_at_once(tmp_path, monkeypatch):
    store = toy_store(tmp_path, per_chrom=(40, 9), cells=3, factors=0, contacts=False)
    for tail in ("drop", "pad", "cross"):
        spec = SampleSpec(regions=4, group_stride=3, tail=tail)
        whole = make_samples(store, spec)
        monkeypatch.setattr("epilm.store.samples._BLOCK", 5)
        pieces = make_samples(store, spec)
        monkeypatch.undo()
        assert np.array_equal(whole.regions, pieces.regions)
        assert whole.dropped == pieces.dropped
        for row, first in zip(whole.regions, whole.first, strict=True):
            real = row[row >= 0]
            assert real.tolist() == whole.lists.flat[first : first + len(real)].tolist()


def test_groups_inside_a_step_are_free_of_common_regions(tmp_path):
    store = toy_store(tmp_path, per_chrom=(300,), cells=4, factors=0, contacts=False)
    samples = make_samples(store, SampleSpec(regions=3, group_stride=3))
    dealt = NoSharedOrder(samples, 20, seed=3, group=8)
    assert dealt.repeated(0) < len(dealt(0)) * 0.05
    for step in range(len(dealt(0)) // 20):
        rows = rows_at(len(samples), batch=20, step=step, seed=3, order_of=dealt)
        for part in (rows[:8], rows[8:16], rows[16:]):
            assert shares(samples, part) == 0


def test_an_impossible_contrastive_batch_names_the_possible_size(tmp_path):
    # Two cell types with the same ten regions: only one sample a batch.
    store = toy_store(tmp_path, per_chrom=(10,), accessible=np.ones((10, 2), bool))
    samples = make_samples(store, SampleSpec())
    with pytest.raises(TrainingError, match="Found 1 samples without a common region; expected 2"):
        NoSharedOrder(samples, 2, seed=0)(0)
