"""Lines of a segmentation: order, colours, headers, and what is wrong with some."""

import gzip

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.segmentation import read_states

from .track_lines import GOOD, SIZES, bed


@pytest.mark.parametrize(
    ("lines", "colours"),
    [
        (
            ("chr1 0 200 1_A 1000 . 0 200 255,0,0", "chr1 200 400 2_B 1000 . 200 400 0"),
            ("255,0,0", ""),
        ),
        (("chr1 0 200 1_A 255,69,0", "chr1 200 400 2_B 0,0,1"), ("255,69,0", "0,0,1")),
        (("chr1 0 200 1_A 7", "chr1 200 400 2_B 8"), ("", "")),
    ],
)
def test_colours_of_bed9_and_of_a_fifth_column(tmp_path, lines, colours):
    assert read_states(bed(tmp_path, *lines), SIZES).colours == colours


def test_headers_gzip_windows_line_ends_spaces_and_no_last_line_end_are_read_alike(tmp_path):
    plain = read_states(bed(tmp_path, *GOOD), SIZES)
    text = "track name=x\n#c\n\n" + "\n".join(GOOD).replace(" ", "\t")
    (tmp_path / "a.bed").write_bytes(text.replace("\n", "\r\n").encode())
    (tmp_path / "b.bed.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.bed").write_text("\n".join(GOOD) + "\n")
    for name in ("a.bed", "b.bed.gz", "c.bed"):
        other = read_states(tmp_path / name, SIZES)
        assert other.names == plain.names
        assert all(np.array_equal(other.codes[chrom], plain.codes[chrom]) for chrom in SIZES)


def test_unsorted_segments_are_sorted_and_other_chromosomes_left_out_and_both_are_said(tmp_path):
    path = bed(tmp_path, GOOD[3], GOOD[1], GOOD[0], GOOD[2], "chrUn_1 0 200 1_TssA")
    states = read_states(path, SIZES, cell="X")
    sorted_ones = read_states(bed(tmp_path, *GOOD, name="s.bed"), SIZES)
    assert states.codes["chr1"].tolist() == sorted_ones.codes["chr1"].tolist()
    assert states.cell == "X"
    assert states.notes == (
        f"{path}: 1 of 5 segments are on chromosomes the genome does not have (chrUn_1): left out",
        f"{path}: 1 segments were not in order: sorted",
    )


def test_a_dot_is_no_state(tmp_path):
    states = read_states(bed(tmp_path, "chr1 0 200 .", "chr1 200 400 3_A", "chr2 0 200 3_A"), SIZES)
    assert states.names == ("3_A",)
    assert states.codes["chr1"][:3].tolist() == [255, 0, 255]
    assert states.notes[0].endswith("1 segments are named .: unknown")


