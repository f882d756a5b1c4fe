"""Parts of a binding run share no base."""

import pytest

from epilm.errors import InputError, UsageError
from epilm.tasks.binding.rows import join_labels
from epilm.tasks.binding.split import split_bins
from toy_binding import toy_labels, toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",))


def rows_of(store, *tables, cells=()):
    return join_labels(
        tables, chroms=store.chroms, sizes=store.sizes, cell_types=store.cell_types, cells=cells
    )


def test_training_windows_do_not_reach_into_what_is_judged(store):
    rows = rows_of(store, toy_labels(store))
    split = split_bins(
        rows, valid=["chr1:10000-14000"], test=["chr1:20000-24000", "chr8"], window_bp=1000
    )
    start, chr1 = rows.start, rows.chrom == 0
    for bins, low, high in ((split.valid, 10_000, 14_000), (split.test, 20_000, 24_000)):
        assert (start[bins].min(), start[bins].max() + 200) == (low, high)
        learned = start[split.train][chr1[split.train]]
        assert ((learned + 600 <= low) | (learned - 400 >= high)).all()
    assert "windows reach into a validation or test region" in split.notes[0]
    assert set(rows.chrom[split.train].tolist()) == {0, 1, 2}


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
