"""Variants of a cohort with their frequencies and effects, from a table or a VCF."""

import pytest

from epilm.cohorts.frequencies import read_sites
from epilm.cohorts.risk_choices import Illness, Population
from epilm.cohorts.simulate_cohort import draw_cohort
from epilm.errors import InputError
from toy_cohort import snv, write_sites


def test_frequencies_that_no_file_has_are_drawn_and_said(tmp_path):
    table = write_sites(tmp_path / "v.tsv", [(*snv(100), "NA", 1), (*snv(120), 0.25, 1)])
    found, _ = read_sites(table, Illness(effect="effect"))
    cohort = draw_cohort(found, Illness(effect="effect"), Population(5, 5), 0)
    assert cohort.sites[1].frequency == 0.25
    assert any("1 of 2 allele frequencies drawn" in note for note in cohort.notes)


def test_an_effect_that_the_file_has_not_is_refused(tmp_path):
    table = write_sites(tmp_path / "v.tsv", [(*snv(100), 0.3, "")])
    with pytest.raises(InputError, match="the table has no column beta"):
        read_sites(table, Illness(effect="beta"))
    with pytest.raises(InputError, match="no variant has the effect asked for"):
        read_sites(table, Illness(effect="effect"))
