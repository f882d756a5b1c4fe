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


def test_classes_that_are_no_whole_numbers_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        ours.accuracy([0.5, 1.0], [0, 1])
