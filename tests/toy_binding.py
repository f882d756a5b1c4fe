"""A factor that binds wherever a bin's middle is in one chromatin state: what a model of states
learns and one of DNA cannot.
"""

from dataclasses import replace

import numpy as np
import torch

from epilm.device import Place
from epilm.finetuning.finetune import finetune
from epilm.finetuning.scorer import ModelScorer
from epilm.finetuning.start import prepare
from epilm.tasks import TASKS
from epilm.tasks.binding import BinLabels, grid
from epilm.tasks.binding.binding_options import BindingOptions
from epilm.tasks.binding.rows import CellBins
from toy_tracks import toy_track_store

CHROMS = {"chr1": 20_000, "chr2": 10_000, "chr3": 10_000}
LARGE = {name: 2 * size for name, size in CHROMS.items()}  # enough to learn from
QUICK = BindingOptions(
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
    """1 where the state at the bin's middle is `state` (every fifth bin in a store without states);
    a share of bins ambiguous.
    """
    bins = grid(dict(zip(store.chroms, store.sizes, strict=True)), margin=0)
    if store.states is None:
        every = np.tile((np.arange(len(bins)) % 5 == 0)[:, None], len(store.cell_types))
        return BinLabels(bins, tuple(store.cell_types), every.astype(np.int8), factor)
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


def quick(store, labels=None, out=None, checkpoint="ebert", **changes):
    """A short fine-tuning, and the lines it said."""
    lines = []
    own = {name: changes.pop(name) for name in ("overwrite", "init", "head") if name in changes}
    result = finetune(
        "binding",
        labels if labels is not None else toy_labels(store),
        out,
        checkpoint=checkpoint,
        size="tiny",
        settings=replace(QUICK, store=store, **changes),
        say=lines.append,
        **own,
    )
    return result, lines


def started(checkpoint, store, settings=QUICK, factors=("TF",), **options):
    """What a fine-tuning would start from, and the lines on it."""
    task, settings = TASKS["binding"], replace(settings, store=store)
    tables = [toy_labels(store, factor) for factor in factors]
    lesson = task.lesson(tables, settings, lambda line: None)
    return prepare(task, lesson, settings, checkpoint, **{"size": "tiny"} | options)


CPU = Place(torch.device("cpu"), False, ())


def said(model, store, cell, bins, place=CPU, **options):
    """Probabilities (n, 2) of bins."""
    examples = CellBins(bins, store.cell_number(cell), tuple(store.chroms))
    return np.concatenate(list(ModelScorer(model, place, **options)(examples, store)))
