"""Everything a build reads before it writes: genome, motifs, regions, blacklist, contact maps.

Together they cost seconds; the genome's bases, the tracks and the scan come after. So a mistake
in one of these files is met at once. Used by `build` only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from epilm.genome.checks import check_intervals
from epilm.genome.contacts import Contacts, read_contacts
from epilm.genome.counts import read_counts
from epilm.genome.fasta import Genome, open_genome
from epilm.genome.peaks import read_peaks
from epilm.motifs.formats import read_motifs
from epilm.motifs.motif import Motif
from epilm.store.contacts import contact_table
from epilm.store.making.asked import Asked, listed
from epilm.store.making.inputs import peak_files, source
from epilm.store.making.progress import Bar
from epilm.store.making.regions import Regions, from_counts, from_peaks, no_regions


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
        Resolution, keys, values, as `store.contacts.contact_table` gives them.
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
    peaks = {} if asked.peaks is None else peak_files(asked.peaks)
    regions = _read_regions(asked, peaks, genome.sizes, bar)
    black = None
    if asked.blacklist is not None:
        black = check_intervals(read_peaks(asked.blacklist), genome.sizes).table
    contacts = None
    if asked.contacts is not None:
        maps = [_read_contacts(path, asked.contacts_resolution) for path in listed(asked.contacts)]
        contacts = contact_table(maps, genome.sizes, asked.contacts_resolution)
    return Raw(genome, motifs, regions, black, contacts, peaks)


def _read_regions(asked: Asked, peaks: dict[str, Path], sizes: dict[str, int], bar: Bar) -> Regions:
    if asked.peaks is not None:
        return from_peaks(bar(peaks, "peaks"), sizes, asked.overlaps, asked.strict)
    if asked.counts is None:
        return no_regions()
    counts = read_counts(
        asked.counts, asked.counts_peaks, asked.counts_cells, asked.label, asked.unlabelled
    )
    return from_counts(
        counts,
        sizes,
        asked.overlaps,
        asked.strict,
        str(asked.counts),
        min_count=asked.min_count,
        min_cpm=asked.min_cpm,
        top_n=asked.top_n,
    )


def _read_contacts(path: str | Path, resolution: int | None) -> Contacts:
    """Text has one resolution, which is found; an .mcool file is asked for the one wanted."""
    return read_contacts(path, resolution if Path(path).name.endswith(".mcool") else None)


def sources(asked: Asked, raw: Raw) -> list[dict[str, Any]]:
    """Describe each file of `raw` by role, name, size and SHA-256; tracks describe their own."""
    genome: list[tuple[str, Any]] = [("genome", path) for path in listed(asked.genome)]
    counts = (
        ("counts", asked.counts),
        ("counts_peaks", asked.counts_peaks),
        ("counts_cells", asked.counts_cells),
    )
    contacts = () if asked.contacts is None else listed(asked.contacts)
    return [
        *(source(role, path) for role, path in [*genome, ("sizes", asked.sizes)] if path),
        *(source("peaks", path, cell_type=cell) for cell, path in raw.peaks.items()),
        *(source(role, path) for role, path in (*counts, ("blacklist", asked.blacklist)) if path),
        *(source("contacts", path) for path in contacts),
        *([] if asked.motifs is None else [source("motifs", asked.motifs)]),
    ]
