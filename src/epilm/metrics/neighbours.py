"""How far vectors of one label lie together: neighbours of the same label, and silhouettes.

The numbers behind a picture of an embedding (GeneBERT's Figure 2). Blocks of rows, so that memory
grows with N and not with N x N. Numpy only. Axes: N vectors, D dimensions, K labels.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK = 512


class Neighbours(NamedTuple):
    """Of N labelled vectors.

    Attributes
    ----------
    n, labels : int
        Vectors, and labels among them.
    purity : float
        Share of the k nearest other vectors that have the vector's own label, mean over vectors.
    chance : float
        What purity is where neighbours are drawn at random.
    silhouette : float
        Mean of (b - a) / max(a, b): a to the others of its own label, b to the nearest other
        label; a label of one vector counts 0. Between -1 and 1.
    """

    n: int
    labels: int
    purity: float
    chance: float
    silhouette: float

    def said(self, what: str = "label", k: int = 10) -> str:
        """A line to print.

        Examples
        --------
        >>> Neighbours(40, 2, 0.9, 0.487, 0.31).said("cell type")
        'cell type: of the 10 nearest neighbours 0.900 have the same (0.487 by chance); silhouette
        0.310; 40 vectors, 2 labels'
        """
        return (
            f"{what}: of the {k} nearest neighbours {self.purity:.3f} have the same"
            f" ({self.chance:.3f} by chance); silhouette {self.silhouette:.3f}; {self.n} vectors,"
            f" {self.labels} labels"
        )


def neighbours(vectors: ArrayLike, labels: ArrayLike, k: int = 10) -> Neighbours:
    """Score how far vectors of one label lie together, by Euclidean distance.

    Parameters
    ----------
    vectors : float (N, D)
    labels : (N,)
        Two or more kinds.
    k : int
        Neighbours looked at; N - 1 where there are fewer. Of equal distances the first rows count.

    Raises
    ------
    ValueError
        If there are fewer than three vectors, or one label alone.

    Examples
    --------
    Two pairs, far from each other.

    >>> two = neighbours([[0.0], [1.0], [9.0], [10.0]], ["a", "a", "b", "b"], k=1)
    >>> two.purity, round(two.chance, 3), round(two.silhouette, 3)
    (1.0, 0.333, 0.889)
    """
    table = np.asarray(vectors, np.float64)
    kinds, own = np.unique(np.asarray(labels), return_inverse=True)
    n = len(table)
    if n < 3 or len(kinds) < 2:
        raise ValueError(f"{n} vectors of {len(kinds)} labels: at least 3 of 2")
    counts = np.bincount(own).astype(np.float64)
    k = min(k, n - 1)
    same = 0.0
    silhouettes = np.zeros(n)
    members = np.eye(len(kinds))[own]  # (N, K)
    for rows, distances in _distances(table):
        at = np.arange(len(rows))
        sums = distances @ members  # (block, K)
        mine = own[rows]
        a = sums[at, mine] / np.maximum(counts[mine] - 1, 1)
        other = sums / counts
        other[at, mine] = np.inf
        b = other.min(1)
        top = np.maximum(a, b)
        silhouettes[rows] = np.where(
            (counts[mine] > 1) & (top > 0), (b - a) / (top + (top == 0)), 0
        )
        distances[at, rows] = np.inf
        near = np.argsort(distances, axis=1, kind="stable")[:, :k]
        same += float((own[near] == mine[:, None]).sum())
    return Neighbours(
        n,
        len(kinds),
        same / (n * k),
        float((counts * (counts - 1)).sum() / (n * (n - 1))),
        float(silhouettes.mean()),
    )


def _distances(
    table: NDArray[np.float64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Rows, and their distances to all others, block by block."""
    centred = table - table.mean(0)  # far from the origin squares lose what tells rows apart
    squares = (centred**2).sum(1)
    for begin in range(0, len(table), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(table)))
        products = centred[rows] @ centred.T
        distances = np.sqrt(np.maximum(squares[rows, None] + squares - 2 * products, 0))
        distances[np.arange(len(rows)), rows] = 0
        yield rows, distances
