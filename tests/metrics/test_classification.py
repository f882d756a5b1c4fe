"""Metrics against the worked examples of protocols 6.2 and 12, and against scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from epilm.metrics import classification as ours

LABELS = [0, 0, 0, 0, 1, 1]
SAID = [0, 0, 0, 1, 1, 0]
RANKED = [1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
SCORES = [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]


def test_worked_example_of_section_12():
    assert ours.macro_precision(LABELS, SAID) == 0.625
    assert ours.macro_recall(LABELS, SAID) == 0.625
    assert ours.macro_f1(LABELS, SAID) == 0.625
    assert ours.binary_precision(LABELS, SAID) == 0.5
    assert ours.binary_recall(LABELS, SAID) == 0.5
    assert ours.accuracy(LABELS, SAID) == pytest.approx(0.6667, abs=5e-5)
    assert ours.mcc(LABELS, SAID) == pytest.approx(0.25)


@pytest.mark.parametrize(("negatives", "positives", "precision"), [(5, 5, 0.25), (47, 53, 0.265)])
def test_constant_prediction_has_the_published_macro_figures(negatives, positives, precision):
    labels = [0] * negatives + [1] * positives
    said = [1] * len(labels)
    with pytest.warns(ours.UndefinedMetricWarning, match="class 0 is never predicted"):
        assert ours.macro_precision(labels, said) == pytest.approx(precision)
    assert ours.macro_recall(labels, said) == 0.5
    if negatives == positives:
        assert ours.macro_f1(labels, said) == pytest.approx(1 / 3)


def test_worked_curve_of_section_6_2():
    assert ours.ap(RANKED, SCORES) == pytest.approx(0.830357, abs=5e-7)
    assert ours.auprc_trapezoid(RANKED, SCORES) == pytest.approx(0.811012, abs=5e-7)
    assert ours.auprc_dg(RANKED, SCORES) == pytest.approx(0.811012, abs=5e-7)
    assert ours.auroc(RANKED, SCORES) == pytest.approx(0.833333, abs=5e-7)


@pytest.mark.parametrize(
    ("labels", "scores", "ap", "trapezoid", "dg"),
    [
        ([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5], 0.75, 0.875, 0.875),
        ([1, 1, 1] + [0] * 7, [0.9] + [0.5] * 9, 0.5333, 0.7667, 0.6712),
    ],
)
def test_three_areas_differ_by_ties_as_worked(labels, scores, ap, trapezoid, dg):
    assert ours.ap(labels, scores) == pytest.approx(ap, abs=5e-5)
    assert ours.auprc_trapezoid(labels, scores) == pytest.approx(trapezoid, abs=5e-5)
    assert ours.auprc_dg(labels, scores) == pytest.approx(dg, abs=5e-5)


def test_davis_goadrich_starts_from_precision_zero_when_a_negative_leads():
    # TP 0 at FP 1, then one TP: PRROC takes the mean of precision 0 and 1/2.
    assert ours.auprc_dg([0, 1], [0.9, 0.1]) == pytest.approx(0.25)


def test_one_class_is_nan_not_a_half():
    for labels in ([1, 1, 1], [0, 0, 0]):
        assert np.isnan(ours.auroc(labels, [0.1, 0.2, 0.3]))
        assert np.isnan(ours.ap(labels, [0.1, 0.2, 0.3]))
        assert np.isnan(ours.auprc_dg(labels, [0.1, 0.2, 0.3]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.sampled_from([1, 2, 9]))
def test_binary_scores_equal_scikit_learn(seed, rows, decimals):
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.integers(0, 2, rows))
    scores = rng.random(rows + 2).round(decimals)
    said = (scores >= 0.5).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours.auroc(labels, scores) == pytest.approx(peer.roc_auc_score(labels, scores))
        assert ours.ap(labels, scores) == pytest.approx(peer.average_precision_score(labels, scores))
        precision, recall, _ = peer.precision_recall_curve(labels, scores)
        assert ours.auprc_trapezoid(labels, scores) == pytest.approx(peer.auc(recall, precision))
        assert ours.mcc(labels, said) == pytest.approx(peer.matthews_corrcoef(labels, said))
        expected = peer.precision_recall_fscore_support(labels, said, average="macro", zero_division=0)
        assert ours.macro_precision(labels, said) == pytest.approx(expected[0])
        assert ours.macro_recall(labels, said) == pytest.approx(expected[1])
        assert ours.macro_f1(labels, said) == pytest.approx(expected[2])
        assert ours.binary_f1(labels, said) == pytest.approx(peer.f1_score(labels, said, zero_division=0))
    if len(set(scores)) == len(scores) and labels[scores.argmax()]:
        assert ours.auprc_dg(labels, scores) == pytest.approx(ours.auprc_trapezoid(labels, scores))


@pytest.mark.parametrize("average", ["ovo", "ovr"])
def test_three_class_auroc_equals_scikit_learn(average):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 90)
    scores = rng.dirichlet([1, 1, 1], 90)
    expected = peer.roc_auc_score(labels, scores, multi_class=average, average="macro")
    assert ours.auroc(labels, scores, average) == pytest.approx(expected)
    table = ours.score_table(labels, scores)
    assert table["auroc"] == ours.auroc(labels, scores)
    assert table["mcc"] == pytest.approx(peer.matthews_corrcoef(labels, scores.argmax(1)))


@pytest.mark.parametrize(
    ("first", "alarm"),
    [
        (np.full(200, 0.6), "constant prediction: class 0 for all 200 rows, scores do not vary"),
        (np.linspace(0.6, 0.9, 200), "constant prediction: class 0 for all 200 rows"),
        (np.append(np.linspace(0.6, 0.9, 199), 0.1), "near constant prediction: class 0 for 199 of 200 rows"),
        (0.5 + np.tile([1e-5, -1e-5], 100), "flat scores: standard deviation 1e-05 over 200 rows"),
        (np.linspace(0.1, 0.9, 200), None),
    ],
)
def test_collapse_has_a_name(first, alarm):
    assert ours.collapse_alarm(np.stack([first, 1 - first], 1)) == alarm


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="1 rows have a score that is not finite"):
        ours.auroc([0, 1, 1], [0.1, np.nan, 0.4])
    with pytest.raises(ValueError, match="whole numbers"):
        ours.accuracy([0.5, 1.0], [0, 1])
