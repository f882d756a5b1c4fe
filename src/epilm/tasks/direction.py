"""Whether rows lie on one strand: promoters do, windows around peaks do not.

Rows without a direction have, at a place, as many A as they have T at the mirrored place, but for
chance. Where they have not, a model that learns from both strands reads every row from the wrong
side as well.
"""

import numpy as np
from numpy.typing import NDArray

from epilm.tasks.base import LabelledSequences

# Chi-square over rows of 200 to 2,000 of ten sets of windows around peaks is within 2.4 standard
# deviations of what chance gives, and of three sets of promoters at 15 to 340.
SURE, FEWEST, MOST = 10.0, 200, 2000


def skew_of(codes: NDArray[np.uint8]) -> float:
    """How far base counts of rows are from those of their other strands.

    Parameters
    ----------
    codes : uint8, shape (N, L)
        A, C, G, T as 0 to 3; others are not counted.

    Returns
    -------
    float
        Standard deviations of chi-square above what chance gives (its mean is its degrees of
        freedom, 3 L / 2).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.integers(0, 4, (500, 40)).astype(np.uint8)
    >>> abs(skew_of(rows)) < 4
    True
    >>> rows[:, 5] = np.where(rng.random(500) < 0.6, 0, rows[:, 5])  # a place with more A
    >>> skew_of(rows) > 10
    True
    """
    counts = np.stack([(codes == base).sum(0) for base in range(4)], 1).astype(float)  # (L, 4)
    other = counts[::-1, ::-1]  # of the rows' other strands
    square = ((counts - other) ** 2 / np.maximum(counts + other, 1)).sum() / 2  # each pair once
    freedom = codes.shape[1] * 3 / 2
    return float((square - freedom) / np.sqrt(2 * freedom))


def direction_of(rows: LabelledSequences) -> str:
    """Say that rows have a direction; "" where they have none that can be seen.

    Looked for in each class of its own, among its first 2,000 rows of the commonest length; fewer
    than 200 say nothing.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> rng = np.random.default_rng(0)
    >>> codes = rng.integers(0, 4, (400, 30)).astype(np.uint8)
    >>> codes[200:, 9:13] = (3, 0, 3, 0)  # TATA at one place
    >>> direction_of(labelled(list(codes), np.repeat([0, 1], 200)))
    'rows lie on one strand (class 1: bases and those of the other strand differ, chi-square 102
        standard deviations above chance)'
    """
    if rows.kind != "classes" or rows.loci != 1 or not len(rows):
        return ""
    lengths = np.bincount(rows.lengths)
    width = int(lengths.argmax())
    found = (0.0, 0)
    for label in range(rows.n_labels):
        mine = np.flatnonzero((rows.lengths == width) & (rows.labels == label))[:MOST]
        if len(mine) >= FEWEST and width:
            found = max(found, (skew_of(rows.codes[mine, :width]), label))
    skew, label = found
    if skew < SURE:
        return ""
    name = rows.label_names[label] if rows.label_names else str(label)
    return (
        f"rows lie on one strand (class {name}: bases and those of the other strand differ,"
        f" chi-square {skew:.0f} standard deviations above chance)"
    )
