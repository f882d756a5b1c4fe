"""Figures of a population from a sample with many cases."""

import numpy as np
import pytest
from scipy.stats import norm

from epilm.metrics.prevalence import at_prevalence, liability_r2, predictive_values


def test_values_of_nobody_called_are_undefined():
    said = predictive_values(0.0, 1.0, 0.1)
    assert np.isnan(said.ppv)
    assert said.npv == pytest.approx(0.9)
    assert np.isnan(predictive_values(1.0, 0.0, 0.1).npv)


def test_a_probability_in_the_population_is_bayes():
    """Of 1,000 samples of either class a score is seen in 300 of the ill and 100 of the well: .75
    here; of 10,000 people with 100 ill it is in 30 and 990.
    """
    assert at_prevalence([0.75], 0.5, 0.01)[0] == pytest.approx(30 / 1020)


@pytest.mark.parametrize("prevalence", [0.5, 0.1, 0.01])
def test_the_share_of_variance_is_that_of_the_liability_however_cases_were_collected(prevalence):
    rng = np.random.default_rng(0)
    share, n = 0.25, 400_000
    genetic = rng.normal(size=n) * np.sqrt(share)
    ill = genetic + rng.normal(size=n) * np.sqrt(1 - share) > norm.isf(prevalence)
    as_it_is = liability_r2(ill, genetic, prevalence)
    cases = np.flatnonzero(ill)
    collected = np.concatenate([cases, np.flatnonzero(~ill)[: len(cases)]])
    balanced = liability_r2(ill[collected], genetic[collected], prevalence)
    assert as_it_is == pytest.approx(share, abs=0.03)
    assert balanced == pytest.approx(share, abs=0.03)


def test_no_score_explains_nothing():
    labels = np.array([0, 1, 1, 0])
    assert liability_r2(labels, np.ones(4), 0.1) == 0
    assert liability_r2(labels, -labels.astype(float), 0.1) == 0
    assert np.isnan(liability_r2(np.ones(4), np.arange(4.0), 0.1))
