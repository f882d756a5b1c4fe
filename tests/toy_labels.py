"""Small labels of bins, and peaks that they come from."""

import numpy as np

from epilm.genome.checks import make_table
from epilm.genome.peaks import write_narrow_peak
from epilm.tasks.binding import (
    BinLabels,
    grid,
)


def one_peak(start, end):
    return make_table(["chr1"], [start], [end])


def bound(labels, bins):
    return bins.start[labels == 1].tolist()


def toy(n=4, cells=("A549", "K562"), values=None):
    bins = grid({"chr1": 1400 + 50 * (n - 1)})
    values = np.zeros((n, len(cells)), np.int8) if values is None else np.array(values, np.int8)
    return BinLabels(bins, cells, values, "CTCF")


def peak_folder(folder, relaxed=True):
    folder.mkdir()
    core, wide = one_peak(3000, 3200), make_table(["chr1"] * 2, [3000, 5000], [3200, 5200])
    for cell in ("typeA", "typeB"):
        write_narrow_peak(folder / f"{cell}.CTCF.conservative.narrowPeak.gz", core)
        if relaxed or cell == "typeA":
            write_narrow_peak(folder / f"{cell}.CTCF.relaxed.narrowPeak.gz", wide)
    return folder
