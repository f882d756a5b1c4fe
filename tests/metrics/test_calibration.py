"""The temperature of the least loss, against a search that tries all, and with weights."""

import numpy as np
import pytest

from epilm.metrics.calibration import fit_temperature, mean_loss


def drawn(sharpness, count=4000):
    """Labels drawn from logits, and the same logits made sharper."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, 3))
    odds = np.exp(logits)
    said = odds / odds.sum(1, keepdims=True)
    labels = (said.cumsum(1) < rng.random(count)[:, None]).sum(1)
    return logits * sharpness, labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_it_finds_by_how_much_logits_were_made_sharper(sharpness):
    logits, labels = drawn(sharpness)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(sharpness, rel=0.1)
    every = [mean_loss(logits, labels, np.ones(len(labels)), t) for t in np.geomspace(0.2, 9, 400)]
    assert mean_loss(logits, labels, np.ones(len(labels)), found) <= min(every) + 1e-6


def test_a_weight_is_so_many_rows():
    logits, labels = drawn(2.0, 60)
    weights = np.where(np.arange(60) < 20, 3, 1)
    repeated = np.repeat(np.arange(60), weights)
    one = fit_temperature(logits, labels, weights)
    assert one == pytest.approx(fit_temperature(logits[repeated], labels[repeated]), rel=1e-4)


def test_nothing_is_fitted_on_nothing():
    with pytest.raises(ValueError, match="no rows to fit a temperature on"):
        fit_temperature(np.zeros((0, 2)), [])
