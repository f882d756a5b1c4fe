"""What a classifier reads of people, made anew in every fold from those it may learn from.

Each is called with the rows of the people who train and gives numbers of all N. Whatever is
estimated (the mean that stands for a missing call, principal components) comes from them alone.
Axes: N people, V variants, D scores of a variant, P columns.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class PeopleColumns(Protocol):
    """Numbers of people."""

    def __call__(self, train: Rows) -> Floats:
        """Give (N, P), nothing in it estimated from other people than `train`."""


def impute(table: NDArray[np.floating], train: Rows) -> Floats:
    """Put the training people's mean where a number is not known; 0 where none of them is known.

    Examples
    --------
    >>> impute(np.array([[0.0], [2.0], [np.nan], [9.0]]), np.array([0, 1])).ravel().tolist()
    [0.0, 2.0, 1.0, 9.0]
    """
    values = np.asarray(table, np.float64)
    known = ~np.isnan(values[train])
    n = known.sum(0)
    mean = np.where(known, values[train], 0).sum(0) / np.maximum(n, 1)
    return np.where(np.isnan(values), mean, values)


class Known:
    """Numbers as they are: covariates, haplotypes' vectors.

    Parameters
    ----------
    values : float (N, P)
        NaN where not known.
    """

    def __init__(self, values: NDArray[np.floating]) -> None:
        self.values = values

    def __call__(self, train: Rows) -> Floats:
        """See `PeopleColumns`."""
        return impute(self.values, train)


class Dosages:
    """Copies of each ALT: what a polygenic score is a sum of.

    Parameters
    ----------
    dosages : float (N, V)
        NaN where a call is missing.
    """

    def __init__(self, dosages: NDArray[np.floating]) -> None:
        self.dosages = dosages

    def __call__(self, train: Rows) -> Floats:
        """See `PeopleColumns`."""
        return impute(self.dosages, train)


class WeightedDeltas:
    """Sum over a group's variants of copies x what the model says of the variant.

    Parameters
    ----------
    dosages : float (N, V)
    deltas : float (V, D)
    groups : sequence of int (V,) arrays
        Variants of each region or gene.

    Examples
    --------
    Protocols, section 11: deltas .5, -.2, 1.0 and dosages 2, 1, 0 make .8.

    >>> said = WeightedDeltas(
    ...     np.array([[2.0, 1.0, 0.0], [0.0, np.nan, 0.0], [0.0, 0.0, 1.0]]),
    ...     np.array([[0.5], [-0.2], [1.0]]),
    ...     [np.arange(3)],
    ... )
    >>> said(np.array([0, 2])).round(6).ravel().tolist()
    [0.8, -0.1, 1.0]
    """

    def __init__(
        self,
        dosages: NDArray[np.floating],
        deltas: NDArray[np.floating],
        groups: Sequence[Rows],
    ) -> None:
        self.dosages, self.deltas, self.groups = dosages, deltas, list(groups)

    def __call__(self, train: Rows) -> Floats:
        """See `PeopleColumns`: (N, G * D), group by group."""
        return np.concatenate(
            [impute(self.dosages[:, g], train) @ self.deltas[g] for g in self.groups], 1
        )


class Components:
    """Principal components of dosages: axes from the training people, all people put on them.

    Parameters
    ----------
    dosages : float (N, V)
    count : int
        Fewer where the training people do not have as many.
    """

    def __init__(self, dosages: NDArray[np.floating], count: int) -> None:
        self.dosages, self.count = dosages, count

    def __call__(self, train: Rows) -> Floats:
        """See `PeopleColumns`: (N, count)."""
        scaled = standardise(impute(self.dosages, train), train)
        # Of the two small products the smaller: people are often fewer than variants.
        learned = scaled[train]
        if len(train) < scaled.shape[1]:
            size, left = np.linalg.eigh(learned @ learned.T)
            top = np.argsort(-size)[: self.count]
            top = top[size[top] > 1e-9 * max(size.max(), 1e-300)]
            axes = learned.T @ left[:, top] / np.sqrt(size[top])
        else:
            size, axes = np.linalg.eigh(learned.T @ learned)
            top = np.argsort(-size)[: self.count]
            axes = axes[:, top[size[top] > 1e-9 * max(size.max(), 1e-300)]]
        # Which way an axis points is chance: its largest weight is made positive.
        biggest = np.abs(axes).argmax(0)
        return scaled @ (axes * np.sign(axes[biggest, np.arange(axes.shape[1])]))


def standardise(table: Floats, train: Rows) -> Floats:
    """Subtract the training people's mean and divide by their deviation; 0 where they do not vary.

    Examples
    --------
    >>> standardise(np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 7.0]]), np.array([0, 1])).tolist()
    [[-1.0, 0.0], [1.0, 0.0], [3.0, 0.0]]
    """
    mean, deviation = table[train].mean(0), table[train].std(0)
    still = deviation <= 1e-12 * (1 + np.abs(mean))
    return np.where(still, 0.0, (table - mean) / np.where(still, 1.0, deviation))


class Together:
    """Several beside each other, each column standardised by the training people.

    Parameters
    ----------
    parts : sequence of PeopleColumns
    """

    def __init__(self, parts: Sequence[PeopleColumns]) -> None:
        self.parts = list(parts)

    def __call__(self, train: Rows) -> Floats:
        """See `PeopleColumns`."""
        return standardise(np.concatenate([part(train) for part in self.parts], 1), train)
