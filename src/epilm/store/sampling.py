"""Which regions make a sample, and which samples make a step.

A sample is R consecutive accessible regions of one cell type (A7); it is a row
of a table and nothing more. The rows of an optimiser step are a pure function
of (seed, step), so a run that was killed goes on with the very rows it would
have had. On the training path: numpy and the standard library only.
Axes: N samples, R regions of a sample, T cell types, C chromosomes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from epilm.errors import RecipeError, TrainingError, nearest
from epilm.store.reader import Store
from epilm.store.spec import SampleSpec
from epilm.tokens.random import permutation

Subset = Literal["train", "holdout", "all"]
_ORDER = 11  # first counter of the shuffles: no other draw shares them


@dataclass(frozen=True)
class CellLists:
    """Per cell type the ordered list of its regions (chromosome, then start), end to end.

    Attributes
    ----------
    flat : int32 (M,)
        Region rows, cell type after cell type.
    bounds : int64 (T, C + 1)
        Where the regions of chromosome c of cell type t begin in `flat`; the last column is the end.
    """

    flat: np.ndarray
    bounds: np.ndarray

    def of(self, cell: int) -> np.ndarray:
        """Region rows of one cell type, int32, ascending."""
        return self.flat[self.bounds[cell, 0] : self.bounds[cell, -1]]


@dataclass(frozen=True)
class Samples:
    """The table of samples.

    Attributes
    ----------
    regions : int32 (N, R)
        Rows of the store, -1 where a short tail was padded.
    cells : int16 (N,)
        Cell type numbers, ascending.
    first : int64 (N,)
        Where each sample begins in `lists.flat`, ascending.
    lists : CellLists
        The lists that the samples were cut from.
    dropped : int
        Accessible regions (counted per cell type) that are in no sample: short tails.
    """

    regions: np.ndarray
    cells: np.ndarray
    first: np.ndarray
    lists: CellLists
    dropped: int

    def __len__(self) -> int:
        return len(self.regions)


def check_spec(store: Store, spec: SampleSpec) -> None:
    """Refuse a sample specification that is impossible, or does not fit the store.

    Raises
    ------
    RecipeError
        Naming the key, what was found and what is known.
    """
    for key in ("regions", "group_stride"):
        if getattr(spec, key) < 1:
            raise RecipeError(
                "the value is out of range", where=f"samples.{key}", found=getattr(spec, key), expected=">= 1"
            )
    for key, known in (
        ("tail", ("drop", "pad", "cross")),
        ("normalise_factors", ("zscore", "max", "none")),
        ("factor_order", ("store", "id", "family")),
        ("matrix_weight", ("none", "accessibility")),
    ):
        if getattr(spec, key) not in known:
            raise RecipeError(
                "unknown value",
                where=f"samples.{key}",
                found=getattr(spec, key),
                do=nearest(str(getattr(spec, key)), known),
            )
    for key, names, have in (
        ("holdout_chroms", spec.holdout_chroms, store.chroms),
        ("holdout_cells", spec.holdout_cells, store.cell_types),
    ):
        for name in names:
            if name not in have:
                raise RecipeError(
                    "the store has nothing of this name",
                    where=f"samples.{key}",
                    found=name,
                    do=nearest(name, have),
                )


def held_out(store: Store, spec: SampleSpec) -> tuple[np.ndarray, np.ndarray]:
    """Which regions (by chromosome) and which cell types are held out.

    Returns
    -------
    bool (R,), bool (T,)
    """
    chroms = np.array([c in spec.holdout_chroms for c in store.chroms])
    cells = np.array([c in spec.holdout_cells for c in store.cell_types])
    return chroms[store.regions["chrom"]], cells


def cell_lists(
    store: Store, spec: SampleSpec, subset: Subset = "train", *, foreign: bool = False
) -> CellLists:
    """List the regions of each cell type.

    Parameters
    ----------
    store : Store
    spec : SampleSpec
        Only what is held out is read.
    subset : {"train", "holdout", "all"}
        "train": cell types and chromosomes that are not held out. "holdout": held-out
        chromosomes in every cell type, and every chromosome in held-out cell types. "all": everything.
    foreign : bool
        List instead the regions that are accessible in some other cell type of the subset
        but not in this one.

    Raises
    ------
    RecipeError
        If `subset` is unknown.
    """
    if subset not in get_args(Subset):
        raise RecipeError("unknown subset", found=subset, do=nearest(subset, get_args(Subset)))
    out_regions, out_cells = held_out(store, spec)
    n_cells = len(store.cell_types)

    def mask(cell: int) -> np.ndarray:
        if subset == "all":
            return store.accessible(cell)
        if subset == "train":
            return np.zeros_like(out_regions) if out_cells[cell] else store.accessible(cell) & ~out_regions
        return store.accessible(cell) & (out_regions | out_cells[cell])

    anywhere = np.zeros(store.n_regions, bool)
    if foreign:
        for cell in range(n_cells):
            anywhere |= mask(cell)
    chrom_begin = np.searchsorted(store.regions["chrom"], np.arange(len(store.chroms) + 1))
    parts, bounds, at = [], np.zeros((n_cells, len(store.chroms) + 1), np.int64), 0
    for cell in range(n_cells):
        mine = mask(cell)
        if foreign:
            mine = anywhere & ~store.accessible(cell) if mine.any() else mine
        rows = np.flatnonzero(mine).astype(np.int32)
        bounds[cell] = at + np.searchsorted(rows, chrom_begin)
        at += len(rows)
        parts.append(rows)
    return CellLists(np.concatenate(parts), bounds)


def _group_starts(length: int, regions: int, stride: int, pad: bool) -> np.ndarray:
    """Where groups of `regions` begin in a list of `length`.

    Examples
    --------
    >>> _group_starts(23, 10, 10, pad=False).tolist(), _group_starts(23, 10, 10, pad=True).tolist()
    ([0, 10], [0, 10, 20])
    """
    if pad and length > 0:
        n = -(-max(length - regions, 0) // stride) + 1
        starts = np.arange(n) * stride
        return starts[starts < length]
    return np.arange(max((length - regions) // stride + 1, 0)) * stride


def make_samples(store: Store, spec: SampleSpec, subset: Subset = "train") -> Samples:
    """Group consecutive accessible regions of each cell type.

    Parameters
    ----------
    store : Store
    spec : SampleSpec
        `regions`, `group_stride`, `tail` and what is held out. tail "drop": groups
        stay inside a chromosome and a short tail is left out; "pad": the tail is a
        sample of its own, filled up with -1; "cross": groups run over chromosome ends.
    subset : {"train", "holdout", "all"}
        As in `cell_lists`.

    Returns
    -------
    Samples
        Sorted by cell type, then place. Empty where nothing is held out and subset is "holdout".

    Raises
    ------
    RecipeError
        If the specification is impossible or names what the store lacks.
    """
    check_spec(store, spec)
    lists = cell_lists(store, spec, subset)
    size, stride = spec.regions, spec.group_stride
    firsts, ends, cells = [], [], []
    used = np.zeros(len(lists.flat), bool)
    for cell, bounds in enumerate(lists.bounds):
        edges = bounds[[0, -1]] if spec.tail == "cross" else bounds
        for a, b in pairwise(edges):
            starts = a + _group_starts(int(b - a), size, stride, spec.tail == "pad")
            firsts.append(starts)
            ends.append(np.full(len(starts), b))
            cells.append(np.full(len(starts), cell, np.int16))
    first, end, cell_of = np.concatenate(firsts), np.concatenate(ends), np.concatenate(cells)
    at = first[:, None] + np.arange(size)
    inside = at < end[:, None]
    used[at[inside]] = True
    if len(lists.flat):
        regions = np.where(inside, lists.flat[np.minimum(at, len(lists.flat) - 1)], np.int32(-1))
    else:
        regions = np.zeros((0, size), np.int32)
    return Samples(regions.astype(np.int32), cell_of, first.astype(np.int64), lists, int((~used).sum()))


@lru_cache(maxsize=2)
def order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle n rows for one epoch: a function of its arguments alone.

    Examples
    --------
    >>> sorted(order(5, seed=0, epoch=3).tolist())
    [0, 1, 2, 3, 4]
    >>> bool((order(100, 0, 0) == order(100, 0, 1)).all())
    False
    """
    rows = permutation(n, _ORDER, seed, epoch)
    rows.flags.writeable = False
    return rows


