"""A factor that binds wherever a bin's middle is in one chromatin state: what a model of states
learns and one of DNA cannot.
"""

import numpy as np

from epilm.tasks.binding.options import BindingSpec
from epilm.tasks.binding import BinLabels, grid
from toy_tracks import toy_track_store

CHROMS = {"chr1": 40_000, "chr2": 20_000, "chr3": 20_000}
QUICK = BindingSpec(
    epochs=2,
    lr=2e-3,
    batch_size=64,
    negatives=2,
    valid_chroms=("chr2",),
    test_chroms=("chr3",),
    test_cells=("typeC",),
    window_bp=600,
    conv_channels=(32, 32),
    dense=32,
    dropout=0.0,
    valid_negatives=200,
    device="cpu",
    precision="fp32",
)


def toy_store(folder, **options):
    return toy_track_store(folder, **{"chroms": CHROMS, "n_states": 4, "n_share": 0.0} | options)


def toy_labels(store, factor="TF", state=1, ambiguous=0.0, cells=None):
    """1 where the state at the bin's middle is `state`; a share of bins ambiguous."""
    bins = grid(dict(zip(store.chroms, store.sizes, strict=True)), margin=0)
    chosen = cells or [
        c for c, row in zip(store.cell_types, store.states.rows, strict=True) if row >= 0
    ]
    values = []
    for cell in chosen:
        codes = np.asarray(store.states.of(store.cell_types.index(cell)))
        at = store.states.offsets[bins.chrom] + (bins.start + 100) // store.states.bin
        values.append(np.where(codes[at] == state, 1, 0))
    table = np.stack(values, 1).astype(np.int8)
    table[np.random.default_rng(0).random(table.shape) < ambiguous] = -1
    return BinLabels(bins, tuple(chosen), table, factor)
