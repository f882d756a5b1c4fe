"""Everything a build reads before it writes: genome, motifs, regions, blacklist, contact maps.

Together they cost seconds; the genome's bases, the tracks and the scan come after. So a mistake
in one of these files is met at once. Used by `build` only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from epilm.errors import InputError
from epilm.genome.checks import check_intervals
from epilm.genome.contact_maps import read_contacts
from epilm.genome.counts import read_counts
from epilm.genome.fasta import Genome, open_genome
from epilm.genome.peaks import read_peaks
from epilm.motifs.formats import motif_files, read_motifs
from epilm.motifs.motif import Motif
from epilm.store.contact_table import contact_table
from epilm.store.making.asked import Asked, listed
from epilm.store.making.inputs import peak_files, source
from epilm.store.making.progress import Bar
from epilm.store.making.regions import (
    LeastCounts,
    Regions,
    as_option,
    from_counts,
    from_peaks,
    no_regions,
)


@dataclass
class Raw:
    """What was read.

    Attributes
    ----------
    genome : Genome
        Open; its bases are not read yet.
    motifs : list of Motif, or None
    regions : Regions
        Of all cell types, not cleaned yet.
    blacklist : DataFrame or None
        chrom, start, end.
    contacts : (int, int64 (K,), float32 (K,)) or None
        Resolution, keys, values, as `store.contact_table.contact_table` gives them.
    peaks : dict of str to Path
        The peak file of each cell type; empty where regions are not from peaks.
    """

    genome: Genome
    motifs: list[Motif] | None
    regions: Regions
    blacklist: pd.DataFrame | None
    contacts: tuple[int, np.ndarray, np.ndarray] | None
    peaks: dict[str, Path]


def read_raw(asked: Asked, bar: Bar) -> Raw:
    """Read what was asked for.

    Raises
    ------
    InputError
        If a file cannot be used: named with line, what was found and what was expected.
    """
    genome = open_genome(asked.genome, asked.sizes)
    motifs = None if asked.motifs is None else read_motifs(asked.motifs)
    if asked.region_width is not None:
        _check_width(asked.region_width, motifs or ())
    left_out: list[str] = []
    peaks = {} if asked.peaks is None else peak_files(asked.peaks, left_out)
    regions = _read_regions(asked, peaks, genome.sizes, bar)
    regions.notes += left_out
    black = None
    if asked.blacklist is not None:
        intervals = read_peaks(asked.blacklist)
        black = check_intervals(intervals, genome.sizes, past_end=asked.past_end).table
    contacts = None
    if asked.contacts is not None:
        resolution = asked.contacts_resolution
        maps = [read_contacts(path, resolution, finer=True) for path in listed(asked.contacts)]
        contacts = contact_table(maps, genome.sizes, resolution, regions.notes)
    return Raw(genome, motifs, regions, black, contacts, peaks)


def _check_width(region_width: int, motifs: Sequence[Motif]) -> None:
    """Refuse pieces that could not hold a motif."""
    longest = max(motifs, key=lambda motif: len(motif.matrix), default=None)
    least = 1 if longest is None else len(longest.matrix)
    if region_width < least:
        raise InputError(
            "the regions would be shorter than a motif" if longest else "the value is out of range",
            where=as_option("region_width"),
            found=region_width,
            expected=f"at least {least}" + (f", the bases of {longest.id}" if longest else ""),
        )


def _read_regions(asked: Asked, peaks: dict[str, Path], sizes: dict[str, int], bar: Bar) -> Regions:
    if asked.peaks is not None:
        return from_peaks(bar(peaks, "peaks"), sizes, asked.overlaps, asked.strict, asked.past_end)
    if asked.counts is None:
        return no_regions()
    counts = read_counts(
        asked.counts,
        asked.counts_peaks,
        asked.counts_cells,
        asked.label,
        asked.unlabelled,
        asked.layer,
    )
    return from_counts(
        counts,
        sizes,
        asked.overlaps,
        asked.strict,
        str(asked.counts),
        LeastCounts(asked.min_count, asked.min_cpm, asked.top_n),
        asked.past_end,
    )


def sources(asked: Asked, raw: Raw) -> list[dict[str, Any]]:
    """Describe each file of `raw` by role, name, size and SHA-256; tracks describe their own."""
    genome = (*(("genome", path) for path in listed(asked.genome)), ("sizes", asked.sizes))
    counts = (
        ("counts", asked.counts),
        ("counts_peaks", asked.counts_peaks),
        ("counts_cells", asked.counts_cells),
        *raw.regions.beside,
    )
    contacts = [] if asked.contacts is None else listed(asked.contacts)
    motifs = [] if asked.motifs is None else motif_files(asked.motifs)
    later = (
        ("blacklist", asked.blacklist),
        *(("contacts", path) for path in contacts),
        *(("motifs", path) for path in motifs),
    )
    return [
        *(source(role, path) for role, path in genome if path is not None),
        *(source("peaks", path, cell_type=cell) for cell, path in raw.peaks.items()),
        *(source(role, path) for role, path in (*counts, *later) if path is not None),
    ]
