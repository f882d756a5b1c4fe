"""Where a factor binds in a cell type: bins, labels and predictions of the ENCODE-DREAM challenge.

`sources.load_bins` turns files into `BinLabels`; `submission` writes and reads predictions;
`challenge` knows the thirteen published pairs; `baselines` are what a model must beat.
"""

from epilm.tasks.binding.bins import Bins, grid, read_bins, split_bins
from epilm.tasks.binding.labels import BinLabels, labels_from_peaks, read_labels, write_labels
from epilm.tasks.binding.sources import load_bins

__all__ = [
    "BinLabels",
    "Bins",
    "grid",
    "labels_from_peaks",
    "load_bins",
    "read_bins",
    "read_labels",
    "split_bins",
    "write_labels",
]
