"""Which regions make a sample.

A sample is R consecutive accessible regions of one cell type (A7); it is a row
of a table and nothing more. Which rows make a step is said in `sampling`. On
the training path: numpy and the standard library only.
Axes: N samples, R regions of a sample, T cell types, C chromosomes.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from epilm.errors import RecipeError, nearest
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec

Subset = Literal["train", "holdout", "all"]

_BLOCK = 262_144  # samples whose places are looked up at once


@dataclass(frozen=True)
class CellLists:
    """Per cell type the ordered list of its regions (chromosome, then start), end to end.

    Attributes
    ----------
    flat : int32 (M,)
        Region rows, cell type after cell type.
    bounds : int64 (T, C + 1)
        Where the regions of chromosome c of cell type t begin in `flat`; the last column is the
        end.
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
                "the value is out of range",
                where=f"samples.{key}",
                found=getattr(spec, key),
                expected=">= 1",
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
        chromosomes in every cell type, and every chromosome in held-out cell types. "all":
        everything.
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
            return (
                np.zeros_like(out_regions)
                if out_cells[cell]
                else store.accessible(cell) & ~out_regions
            )
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
    return CellLists(np.concatenate(parts) if parts else np.zeros(0, np.int32), bounds)


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
    none = np.zeros(0, np.int64)  # a store without cell types has no sample
    firsts, ends, cells = [none], [none], [none.astype(np.int16)]
    used = np.zeros(len(lists.flat), bool)
    for cell, bounds in enumerate(lists.bounds):
        edges = bounds[[0, -1]] if spec.tail == "cross" else bounds
        for a, b in pairwise(edges):
            starts = a + _group_starts(int(b - a), size, stride, spec.tail == "pad")
            firsts.append(starts)
            ends.append(np.full(len(starts), b))
            cells.append(np.full(len(starts), cell, np.int16))
    first, end, cell_of = np.concatenate(firsts), np.concatenate(ends), np.concatenate(cells)
    regions = np.full((len(first), size), -1, np.int32)
    for a in range(0, len(first), _BLOCK):  # the places of all would take twice the table
        at = first[a : a + _BLOCK, None] + np.arange(size)
        inside = at < end[a : a + _BLOCK, None]
        places = at[inside]
        used[places] = True
        regions[a : a + _BLOCK][inside] = lists.flat[places]
    return Samples(regions, cell_of, first.astype(np.int64), lists, int((~used).sum()))
