"""What rows add up to: tables and claims judged by hand-made rows."""

import math

import pytest

from epilm.trials.bench import WORLDS
from epilm.trials.trial_table import Cell, Claim, Design, summarise
from epilm.trials.trial_text import best_line, text_of
from epilm.trials.verdicts import judge, paired


def design_of(*claims: Claim) -> Design:
    titles = {"a": "a", "b": "the other", "c": "c"}
    cells = tuple(Cell("", arm, title, ("CTCF",)) for arm, title in titles.items())
    return Design(WORLDS, cells, claims)


def rows_of(**values):
    """a=[0.1, 0.2]: scores of arm a in seeds 1, 2."""
    return [
        {
            "seed": seed,
            "arm": arm,
            "ap": v,
            "auprc_dg": v,
            "auroc": v,
            "factors": {"CTCF": {"ap": v, "auprc_dg": v, "auroc": v}},
            "seconds": 1.0,
        }
        for arm, column in values.items()
        for seed, v in enumerate(column, 1)
    ]


def test_mean_and_standard_error_of_differences_are_those_of_the_book():
    mean, se = paired([1.0, 2.0, 3.0, 6.0])
    assert mean == 3.0
    assert se == pytest.approx(math.sqrt(((4 + 1 + 0 + 9) / 3) / 4))
    assert math.isnan(paired([1.0])[1])


@pytest.mark.parametrize(
    ("more", "less", "kind", "word"),
    [
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3], "above", "shown"),  # the same gap in every seed
        ([0.5, 0.1, 0.6], [0.4, 0.4, 0.4], "above", "not shown"),  # 0, with an error
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], "above", "not shown"),
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], "not_above", "shown"),
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3], "not_above", "not shown"),
        ([0.5, 0.6], [0.1, 0.2], "above", "too few seeds"),
    ],
)
def test_a_claim_shows_by_two_standard_errors_of_paired_differences(more, less, kind, word):
    verdict, *_ = judge(design_of(Claim("it helps", "a", "b", kind)), rows_of(a=more, b=less))
    assert verdict.word == word
    assert verdict.seeds == len(more)


def test_a_seed_that_lacks_one_of_the_pair_or_has_no_score_is_left_out():
    design = design_of(Claim("it helps", "a", "b"))
    rows = rows_of(a=[0.5, 0.6, 0.7, None], b=[0.1, 0.2])
    assert {v.seeds for v in judge(design, rows)} == {2}
    assert judge(design, rows_of(a=[0.5])) == []


def test_the_table_has_means_sample_deviations_and_the_order_of_the_description():
    design = design_of()
    table = summarise(design, rows_of(b=[0.2, 0.4], a=[0.1, 0.1]))
    assert [line["title"] for line in table] == ["a", "the other"]
    assert table[1]["ap_mean"] == pytest.approx(0.3)
    assert table[1]["ap_sd"] == pytest.approx(math.sqrt(0.02))
    assert "0.3000 +- 0.1414" in text_of(design, rows_of(b=[0.2, 0.4], a=[0.1, 0.1]))


# -- what a trivial baseline does as well


def test_rows_over_fewer_factors_are_not_the_best():
    lines = [
        {"n_factors": 1, "ap_mean": 0.9},
        {"n_factors": 2, "ap_mean": 0.3},
        {"n_factors": 2, "ap_mean": None},
    ]
    assert best_line(lines, "ap") == 1
    assert best_line([], "ap") is None
