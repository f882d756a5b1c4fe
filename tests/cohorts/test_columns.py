"""What a classifier reads: nothing in it comes from those who are tested."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from epilm.cohorts.columns import (
    Components,
    Dosages,
    Known,
    Together,
    WeightedDeltas,
    impute,
    standardise,
)

TRAIN, TEST = np.arange(12), np.arange(12, 16)


def calls(seed=0, v=9):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 3, (16, v)).astype(float)
    table[rng.random(table.shape) < 0.1] = np.nan
    return table


KINDS = {
    "dosages": lambda d: Dosages(d),
    "deltas": lambda d: WeightedDeltas(
        d, np.random.default_rng(1).normal(size=(9, 2)), [np.arange(4), np.array([3, 5, 8])]
    ),
    "components": lambda d: Components(d, 3),
    "known": lambda d: Known(d),
    "together": lambda d: Together([Components(d, 2), Dosages(d)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_tested_changes_nothing_of_the_others(kind):
    table = calls()
    before = KINDS[kind](table)(TRAIN)
    other = table.copy()
    other[TEST[1:]] = 2 - other[TEST[1:]]
    after = KINDS[kind](other)(TRAIN)
    rows = [*TRAIN, TEST[0]]
    np.testing.assert_array_equal(after[rows], before[rows])
    assert np.isfinite(before).all()


def test_a_missing_call_is_the_training_mean():
    table = np.array([[0, 1], [2, np.nan], [np.nan, np.nan], [5, 7.0]])
    np.testing.assert_array_equal(impute(table, np.arange(3)), [[0, 1], [2, 1], [1, 1], [5, 7]])
    np.testing.assert_array_equal(impute(table, np.array([2]))[2], [0, 0])


def test_groups_are_summed_apart():
    """Protocols, section 11, twice: once as a whole and once as two genes that share a variant."""
    dosages, deltas = np.array([[2.0, 1.0, 0.0]]), np.array([[0.5, 1], [-0.2, 0], [1.0, 3]])
    one = WeightedDeltas(dosages, deltas, [np.arange(3)])(np.array([0]))
    np.testing.assert_allclose(one, [[0.8, 2.0]])
    two = WeightedDeltas(dosages, deltas, [np.array([0, 1]), np.array([1, 2])])(np.array([0]))
    np.testing.assert_allclose(two, [[0.8, 2.0, -0.2, 0.0]])


@pytest.mark.parametrize("v", [5, 40])
def test_components_are_those_of_scikit_learn(v):
    table = np.random.default_rng(v).integers(0, 3, (16, v)).astype(float)
    ours = Components(table, 3)(TRAIN)
    scaled = standardise(table, TRAIN)
    theirs = PCA(3, svd_solver="full").fit(scaled[TRAIN]).transform(scaled)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-8)


def test_there_are_no_more_components_than_there_can_be():
    table = np.tile(np.arange(16.0)[:, None] % 3, (1, 4))
    assert Components(table, 3)(TRAIN).shape == (16, 1)
