"""Intervals fit for use: sorted, unique, inside the genome; what is not is named by its row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from epilm.errors import InputError
from epilm.genome.fasta import open_genome
from epilm.genome.intervals import (
    check_intervals,
    make_table,
    n_fraction,
)
from epilm.genome.peaks import read_peaks

from .interval_tables import ROWS, table_of

SIZES = {"chr1": 100, "chr2": 100, "chr10": 100}


def test_checking_sorts_drops_duplicates_and_counts_them():
    table = make_table(
        ["chr10", "chr1", "chr1", "chr2", "chr1"],
        [5, 9, 3, 1, 9],
        [6, 12, 8, 2, 12],
        name=list("abcde"),
    )
    checked = check_intervals(table, {"chr1": 100, "chr2": 100, "chr10": 100}, "a.bed")
    assert checked.table["name"].tolist() == ["c", "b", "d", "a"]
    assert checked.rows.tolist() == [2, 1, 3, 0]
    assert checked.counts == {
        "given": 5,
        "kept": 4,
        "out_of_order": 2,
        "duplicates": 1,
        "other_chromosomes": 0,
        "cut": 0,
        "past_end": 0,
    }
    assert checked.went_to.tolist() == [3, 1, 0, 2, 1], "the duplicate went to the first of them"
    assert checked.notes == [
        "a.bed: 2 of 5 regions were not in order: sorted",
        "a.bed: 1 of 5 regions occur more than once: first one kept",
    ]
    assert table["name"].tolist() == list("abcde"), "the caller's table is untouched"
    assert len(check_intervals(table, unique_by=("chrom", "start", "end", "name")).table) == 5


def test_any_order_of_chromosome_blocks_counts_as_sorted():
    table = make_table(["chr10", "chr10", "chr2"], [1, 5, 0], [3, 8, 4])
    assert check_intervals(table, strict=True).counts["out_of_order"] == 0


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_checked_tables_are_sorted_unique_and_traceable(rows):
    table = table_of(rows)
    checked = check_intervals(table, SIZES)
    assert checked.table.equals(table.iloc[checked.rows].reset_index(drop=True))
    assert len(checked.table) == len(set(rows))
    again = check_intervals(checked.table, SIZES, strict=True)
    assert again.table.equals(checked.table)


def test_regions_on_other_chromosomes_are_dropped_and_said():
    table = make_table(["chr1", "chrUn_7", "chrM"], [1, 2, 3], [5, 6, 7])
    checked = check_intervals(table, SIZES, "a.bed")
    assert checked.counts["other_chromosomes"] == 2
    assert (
        "2 of 3 regions are on chromosomes the genome does not have (chrM, chrUn_7): dropped"
        in checked.notes[0]
    )


@pytest.mark.parametrize(
    ("table", "strict", "words"),
    [
        (
            make_table(["20"], [1], [5]),
            False,
            ["named differently", "Found 20; expected chr20", "sed 's/^/chr/' a.bed"],
        ),
        (
            make_table(["chr1", "2"], [1, 1], [5, 5]),
            False,
            ["named differently", "Found 2; expected chr2"],
        ),
        (
            make_table(["chr7"], [1], [5]),
            False,
            ["no chromosome of the file is in the genome", "chr7", "chr20"],
        ),
        (
            make_table(["chr1", "chr2"], [1, 90], [5, 101]),
            False,
            [
                "a.bed, row 2",
                "past its chromosome",
                "chr2:90-101",
                "at most 100",
                "another assembly",
            ],
        ),
        (make_table(["chr1"], [5], [5]), False, ["row 1", "holds no base", "start < end"]),
        (make_table(["chr1"], [-3], [5]), False, ["row 1", "start is negative"]),
        (make_table([], [], []), False, ["there are no intervals"]),
        (
            pd.DataFrame({"chrom": ["chr1"], "begin": [1]}),
            False,
            ["columns are missing", "begin", "chrom, start, end"],
        ),
        (
            pd.DataFrame({"chrom": ["chr1"], "start": [1.5], "end": [3]}),
            False,
            ["row 1", "not a whole number", "1.5"],
        ),
        (
            pd.DataFrame({"chrom": ["chr1"], "start": [np.nan], "end": [3]}),
            False,
            ["row 1", "not a whole number", "nan"],
        ),
        (
            make_table(["chr1", "chr1"], [9, 3], [12, 5]),
            True,
            ["row 2", "not sorted", "chr1:3-5", "sort -k1,1 -k2,2n"],
        ),
        (
            make_table(["chr1", "chr2", "chr1"], [1, 1, 9], [5, 5, 12]),
            True,
            ["row 3", "not sorted"],
        ),
        (
            make_table(["chr1", "chr1"], [3, 3], [5, 5]),
            True,
            ["row 2", "occurs twice", "chr1:3-5", "sort -u"],
        ),
        (
            make_table(["chr1", "chrY"], [3, 3], [5, 5]),
            True,
            ["row 2", "not in the genome", "chrY:3-5"],
        ),
    ],
)
def test_a_bad_table_is_refused_by_row_with_the_cure(table, strict, words):
    with pytest.raises(InputError) as error:
        check_intervals(table, SIZES | {"chr20": 100}, "a.bed", strict=strict)
    for word in ["a.bed", *words]:
        assert word in str(error.value)


def test_a_late_check_still_names_the_line_of_the_file(tmp_path):
    (tmp_path / "a.bed").write_text("track x\nchr1\t1\t5\n#\nchr1\t90\t101\n")
    with pytest.raises(InputError, match=r"a\.bed, line 4"):
        check_intervals(read_peaks(tmp_path / "a.bed"), SIZES)


def test_the_share_of_n_is_measured_for_each_region(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\nNNNNACGTNN\n>chr2\nACGTACGT\n")
    table = make_table(["chr1", "chr2", "chr1", "chr1"], [0, 0, 2, 4], [10, 8, 6, 8])
    assert n_fraction(open_genome(tmp_path / "g.fa"), table).tolist() == [0.6, 0.0, 0.5, 0.0]
