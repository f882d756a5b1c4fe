"""Where bins lie that are asked for by regions: a BED file, a region file of the challenge, places.

Labels of peaks and of files are cut to them (`sources`), and predictions are made on them. Axes: n
bins.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import InputError
from epilm.genome.chromosomes import check_names, few
from epilm.tasks.binding.bins import MARGIN, WIDTH, Bins, grid, read_bins, read_intervals
from epilm.tasks.binding.lines import iter_lines


def bins_of_regions(
    regions: Any, sizes: Mapping[str, int], chroms: Sequence[str] = ()
) -> tuple[Bins, list[str]]:
    """Lay bins over regions of a genome, or take those of a region file as they are.

    Parameters
    ----------
    regions : path, DataFrame or Bins
        BED of regions; a file of bins, one a line.
    sizes : dict of chromosome to bp
        Of the genome.
    chroms : sequence of str
        Keep bins inside these chromosomes or parts of them; all where there are none.

    Returns
    -------
    bins : Bins
    notes : list of str
        Regions that are too short for a bin, or on chromosomes that the genome has not.

    Raises
    ------
    InputError
        If no bin is left, chromosomes are spelled otherwise, or a region ends past one.

    Examples
    --------
    >>> from epilm.genome.checks import make_table
    >>> table = make_table(["chr1"] * 2, [1000, 3000], [1300, 3100])
    >>> bins, notes = bins_of_regions(table, {"chr1": 5000})
    >>> bins.start.tolist(), notes
    ([1000, 1050, 1100], ['1 of 2 regions hold no whole bin of 200 bp'])
    """
    where = str(regions) if isinstance(regions, str | Path) else "the regions"
    bins = _laid(regions)
    notes = []
    if not isinstance(bins, Bins):
        table = bins
        named = np.asarray(table["chrom"]).astype(str)
        unknown = set(check_names(np.unique(named), sizes, where, other="the store"))
        if away := int(np.isin(named, sorted(unknown)).sum()):
            notes.append(
                f"{away:,} of {len(table):,} regions lie on chromosomes that the store has not"
                f" ({few(sorted(unknown))})"
            )
            table = table[~np.isin(named, sorted(unknown))]
        from epilm.genome.checks import check_ends  # here alone: it needs pandas

        check_ends(
            table,
            sizes,
            where,
            do="Regions and store are of two assemblies, or cut the regions at the end.",
        )
        bins = grid(table)
        holds = _holding(table, bins)
        if short := int((~holds).sum()):
            notes.append(
                f"{short:,} of {len(table):,} regions hold no whole bin of {bins.width} bp"
            )
    if chroms:
        bins = bins.take(bins.inside(chroms))
    if not len(bins):
        raise InputError(
            "no bin is left to predict",
            where=where,
            found=f"regions outside of {', '.join(chroms)}",
            do="Choose chromosomes that the regions are on (--chroms), or leave it out.",
        )
    return bins, notes


def bins_among(regions: Any, chroms: Sequence[str] | None = None, margin: int = MARGIN) -> Bins:
    """Lay bins over regions, which say themselves where they end; bins stay as they are.

    Parameters
    ----------
    regions : path, DataFrame, sequence of places, or Bins
    chroms : sequence of str, optional
        Keep bins inside these chromosomes or parts of them.
    margin : int
        See `bins.grid`.
    """
    bins = _laid(regions)
    if isinstance(bins, Bins):
        return bins if chroms is None else bins.take(bins.inside(chroms))
    return grid(bins, chroms=chroms, margin=margin)


def among(bins: Bins, others: Bins) -> np.ndarray:
    """Say which bins are among others, (n,) bool."""
    out = np.zeros(len(bins), bool)
    runs = {name: (low, high) for name, low, high in others.runs()}
    for name, low, high in bins.runs():
        if name in runs:
            known = others.start[runs[name][0] : runs[name][1]]
            at = np.minimum(np.searchsorted(known, bins.start[low:high]), len(known) - 1)
            out[low:high] = known[at] == bins.start[low:high]
    return out


def _holding(table: Any, bins: Bins) -> np.ndarray:
    """Which regions hold a bin whole, (n,) bool."""
    out = np.zeros(len(table), bool)
    named = np.asarray(table["chrom"]).astype(str)
    start, end = np.asarray(table["start"], np.int64), np.asarray(table["end"], np.int64)
    for name, low, high in bins.runs():
        here = named == name
        starts = bins.start[low:high].astype(np.int64)
        first = np.minimum(np.searchsorted(starts, start[here]), len(starts) - 1)
        out[here] = (starts[first] >= start[here]) & (starts[first] + bins.width <= end[here])
    return out


def _laid(regions: Any) -> Any:
    """Bins as they are: given, or one a line of a file; else the table of regions."""
    if isinstance(regions, str | Path):
        block = next(iter(iter_lines(regions, "a file of regions or bins", size=1 << 14)))
        width = block.integers(2) - block.integers(1) if block.columns >= 3 else np.zeros(1)
        if (width == WIDTH).all():
            return read_bins(regions)
        return read_intervals(regions)
    return regions