MANY = tuple(f"chr1 {200 * i} {200 * i + 200} {1 + i % 2}_S" + "AB"[i % 2] for i in range(10))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            (*MANY[:9], "chr2 50 200 1_SA"),
            (
                "liver.bed, line 10: the segment is off the grid of bins. Found chr2:50-200 1_SA;"
                " expected a start and an end that are multiples of 200"
            ),
        ),
        (
            ("chr1 1 200 1_A", "chr1 201 400 2_B", "chr1 401 800 1_A"),
            (
                "the segments share no grid of bins. Found borders whose greatest common divisor is"
                " 1; expected starts that are multiples of one width, such as 200. The starts look"
                " 1-based: subtract 1 from column 2."
            ),
        ),
        (
            ("chr1 13 24 1_A", "chr1 31 47 2_B"),
            (
                "Give a segmentation in bins (not peaks, not lifted over), or the width (state_bin,"
                " --state-bin)."
            ),
        ),
        (
            ("chr1 0 2100 1_A", "chr2 0 1000 1_A"),
            "the width of a bin cannot be found: every segment is a whole chromosome",
        ),
        (
            ("chr1 0 600 1_A", "chr1 400 800 2_B"),
            (
                "liver.bed, line 2: two segments overlap. Found chr1:400-800 2_B, while line 1 is"
                " chr1:0-600 1_A; expected at most one state at each base"
            ),
        ),
        (
            ("chr1 0 200 1_A", "chr2 0 200 1_A", "chr1 0 200 1_A"),
            "liver.bed, line 3: two segments overlap. Found chr1:0-200 1_A, while line 1",
        ),
        (
            ("chr1 0 200 1_A", "chr2 800 1200 1_A"),
            (
                "liver.bed, line 2: the segment ends past its chromosome; 1 of 2 do. Found"
                " chr2:800-1200 1_A; expected an end of at most 1000 (chr2 in the genome given)."
                " The states belong to another assembly"
            ),
        ),
        (
            ("1 0 200 1_A", "2 200 400 1_A"),
            (
                "liver.bed: the chromosomes are named differently than in the genome. Found 1;"
                " expected chr1. Rename them in one of the two, for example: sed 's/^/chr/'"
            ),
        ),
        (
            ("chrA 0 200 1_A", "chrA 200 400 1_A"),
            "no chromosome of the file is in the genome. Found chrA; expected chr1, chr2",
        ),
        (
            ("chr1 0 200 1_TssA", "chr1 200 400 2_Tx", "chr1 400 600 1_Enh"),
            (
                "liver.bed, line 3: one number has two names. Found '1_Enh'; expected '1_TssA' as"
                " in line 1"
            ),
        ),
        (
            ("chr1 0 200 1_A", "chr1 200 400 2_B", "chr1 400 600 Other"),
            (
                "liver.bed, line 3: some states have a number and some have none. Found 'Other';"
                " expected names like 1_A, 2_B"
            ),
        ),
        (("chr1 0 200 .", "chr1 200 400 ."), "no segment has a state. Found '.'"),
        (
            ("chr1 0 200", "chr1 200 400"),
            "liver.bed, line 1: the segment has no state. Found 3 columns",
        ),
        (
            ("chr1 0 200 1_A", "chr1 200"),
            "liver.bed, line 2: the line is cut short. Found 2 columns: 'chr1\\t200'",
        ),
        (
            ("chr1 0 200 1_A", "chr1 x 400 1_A"),
            "liver.bed, line 2: the start is not a whole number of at least 0. Found 'x'",
        ),
        (
            ("chrom start end state", "chr1 0 400 1_A"),
            (
                "liver.bed, line 1: the start is not a whole number of at least 0. Found 'start';"
                " expected digits in column 2. If this is a column header, put # before it"
            ),
        ),
        (
            ("chr1 0 200 1_A", "chr1 400 400 1_A"),
            (
                "liver.bed, line 2: the segment holds no base. Found chr1:400-400; expected start"
                " < end"
            ),
        ),
        (
            ("chr1 0 200 1_A", "chr1 -200 400 1_A"),
            "line 2: the start is not a whole number of at least 0. Found '-200'",
        ),
        (
            ("chr1 0 200 1_A", "chr1 200 400 1_A . 7"),
            (
                "liver.bed, line 2: the line has another number of columns. Found 6:"
                " 'chr1\\t200\\t400\\t1_A\\t.\\t7'; expected 4 as in the first line"
            ),
        ),
        (("# nothing",), "the file holds no segment. Found header, comment or blank lines only"),
    ],
)
def test_bad_segments_are_one_message_with_the_line(tmp_path, lines, message):
    with pytest.raises(InputError) as caught:
        read_states(bed(tmp_path, *lines), SIZES)
    assert message in str(caught.value)
    assert "liver.bed" in str(caught.value)


def test_a_state_without_a_name_is_named(tmp_path):
    (tmp_path / "a.bed").write_text("chr1\t0\t200\t1_A\nchr1\t200\t400\t\n")
    with pytest.raises(InputError, match=r"a.bed, line 2: the state has no name"):
        read_states(tmp_path / "a.bed", SIZES)
