"""Parts of a binding run share no base."""

import pytest

from epilm.errors import InputError, UsageError
from epilm.tasks.binding.rows import join_labels
from epilm.tasks.binding.split import split_bins
from toy_binding import LARGE, toy_labels, toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",), chroms=LARGE)


def rows_of(store, *tables, cells=()):
    return join_labels(
        tables, chroms=store.chroms, sizes=store.sizes, cell_types=store.cell_types, cells=cells
    )


def test_windows_of_two_parts_share_no_base(store):
    """Bins 200 bp wide every 50, read 400 bp beyond either end."""
    rows = rows_of(store, toy_labels(store))
    split = split_bins(
        rows, valid=["chr1:10000-14000"], test=["chr1:20000-24000", "chr8"], window_bp=1000
    )
    start, chr1 = rows.start, rows.chrom == 0
    for bins, low, high in ((split.valid, 10_000, 14_000), (split.test, 20_000, 24_000)):
        assert (start[bins].min(), start[bins].max() + 200) == (low, high)
        learned = start[split.train][chr1[split.train]]
        assert ((learned + 600 <= low - 400) | (learned - 400 >= high + 400)).all()
        # The nearest that may learn do: none is lost without need.
        assert {low - 1000, high + 800} <= set(learned.tolist())
    # Outside of a region and within 800 bp of it: 20 starts before (16 whole bins), 19 after.
    lost = 2 * sum(
        1
        for start in rows.start[chr1]
        if (10_000 - 1000 < start < 14_000 + 800) and not 10_000 <= start <= 13_800
    )
    assert split.notes == (
        f"{lost} training bins are left out: their windows share bases with windows of a validation"
        " or test region",
    )
    assert set(rows.chrom[split.train].tolist()) == {0, 1, 2}


def test_validation_windows_share_no_base_with_those_of_a_test_region(store):
    rows = rows_of(store, toy_labels(store))
    parts = {"valid": ["chr1:10000-20000"], "test": ["chr1:20000-24000"]}
    split = split_bins(rows, **parts, window_bp=1000)
    assert rows.start[split.valid].max() + 600 <= 20_000 - 400
    assert any("validation bins are left out" in note for note in split.notes)
    whole = split_bins(rows, **parts, window_bp=200)  # reads nothing but the bin
    assert rows.start[whole.valid].max() + 200 == 20_000


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"valid": ["chr2"], "test": ["chr2:0-500"]},
            "valid and test overlap. Found chr2 and chr2:0-500",
        ),
        ({"train": ["chr1"], "valid": ["chr2"], "test": ["chr1:0-900"]}, "train and test overlap"),
        ({"train": ["chr1", "chr2"], "valid": ["chr2"]}, "train and valid overlap"),
        (
            {"valid": ["chr11"]},
            (
                "no bin on a valid chromosome. Found chr11; expected among chr1, chr2, chr3. Choose"
                " with --valid"
            ),
        ),
        ({"valid": []}, "early stopping needs a validation part"),
        ({"valid": ["chr2:0-100"]}, "the valid part has no bin"),
    ],
)
def test_parts_that_overlap_or_are_empty_are_refused(store, parts, words):
    rows = rows_of(store, toy_labels(store))
    with pytest.raises((UsageError, InputError)) as error:
        split_bins(rows, **parts)
    assert words in str(error.value)
