"""Scores of folds and differences between arms."""

import numpy as np
import pytest

from epilm.cohorts.classifiers import OutOfFold, cross_validate, folds_of
from epilm.cohorts.scoring import alarm_of, fold_scores, paired, spread_of, tenths_of


def test_a_constant_on_431_and_487_is_the_row_of_table_3():
    """DNABERT on HSCR-RET: .265 / .500 / .500."""
    labels = np.array([1] * 431 + [0] * 487)
    fold = folds_of(labels, 5, 0)
    said = cross_validate({"constant": None}, labels, fold)["constant"]
    tables = fold_scores(labels, said, fold)
    three = [spread_of(tables, name).mean for name in ("macro_precision", "macro_recall", "auroc")]
    assert [round(value, 3) for value in three] == [0.265, 0.5, 0.5]
    assert "constant prediction" in alarm_of(said)


def test_folds_with_other_shares_of_cases_do_not_rank_a_constant():
    """All folds in one ranking would: who is in a fold of many cases gets a lower share."""
    labels = np.array([1] * 30 + [0] * 30)
    fold = np.array([0] * 20 + [1] * 20 + [0] * 10 + [1] * 10)
    said = cross_validate({"constant": None}, labels, fold)["constant"]
    nothing = paired(labels, said.probabilities, np.zeros(60), fold, tenths_of(labels, None, 0))
    assert nothing == (0, 0)
    assert nothing.level


def test_a_difference_is_that_of_the_areas_within_folds():
    labels, fold = np.array([0, 1, 0, 1] * 10), np.repeat([0, 1], 20)
    right = labels.astype(float)
    wrong = np.where(fold == 0, 1 - right, right)  # area 0 in one fold, 1 in the other
    apart = paired(labels, right, wrong, fold, tenths_of(labels, None, 0))
    assert apart.value == 0.5
    assert apart.error == pytest.approx(0, abs=1e-12)
    assert not apart.level


def test_tenths_hold_whole_families():
    groups = [f"f{i // 2}" for i in range(100)]
    tenth = tenths_of(np.arange(100) % 2, groups, 0)
    assert (tenth[0::2] == tenth[1::2]).all()
    assert np.bincount(tenth).tolist() == [10] * 10


def test_predictive_values_need_a_prevalence_and_come_from_what_was_called():
    labels, fold = np.array([1] * 10 + [0] * 10), np.zeros(20, int)
    p = np.array([0.9] * 9 + [0.1] + [0.9] + [0.1] * 9)
    table = fold_scores(labels, OutOfFold(p, [1.0], 1), fold, prevalence=0.01)[0]
    assert table["ppv"] == pytest.approx(9 / 108)
    assert "ppv" not in fold_scores(labels, OutOfFold(p, [1.0], 1), fold)[0]


def test_a_fold_of_one_class_has_no_area():
    labels, fold = np.array([1, 1, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 1, 1])
    p = np.linspace(0, 1, 6)
    tables = fold_scores(labels, OutOfFold(p, [1.0, 1.0], 1), fold, prevalence=0.1)
    assert np.isnan(tables[0]["auroc"])
    assert spread_of(tables, "auroc").folds == 1
