"""Which motifs of a collection say the same: one number for each, the same where they are alike.

Collections hold a factor several times and whole families of near copies. Two motifs are as alike
as the cosine of their matrices, lying as they fit best, on either strand. Needs numpy alone.
Axes: F motifs, L columns of the longest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.motifs.motif import Motif


def similarity(motifs: Sequence[Motif]) -> NDArray[np.float32]:
    """Say how alike motifs are.

    Parameters
    ----------
    motifs : sequence of Motif

    Returns
    -------
    float32 (F, F)
        Of base frequencies less 1/4: the largest cosine over all ways to lay one along the other,
        both strands; columns that lie beside the other motif count against it. 1 on the diagonal.

    Examples
    --------
    >>> one = Motif("1", "1", np.array([[8, 0, 0, 0], [0, 8, 0, 0], [0, 8, 0, 0]], float), True)
    >>> turned = Motif("2", "2", one.matrix[::-1, ::-1], True)
    >>> other = Motif("3", "3", np.array([[0, 0, 0, 8], [0, 0, 0, 8], [0, 0, 0, 8]], float), True)
    >>> similarity([one, turned, other]).astype(float).round(2).tolist()
    [[1.0, 1.0, 0.33], [1.0, 1.0, 0.33], [0.33, 0.33, 1.0]]
    """
    longest = max(motif.width for motif in motifs)
    table = np.zeros((len(motifs), 3 * longest, 4), np.float32)  # the middle third used
    for number, motif in enumerate(motifs):
        shares = motif.matrix / motif.matrix.sum(1, keepdims=True) - 0.25
        table[number, longest : longest + motif.width] = shares
    table /= np.sqrt((table**2).sum((1, 2), keepdims=True)).clip(min=1e-9)
    still = table[:, longest : 2 * longest].reshape(len(motifs), -1)  # (F, 4 L)
    best = np.full((len(motifs), len(motifs)), -1, np.float32)
    for moved in (table, table[:, ::-1, ::-1]):
        for at in range(2 * longest + 1):
            laid = moved[:, at : at + longest].reshape(len(motifs), -1)
            np.maximum(best, still @ laid.T, out=best)
    return np.maximum(best, best.T)


def clusters(motifs: Sequence[Motif], alike: float) -> NDArray[np.int64]:
    """Put motifs that are alike under one number.

    Parameters
    ----------
    motifs : sequence of Motif
    alike : float
        Above 0 and at most 1: the least `similarity` of a member to the motif that leads it. The
        leaders are taken in the order of the information they hold, so the answer depends on
        the collection alone, not on its order where no two hold the same.

    Returns
    -------
    int64 (F,)
        Numbers from 0, in the order in which a cluster is first met.

    Raises
    ------
    InputError
        If `alike` is out of range.
    """
    if not 0 < alike <= 1:
        raise InputError(
            "how alike motifs of a cluster are is out of range",
            found=alike,
            expected="above 0 and at most 1",
        )
    near = similarity(motifs) >= alike - 1e-6
    information = np.array([_information(motif) for motif in motifs])
    leader = np.full(len(motifs), -1, np.int64)
    for number in np.argsort(-information, kind="stable"):
        if leader[number] < 0:
            leader[(leader < 0) & near[number]] = number
            leader[number] = number
    order: dict[int, int] = {}
    return np.array([order.setdefault(int(one), len(order)) for one in leader], np.int64)


def _information(motif: Motif) -> float:
    """Bits above a uniform background."""
    shares = motif.matrix / motif.matrix.sum(1, keepdims=True)
    return float((shares * np.log2(np.maximum(shares, 1e-9) / 0.25)).sum())
