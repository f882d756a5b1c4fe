"""Neighbours of one label: scikit-learn as the peer, and tables done by hand."""

import numpy as np
import pytest

from epilm.metrics import neighbours as module
from epilm.metrics.neighbours import neighbours


def test_they_are_those_of_scikit_learn(monkeypatch):
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    vectors = rng.normal(size=(90, 5)) + labels[:, None] + 1000
    monkeypatch.setattr(module, "BLOCK", 16)
    got = neighbours(vectors, labels, k=7)
    near = NearestNeighbors(n_neighbors=8).fit(vectors).kneighbors(vectors)[1][:, 1:]
    assert got.purity == pytest.approx((labels[near] == labels[:, None]).mean())
    assert got.silhouette == pytest.approx(silhouette_score(vectors, labels), abs=1e-6)
    counts = np.bincount(labels)
    assert got.chance == pytest.approx((counts * (counts - 1)).sum() / (90 * 89))


def test_equal_vectors_and_a_label_of_one_vector_are_no_nan():
    got = neighbours(np.zeros((4, 2)), ["a", "a", "b", "c"], k=2)
    assert got.silhouette == 0
    assert 0 <= got.purity <= 1


@pytest.mark.parametrize(("n", "labels"), [(2, "ab"), (4, "aaaa")])
def test_what_cannot_be_compared_is_refused(n, labels):
    with pytest.raises(ValueError, match="at least 3 of 2"):
        neighbours(np.zeros((n, 1)), list(labels))
