"""Every number of protocols 6.3: Table 1 of the EBERT paper, its internal ranking, and the three
rules.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from epilm.metrics.bin_scores import METRICS
from epilm.metrics.published import dream_internal_ranks, dream_ranks
from epilm.metrics.ranking import (
    dataset_ranks,
    dataset_scores,
    overall_scores,
    rank_by_ranks,
    rank_models,
    ranks,
    second_smallest,
)


def scores(*values):
    return dict(zip(METRICS, values))


def test_table_1_gives_the_printed_overall_line():
    table = dream_ranks()
    assert table.models == ("EBERT+", "JTeam", "FactorNet", "Anchor", "DeepGRN")
    assert table.ranks.sum(0).tolist() == [37, 30, 35, 41, 48]
    board = rank_by_ranks(table.models, table.datasets, table.ranks)
    assert board.overall_scores.round(3).tolist() == [2.846, 2.308, 2.692, 3.154, 3.692]
    assert board.overall.tolist() == [3, 1, 2, 4, 5] == list(table.overall)


def test_on_liver_ebert_plus_is_second_only_by_a_tie():
    table = dream_ranks()
    liver = [name.endswith(":liver") for name in table.datasets]
    assert sum(liver) == 9
    assert table.ranks[liver].sum(0).tolist() == [24, 21, 25, 24, 39]
    placed = ranks(overall_scores(table.ranks[liver]), ties="min", best="low")
    assert placed.tolist() == [2, 1, 4, 2, 5]


def test_the_challenges_mean_on_the_same_ranks_gives_another_order():
    table = dream_ranks()
    board = rank_by_ranks(table.models, table.datasets, table.ranks, "challenge")
    assert board.overall_scores.round(4).tolist() == [0.3846, 0.3718, 0.3846, 0.4231, 0.4231]
    assert board.overall.tolist() == [2, 1, 2, 4, 4]


def test_published_ranks_follow_the_minimum_rank_convention():
    table = dream_ranks()
    for row in table.ranks:
        assert ranks(row, ties="min", best="low").tolist() == row.tolist()
    tied = [d for d, row in zip(table.datasets, table.ranks) if len(set(row)) < 5]
    assert tied == ["CTCF:PC-3", "CTCF:induced_pluripotent_stem_cell", "JUND:liver", "REST:liver"]


def test_the_internal_ranking_of_table_s1():
    table = dream_internal_ranks()
    assert table.models == ("DBERT", "EBERT", "EBERT+")
    assert table.datasets == dream_ranks().datasets
    assert table.ranks.mean(0).round(3).tolist() == [2.942, 1.923, 1.135]
    assert table.ranks.sum(1) == pytest.approx(6.0)  # four metrics, three places
    placed = np.stack([ranks(row, ties="min", best="low") for row in table.ranks])
    assert placed.mean(0).round(3).tolist() == [3.0, 1.923, 1.077]
    ahead = [d for d, row in zip(table.datasets, placed) if row[1] < row[2]]
    assert ahead == ["E2F1:K562"]


# Of the four metric ranks only their mean is given; these are the ones that have it and the log
# scores.
E2F1 = [[3, 3, 3, 2.5], [1, 2, 2, 1], [2, 1, 1, 2.5]]


def test_e2f1_keeps_its_order_under_log_ranks():
    assert dataset_scores(E2F1).tolist() == [2.875, 1.5, 1.625]
    assert dataset_scores(E2F1, "log_rank").round(4).tolist() == [-1.3330, -4.1589, -3.9357]
    # Values that are ordered so, the tie in the last metric included.
    values = [[0.1, 0.1, 0.1, 0.2], [0.3, 0.2, 0.2, 0.3], [0.2, 0.3, 0.3, 0.2]]
    for method in ("mean_rank", "log_rank"):
        assert dataset_ranks(values, method).tolist() == [3, 1, 2]


def test_log_ranks_break_a_tie_of_mean_ranks_for_the_first_places():
    placed = [[1, 2, 1, 3], [2, 2, 2, 2], [1, 1, 1, 4]]
    by_log = dataset_scores(placed, "log_rank", n=5)
    assert by_log.round(4).tolist() == [-5.3753, -4.3944, -5.7807]
    assert ranks(by_log, best="low").tolist() == [2, 3, 1]
    assert dataset_scores(placed).tolist() == [1.75, 2.0, 1.75]
    assert ranks(dataset_scores(placed), best="low").tolist() == [1.5, 3, 1.5]


def test_the_same_places_in_another_order_of_metrics_tie_exactly():
    orders = list(itertools.permutations([1, 2, 3, 5]))
    assert len(set(dataset_scores(orders, "log_rank", n=7))) == 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=20))
def test_ranks_equal_scipys(values):
    assert ranks(values).tolist() == rankdata([-v for v in values]).tolist()
    assert ranks(values, ties="min", best="low").tolist() == rankdata(values, method="min").tolist()


def test_a_model_without_scores_gets_no_rank_and_counts_as_last():
    assert ranks([0.2, np.nan, 0.5]).tolist()[::2] == [2, 1]
    assert np.isnan(ranks([0.2, np.nan, 0.5])[1])
    table = {
        "A": {"x": scores(0.9, 0.5, 0.1, 0.1), "y": scores(0.8, 0.4, 0.0, 0.0)},
        "B": {"x": scores(0.9, 0.5, 0.1, 0.1), "y": scores(None, None, None, None)},
        "C": {"x": scores(*[float("nan")] * 4)},
    }
    board = rank_models(table)
    assert board.datasets == ("A", "B")
    assert board.overall_scores.tolist() == [1.0, 2.0]
    assert board.notes == [
        "C is left out: no model has defined metrics there",
        "y has no scores for B: it counts as last there",
    ]
    shared = rank_models(table, common=True)
    assert shared.datasets == ("A",)
    assert "B is left out: not every model has it (without: y)" in shared.notes


def test_models_scored_on_other_bins_are_said():
    row = {
        "x": scores(0.9, 0.5, 0.1, 0.1) | {"n": 1000},
        "y": scores(0.8, 0.4, 0.0, 0.0) | {"n": 900},
    }
    notes = rank_models({"A": row}).notes
    assert notes == ["A: the models were scored on different bins (x 1,000, y 900)"]


def resampled(rng, level):
    whole = scores(*(level * np.array([1.0, 0.8, 0.5, 0.7])))
    return whole | {"resamples": [scores(*(level + rng.normal(0, 0.05, 4))) for _ in range(10)]}


def slow_challenge(table, models):
    """The rule in words, one resample and dataset at a time, with scipy's ranks."""
    n, per_resample, places = len(models), [], {d: [] for d in table}
    for r in range(10):
        shares = np.zeros(n)
        for dataset, row in table.items():
            values = np.array([[row[m]["resamples"][r][k] for k in METRICS] for m in models])
            placed = np.stack([rankdata(-column) for column in values.T], 1)
            rank = rankdata(np.log(placed / (n + 1)).sum(1).round(9), method="min")
            places[dataset].append(rank)
            shares += np.minimum(0.5, rank / (n + 1)) / len(table)
        per_resample.append(rankdata(shares.round(9), method="min"))
    second = np.sort(np.array(per_resample), axis=0)[1]
    return [np.sort(np.array(rows), axis=0)[1] for rows in places.values()], second


