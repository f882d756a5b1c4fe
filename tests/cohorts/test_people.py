"""Phenotypes: matched by name, in whichever way cases are written, nobody left out unsaid."""

import numpy as np
import pytest

from epilm.cohorts.people import read_people
from epilm.errors import InputError, UsageError
from toy_cohort import write_people


@pytest.mark.parametrize(
    ("words", "labels", "said"),
    [
        (["case", "Control", "case"], [1, 0, 1], "case and control"),
        (["1", "0", "1"], [1, 0, 1], "1 case, 0 control"),
        (["2", "1", "2"], [1, 0, 1], "PLINK's 2 case, 1 control"),
        (["2", "0", "1"], [1, 0], "PLINK's 2 case, 1 control"),
        (["1", "NA", "0"], [1, 0], "1 case, 0 control"),
    ],
)
def test_a_phenotype_is_read_in_three_ways(tmp_path, words, labels, said):
    rows = list(zip("abc", words))
    people = read_people(write_people(tmp_path / "p.tsv", rows), list("abc"))
    assert people.labels.tolist() == labels
    assert said in people.notes[0]
    if len(labels) < 3:
        assert "1 people whose phenotype is missing left out" in people.notes


def test_people_stand_in_the_order_of_the_genotypes_and_who_does_not_match_is_said(tmp_path):
    path = write_people(tmp_path / "p.tsv", [("x", 1), ("b", 0), ("a", 1), ("y", 0)])
    people = read_people(path, list("abcd"))
    assert people.samples == ("a", "b")
    assert people.rows.tolist() == [0, 1]
    assert "2 of 4 people with genotypes have no phenotype (c, d)" in people.notes
    assert "2 with a phenotype have no genotypes (x, y)" in people.notes


def test_what_is_wrong_is_one_message(tmp_path):
    path = write_people(tmp_path / "p.tsv", [("a", 1), ("b", 0)])
    with pytest.raises(InputError, match=r"nobody of the genotypes stands in .* Found a, b; exp"):
        read_people(path, ["S1", "S2"])
    with pytest.raises(InputError, match="a person stands twice in the genotypes. Found a"):
        read_people(path, ["a", "a"])
    with pytest.raises(UsageError, match="no such column. Found agee"):
        read_people(path, ["a"], covariates=["agee"])
    twice = write_people(tmp_path / "t.tsv", [("a", 1), ("a", 0)])
    with pytest.raises(InputError, match="stands twice in the phenotypes. Found a"):
        read_people(twice, ["a"])
    strange = write_people(tmp_path / "s.tsv", [("a", 1), ("b", "ill")])
    with pytest.raises(
        InputError, match="line 3: not a phenotype of cases and controls. Found ill"
    ):
        read_people(strange, ["a", "b"])
    headless = write_people(tmp_path / "h.tsv", [("a", 1)], "who\twhat")
    with pytest.raises(InputError, match="no column of people or of phenotypes"):
        read_people(headless, ["a"])
    short = write_people(tmp_path / "c.tsv", [("a",)])
    with pytest.raises(InputError, match="line 2: the line has another number of columns"):
        read_people(short, ["a"])


def test_covariates_are_numbers_or_words_and_unknown_ones_are_nan(tmp_path):
    rows = [("a", 1, 3, "m", "f1"), ("b", 0, "NA", "f", "f1"), ("c", 0, 5, "", ".")]
    path = write_people(tmp_path / "p.tsv", rows, "sample\tphenotype\tage\tsex\tfamily")
    people = read_people(path, list("abc"), covariates=["age", "sex"], group_by="family")
    assert people.covariates.names == ("age", "sex=m")
    np.testing.assert_array_equal(people.covariates.values, [[3, 1], [np.nan, 0], [5, np.nan]])
    assert people.groups is not None
    assert people.groups[0] == people.groups[1] != people.groups[2]
    assert "1 people without family: each a group of its own" in people.notes
