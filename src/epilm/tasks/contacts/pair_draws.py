"""Pairs of loci within reach of each other, and as many of one kind as of the other at each
distance.

Pure functions of positions and a seed. Axes: A and B loci of one chromosome, N pairs.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import UsageError
from epilm.tokens.random import hash_bits

PER_DOUBLING = 16  # distances that count as one: 4 % apart
MOST_PAIRS = 40_000_000
_DRAW = 0xDC  # beside the draws of training.epochs, tasks.lesson and baselines
Ints = NDArray[np.int64]


class Matched(NamedTuple):
    """Which pairs are taken.

    Attributes
    ----------
    yes, no : int64
        Numbers among those that touch, and among those that do not; rising.
    lacking : int
        Pairs that touch and have no partner at their distance.
    """

    yes: Ints
    no: Ints
    lacking: int


def within_reach(first: Ints, second: Ints, least: int, most: int) -> tuple[Ints, Ints]:
    """Give all pairs (a, b) with first[a] + least <= second[b] <= first[a] + most.

    Parameters
    ----------
    first : int64 (A,)
        Middles of loci.
    second : int64 (B,)
        Rising.

    Raises
    ------
    UsageError
        If there are more than can be listed.

    Examples
    --------
    >>> a, b = within_reach(np.array([0, 5]), np.array([0, 5, 9]), 4, 9)
    >>> list(zip(a.tolist(), b.tolist()))
    [(0, 1), (0, 2), (1, 2)]
    """
    begin = np.searchsorted(second, first + least, "left")
    counts = np.searchsorted(second, first + most, "right") - begin
    if (total := int(counts.sum())) > MOST_PAIRS:
        raise UsageError(
            "there are more pairs of loci than can be listed",
            where="--max-distance",
            found=f"{total:,} pairs on one chromosome",
            expected=f"at most {MOST_PAIRS:,}",
            do="Lower it, or give fewer --anchors.",
        )
    a = np.repeat(np.arange(len(first)), counts)
    b = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)
    return a.astype(np.int64), b.astype(np.int64)


def distance_bins(distance: Ints) -> Ints:
    """Number distances of 4 % alike.

    Examples
    --------
    >>> bins = distance_bins(np.array([10_000, 10_100, 20_000]))
    >>> (bins - bins[0]).tolist()
    [0, 0, 16]
    """
    return np.floor(np.log2(np.maximum(distance, 1)) * PER_DOUBLING).astype(np.int64)


def drawn(count: int, most: int, seed: int, salt: int) -> Ints:
    """Give at most so many numbers below `count`, rising: a function of seed and salt."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    order = np.argsort(hash_bits(seed, _DRAW, salt, np.arange(count)), kind="stable")
    return np.sort(order[:most]).astype(np.int64)


def match(groups_yes: Ints, groups_no: Ints, ratio: float, seed: int) -> Matched:
    """Take, in each group, as many pairs that do not touch as `ratio` says for those that do.

    Where too few do not touch, as many of those that do are left out: within a group the share
    is the same everywhere, and its number says nothing.

    Parameters
    ----------
    groups_yes, groups_no : int64 (n,), (m,)
        Group (chromosome and distance) of each pair.

    Examples
    --------
    >>> match(np.array([1, 1, 2]), np.array([1, 2, 2, 2]), ratio=1, seed=0).lacking
    1
    """
    yes, no, lacking = [], [], 0
    order_yes, order_no = (np.argsort(g, kind="stable") for g in (groups_yes, groups_no))
    sorted_yes, sorted_no = groups_yes[order_yes], groups_no[order_no]
    for group in np.unique(groups_yes).tolist():
        mine = order_yes[slice(*np.searchsorted(sorted_yes, [group, group + 1]))]
        others = order_no[slice(*np.searchsorted(sorted_no, [group, group + 1]))]
        kept = min(len(mine), int(len(others) / ratio))
        wanted = min(len(others), round(kept * ratio))
        lacking += len(mine) - kept
        yes.append(mine[drawn(len(mine), kept, seed, 2 * group)])
        no.append(others[drawn(len(others), wanted, seed, 2 * group + 1)])
    empty = np.zeros(0, np.int64)
    return Matched(
        np.sort(np.concatenate([empty, *yes])), np.sort(np.concatenate([empty, *no])), lacking
    )
