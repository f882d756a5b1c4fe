"""Cross-validation: families stay together, nobody is judged by what learned from them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from epilm.cohorts.classifiers import (
    _logistic,
    _rotated,
    check_labels,
    cross_validate,
    fit,
    folds_of,
)
from epilm.cohorts.columns import Known
from epilm.errors import InputError, UsageError
from epilm.metrics.curves import auroc

LABELS = np.arange(60) % 2


def test_families_are_whole_and_every_fold_has_its_share():
    groups = [f"f{i // 3}" for i in range(60)]
    fold = folds_of(LABELS, 5, 1, groups)
    for name in set(groups):
        assert len(set(fold[[g == name for g in groups]])) == 1
    assert [int(LABELS[fold == f].sum()) for f in range(5)] == [6] * 5
    assert folds_of(LABELS, 5, 1, groups).tolist() == fold.tolist()
    assert folds_of(LABELS, 5, 2, groups).tolist() != fold.tolist()


@pytest.mark.parametrize(
    ("labels", "folds", "message"),
    [
        (np.ones(9, int), 3, "there is one class only. Found 9 cases, 0 controls"),
        (np.array([1, 1, 0, 0, 0, 0]), 3, r"fewer people than there are folds.*Give --folds 2"),
        (np.array([1, 0, 0, 0]), 2, "Give more people"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused(labels, folds, message):
    with pytest.raises(InputError, match=message):
        check_labels(labels, folds, "p.tsv")


def test_too_few_groups_or_folds_of_one_class_are_refused():
    with pytest.raises(UsageError, match="--folds: impossible value"):
        check_labels(LABELS, 1, "p.tsv")
    with pytest.raises(InputError, match="fewer groups than folds. Found 2 groups, 5 folds"):
        folds_of(LABELS, 5, 0, ["a" if i < 30 else "b" for i in range(60)])
    with pytest.raises(InputError, match="the groups are too unlike"):
        folds_of(LABELS, 2, 0, ["a" if label else "b" for label in LABELS])


def test_the_constant_is_the_share_of_those_it_learned_from():
    labels = np.array([1] * 20 + [0] * 40)
    fold = np.arange(60) % 4
    fold[:5] = 0
    said = cross_validate({"constant": None}, labels, fold)["constant"]
    for f in range(4):
        assert set(said.probabilities[fold == f]) == {labels[fold != f].mean()}


@pytest.mark.parametrize("classifier", ["logistic", "mlp"])
def test_a_planted_column_is_found_and_noise_is_not(classifier):
    rng = np.random.default_rng(3)
    labels = np.arange(160) % 2
    good = labels[:, None] + rng.normal(size=(160, 1)) * 0.4
    arms = {"good": Known(np.hstack([good, rng.normal(size=(160, 3))]))}
    arms["noise"] = Known(rng.normal(size=(160, 4)))
    fold = folds_of(labels, 2, 0)
    said = cross_validate(arms, labels, fold, classifier=classifier)
    assert auroc(labels, said["good"].probabilities) > 0.9
    assert abs(auroc(labels, said["noise"].probabilities) - 0.5) < 0.2
    again = cross_validate({"good": arms["good"]}, labels, fold, classifier=classifier)
    assert (again["good"].probabilities == said["good"].probabilities).all()


def test_more_columns_than_people_are_the_same_regression_in_fewer():
    rng = np.random.default_rng(0)
    table, labels = rng.normal(size=(20, 50)), np.arange(20) % 2
    new = rng.normal(size=(5, 50))
    rotated, turn = _rotated(table)
    assert rotated.shape == (20, 20)
    ours = _logistic(rotated, labels, 0.1, 0)(turn(new))
    plain = LogisticRegression(C=0.1, tol=1e-10, max_iter=5000).fit(table, labels)
    np.testing.assert_allclose(ours, plain.predict_proba(new)[:, 1], atol=1e-5)


def test_the_penalty_is_chosen_without_those_who_are_tested():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(90, 40))
    labels = np.arange(90) % 2
    assert fit(noise, labels)[1] <= 1e-3  # nothing to learn: the strongest
    assert fit(labels[:, None] + 0.3 * noise[:, :1], labels)[1] >= 0.1
