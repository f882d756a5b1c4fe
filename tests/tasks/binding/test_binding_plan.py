"""What a binding run learns from, and what is refused before anything is learned."""

from dataclasses import replace

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.tasks.binding.binding_plan import make_plan
from toy_binding import QUICK, toy_labels, toy_store


def test_a_test_cell_type_is_not_learned_from_and_bins_of_n_are_left_out(tmp_path):
    store = toy_store(tmp_path, n_share=0.5)
    plan = make_plan([toy_labels(store)], store, QUICK)
    assert [plan.rows.cells[c] for c in plan.train_cells] == ["typeA", "typeB"]
    genome = np.asarray(
        store.bases(
            plan.rows.chrom[plan.split.train].astype(np.int64),
            plan.rows.start[plan.split.train],
            200,
        )
    )
    assert (genome < 4).any(1).all()
    assert any("hold N alone" in note for note in plan.notes)
    with pytest.raises(UsageError, match="a cell type is for test and for training"):
        make_plan([toy_labels(store)], store, replace(QUICK, train_cells=("typeC",)))


def test_a_test_cell_type_that_the_labels_have_not_is_named(tmp_path):
    store = toy_store(tmp_path)
    with pytest.raises(UsageError, match=r"no such test cell type. Found typeX"):
        make_plan([toy_labels(store)], store, replace(QUICK, test_cells=("typeX",)))


def test_what_a_moved_window_may_see_is_kept_from_validation_too(tmp_path):
    """Bins every 50 bp beside a region that begins at base 6,000 of chr2: window 600, bin 200."""
    store = toy_store(tmp_path)
    valid = {"valid_chroms": ("chr2:6000-12000",), "test_chroms": ("chr3",)}
    last = []
    for jitter in (0, 60):
        plan = make_plan([toy_labels(store)], store, replace(QUICK, jitter=jitter, **valid))
        learned, rows = plan.split.train, plan.rows
        before = learned[(rows.chrom[learned] == 1) & (rows.start[learned] < 6000)]
        last.append(int(rows.start[before].max()))
    # A window reaches 400 bp from its bin's start to the right, and one of validation 200 bp to the
    # left of the region; each is taken 60 bp wider where windows are moved.
    assert last == [5400, 5250]
    with pytest.raises(UsageError, match=r"--jitter: a window may be moved so far .* at most 100"):
        make_plan([toy_labels(store)], store, replace(QUICK, jitter=101))


def test_what_will_be_learned_is_counted(tmp_path):
    store = toy_store(tmp_path)
    plan = make_plan([toy_labels(store)], store, replace(QUICK, positives_per_epoch=7))
    first, second = plan.said()
    assert first.startswith(f"TF: {len(plan.split.train):,} training bins in 2 cell types")
    assert f"an epoch: 7 of {len(plan.draw.positives):,} positives, 21 rows" in second
    assert plan.about()["valid_chroms"] == ["chr2"]
