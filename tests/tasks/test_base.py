"""Labelled sequences: what is built, taken, joined and counted; what nobody can learn from."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.tasks.base import check_classes, concatenate, describe, encode_text, labelled

ROWS = labelled(
    ["ACG", "ttttt", "N"],
    [0, 1, 1],
    chrom=["chr1", "", "chr2"],
    start=[5, -1, 9],
    split=["train", "train", "test"],
    family=[0, 0, -1],
    notes=["a"],
)


def test_rows_of_any_length_are_padded_and_come_back_as_letters():
    assert ROWS.codes.tolist() == [[0, 1, 2, 4, 4], [3, 3, 3, 3, 3], [4, 4, 4, 4, 4]]
    assert [ROWS.text(row) for row in range(3)] == ["ACG", "TTTTT", "N"]
    codes = labelled([np.array([0, 1, 2], np.uint8)], [1])
    assert codes.text(0) == "ACG"
    assert codes.origin_of(0) == "set:1"
    assert encode_text("acgtnRY", "here").tolist() == [0, 1, 2, 3, 4, 4, 4]


def test_taken_rows_keep_all_that_belongs_to_them():
    taken = ROWS.take([2, 0])
    assert taken.labels.tolist() == [1, 0]
    assert (taken.chrom.tolist(), taken.start.tolist()) == (["chr2", "chr1"], [9, 5])
    assert taken.family.tolist() == [-1, 0]
    assert ROWS.part("train").codes.shape == (2, 5)
    assert ROWS.take(ROWS.labels == 1).origin.tolist() == ["set:2", "set:3"]


def test_equal_sequences_have_equal_keys_whatever_stands_beside_them():
    rows = labelled(["ACG", "ACGN", "ACG"], [0, 1, 1])
    keys = rows.keys().tolist()
    assert keys[0] == keys[2] != keys[1]
    assert keys[0] == labelled(["ACG"], [0]).keys()[0]
    assert rows.fingerprint() != labelled(["ACG", "ACGN", "ACG"], [0, 1, 0]).fingerprint()
    assert rows.fingerprint() == labelled(["ACG", "ACGN", "ACG"], [0, 1, 1]).fingerprint()


def test_sets_are_joined_below_each_other_and_families_keep_their_numbers():
    both = concatenate([ROWS, labelled(["ACGTACGT"], [0], notes=["b", "a"])], "both")
    assert [both.text(row) for row in range(4)] == ["ACG", "TTTTT", "N", "ACGTACGT"]
    assert both.family.tolist() == [0, 0, -1, -1]
    assert (both.name, both.notes) == ("both", ("a", "b"))


def test_counts_are_of_classes_of_yes_or_of_known_numbers():
    assert ROWS.counts() == {"train": [1, 1], "test": [0, 1]}
    answers = labelled(["AC"] * 3, [[1, -1], [1, 0], [0, -1]], kind="factors")
    assert answers.counts() == {"all": [2, 0]}
    numbers = labelled(["AC"] * 3, [[1.5], [np.nan], [0.0]], kind="numbers")
    assert numbers.counts() == {"all": [2]}
    assert (ROWS.n_labels, answers.n_labels, numbers.n_labels) == (2, 2, 1)
    assert describe(ROWS)["length_bp"] == [1, 5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: labelled([], []), "there are no sequences"),
        (lambda: labelled(["AC", ""], [0, 1]), "set:2: the sequence is empty"),
        (lambda: labelled(["ACXG"], [0], origin=["f, line 3"]), r"f, line 3: .*'X' at base 3"),
        (lambda: check_classes(labelled(["AC"] * 2, [1, 1]), "f"), "Found label 1, 2 rows"),
        (lambda: check_classes(labelled(["AC"] * 2, [0, 2]), "f"), "the labels leave a gap"),
        (
            lambda: check_classes(
                labelled(["AC"] * 3, [[1], [1], [-1]], kind="factors", label_names=["q"]), "f"
            ),
            "f, column q: every known label of a column is the same. Found 1, 2 rows",
        ),
        (
            lambda: check_classes(
                labelled(["AC"] * 2, [[np.nan]] * 2, kind="numbers", label_names=["ph"]), "f"
            ),
            "column ph: .*Found no known label; expected numbers that differ",
        ),
    ],
)
def test_what_nobody_can_learn_from_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
