"""Intervals over rows: the same draws for every model, an answer known from the binomial."""

import numpy as np
import pytest

from epilm.metrics.bootstrap import BOUNDED, bootstrap_interval
from epilm.metrics.classification import score_table


def two_columns(score):
    return np.stack([1 - score, score], 1)


def test_the_interval_of_an_accuracy_is_that_of_a_binomial():
    labels = np.arange(400) % 2
    right = np.arange(400) % 5 > 0  # 320 of 400, both classes alike
    said = np.where(right == labels, 0.9, 0.1)
    low, high = bootstrap_interval(labels, two_columns(said), ["accuracy"], times=1000)["accuracy"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert low == pytest.approx(0.8 - half, abs=0.006)
    assert high == pytest.approx(0.8 + half, abs=0.006)


def test_it_is_a_function_of_rows_and_seed():
    rng = np.random.default_rng(0)
    labels, said = rng.integers(0, 2, 60), two_columns(rng.random(60))
    first = bootstrap_interval(labels, said, ["auroc", "mcc"], times=50)
    assert first == bootstrap_interval(labels, said, ["auroc", "mcc"], times=50)
    assert first != bootstrap_interval(labels, said, ["auroc", "mcc"], times=50, seed=1)
    low, high = first["auroc"]
    assert 0 <= low < high <= 1
    wide = bootstrap_interval(labels, said, ["auroc"], times=50, level=0.99)["auroc"]
    assert wide[0] <= low
    assert wide[1] >= high


@pytest.mark.parametrize("classes", [2, 3])
def test_what_is_drawn_are_the_scores_of_the_table(classes):
    rng = np.random.default_rng(1)
    labels, said = rng.integers(0, classes, 40), rng.dirichlet(np.ones(classes), 40)
    table = score_table(labels, said)
    assert {name: score(labels, said) for name, score in BOUNDED.items()} == {
        name: table[name] for name in BOUNDED
    }


def test_what_no_draw_defines_is_not_a_number():
    ends = bootstrap_interval(np.ones(20, int), two_columns(np.linspace(0, 1, 20)), ["auroc"])
    assert np.isnan(ends["auroc"]).all()
