"""Whether a model is level with something trivial: the error of the difference."""

import numpy as np
import pytest

from epilm.metrics.curves import ap
from epilm.metrics.level import difference


@pytest.mark.parametrize("order", ["alternating", "sorted", "shuffled"])
def test_the_order_of_the_classes_does_not_make_the_error(order):
    random = np.random.default_rng(0)
    labels = np.arange(400) % 2
    scores = labels + random.normal(0, 0.6, 400)
    trivial = 0.5 * labels + random.normal(0, 1, 400)
    at = {
        "alternating": np.arange(400),
        "sorted": np.argsort(labels, kind="stable"),
        "shuffled": random.permutation(400),
    }[order]
    over = difference(labels[at], scores[at], trivial[at], ap)
    # The peer: the spread of the difference over rows drawn anew.
    drawn = []
    for _ in range(200):
        rows = random.integers(0, 400, 400)
        drawn.append(ap(labels[rows], scores[rows]) - ap(labels[rows], trivial[rows]))
    assert over.error == pytest.approx(np.std(drawn), rel=0.6)
    assert not over.level


def test_noise_is_level_with_noise():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 300)
    assert difference(labels, random.random(300), random.random(300), ap).level