@pytest.mark.parametrize("seed", range(5))
def test_the_challenges_rule_equals_its_slow_plain_form(seed):
    rng = np.random.default_rng(seed)
    models = ["a", "b", "c", "d"]
    table = {d: {m: resampled(rng, rng.uniform(0.45, 0.55)) for m in models} for d in "ABC"}
    board = rank_models(table, "challenge")
    places, second = slow_challenge(table, models)
    assert board.ranks.tolist() == np.array(places).tolist()
    assert board.overall.tolist() == second.tolist()


def test_second_smallest_of_ten_leaves_one_lucky_resample_out():
    assert second_smallest([[1], *[[4]] * 9]).tolist() == [4]
    assert second_smallest([[1], [1], *[[4]] * 8]).tolist() == [1]


def test_a_dataset_not_entered_costs_a_half_in_the_challenge():
    assert overall_scores([[1, 2], [1, np.nan]], "challenge").round(4).tolist() == [0.4167, 0.5]
    assert overall_scores([[1, 2, np.nan]]).tolist() == [1, 2, 3]


def test_what_cannot_be_ranked_is_refused():
    row = {"A": {"x": scores(0.9, 0.5, 0.1, 0.1)}}
    with pytest.raises(ValueError, match="needs scores of ten resamples; x on A has 0"):
        rank_models(row, "challenge")
    with pytest.raises(ValueError, match="'median' is none of mean_rank, log_rank, challenge"):
        rank_models(row, "median")
    with pytest.raises(ValueError, match="no dataset is left to rank on"):
        rank_models({"A": {"x": scores(None, None, None, None)}})
    with pytest.raises(ValueError, match="x on A has no auroc"):
        rank_models({"A": {"x": {}}})
