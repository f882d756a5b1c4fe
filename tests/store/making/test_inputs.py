"""Which files of a folder are peak files, and what their cell types are called."""

import pytest

from epilm.store.making.inputs import cell_name, peak_files


def test_of_what_macs_writes_the_peaks_are_taken_and_the_rest_is_said(tmp_path):
    for name in (
        "A_peaks.narrowPeak",
        "A_summits.bed",
        "A_peaks.xls",
        "B_peaks.broadPeak",
        "B_peaks.gappedPeak",
        "C_summits.bed",
        "._D.bed",
    ):
        (tmp_path / name).write_text("chr1\t1\t9\n")
    left_out = []
    files = peak_files(tmp_path, left_out)
    assert {cell: path.name for cell, path in files.items()} == {
        "A": "A_peaks.narrowPeak",
        "B": "B_peaks.broadPeak",
        "C_summits": "C_summits.bed",
    }, "summits alone may be meant"
    assert left_out == [
        "2 files that MACS writes beside its peaks are no cell types of their own: A_summits.bed,"
        " B_peaks.gappedPeak left out"
    ]
    left_out.clear()
    assert list(peak_files(f"{tmp_path}/A_*", left_out)) == ["peaks.narrowPeak"]
    assert "A_peaks.xls, A_summits.bed" in left_out[0]


@pytest.mark.parametrize(
    ("name", "cell"),
    [("A_peaks.xls.gz", "A"), ("a.XLS", "a"), ("A_peaks.bed", "A_peaks"), ("x.txt", "x.txt")],
)
def test_cell_types_are_named_after_files(name, cell):
    assert cell_name(name) == cell


def test_blanks_around_a_name_are_no_part_of_it(tmp_path):
    (tmp_path / "a.bed").write_text("chr1\t1\t9\n")
    assert list(peak_files(f"T cell ={tmp_path}/a.bed")) == ["T cell"]
    assert list(peak_files({" B": tmp_path / "a.bed"})) == ["B"]
