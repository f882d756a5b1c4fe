"""A shortcut that begins at a regression: that of scikit-learn, and nothing but it is said."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from epilm.errors import UsageError
from epilm.finetuning.fitted_shortcut import EPOCHS, regression
from epilm.finetuning.windows import reading_of
from toy_binding import LARGE, quick, toy_labels, toy_store

STILL = {"lr": 1e-12, "epochs": 1, "valid_chroms": ("chr2:0-6000",), "valid_negatives": 40}


def test_the_regression_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)) * [1, 10, 0.1, 1] + [0, 5, -2, 0]
    y = (x[:, 0] + 0.2 * x[:, 1] + rng.normal(size=300) > 1).astype(np.int8)
    y[::7] = -1  # not known
    used = torch.tensor([True, True, True, False])
    *weights, bias = regression(torch.from_numpy(x), torch.from_numpy(y), used)
    known = y >= 0
    scaler = StandardScaler().fit(x[known][:, :3])
    # torch divides by n - 1, scikit-learn by n: the penalty is of so much other numbers.
    scaler.scale_ *= np.sqrt(known.sum() / (known.sum() - 1))
    peer = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
    peer.fit(scaler.transform(x[known][:, :3]), y[known])
    assert weights[:3] == pytest.approx((peer.coef_[0] / scaler.scale_).tolist(), rel=1e-3)
    assert weights[3] == 0
    said = x[:, :3] @ weights[:3] + bias
    assert said == pytest.approx(peer.decision_function(scaler.transform(x[:, :3])), abs=1e-3)


def test_a_factor_without_one_of_the_classes_begins_at_its_odds():
    labels = torch.tensor([0, 0, -1], dtype=torch.int8)
    used = torch.tensor([True])
    weight, bias = regression(torch.ones(3, 1, dtype=torch.float64), labels, used)
    assert (weight, bias) == (0, pytest.approx(np.log(0.5 / 2)))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), chroms=LARGE)


def test_before_a_step_is_taken_the_model_says_what_the_regression_says(store):
    told = {"signals": ("accessibility",), "shortcut": "signals", "shortcut_start": "fitted"}
    labels = toy_labels(store)
    result, lines = quick(store, labels, **told, **STILL)
    network, lesson = result.model.network, result.lesson
    assert any(line.startswith("the shortcut begins at a logistic regression") for line in lines)
    reading = reading_of(result.model, lesson.examples, lesson.store, torch.device("cpu"), print)
    steps = [rows for epoch in range(EPOCHS) for rows in lesson.draw.steps(epoch, 64)]
    rows = np.unique(np.concatenate(steps))
    with torch.no_grad():
        network.eval()
        windows = reading.windows(rows)
        inputs, logits = network.straight(windows).double(), network(windows)[:, 0]
    *weights, bias = regression(
        inputs, torch.from_numpy(lesson.examples.labels_of(rows)[:, 0]), torch.ones(4, dtype=bool)
    )
    expected = inputs.numpy() @ weights + bias
    assert logits.numpy() == pytest.approx(expected, abs=1e-4)
    assert np.ptp(expected) > 0.01
    # The layers learn from there on.
    moved, _ = quick(store, labels, **told, **STILL | {"lr": 1e-3})
    assert moved.model.network.out.weight.abs().max() > 0


def test_without_a_shortcut_it_is_refused(store, tmp_path):
    with pytest.raises(UsageError, match="--shortcut-start: the model has no shortcut to fit"):
        quick(store, out=tmp_path / "run", shortcut_start="fitted")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="--shortcut-start: impossible value. Found fit"):
        quick(store, shortcut_start="fit")
