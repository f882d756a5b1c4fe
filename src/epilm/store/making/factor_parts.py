"""The factor matrix in parts: what a scan hangs on, and the matrix from what shards scanned.

A unit is a block of regions in their order. What one scans hangs on bases, regions, motifs and five
options alone, so that is what parts are held against: not the files that these came from.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from epilm.motifs.motif import Motif
from epilm.shards import JoinedParts, digest
from epilm.store.making.asked import Asked

UNIT = 4096  # regions of a unit; those of a file of the parts are some tens of units


@contextmanager
def joined_scan(paths: Sequence[str | Path] | None) -> Iterator[JoinedParts | None]:
    """Open the parts of a scan, all of which are looked at; None where there are none.

    Raises
    ------
    InputError
        If a part is missing, there twice, not whole, or of another request than the others.
    """
    if paths is None:
        yield None
        return
    with JoinedParts(paths) as joined:
        yield joined


def scan_request(
    asked: Asked,
    motifs: Sequence[Motif] | None,
    bases: np.ndarray,
    rows: np.ndarray,
    chroms: Sequence[str],
) -> dict[str, Any]:
    """Give what a part of a scan remembers, see `shards.write_part`.

    Parameters
    ----------
    asked : Asked
    motifs : sequence of Motif
    bases : uint8 array (G,)
        The flat genome.
    rows : structured array (R,)
        The regions, clean.
    chroms : sequence of str
    """
    of_motifs = (
        part
        for motif in motifs or ()
        for part in (
            repr((motif.id, motif.name, motif.is_counts, motif.sites)).encode(),
            np.ascontiguousarray(motif.matrix, np.float64).tobytes(),
        )
    )
    plain = [np.ascontiguousarray(rows[name], np.int64) for name in ("chrom", "start", "end")]
    return {
        "verb": "build",
        "call": {
            "statistics": list(asked.statistics),
            "p": asked.p,
            "pseudocount": asked.pseudocount,
            "background": asked.background,
            "short": asked.short,
            "regions in a unit": UNIT,
        },
        "files": {},
        "model": "",
        "data": {
            "genome": digest([repr(tuple(chroms)).encode(), np.asarray(bases).data]),
            "regions": digest(column.tobytes() for column in plain),
            "motifs": digest(of_motifs),
        },
        "machine": {tool: version(tool) for tool in ("numpy", "numba")},
        "shown": {},
    }


def fill_from(parts: JoinedParts, out: Sequence[np.ndarray]) -> None:
    """Fill factor matrices (R, F), one a statistic, with what parts scanned.

    Raises
    ------
    InputError
        If they hold more or fewer regions.
    """
    for first in range(0, len(out[0]), UNIT):
        unit = parts.next_unit()
        for number, matrix in enumerate(out):
            block = unit[str(number)]
            if block.shape != matrix[first : first + UNIT].shape:
                raise parts.other_data("other regions than the parts hold")
            matrix[first : first + UNIT] = block
    parts.finish()