def rows_at(
    n: int,
    *,
    batch: int,
    step: int,
    seed: int,
    order_of: Callable[[int], np.ndarray] | None = None,
) -> np.ndarray:
    """Rows of the samples of one optimiser step, over all devices.

    An epoch has n // batch steps; the rest of its order is left out (another rest in
    each epoch). Nothing is remembered between calls.

    Parameters
    ----------
    n : int
        Samples.
    batch : int
        Samples a step.
    step : int
        From 0, through all epochs.
    seed : int
    order_of : callable, optional
        epoch -> rows, instead of `order`: `NoSharedOrder`. Each epoch must have as many rows.

    Returns
    -------
    int64 (batch,)

    Raises
    ------
    TrainingError
        If there are fewer samples than a batch takes.

    Examples
    --------
    >>> a = [rows_at(5, batch=2, step=s, seed=0).tolist() for s in range(4)]
    >>> len({*a[0], *a[1]}), a[2] == rows_at(5, batch=2, step=2, seed=0).tolist()
    (4, True)
    """
    if order_of is not None:
        n = len(order_of(0))
    steps = steps_per_epoch(n, batch)
    epoch, at = divmod(step, steps)
    rows = order(n, seed, epoch) if order_of is None else order_of(epoch)
    return rows[at * batch : (at + 1) * batch].copy()


