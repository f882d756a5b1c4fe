"""Bins of ENCODE-DREAM: the worked examples of protocols 6.2, ambiguous bins, and the ten
resamples.
"""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as peer
from sklearn.model_selection import StratifiedKFold

from epilm.metrics.bin_scores import METRICS, score_bins, score_entry, score_resamples
from epilm.metrics.thresholded import UndefinedMetricWarning

RANKED = [1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
SCORES = [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]


def bins(seed, n, share=0.1, decimals=2):
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1], n, p=[share, 0.9 - share, 0.1]).astype(np.int8)
    return labels, np.clip(rng.normal(0.4 + 0.2 * (labels == 1), 0.15), 0, 1).round(decimals)


def test_worked_example_of_section_6_2():
    table = score_bins(np.array(RANKED, np.int8), SCORES)
    expected = {
        "n": 10,
        "positives": 4,
        "ambiguous": 0,
        "prevalence": 0.4,
        "auroc": 0.833333,
        "ap": 0.830357,
        "auprc_trapezoid": 0.811012,
        "auprc_dg": 0.811012,
        "recall_at_fdr5": 0.5,
        "recall_at_fdr10": 0.5,
        "recall_at_fdr25": 0.75,
        "recall_at_fdr50": 1.0,
    }
    assert table == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("labels", "scores", "ap", "trapezoid", "dg"),
    [
        ([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5], 0.75, 0.875, 0.875),
        ([1, 1, 1] + [0] * 7, [0.9] + [0.5] * 9, 0.5333, 0.7667, 0.6712),
    ],
)
def test_worked_ties_of_section_6_2(labels, scores, ap, trapezoid, dg):
    table = score_bins(labels, scores)
    assert table["ap"] == pytest.approx(ap, abs=5e-5)
    assert table["auprc_trapezoid"] == pytest.approx(trapezoid, abs=5e-5)
    assert table["auprc_dg"] == pytest.approx(dg, abs=5e-5)


def test_ambiguous_bins_are_dropped_and_counted():
    labels, scores = bins(0, 500)
    clear = labels >= 0
    whole, without = score_bins(labels, scores), score_bins(labels[clear], scores[clear])
    assert whole["ambiguous"] == (labels == -1).sum() > 0
    assert without["ambiguous"] == 0
    assert {**whole, "ambiguous": 0} == without
    assert whole["auroc"] == pytest.approx(peer.roc_auc_score(labels[clear], scores[clear]))
    assert whole["ap"] == pytest.approx(peer.average_precision_score(labels[clear], scores[clear]))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1, 1, -1], "no bin is unbound among 2 scored (1 ambiguous dropped): every metric is NaN"),
        ([0, 0, 0], "no bin is bound among 3 scored (0 ambiguous dropped): every metric is NaN"),
        ([-1, -1, -1], "no bin is left to score (3 ambiguous dropped): every metric is NaN"),
    ],
)
def test_one_class_alone_is_nan_and_said(labels, said):
    with pytest.warns(UndefinedMetricWarning) as caught:
        table, parts = score_resamples(labels, [0.1, 0.2, 0.3])
    assert [str(w.message) for w in caught] == [said]
    assert all(
        np.isnan(table[name]) for name in (*METRICS, "ap", "auprc_trapezoid", "recall_at_fdr5")
    )
    assert parts == []


def test_bad_bins_are_refused():
    with pytest.raises(
        ValueError, match="1 of 3 bins have a score that is NaN or infinite, the first is bin 2"
    ):
        score_bins([1, 0, -1], [0.1, 0.2, np.nan])
    with pytest.raises(
        ValueError, match="bin 1 has the label 2; 1 is bound, 0 unbound, -1 ambiguous"
    ):
        score_bins([1, 2, 0], [0.1, 0.2, 0.3])
    with pytest.raises(
        ValueError, match=r"labels of shape \(2,\) and scores of shape \(3,\) do not fit"
    ):
        score_bins([1, 0], [0.1, 0.2, 0.3])


def test_float32_scores_tie_as_they_tie_in_float32():
    labels = np.array([1, 0, 1, 0], np.int8)
    close = np.array([0.5 + 1e-12, 0.5, 0.4, 0.3])
    assert score_bins(labels, close.astype(np.float32))["auroc"] == 0.625
    assert score_bins(labels, close)["auroc"] == 0.75


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("n", [97, 400, 1003])
def test_ten_resamples_are_those_of_scikit_learn(n, first):
    labels, scores = bins(n, n)
    labels[0], labels[1] = -1, first  # the class met first decides how folds are dealt
    whole, parts = score_resamples(labels, scores)
    assert whole == score_bins(labels, scores)
    clear = labels >= 0
    y, s = labels[clear], scores[clear]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer than ten bound bins in the smallest set
        folds = list(StratifiedKFold(10).split(s, y))
    assert len(parts) == 10
    for part, (train, _) in zip(parts, folds):
        expected = score_bins(y[train], s[train])
        assert part == pytest.approx({**expected, "ambiguous": whole["ambiguous"]}, abs=1e-13)


def test_an_entry_is_plain_json_and_undefined_is_none():
    with pytest.warns(UndefinedMetricWarning):
        entry = score_entry(
            "m", "MAX", "liver", np.zeros(12, np.int8), np.linspace(0, 1, 12, dtype=np.float32)
        )
    again = json.loads(json.dumps(entry, allow_nan=False))
    assert again == entry
    assert again["scores"] | {"prevalence": 0.0, "n": 12} == again["scores"]
    assert all(again["scores"][name] is None for name in METRICS)
    labels, scores = bins(4, 300)
    entry = json.loads(
        json.dumps(score_entry("m", "MAX", "liver", labels, scores), allow_nan=False)
    )
    whole, parts = score_resamples(labels, scores)
    assert (entry["scores"], entry["resamples"]) == (whole, parts)
