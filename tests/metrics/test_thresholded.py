"""Scores of said classes against the worked examples of protocols 12, and against scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from epilm.metrics import thresholded as ours

LABELS = [0, 0, 0, 0, 1, 1]
SAID = [0, 0, 0, 1, 1, 0]


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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60))
def test_scores_of_classes_equal_scikit_learn(seed, rows):
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.integers(0, 2, rows))
    said = rng.integers(0, 2, rows + 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours.mcc(labels, said) == pytest.approx(peer.matthews_corrcoef(labels, said))
        expected = peer.precision_recall_fscore_support(
            labels, said, average="macro", zero_division=0
        )
        assert ours.macro_precision(labels, said) == pytest.approx(expected[0])
        assert ours.macro_recall(labels, said) == pytest.approx(expected[1])
        assert ours.macro_f1(labels, said) == pytest.approx(expected[2])
        assert ours.binary_f1(labels, said) == pytest.approx(
            peer.f1_score(labels, said, zero_division=0)
        )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 80), st.integers(1, 30))
def test_a_threshold_is_the_nearest_to_a_half_within_one_error_of_the_greatest_mcc(
    seed, rows, values
):
    """Against scikit-learn over all scores that are met, with ties."""
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.integers(0, 2, rows))
    drawn = rng.integers(0, values + 1, rows + 2) / values
    scores = np.round(np.clip(0.6 * drawn + 0.3 * labels, 0, 1), 3)
    threshold = ours.fit_threshold(labels, scores)
    met = np.unique(scores)
    between = (met[:-1] + met[1:]) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reached = {t: peer.matthews_corrcoef(labels, scores > t) for t in (*between, 0.5)}
    greatest = max([reached[t] for t in between], default=0.0)
    least = greatest - (1 - greatest**2) / np.sqrt(rows + 2) - 1e-9
    good = [t for t in reached if reached[t] >= least] if len(met) > 1 else [0.5]
    assert abs(threshold - 0.5) == pytest.approx(min(abs(t - 0.5) for t in good))
    assert len(met) == 1 or peer.matthews_corrcoef(labels, scores > threshold) >= least - 1e-9
    # Moved to a half, the same rows are above it, and in the same order.
    said = np.stack([1 - scores, scores], 1)
    moved = ours.at_half(said, threshold)
    assert np.allclose(moved.sum(1), 1)
    assert (np.diff(moved[np.argsort(scores, kind="stable"), 1]) >= 0).all()
    if threshold not in scores:
        assert np.array_equal(moved.argmax(1), scores > threshold)


def test_classes_that_are_no_whole_numbers_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        ours.accuracy([0.5, 1.0], [0, 1])
