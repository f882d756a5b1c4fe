"""What is done with interval tables: sort, merge, unite, overlap, blacklist.

The contract of a table and its check are in `checks` (named here too). All is
vectorised: a million intervals take about a second. Chromosomes are ordered as
the genome's sizes, without them by number (chr2 before chr10).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.checks import (
    CORE,
    check_intervals,
    chromosome_ranks,
    make_table,
    place,
    show,
)
from epilm.genome.chromosomes import check_names
from epilm.genome.fasta import Genome

__all__ = [
    "CORE",
    "Union",
    "check_intervals",
    "check_names",
    "drop_blacklisted",
    "make_table",
    "merge_intervals",
    "n_fraction",
    "overlap_bp",
    "overlaps",
    "place",
    "show",
    "sort_intervals",
    "union",
]


@dataclass(frozen=True)
class Union:
    """Regions of all cell types together.

    Attributes
    ----------
    table : DataFrame, R rows
        chrom, start, end; sorted.
    members : bool array, shape (R, T)
        Whether cell type t has the region.
    cell_types : tuple of str, length T
    counts : dict
        given (intervals of all cell types), regions (R), merged or duplicates (how many fewer).
    """

    table: pd.DataFrame
    members: NDArray[np.bool_]
    cell_types: tuple[str, ...]
    counts: dict[str, int]


def sort_intervals(table: pd.DataFrame, sizes: Mapping[str, int] | None = None) -> pd.DataFrame:
    """Sort by chromosome, start, end; equal rows keep their order.

    Parameters
    ----------
    table : DataFrame
        Interval table.
    sizes : dict, optional
        Gives the order of chromosomes; without it chr2 comes before chr10.

    Returns
    -------
    DataFrame
        Index 0..R-1.

    Examples
    --------
    >>> sort_intervals(make_table(["chr10", "chr2", "chr2"], [1, 8, 3], [2, 9, 4]))
       chrom  start  end
    0   chr2      3    4
    1   chr2      8    9
    2  chr10      1    2
    """
    codes, names = pd.factorize(table["chrom"])
    rank = chromosome_ranks([str(name) for name in names], sizes)
    order = np.lexsort(
        (table["end"].to_numpy(), table["start"].to_numpy(), rank[codes.astype(np.int64)])
    )
    return table.iloc[order].reset_index(drop=True)


def _clusters(table: pd.DataFrame, gap: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of a sorted table: the first row of each cluster, and the cluster of each row."""
    if not len(table):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    codes = pd.factorize(table["chrom"])[0].astype(np.int64)
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    # Chromosomes end to end, far enough apart, make one running maximum do for all.
    step = int(end.max()) + 1
    reach = np.maximum.accumulate(end + codes * step) - codes * step
    new = np.ones(len(table), dtype=bool)
    apart = start[1:] >= reach[:-1] if gap is None else start[1:] - reach[:-1] > gap
    new[1:] = (codes[1:] != codes[:-1]) | apart
    return np.flatnonzero(new), np.cumsum(new) - 1


