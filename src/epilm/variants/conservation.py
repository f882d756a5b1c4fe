"""How conserved the bases are that a variant changes: a baseline that reads no model.

Axes: N changes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epilm.genome.chromosomes import check_names, few
from epilm.genome.signals import open_signal
from epilm.tasks.reference import Reference
from epilm.variants.haplotypes import Change

CONSERVATION = "conservation"
_APART = 1 << 16  # bp: changes closer than that are read together


def conservation_of(
    path: str | Path, changes: Sequence[Change | None], genome: Reference
) -> tuple[NDArray[np.float64], list[str]]:
    """Give the mean of a track over the bases that a change takes away or puts others in place of;
    of an insertion over the two bases beside it.

    Parameters
    ----------
    path : path
        bigWig or bedGraph, phyloP or phastCons for example.
    changes : sequence of Change or None
        Normalised.
    genome : Reference

    Returns
    -------
    float64 (N,)
        NaN without a change, and where the track says nothing about any of the bases.
    notes : list of str
        How many variants the track says nothing about.

    Raises
    ------
    InputError
        If the file cannot be read, or is of another assembly.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "phylop.bedGraph"
    >>> _ = name.write_text("chr1\\t0\\t2\\t4\\nchr1\\t2\\t3\\t-1\\n")
    >>> class Genome:
    ...     sizes = {"chr1": 9}
    >>> changes = [
    ...     Change("chr1", 1, "AC", "G"),
    ...     Change("chr1", 3, "", "T"),
    ...     Change("chr1", 5, "A", ""),
    ... ]
    >>> conservation_of(name, changes, Genome())[0].tolist()
    [1.5, -1.0, nan]
    """
    signal = open_signal(path)
    out = np.full(len(changes), np.nan)
    rows = [row for row, change in enumerate(changes) if change is not None]
    if not rows:
        return out, []
    spans = {row: _bases(changes[row]) for row in rows}
    wanted = {span[0] for span in spans.values()}
    lacking = {chrom for chrom in wanted if chrom not in signal.chroms}
    if lacking == wanted:
        check_names(wanted, signal.chroms, str(path), other="the track")
    rows.sort(key=lambda row: spans[row])
    first = 0
    while first < len(rows):
        chrom, start, end = spans[rows[first]]
        last = first + 1
        while last < len(rows):
            other, begins, ends = spans[rows[last]]
            if other != chrom or begins - start > _APART:
                break
            last, end = last + 1, max(end, ends)
        if chrom not in lacking:
            size = genome.sizes[chrom]
            values = signal.read_window(chrom, start, min(end, size), size)
            for row in rows[first:last]:
                _, begins, ends = spans[row]
                there = values[begins - start : ends - start]
                if not np.isnan(there).all():
                    out[row] = np.nanmean(there, dtype=np.float64)
        first = last
    silent = int(np.isnan(out[rows]).sum())
    notes = [f"{Path(path).name} says nothing about {silent} of {len(rows)} variants"] * (
        silent > 0
    )
    if lacking:
        notes.append(f"{Path(path).name} has no {few(sorted(lacking))}")
    return out, notes


def _bases(change: Change | None) -> tuple[str, int, int]:
    assert change is not None
    if change.ref:
        return change.chrom, change.start, change.start + len(change.ref)
    return change.chrom, max(change.start - 1, 0), change.start + 1
