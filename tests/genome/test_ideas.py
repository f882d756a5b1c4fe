"""IDEAS .state text: one line a bin, a column a cell type; bins without a line are unknown."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.ideas import read_ideas_state
from epilm.genome.segmentation import UNKNOWN, join_states

SIZES = {"chr1": 900, "chr2": 400}
HEAD = "#ID CHR POSst POSed liver K562 PosClass"
GOOD = (
    "a chr1 0 200 0 7 1",
    "b chr1 400 600 36 0 1",
    "c chr1 800 900 7 7 1",
    "d chr2 200 400 0 NA 2",
)


def write(folder: Path, *lines: str, head: str = HEAD, tabs: bool = False) -> Path:
    path = folder / "x.state"
    text = "\n".join([head, *lines]) + "\n"
    path.write_text(text.replace(" ", "\t") if tabs else text)
    return path


@pytest.mark.parametrize("tabs", [False, True])
def test_a_state_per_cell_type_and_bin(tmp_path, tabs):
    path = write(tmp_path, *GOOD, tabs=tabs)
    states = read_ideas_state(path, SIZES)
    assert list(states) == ["liver", "K562"]
    for cell in states:
        assert states[cell].cell == cell
        assert states[cell].names == ("0", "7", "36")
        assert states[cell].numbers == (0, 7, 36)
        assert states[cell].bin_bp == 200
        assert states[cell].notes == (f"{path}: 1 states of 4 bins are missing: unknown",)
    assert states["liver"].codes["chr1"].tolist() == [0, 255, 2, 255, 1]
    assert states["K562"].codes["chr1"].tolist() == [1, 255, 0, 255, 1]
    assert states["liver"].codes["chr2"].tolist() == [255, 0]
    assert states["K562"].codes["chr2"].tolist() == [255, 255]
    assert join_states(list(states.values()))[0] == ("0", "7", "36")


def test_some_cell_types_no_position_class_and_any_order(tmp_path):
    bare = [line.rsplit(" ", 1)[0] for line in reversed(GOOD)]
    path = write(tmp_path, *bare, head="#ID CHR POSst POSed liver K562")
    states = read_ideas_state(path, SIZES, cells=["K562"])
    assert list(states) == ["K562"]
    assert states["K562"].names == ("0", "7")
    assert states["K562"].codes["chr1"].tolist() == [1, 255, 0, 255, 1]


def test_what_is_left_out_is_counted(tmp_path):
    many = [f"r chr1 {200 * i} {200 * i + 200} 1 2 0" for i in range(200)]
    path = write(tmp_path, *many, "r chr1 40050 40250 1 2 0", "r chr9 0 200 1 2 0")
    states = read_ideas_state(path, {"chr1": 42_000, "chr2": 200})["liver"]
    assert (states.codes["chr1"] != UNKNOWN).sum() == 200
    assert states.notes == (
        f"{path}: 1 of 202 bins are on chromosomes the genome does not have (chr9): left out",
        f"{path}: 1 of 202 bins are off the grid of 200 bp: left out",
        f"{path}: no states on chr2: unknown there",
    )
    cut = read_ideas_state(write(tmp_path, *many), {"chr1": 1000}, past_end="cut")["liver"]
    assert cut.codes["chr1"].tolist() == [0] * 5
    assert cut.notes == (f"{path}: 195 of 200 bins are past the end of their chromosome: left out",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            (*GOOD, "e chr1 400 600 0 0 1"),
            "x.state, line 6: the bin has a line already. Found chr1:400-600",
        ),
        (
            (*GOOD, "e chr1 1000 1200 0 0 1"),
            (
                "x.state, line 6: the bin is past the end of its chromosome. Found chr1:1000-1200;"
                " expected an end of at most 900"
            ),
        ),
        (
            (*GOOD, "e chr1 210 410 0 0 1"),
            (
                "x.state, line 6: 1 of 5 bins are off the grid. Found chr1:210-410; expected starts"
                " that are multiples of 200"
            ),
        ),
        (
            (*GOOD, "e chr1 200 400 0 1"),
            (
                "x.state, line 6: the line has not as many columns as the header. Found 6: 'e chr1"
                " 200 400 0 1'; expected 7"
            ),
        ),
        (
            (*GOOD, "e chr1 200 400 0 Enh 1"),
            (
                "x.state, line 6: the state is no number of a state. Found 'Enh'; expected 0 to 253"
                " in column 6, or NA"
            ),
        ),
        (
            (*GOOD, "e chr1 200 400 0 255 1"),
            "x.state, line 6: the state is no number of a state. Found '255'",
        ),
        (
            (*GOOD, "e chr1 200 400 0 1.5 1"),
            "x.state, line 6: the state is no number of a state. Found '1.5'",
        ),
        (
            (*GOOD, "e chr1 x 400 0 1 1"),
            "x.state, line 6: the start is not a whole number of at least 0. Found 'x'",
        ),
        ((*GOOD, "e chr1 400 400 0 1 1"), "x.state, line 6: the bin holds no base"),
        (
            ("e 1 0 200 0 1 1", "e 1 200 400 0 1 1"),
            "the chromosomes are named differently than in the genome. Found 1; expected chr1",
        ),
        (("e chr1 0 200 NA NA 1",), "x.state: no bin has a state"),
        ((), "x.state: the file holds no bin. Found a header only"),
    ],
)
def test_bad_lines_are_one_message(tmp_path, lines, message):
    with pytest.raises(InputError) as caught:
        read_ideas_state(write(tmp_path, *lines), SIZES)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            "a chr1 0 200 0 7 1",
            (
                "x.state, line 1: there is no header. Found 'a chr1 0 200 0 7 1'; expected a .state"
                " file of IDEAS"
            ),
        ),
        (
            "#ID CHR POSst POSed liver liver PosClass",
            "x.state, line 1: a cell type occurs twice. Found liver",
        ),
        ("#ID CHR POSst POSed PosClass", "x.state, line 1: there is no cell type"),
    ],
)
def test_bad_headers_are_one_message(tmp_path, head, message):
    with pytest.raises(InputError) as caught:
        read_ideas_state(write(tmp_path, *GOOD, head=head), SIZES)
    assert message in str(caught.value)


def test_a_cell_type_that_is_not_there(tmp_path):
    with pytest.raises(
        InputError, match=r"the cell type is not in the file. Found liver, K562; expected PC-3"
    ):
        read_ideas_state(write(tmp_path, *GOOD), SIZES, cells=["PC-3"])


def test_the_real_mouse_sample_line_by_line(real_data):
    path = real_data / "ideas_format_sample_mm10" / "test_IDEAS.chr2.state.gz"
    states = read_ideas_state(path, {"chr2": 182_113_224})
    assert list(states) == ["ERY_ad", "MEP"]
    expected = {cell: np.full(-(-182_113_224 // 200), -1) for cell in states}
    n_off = 0
    with gzip.open(path, "rt") as handle:
        next(handle)
        for line in handle:
            start, end, one, two = (int(word) for word in line.split()[2:6])
            if start % 200:  # at the edges of stretches left out of the bins, windows start anew
                n_off += 1
                continue
            assert end == start + 200
            expected["ERY_ad"][start // 200], expected["MEP"][start // 200] = one, two
    assert n_off == 8
    for cell, values in expected.items():
        numbers = np.array([*states[cell].numbers, *[-1] * (256 - len(states[cell].numbers))])
        np.testing.assert_array_equal(numbers[states[cell].codes["chr2"]], values)
        assert states[cell].notes == (
            f"{path}: 8 of 27504 bins are off the grid of 200 bp: left out",
        )
