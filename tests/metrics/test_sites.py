"""Top-k and AP of rare sites: the example of the protocol, scikit-learn, and ties."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from epilm.metrics.sites import SiteTally, log_odds, site_table, top_k

Y = np.array([0, 1, 0, 0, 1, 0, 1, 0, 0, 1])
S = np.array([0.9, 0.8, 0.1, 0.7, 0.6, 0.2, 0.5, 0.3, 0.05, 0.04])


def test_the_worked_example_of_the_protocol():
    assert [top_k(Y, S, f).accuracy for f in (0.5, 1, 2, 4)] == [0.5, 0.5, 0.75, 1.0]
    assert top_k(Y, S).threshold == pytest.approx(0.6)
    assert site_table(Y, S)["ap"] == pytest.approx(0.5)


def plainly(labels, scores, fraction):
    """SpliceAI's code, with a stable sort."""
    order = np.argsort(-scores, kind="stable")
    k = int(labels.sum())
    n = int(fraction * k)
    return labels[order[:n]].sum() / min(n, k)


@pytest.mark.parametrize("fraction", [0.5, 1, 2, 4])
def test_top_k_is_that_of_a_stable_sort_also_with_ties(fraction):
    rng = np.random.default_rng(0)
    for levels in (3, 1000):
        labels = rng.random(400) < 0.1
        scores = rng.integers(0, levels, 400) / levels
        assert top_k(labels, scores, fraction).accuracy == plainly(labels, scores, fraction)


def test_ties_at_the_cut_are_counted_and_come_in_order():
    tied = top_k([1, 0, 0, 1], [0.5, 0.5, 0.5, 0.9])
    assert (tied.accuracy, tied.tied) == (1.0, 3)
    assert top_k([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.9]).accuracy == 0.5
    assert top_k([1, 0, 0, 1], [0.5, 0.4, 0.3, 0.5]).tied == 0  # all of them are counted


def test_nothing_is_made_up_where_there_is_no_site():
    table = site_table(np.zeros(9), np.linspace(0, 1, 9))
    assert np.isnan(table["top_k"])
    assert np.isnan(table["ap"])
    assert table["negatives_per_positive"] is None


def test_blocks_add_up_to_the_tables_of_all_bases_and_the_unknown_count_nowhere():
    rng = np.random.default_rng(1)
    labels = rng.choice([-1, 0, 1, 2], (6, 50), p=[0.1, 0.7, 0.1, 0.1]).astype(np.int8)
    said = rng.dirichlet([1, 1, 1], (6, 50))
    tally = SiteTally(("neither", "acceptor", "donor"))
    for at in range(0, 6, 2):
        tally.add(labels[at : at + 2], said[at : at + 2])
    tables, known = tally.tables(), labels >= 0
    for c, name in ((1, "acceptor"), (2, "donor")):
        truth, scores = labels[known] == c, said[known][:, c]
        assert tables[name]["ap"] == pytest.approx(average_precision_score(truth, scores))
        assert tables[name]["top_k"] == pytest.approx(plainly(truth, scores, 1))
        assert tables[name]["n"] == known.sum()
        negatives = (known.sum() - truth.sum()) / truth.sum()
        assert tables[name]["negatives_per_positive"] == pytest.approx(negatives)
    both = tables["mean"]
    assert both["ap"] == pytest.approx((tables["acceptor"]["ap"] + tables["donor"]["ap"]) / 2)
    mine = np.take_along_axis(said[known], labels[known][:, None].astype(int), 1)
    assert both["nll"] == pytest.approx(-np.log(mine).mean())


def test_probabilities_near_one_do_not_tie():
    odds = log_odds(1 - np.array([1e-9, 2e-9, 1e-15]))
    assert len(np.unique(odds)) == 3


def test_miscalibration_is_the_share_of_sites_that_are_promised_too_many():
    tally = SiteTally(("neither", "site"))
    labels = np.array([[1, 0, 0, 0]], np.int8)
    tally.add(labels, np.tile([0.5, 0.5], (1, 4, 1)))  # two are promised, one is there
    assert tally.tables()["mean"]["miscalibration"] == pytest.approx(1.0)