def steps_per_epoch(n: int, batch: int) -> int:
    """Count the whole batches of an epoch.

    Raises
    ------
    TrainingError
        If there is none.

    Examples
    --------
    >>> steps_per_epoch(105, 10)
    10
    """
    if batch < 1:
        raise TrainingError("the batch is out of range", found=batch, expected="at least 1")
    if n < batch:
        raise TrainingError(
            "a batch takes more samples than there are",
            found=f"{n} samples",
            expected=f"at least {batch}",
            do="Lower the batch (train.batch, objectives.matching.batch), group regions with a smaller "
            "samples.group_stride or samples.regions, or hold out less.",
        )
    return n // batch


class NoSharedOrder:
    """Rows of epochs such that samples that are contrasted never share a region (A14).

    The same regions are open in several cell types; as negatives of each other in a
    contrastive batch such samples are nearly equal. Pass it to `rows_at` as `order_of`.

    Parameters
    ----------
    samples : Samples
    batch : int
        Samples of an optimiser step.
    seed : int
    group : int, optional
        Samples that are contrasted with each other; the step where not given. A step is
        cut in groups from its first row on, the last one may be smaller.

    Raises
    ------
    TrainingError
        If there are fewer samples than a batch takes.
    """

    def __init__(self, samples: Samples, batch: int, seed: int, group: int | None = None) -> None:
        self.samples, self.batch, self.seed, self.group = samples, batch, seed, group
        self._kept: dict[int, np.ndarray] = {}
        steps_per_epoch(len(samples), batch)

    def __call__(self, epoch: int) -> np.ndarray:
        """Rows of an epoch (`no_shared_order`), remembered for the next call."""
        if epoch not in self._kept:
            rows = no_shared_order(self.samples, self.batch, self.seed, epoch, self.group)
            # Epoch 0 tells the length; beside it the present one is enough.
            self._kept = {e: r for e, r in self._kept.items() if e in (0, epoch - 1)} | {epoch: rows}
        return self._kept[epoch]

    def repeated(self, epoch: int) -> int:
        """Count the rows of an epoch that were drawn a second time to fill its last groups."""
        rows = self(epoch)
        return len(rows) - len(np.unique(rows))