def merge_intervals(
    table: pd.DataFrame, gap: int | None = None, sizes: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Merge intervals that share a base.

    Parameters
    ----------
    table : DataFrame
        Interval table, any order.
    gap : int, optional
        Also merge intervals at most this many bases apart; 0 merges those that touch (as bedtools
        merge does). Default: only those that share a base, so a tiling stays a tiling.
    sizes : dict, optional
        Gives the order of chromosomes.

    Returns
    -------
    DataFrame
        chrom, start, end, n_intervals; sorted, disjoint.

    Examples
    --------
    >>> merge_intervals(make_table(["chr1"] * 3, [0, 5, 9], [6, 9, 12]))
      chrom  start  end  n_intervals
    0  chr1      0    9            2
    1  chr1      9   12            1
    """
    table = sort_intervals(table[CORE], sizes)
    first, cluster = _clusters(table, gap)
    merged = table.iloc[first].reset_index(drop=True)
    if len(table):
        merged["end"] = np.maximum.reduceat(table["end"].to_numpy(np.int64), first)
    merged["n_intervals"] = np.bincount(cluster, minlength=len(first)).astype(np.int64)
    return merged


def union(
    tables: Mapping[str, pd.DataFrame],
    how: Literal["merge", "keep"] = "merge",
    sizes: Mapping[str, int] | None = None,
    gap: int | None = None,
    membership: Literal["auto", "overlap", "exact"] = "auto",
) -> Union:
    """Unite the regions of cell types and say which cell type has which.

    Parameters
    ----------
    tables : dict of cell type to DataFrame
        One interval table each; column t of the result is the t-th of them.
    how : {"merge", "keep"}
        "merge": regions of any cell types that share a base become one. "keep": each different
        interval stays.
    sizes : dict, optional
        Gives the order of chromosomes.
    gap : int, optional
        As in `merge_intervals`.
    membership : {"auto", "overlap", "exact"}
        When a cell type has a region: one of its intervals shares a base with it, or is it. "auto":
        "overlap" for "merge" (where it means: one of its intervals went into it) and "exact" for
        "keep".

    Returns
    -------
    Union

    Raises
    ------
    InputError
        If there is no interval at all.
    ValueError
        For an unknown `how` or `membership`.

    Examples
    --------
    >>> x = make_table(["chr1", "chr1"], [0, 50], [10, 60])
    >>> y = make_table(["chr1"], [5], [20])
    >>> merged = union({"X": x, "Y": y})
    >>> merged.table
      chrom  start  end
    0  chr1      0   20
    1  chr1     50   60
    >>> merged.members
    array([[ True,  True],
           [ True, False]])
    >>> union({"X": x, "Y": y}, how="keep").members.astype(int).tolist()
    [[1, 0], [0, 1], [1, 0]]
    """
    if how not in ("merge", "keep"):
        raise ValueError(f"how must be 'merge' or 'keep', not {how!r}")
    if membership not in ("auto", "overlap", "exact"):
        raise ValueError(f"membership must be 'auto', 'overlap' or 'exact', not {membership!r}")
    cell_types = tuple(tables)
    parts = [
        table[CORE].reset_index(drop=True).assign(cell=t) for t, table in enumerate(tables.values())
    ]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise InputError(
            "there are no regions",
            found=f"{len(cell_types)} cell types without one",
            expected="at least one region",
        )
    both = sort_intervals(pd.concat(parts, ignore_index=True), sizes)
    if how == "merge":
        first, group = _clusters(both, gap)
        table = both.iloc[first][CORE].reset_index(drop=True)
        table["end"] = np.maximum.reduceat(both["end"].to_numpy(np.int64), first)
    else:
        new = ~both.duplicated(subset=CORE).to_numpy()
        group = np.cumsum(new) - 1  # equal intervals are neighbours after sorting
        table = both[new][CORE].reset_index(drop=True)
    members = np.zeros((len(table), len(cell_types)), dtype=bool)
    members[group, both["cell"].to_numpy()] = True
    if membership == "overlap" and how == "keep":
        for t, part in enumerate(tables.values()):
            members[:, t] |= overlaps(table, part)
    elif membership == "exact" and how == "merge":
        for t, part in enumerate(tables.values()):
            exact = pd.MultiIndex.from_frame(table).isin(pd.MultiIndex.from_frame(part[CORE]))
            members[:, t] = exact
    fewer = len(both) - len(table)
    counts = {
        "given": len(both),
        "regions": len(table),
        "merged" if how == "merge" else "duplicates": fewer,
    }
    return Union(table, members, cell_types, counts)


def overlaps(table: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.bool_]:
    """Say for each row whether it shares a base with any interval of another table.

    Parameters
    ----------
    table : DataFrame, R rows
    other : DataFrame
        Any order, may overlap itself.

    Returns
    -------
    bool array, shape (R,)

    Examples
    --------
    >>> overlaps(
    ...     make_table(["chr1"] * 2, [0, 10], [10, 20]), make_table(["chr1"], [9], [10])
    ... ).tolist()
    [True, False]
    """
    return overlap_bp(table, other) > 0


def overlap_bp(table: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.int64]:
    """Count the bases of each row that lie in any interval of another table.

    Parameters
    ----------
    table : DataFrame, R rows
    other : DataFrame
        Any order; a base covered twice counts once.

    Returns
    -------
    int64 array, shape (R,), in bp

    Examples
    --------
    >>> overlap_bp(make_table(["chr1"], [0], [10]), make_table(["chr1"] * 2, [2, 3], [5, 6]))
    array([4])
    """
    shared = np.zeros(len(table), dtype=np.int64)
    merged = merge_intervals(other)
    if not len(merged) or not len(table):
        return shared
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    codes, names = pd.factorize(table["chrom"])
    blocks = dict(tuple(merged.groupby("chrom", sort=False)))
    for code, chrom in enumerate(names):
        if chrom in blocks:
            rows = np.flatnonzero(codes == code)
            runs = (
                blocks[chrom]["start"].to_numpy(np.int64),
                blocks[chrom]["end"].to_numpy(np.int64),
            )
            shared[rows] = _covered(runs, end[rows]) - _covered(runs, start[rows])
    return shared


def _covered(
    runs: tuple[NDArray[np.int64], NDArray[np.int64]], x: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bases before x that lie in sorted, disjoint runs."""
    first, last = runs
    total = np.concatenate([[0], np.cumsum(last - first)])
    i = np.searchsorted(first, x, side="right")
    if not len(first):
        return np.zeros(len(x), dtype=np.int64)
    ahead = np.maximum(last[np.maximum(i - 1, 0)] - x, 0)  # of the run x lies in
    inside = np.where(i > 0, ahead, 0)
    return total[i] - inside


def drop_blacklisted(
    table: pd.DataFrame, blacklist: pd.DataFrame
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Drop every region that touches the blacklist, whole.

    Parameters
    ----------
    table, blacklist : DataFrame
        Interval tables.

    Returns
    -------
    table : DataFrame
        The regions left, index 0..
    kept : bool array, shape (R,)
        Which of the given rows are left; `(~kept).sum()` were dropped.

    Examples
    --------
    >>> table, kept = drop_blacklisted(
    ...     make_table(["chr1"] * 2, [0, 10], [10, 20]), make_table(["chr1"], [9], [10])
    ... )
    >>> table
      chrom  start  end
    0  chr1     10   20
    >>> int((~kept).sum())
    1
    """
    kept = ~overlaps(table, blacklist)
    return table[kept].reset_index(drop=True), kept


def n_fraction(genome: Genome, table: pd.DataFrame) -> NDArray[np.float64]:
    """Measure which share of each region's bases is N.

    Parameters
    ----------
    genome : Genome
        Or anything with `.codes(chrom)` giving base codes.
    table : DataFrame, R rows
        Interval table inside the genome.

    Returns
    -------
    float64 array, shape (R,)
        0 to 1. Mostly N in most regions: the regions belong to another assembly.
    """
    share = np.zeros(len(table), dtype=np.float64)
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    codes, names = pd.factorize(table["chrom"])
    for code, chrom in enumerate(names):
        rows = np.flatnonzero(codes == code)
        bases = genome.codes(chrom)
        is_n = np.zeros(len(bases) + 2, dtype=np.int8)
        is_n[1:-1] = bases > 3
        edges = np.flatnonzero(np.diff(is_n))
        runs = edges[::2].astype(np.int64), edges[1::2].astype(np.int64)
        share[rows] = _covered(runs, end[rows]) - _covered(runs, start[rows])
    return share / np.maximum(end - start, 1)
