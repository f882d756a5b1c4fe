"""The table of a classifier, and the names of classifiers that have stopped classifying."""

import numpy as np
import pytest
from sklearn import metrics as peer

from epilm.metrics import classification as ours
from epilm.metrics import curves


@pytest.mark.parametrize(
    ("first", "alarm"),
    [
        (np.full(200, 0.6), "constant prediction: class 0 for all 200 rows, scores do not vary"),
        (np.linspace(0.6, 0.9, 200), "constant prediction: class 0 for all 200 rows"),
        (
            np.append(np.linspace(0.6, 0.9, 199), 0.1),
            "near constant prediction: class 0 for 199 of 200 rows",
        ),
        (0.5 + np.tile([1e-5, -1e-5], 100), "flat scores: standard deviation 1e-05 over 200 rows"),
        (np.linspace(0.1, 0.9, 200), None),
    ],
)
def test_collapse_has_a_name(first, alarm):
    assert ours.collapse_alarm(np.stack([first, 1 - first], 1)) == alarm


def test_the_table_of_three_classes_equals_scikit_learn():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 90)
    scores = rng.dirichlet([1, 1, 1], 90)
    table = ours.score_table(labels, scores)
    assert table["auroc"] == curves.auroc(labels, scores)
    assert table["auroc_ovr"] == pytest.approx(
        peer.roc_auc_score(labels, scores, multi_class="ovr")
    )
    assert table["mcc"] == pytest.approx(peer.matthews_corrcoef(labels, scores.argmax(1)))
