"""The thirteen pairs of the challenge's final round."""

import pytest

from epilm.errors import UsageError
from epilm.tasks.binding.dream.challenge import (
    IPSC,
    N_LADDER_BINS,
    N_TEST_BINS,
    N_TRAIN_BINS,
    PAIRS,
    file_name,
    find_pair,
    names_cell,
    read_name,
)


def test_there_are_the_thirteen_published_pairs():
    assert [p.name for p in PAIRS] == [
        "CTCF:PC-3",
        "CTCF:iPSC",
        "E2F1:K562",
        "EGR1:liver",
        "FOXA1:liver",
        "FOXA2:liver",
        "GABPA:liver",
        "HNF4A:liver",
        "JUND:liver",
        "MAX:liver",
        "NANOG:iPSC",
        "REST:liver",
        "TAF1:liver",
    ]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_no_pair_learns_from_what_it_is_judged_on(pair):
    assert pair.cell not in pair.train_cells
    parts = [pair.train_chroms, pair.valid_chroms, pair.test_chroms]
    assert len({c for part in parts for c in part}) == sum(map(len, parts)) == 23
    assert set(pair.train_chroms + pair.valid_chroms) == {
        f"chr{c}" for c in [*range(2, 8), *range(9, 21), 22, "X"]
    }


def test_the_published_numbers_of_bins_add_up():
    assert N_TRAIN_BINS + N_LADDER_BINS == N_TEST_BINS


def test_unknown_pairs_and_rounds_name_the_known():
    with pytest.raises(UsageError, match=r"no such pair. Found MAXX:liver. Did you mean MAX:liver"):
        find_pair("MAXX:liver")
    with pytest.raises(UsageError, match=r"unknown round. Found X"):
        file_name("MAX", "liver", "X")
    assert file_name("MAX", "K562", "B") == "B.MAX.K562.tab.gz"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_the_name_of_a_prediction_file_says_its_factor_and_cell_type(pair):
    name = file_name(pair.factor, pair.cell)
    assert read_name(name) == (pair.factor, pair.cell)
    assert names_cell(name, pair.cell)
    assert names_cell(name, "iPSC") == (pair.cell == IPSC)


@pytest.mark.parametrize(
    "name",
    ["my.run.v2.tab.gz", "F.MAX.tab.gz", "F.MAX.liver", "f.MAX.liver.tab", "FF.MAX.liver.tab"],
)
def test_another_name_says_nothing(name):
    assert read_name(name) is None


def test_a_cell_type_may_have_dots_and_a_longer_name_is_another_one():
    assert names_cell("L.MAX.MCF-7.v2.tab.gz", "mcf-7.V2")
    assert not names_cell("L.MAX.MCF-70.tab.gz", "MCF-7")
