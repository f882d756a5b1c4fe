"""Chromosome and cell-type hold-outs, and how much of a test set leaks into pre-training (A21).

Needs numpy only. Evaluation prints the table; the checkpoint carries the
hold-out that it is computed from.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from epilm.errors import InputError
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import cell_lists, check_spec


class Leak(NamedTuple):
    """Overlap of one chromosome's test intervals with the regions of pre-training.

    Attributes
    ----------
    chrom : str
        "all" for the sum.
    intervals : int
        Test intervals.
    touching : int
        Of them, how many share a base with a training region.
    bases, shared : int
        Bases of the test intervals, and of them in training regions.
    fraction : float
        touching / intervals.
    """

    chrom: str
    intervals: int
    touching: int
    bases: int
    shared: int
    fraction: float


def split_regions(store: Store, spec: SampleSpec) -> dict[str, np.ndarray]:
    """Regions that training may see, and those that it never does.

    Returns
    -------
    dict of str to bool (R,)
        "train": accessible in a training cell type on a training chromosome; "holdout": the others.

    Raises
    ------
    RecipeError
        If a held-out name is unknown.
    """
    check_spec(store, spec)
    train = np.zeros(store.n_regions, bool)
    train[cell_lists(store, spec, "train").flat] = True
    return {"train": train, "holdout": ~train}


def leak_report(
    store: Store,
    spec: SampleSpec,
    chroms: Sequence[str] | np.ndarray,
    starts: Sequence[int] | np.ndarray,
    ends: Sequence[int] | np.ndarray,
) -> list[Leak]:
    """Say how many test intervals overlap regions that pre-training used.

    Parameters
    ----------
    store : Store
        The one pre-trained on.
    spec : SampleSpec
        With the hold-outs of the pre-training (kept in the checkpoint).
    chroms, starts, ends : length n
        Test intervals, 0-based half-open. Chromosomes unknown to the store cannot leak.

    Returns
    -------
    list of Leak
        One a chromosome in order of appearance, and last their sum as "all".

    Raises
    ------
    InputError
        If the three have different lengths or there is no interval.
    """
    names, begin, stop = (
        np.asarray(chroms),
        np.asarray(starts, np.int64),
        np.asarray(ends, np.int64),
    )
    if not len(names) == len(begin) == len(stop) or not len(names):
        raise InputError(
            "test intervals need as many chromosomes, starts and ends",
            found=f"{len(names)}, {len(begin)}, {len(stop)}",
            expected="the same number, at least 1",
        )
    train = store.regions[split_regions(store, spec)["train"]]
    out: list[Leak] = []
    for name in dict.fromkeys(names.tolist()):
        mine = names == name
        a, b = begin[mine], stop[mine]
        shared = np.zeros(len(a), np.int64)
        if name in store.chroms:
            here = train[train["chrom"] == store.chroms.index(name)]
            shared = _covered(here["start"], here["end"], b) - _covered(
                here["start"], here["end"], a
            )
        out.append(
            _leak(name, len(a), int((shared > 0).sum()), int((b - a).sum()), int(shared.sum()))
        )
    sums = [sum(leak[i] for leak in out) for i in range(1, 5)]  # type: ignore[misc]
    return [*out, _leak("all", *sums)]


def _leak(chrom: str, intervals: int, touching: int, bases: int, shared: int) -> Leak:
    return Leak(chrom, intervals, touching, bases, shared, touching / max(intervals, 1))


def _covered(starts: np.ndarray, ends: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How many bases before x lie in sorted intervals, counted once where they overlap.

    Examples
    --------
    >>> _covered(np.array([2, 4, 10]), np.array([6, 5, 12]), np.array([0, 5, 20])).tolist()
    [0, 3, 6]
    """
    if not len(starts):
        return np.zeros(len(x), np.int64)
    reach = np.maximum.accumulate(ends)
    before = np.concatenate([[0], reach[:-1]])
    fresh = np.maximum(starts, before)  # the part of each interval that no earlier one covers
    length = np.maximum(ends - fresh, 0)
    total = np.concatenate([[0], np.cumsum(length)])
    i = np.searchsorted(fresh, x, side="right")
    last = np.maximum(i - 1, 0)
    return np.where(
        i > 0, total[last] + np.minimum(np.maximum(x - fresh[last], 0), length[last]), 0
    )
