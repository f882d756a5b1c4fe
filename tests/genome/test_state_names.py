"""One list of states for all cell types, and states that do not belong together."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.segmentation import States, join_states, read_states

from .track_lines import SIZES, bed


@pytest.mark.parametrize(
    ("names", "numbers", "order"),
    [
        (("E13", "E2"), (2, 13), ("E2", "E13")),
        (("13", "2"), (2, 13), ("2", "13")),
        (("Tx", "Quies"), None, ("Quies", "Tx")),
        (("0_Quies", "12_Het/ReprPC"), (0, 12), ("0_Quies", "12_Het/ReprPC")),
    ],
)
def test_states_are_ordered_by_number_else_by_name(tmp_path, names, numbers, order):
    path = bed(
        tmp_path, *(f"chr1 {400 * i} {400 * i + 200} {name}" for i, name in enumerate(names))
    )
    states = read_states(path, SIZES)
    assert states.names == order
    assert states.numbers == numbers
    assert order[states.codes["chr1"][0]] == names[0]


def test_254_states_fit_and_255_do_not(tmp_path):
    lines = [f"chr1 {10 * i} {10 * i + 10} {i}" for i in range(255)]
    sizes = {"chr1": 2560}
    states = read_states(bed(tmp_path, *lines[:254]), sizes)
    assert states.codes["chr1"].tolist() == [*range(254), 255, 255]
    with pytest.raises(
        InputError, match=r"there are too many states. Found 255 different names .*at most 254"
    ):
        read_states(bed(tmp_path, *lines), sizes)


def test_the_line_of_one_state_too_many_is_the_first_with_the_255th_name(tmp_path):
    # Names in falling order: by letters the last to come would be among the first.
    names = [str(999 - i) for i in range(254)]
    rows = [*names, names[0], "100", names[1], "101"]
    lines = [f"chr1 {10 * i} {10 * i + 10} {name}" for i, name in enumerate(rows)]
    with pytest.raises(
        InputError, match=r"liver.bed, line 256: there are too many states. Found 256 diff"
    ):
        read_states(bed(tmp_path, *lines), {"chr1": 10_000})


def one(cell, *names, numbers=None, colours=None, bin_bp=200):
    return States(cell, names, numbers, colours or ("",) * len(names), bin_bp, {})


def test_one_list_for_all_cell_types():
    a = one("A", "1_X", "10_Y", numbers=(1, 10), colours=("", "1,1,1"))
    b = one("B", "2_Z", "10_Y", numbers=(2, 10), colours=("2,2,2", "9,9,9"))
    names, colours, maps = join_states([a, b])
    assert names == ("1_X", "2_Z", "10_Y")
    assert colours == ("", "2,2,2", "1,1,1")
    assert maps[0][[0, 1]].tolist() == [0, 2]
    assert maps[1][[0, 1]].tolist() == [1, 2]
    assert all(
        table[255] == 255 and table.dtype == np.uint8 and table.shape == (256,) for table in maps
    )
    assert join_states([one("A", "Tx", "Aa"), one("B", "Mm")])[0] == ("Aa", "Mm", "Tx")


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (
            [one("A", "1_X", numbers=(1,)), one("B", "1_Y", numbers=(1,))],
            "B: one state number has two names. Found '1_Y'; expected '1_X' as for A",
        ),
        (
            [one("A", "X"), one("B", "X", bin_bp=5000)],
            (
                "B: the segmentations have bins of different width. Found 5000 bp; expected 200 bp"
                " as for A. If they are one segmentation, give the width (state_bin, --state-bin"
                " 200)"
            ),
        ),
        (
            [one("A", "1_X", numbers=(1,)), one("B", "X")],
            "B: the states of one cell type have numbers, those of another have none",
        ),
        (
            [one("A", *(f"a{i}" for i in range(200))), one("B", *(f"b{i}" for i in range(55)))],
            "2 cell types: there are too many states. Found 255 different names",
        ),
    ],
)
def test_states_that_do_not_belong_together_are_refused(states, message):
    with pytest.raises(InputError) as caught:
        join_states(states)
    assert message in str(caught.value)


def test_states_that_do_not_belong_together_are_refused_by_file_where_it_is_known():
    files = ["x/a.bed", "x/b.bed"]
    numbered = [one("A", "1_X", numbers=(1,)), one("B", "1_Y", numbers=(1,))]
    many = [one("A", *(f"a{i}" for i in range(200))), one("B", *(f"b{i:02}" for i in range(60)))]
    with pytest.raises(InputError) as caught:
        join_states(numbered, files)
    assert (
        "B (x/b.bed): one state number has two names. Found '1_Y'; expected '1_X' as for A"
        " (x/a.bed)" in str(caught.value)
    )
    with pytest.raises(InputError) as caught:
        join_states(many, files)
    assert (
        "Found 260 different names (a0, a1, a2 and 257 more); name 255 is 'b54' in B (x/b.bed)"
        in str(caught.value)
    )
