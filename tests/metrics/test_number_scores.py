"""Scores of numbers: against scipy and by hand; what differs between columns is not their level."""

import numpy as np
import pytest
from scipy import stats

from epilm.metrics.number_scores import between_columns, number_scores


def test_one_column_is_scored_as_scipy_does():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 40).astype(float)
    guess = true + rng.normal(0, 2, 40)
    table = number_scores(true, guess)
    assert table["pearson"] == pytest.approx(stats.pearsonr(true, guess)[0])
    assert table["spearman"] == pytest.approx(stats.spearmanr(true, guess)[0])
    assert table["mse"] == pytest.approx(((true - guess) ** 2).mean())
    assert table["r2"] == pytest.approx(1 - table["mse"] / true.var())
    assert np.isnan(number_scores(true, np.ones(40))["pearson"])


def test_levels_of_rows_and_columns_count_for_nothing():
    rng = np.random.default_rng(1)
    own = rng.normal(0, 1, (30, 4))
    own -= own.mean(1, keepdims=True)
    own -= own.mean(0)
    true = own + rng.normal(0, 9, (30, 1)) + rng.normal(0, 9, (1, 4))
    right = between_columns(true, own)  # the differences, without any level
    assert right["difference_r2"] == pytest.approx(1)
    assert right["difference_pearson"] == pytest.approx(1)
    levels = between_columns(true, true.mean(1, keepdims=True) + np.zeros((1, 4)))
    assert levels["difference_r2"] == pytest.approx(0)
    assert np.isnan(levels["difference_pearson"])
    assert levels["row_pearson"] == 0
    flipped = between_columns(true, -true)
    assert flipped["row_pearson"] == pytest.approx(-1)
    assert flipped["row_spearman"] == pytest.approx(-1)


def test_what_is_not_known_is_left_out_by_hand():
    true = np.array([[1.0, 3.0, np.nan], [np.nan, 2.0, np.nan], [2.0, 2.0, 2.0]])
    guess = np.array([[0.0, 1.0, 50.0], [9.0, 9.0, 9.0], [1.0, 1.0, 1.0]])
    table = between_columns(true, guess)
    assert table["n"] == 2  # the second row has one known column
    # Left of the rows: (-1, 1, -) and (0, 0, 0); of the columns -.5, .5, 0; said (-.25, .25, 0).
    assert table["difference_r2"] == pytest.approx(1 - 4 * 0.25**2 / (4 * 0.5**2))
    assert np.isnan(table["row_pearson"])  # three known columns that vary: none
