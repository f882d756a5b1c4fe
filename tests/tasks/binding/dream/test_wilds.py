"""The WILDS subset of the challenge, read into the same labels."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.tasks.binding import load_bins


def subset(root, rows, y):
    folder = root / "labels" / "MAX"
    folder.mkdir(parents=True)
    (folder / "metadata_df.bed").write_text(
        "".join(f"{c}\t{s}\t{e}\t{cell}\n" for c, s, e, cell in rows)
    )
    np.save(folder / "metadata_y.npy", np.array(y, np.float32))
    return root


def test_windows_become_bins_and_what_a_cell_type_lacks_is_ambiguous(tmp_path):
    rows = [("chr2", 6400, 12800, "K562"), ("chr1", 0, 6400, "K562"), ("chr1", 0, 6400, "A549")]
    y = np.zeros((3, 128))
    y[0, 5], y[1, 0], y[1, 127], y[2, 3] = 1, 1, 0.5, 1
    labels = load_bins(subset(tmp_path, rows, y), factor="MAX")
    assert labels.cells == ("K562", "A549")
    assert labels.bins.chroms == ("chr2", "chr1")
    assert labels.bins.counts() == {"chr2": 128, "chr1": 128}
    assert labels.bins.place(5) == "chr2:6650-6850"
    k562 = labels.of("K562")
    assert np.flatnonzero(k562 == 1).tolist() == [5, 128]
    assert np.flatnonzero(k562 == -1).tolist() == [255]
    assert (labels.of("A549")[:128] == -1).all()
    assert labels.of("A549")[131] == 1
    assert labels.notes == ("A549: 1 of 2 windows are not there; their bins count as ambiguous",)
    only = load_bins(tmp_path, factor="MAX", cells=["A549"], chroms=["chr1:0-1000"])
    assert only.bins.start.tolist() == list(range(0, 801, 50))


@pytest.mark.parametrize(
    ("rows", "y", "message"),
    [
        (
            [("chr1", 0, 6400, "A")],
            np.zeros((2, 128)),
            "windows and labels are not of one set. Found 1 windows; expected 2",
        ),
        (
            [("chr1", 0, 6000, "A")],
            np.zeros((1, 128)),
            "line 1: the window has another length. Found 6000 bp; expected 6400 bp",
        ),
        (
            [("chr1", 0, 6400, "A"), ("chr1", 3200, 9600, "A")],
            np.zeros((2, 128)),
            "two windows overlap. Found chr1:0 and chr1:3200",
        ),
        ([("chr1", 0, 6400, "A")] * 2, np.zeros((2, 128)), "a window is there twice. Found A"),
        (
            [("chr1", 0, 6400, "A")],
            np.full((1, 128), 2),
            "row 0, bin 0: not a label. Found 2.0; expected 1 (bound), 0 (unbound) or 0.5",
        ),
        ([("chr1", 0, 6400, "A")], np.zeros(128), "the labels are no table"),
    ],
)
def test_a_wrong_subset_is_refused(tmp_path, rows, y, message):
    with pytest.raises(InputError) as error:
        load_bins(subset(tmp_path, rows, y), factor="MAX")
    assert message in str(error.value)


def test_a_subset_named_as_another_factor_is_refused(tmp_path):
    root = subset(tmp_path, [("chr1", 0, 6400, "A")], np.zeros((1, 128)))
    with pytest.raises(
        InputError,
        match=r"labels/MAX: the labels are of another factor. Found MAX in the name; expected JUND",
    ):
        load_bins(root / "labels" / "MAX", factor="JUND")
    assert load_bins(root / "labels" / "MAX", factor="max").factor == "max"
    (root / "labels" / "MAX").rename(tmp_path / "download")  # a folder's name that is no factor
    assert load_bins(tmp_path / "download", factor="JUND").factor == "JUND"
