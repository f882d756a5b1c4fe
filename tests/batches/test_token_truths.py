"""What is true of each token, and what is asked: one table, in which nothing is forgotten."""

from dataclasses import replace
from types import SimpleNamespace

from epilm.batch import TOKEN_ANSWERS
from epilm.batches.token_truths import (
    TOKEN_TRUTHS,
    count_truths,
    find_truths,
    keep_truths,
    truths_asked,
)
from epilm.objectives.motif_sites import MotifSitesSpec
from epilm.objectives.table import OBJECTIVES, ObjectivesSpec

STORE = SimpleNamespace(motifs=[{"id": "M1", "name": "CTCF"}, {"id": "M2", "name": "MAX"}])
ON = replace(ObjectivesSpec(), motif_sites=MotifSitesSpec(weight=1.0, factors=("MAX",)))


def test_every_answer_has_its_truth_and_its_objective():
    names = {answer.asked for answer in TOKEN_ANSWERS}
    assert names == set(TOKEN_TRUTHS)
    assert names <= set(OBJECTIVES)


def test_what_is_asked_is_counted_and_named():
    assert truths_asked(ON) == ["motif_sites"]
    assert count_truths(STORE, ON) == {"motif_sites": 1}
    assert keep_truths(STORE, ON) == {"motif_site_names": ["MAX"]}


def test_what_is_off_is_not_looked_for():
    assert truths_asked(ObjectivesSpec()) == []
    assert find_truths(STORE, ObjectivesSpec(), "cpu") == {}
    assert count_truths(STORE, ObjectivesSpec()) == {"motif_sites": 0}
    assert keep_truths(STORE, ObjectivesSpec()) == {}
