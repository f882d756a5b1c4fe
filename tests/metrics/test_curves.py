"""Areas and recalls against the worked examples of protocols 6.2, scikit-learn, and a slow plain
way.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from epilm.metrics import curves as ours

RANKED = [1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
SCORES = [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]


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


def drawn(seed, rows, decimals):
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.integers(0, 2, rows))
    return labels, rng.random(rows + 2).round(decimals)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.sampled_from([1, 2, 9]))
def test_areas_equal_scikit_learn_also_with_ties(seed, rows, decimals):
    labels, scores = drawn(seed, rows, decimals)
    assert ours.auroc(labels, scores) == pytest.approx(peer.roc_auc_score(labels, scores))
    assert ours.ap(labels, scores) == pytest.approx(peer.average_precision_score(labels, scores))
    precision, recall, _ = peer.precision_recall_curve(labels, scores)
    assert ours.auprc_trapezoid(labels, scores) == pytest.approx(peer.auc(recall, precision))
    if len(set(scores)) == len(scores) and labels[scores.argmax()]:
        assert ours.auprc_dg(labels, scores) == pytest.approx(ours.auprc_trapezoid(labels, scores))


def slow_davis_goadrich(labels, scores):
    """Walk down the distinct scores; inside a block take one true positive at a time."""
    area, tp, fp = 0.0, 0, 0
    positives = sum(labels)
    for block, score in enumerate(sorted(set(scores), reverse=True)):
        inside = [label for label, s in zip(labels, scores) if s == score]
        new_tp, new_fp = sum(inside), len(inside) - sum(inside)
        for i in range(new_tp):
            end = (tp + i + 1) / (tp + i + 1 + fp + new_fp * (i + 1) / new_tp)
            start_fp = fp + new_fp * i / new_tp
            start = (tp + i) / (tp + i + start_fp) if tp + i + start_fp else 0.0
            if block == 0:
                start = end = new_tp / (new_tp + new_fp)
            area += (start + end) / 2 / positives
        tp, fp = tp + new_tp, fp + new_fp
    return area


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.sampled_from([0, 1, 2, 9]))
def test_davis_goadrich_equals_one_true_positive_at_a_time(seed, rows, decimals):
    labels, scores = drawn(seed, rows, decimals)
    slow = slow_davis_goadrich(labels.tolist(), scores.tolist())
    assert ours.auprc_dg(labels, scores) == pytest.approx(slow, abs=1e-12)


def recall_as_scored(labels, scores, fdr):
    """The challenge's own lines: the first index of rising thresholds with fdr <= f."""
    precision, recall, _ = peer.precision_recall_curve(labels, scores)
    return recall[np.flatnonzero(1 - precision <= fdr)[0]]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 80),
    st.sampled_from([0, 1, 2, 9]),
    st.sampled_from([0.05, 0.1, 0.25, 0.5]),
)
def test_recall_at_fdr_is_bit_for_bit_what_the_challenge_takes_from_scikit_learn(
    seed, rows, decimals, fdr
):
    labels, scores = drawn(seed, rows, decimals)
    assert ours.recall_at_fdr(labels, scores, fdr) == recall_as_scored(labels, scores, fdr)


@pytest.mark.parametrize(("fdr", "recall"), [(0.05, 0.5), (0.10, 0.5), (0.25, 0.75), (0.50, 1.0)])
def test_worked_recalls_of_section_6_2(fdr, recall):
    assert ours.recall_at_fdr(RANKED, SCORES, fdr) == recall


@pytest.mark.parametrize(
    ("right", "wrong", "fdr", "plain", "exact"),
    [(9, 1, 0.1, 1.0, 1.0), (19, 1, 0.05, 0.0, 1.0), (3, 1, 0.25, 1.0, 1.0), (8, 1, 0.1, 0.0, 0.0)],
)
def test_the_float_trap_is_the_challenges_and_exact_mode_steps_over_it(
    right, wrong, fdr, plain, exact
):
    # One block of equal scores: 1 - .9 = .09999999999999998, but 1 - .95 = .050000000000000044.
    labels, scores = [1] * right + [0] * wrong + [0], [0.5] * (right + wrong) + [0.1]
    assert ours.recall_at_fdr(labels, scores, fdr) == plain
    assert ours.recall_at_fdr(labels, scores, fdr, exact=True) == exact


def test_a_discovery_rate_that_is_never_reached_gives_recall_zero():
    assert ours.recall_at_fdr([0, 0, 1], [0.9, 0.8, 0.1], 0.1) == 0.0
    with pytest.raises(ValueError, match="between 0 and 1, not at 10"):
        ours.recall_at_fdr([0, 1], [0.1, 0.2], 10)


def test_a_point_of_negatives_alone_is_left_out_and_changes_nothing():
    points = ours.curve([0, 1, 0, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.6, 0.1])
    assert points.thresholds.tolist() == [0.8, 0.6]
    assert (points.tp_above.tolist(), points.tp.tolist()) == ([0, 1], [1, 2])
    assert (points.fp_above.tolist(), points.fp.tolist()) == ([1, 2], [1, 3])


@pytest.mark.parametrize("average", ["ovo", "ovr"])
def test_three_class_auroc_equals_scikit_learn(average):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 90)
    scores = rng.dirichlet([1, 1, 1], 90)
    expected = peer.roc_auc_score(labels, scores, multi_class=average, average="macro")
    assert ours.auroc(labels, scores, average) == pytest.approx(expected)


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="1 rows have a score that is not finite"):
        ours.auroc([0, 1, 1], [0.1, np.nan, 0.4])
    with pytest.raises(ValueError, match="do not fit"):
        ours.ap([0, 1, 1], [0.1, 0.4])
