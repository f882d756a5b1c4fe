"""Patterns in TF-MoDISco's file, so that its report and finemo read them: `modisco_results.h5`.

The layout is that of modisco-lite 2 and 3. The patterns are ours (`explaining.discovery`): they
were not found by TF-MoDISco. Its files count seqlets from the start of windows of one width around
the middle of each region: `window_size` is that width, and `modisco_regions.bed` the windows.
Axes: W columns of a pattern, M members, n bases of a region.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.explaining.discovery import Pattern, Seqlet
from epilm.explaining.region_map import RegionMap
from epilm.genome.sequence import reverse_complement

RESULTS, REGIONS = "modisco_results.h5", "modisco_regions.bed"
GROUPS = {"pattern": "pos_patterns", "minus": "neg_patterns"}  # name before the number -> group
Values = NDArray[np.float64]


def write_modisco(maps: Sequence[RegionMap], patterns: Sequence[Pattern], folder: Path) -> None:
    """Write modisco_results.h5 and modisco_regions.bed into a folder; nothing of motifs of
    attention.

    Parameters
    ----------
    maps : sequence of RegionMap
        All that were explained: `example_idx` is a number among them.
    patterns : sequence of Pattern
    folder : path

    References
    ----------
    Shrikumar et al., TF-MoDISco, arXiv 1811.00416; modisco-lite's `io.save_hdf5`.
    """
    import h5py

    if not any(each.name.startswith(tuple(f"{kind}_" for kind in GROUPS)) for each in patterns):
        return
    window = _window(maps)
    with h5py.File(folder / RESULTS, "w") as file:
        file.attrs["window_size"] = window
        file.attrs["made_by"] = "epilm explain: seqlets and patterns of its own, not TF-MoDISco's"
        for kind, name in GROUPS.items():
            mine = [each for each in patterns if each.name.startswith(f"{kind}_")]
            if not mine:
                continue
            group = file.create_group(name)
            for number, pattern in enumerate(mine):
                _write_pattern(group.create_group(f"pattern_{number}"), pattern, maps, window)
    with open(folder / REGIONS, "w", encoding="utf-8", newline="\n") as out:
        for number, each in enumerate(maps):
            region = each.region
            row = (region.chrom, region.start, region.end, region.name, number, ".")
            out.write("\t".join(map(str, row)) + "\n")


def _window(maps: Sequence[RegionMap]) -> int:
    """Width of the windows: even, and no region is wider."""
    widest = max((len(each) for each in maps), default=0)
    return widest + widest % 2


def window_start(each: RegionMap, window: int) -> int:
    """Where the window of a region begins, as modisco-lite and finemo reckon it.

    Examples
    --------
    >>> from epilm.explaining.frames import Region
    >>> one = RegionMap(Region("chr1", 10, 17, "a"), np.zeros(7, np.uint8), np.zeros(7))
    >>> window_start(one, 8)
    9
    """
    return (each.region.start + each.region.end) // 2 - window // 2


def _write_pattern(group: Any, pattern: Pattern, maps: Sequence[RegionMap], window: int) -> None:
    tables = [_member(maps[member.region], member) for member in pattern.seqlets]
    hot, worth = (np.stack(column) for column in zip(*tables, strict=True))  # (M, W, 4)
    scores = hot * worth
    for name, table in (
        ("sequence", hot),
        ("contrib_scores", scores),
        ("hypothetical_contribs", worth),
    ):
        group.create_dataset(name, data=table.mean(0))
    begins = [window_start(maps[member.region], window) for member in pattern.seqlets]
    seqlets = group.create_group("seqlets")
    seqlets.create_dataset("n_seqlets", data=np.array([len(pattern.seqlets)]))
    for name, values in (
        ("start", [m.start - b for m, b in zip(pattern.seqlets, begins)]),
        ("end", [m.end - b for m, b in zip(pattern.seqlets, begins)]),
        ("example_idx", [m.region for m in pattern.seqlets]),
        ("is_revcomp", [m.strand < 0 for m in pattern.seqlets]),
        ("sequence", hot),
        ("contrib_scores", scores),
        ("hypothetical_contribs", worth),
    ):
        seqlets.create_dataset(name, data=np.array(values))


def _member(each: RegionMap, member: Seqlet) -> tuple[Values, Values]:
    """Bases and what each of the four is worth under a pattern's columns, both (W, 4), read along
    the member's strand; without a table of worths that of the base that stands there.
    """
    part = slice(member.start - each.region.start, member.end - each.region.start)
    codes = each.codes[part]
    if each.worth is not None:
        worth = np.nan_to_num(each.worth[:, part].T)
    else:
        worth = (codes[:, None] == np.arange(4)) * np.nan_to_num(each.scores[part])[:, None]
    if member.strand < 0:
        codes, worth = reverse_complement(codes), worth[::-1, ::-1]
    return (codes[:, None] == np.arange(4)).astype(np.float64), worth