def no_shared_order(
    samples: Samples, batch: int, seed: int, epoch: int, group: int | None = None
) -> np.ndarray:
    """Order the rows of an epoch so that no group holds a region twice.

    The shuffled rows are dealt out in turn; one that meets its own region in a group
    waits for the next. Rows that fit nowhere at the end are left out, and the last
    groups are filled with rows that were used before.

    Parameters
    ----------
    samples : Samples
    batch : int
        Samples of a step.
    seed, epoch : int
    group : int, optional
        Samples that may not share a region; `batch` where not given.

    Returns
    -------
    int64 (n // batch * batch,)

    Raises
    ------
    TrainingError
        If a group of this size cannot be free of common regions.
    """
    n = len(samples)
    steps = steps_per_epoch(n, batch)
    size = min(batch if group is None else group, batch)
    sizes = np.array([min(size, batch - a) for a in range(0, batch, size)] * steps)
    deal = _Deal(samples.regions, sizes)
    shuffled, at = order(n, seed, epoch), 0
    waiting = np.zeros(0, np.int64)
    for number, wanted in enumerate(sizes):
        waiting = deal.offer(number, waiting)
        while deal.have[number] < wanted and at < n:
            block = shuffled[at : at + wanted - deal.have[number]]
            at += len(block)
            waiting = np.concatenate([waiting, deal.offer(number, block)])
        for a in range(0, n, 1024):  # the tail of an epoch: rows a second time
            if deal.have[number] == wanted:
                break
            deal.offer(number, shuffled[a : a + 1024])
        if deal.have[number] < wanted:
            have = int(deal.have[number])
            raise TrainingError(
                "no contrastive batch of this size is free of common regions",
                found=f"{have} samples without a common region",
                expected=f"{wanted} (objectives.matching.batch)",
                do=f"Set objectives.matching.batch to {have} or less, "
                "or objectives.matching.forbid_shared to false.",
            )
    return np.concatenate(deal.groups)


class _Deal:
    """Groups being filled; `stamp` tells which group held a region last."""

    def __init__(self, regions: np.ndarray, sizes: np.ndarray) -> None:
        self.regions = regions
        self.groups = [np.full(s, -1, np.int64) for s in sizes]
        self.have = np.zeros(len(sizes), np.int64)
        self.stamp = np.full(int(regions.max(initial=-1)) + 2, -1, np.int64)  # last place: padding

    def offer(self, number: int, rows: np.ndarray) -> np.ndarray:
        """Put the rows that fit into a group, in order; give back the others."""
        held, have = self.groups[number], int(self.have[number])
        if have == len(held) or len(rows) == 0:
            return rows
        fits = np.flatnonzero(_free(self.regions[rows], self.stamp, number))[: len(held) - have]
        chosen = rows[fits]
        self.stamp[self.regions[chosen].ravel()] = number
        self.stamp[-1] = -1
        held[have : have + len(chosen)] = chosen
        self.have[number] += len(chosen)
        return np.delete(rows, fits)


def _free(regions: np.ndarray, stamp: np.ndarray, step: int) -> np.ndarray:
    """Rows, first come first served, that share no region with the batch so far or each other: bool (m,)."""
    m, r = regions.shape
    live = ~(stamp[regions] == step).any(1)
    chosen = np.zeros(m, bool)
    while live.any():
        at = np.flatnonzero(live)
        flat = regions[at].ravel()
        _, first = np.unique(flat, return_index=True)
        fresh = flat < 0
        fresh[first] = True
        new = at[fresh.reshape(-1, r).all(1)]
        chosen[new] = True
        live[new] = False
        held = regions[new].ravel()
        live &= ~np.isin(regions, held[held >= 0]).any(1)
    return chosen
