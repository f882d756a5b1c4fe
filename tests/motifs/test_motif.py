"""A motif's matrix: counts or frequencies, and what is neither."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.motifs.motif import Motif, duplicate_free, motif_of, numbers_of


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([[8, 0, 0, 2], [0, 10, 0, 0]], True),
        ([[0.8, 0, 0, 0.2], [0, 1, 0, 0]], False),
        ([[0.81, 0, 0, 0.21], [0, 0.97, 0, 0]], False),  # rounded by whoever wrote it
        ([[1, 0, 0, 1], [0, 1, 0, 0]], True),
    ],
)
def test_columns_that_all_sum_to_one_are_frequencies(rows, counts):
    motif = motif_of("M1", "", np.array(rows, float), "f, line 1", sites=20)
    assert motif.is_counts is counts
    assert motif.sites == (None if counts else 20)
    assert (motif.name, motif.width) == ("M1", 2)


def test_the_consensus_is_the_most_frequent_base_of_each_column():
    matrix = np.array([[8, 0, 0, 2], [0, 3, 4, 3], [0, 0, 0, 1]], float)
    assert Motif("M1", "x", matrix, True).consensus == "AGT"


def test_a_column_of_zeros_is_named():
    matrix = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], float)
    with pytest.raises(InputError, match="f: motif M1 has a column.*Found zeros in column 2 of 3"):
        motif_of("M1", "x", matrix, "f")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("x", "f: not a number. Found 'x'"),
        ("1_0", "not a number. Found '1_0'"),
        ("-0.5", "at least 0. Found -0.5. Log-odds matrices are not read"),
        ("nan", "a finite number of at least 0. Found nan"),
        ("inf", "a finite number"),
    ],
)
def test_what_is_no_count_is_refused(word, message):
    assert numbers_of(["1", "2.5", "1e-3"], "f") == [1, 2.5, 0.001]
    with pytest.raises(InputError, match=message):
        numbers_of(["1", word], "f")


def test_an_id_may_stand_once():
    one, other = (Motif(name, "x", np.ones((1, 4)), True) for name in ("M1", "M2"))
    assert duplicate_free([one, other], "f") == [one, other]
    with pytest.raises(InputError, match="two motifs have one id. Found M1 as motif 1 and motif 3"):
        duplicate_free([one, other, one], "f")
