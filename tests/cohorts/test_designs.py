"""Sets of the paper: their sizes, and that some have none."""

import pytest

from epilm.cohorts.risk_choices import Illness
from epilm.cohorts.simulate_cohort import simulate_cohort
from epilm.errors import UsageError
from toy_cohort import snv, write_sites


def test_the_sets_of_the_paper_give_their_sizes_or_say_that_there_are_none(tmp_path):
    table = write_sites(tmp_path / "v.tsv", [(*snv(100), 0.3, 1)])
    folder = simulate_cohort(
        tmp_path / "a", table, like="hscr_ret", illness=Illness(prevalence=0.3)
    )
    words = [line.split("\t")[1] for line in (folder / "phenotypes.tsv").read_text().splitlines()]
    assert (words.count("case"), words.count("control")) == (431, 487)
    with pytest.raises(UsageError, match="not said by the paper for hscr_ret_long"):
        simulate_cohort(tmp_path / "b", table, like="hscr_ret_long")
    with pytest.raises(UsageError, match="no such set. Found hscr. Did you mean hscr_ret"):
        simulate_cohort(tmp_path / "b", table, like="hscr")
