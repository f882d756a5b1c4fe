"""Binding in the bins of a genome: what a fine-tuned EBERT says of a cell type, streamed.

Needs a store with the genome and that cell type's tracks, no labels. Windows of neighbouring bins
share most of their bases: a stretch is tokenised once for all of them (`batches.overlapping`).
Axes: n bins, F factors.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.batches.motif_signals import is_motif
from epilm.batches.placement import making_cost, place_store
from epilm.device import batch_fits, found_device
from epilm.errors import UsageError
from epilm.finetuning.binding_run import BindingRun, load_binding
from epilm.models.binding import BindingModel
from epilm.store.reader import Store
from epilm.store.window_table import proxy_notes
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.dream.tracks import open_predictions
from epilm.tasks.binding.inside import check_inside

BATCH = 256
Autocast = Callable[[], AbstractContextManager[object]]
Say = Callable[[str], None]
Read = Callable[[slice], tuple[Windows, Windows | None]]

log = logging.getLogger(__name__)


def logits_of(
    model: nn.Module,
    windows: Windows,
    turned: Windows | None = None,
    *,
    device: torch.device | None = None,
    autocast: Autocast = nullcontext,
) -> Tensor:
    """Score windows, float32 (B, F); with `turned`, the same windows on the other strand, the mean
    of both.

    The encoder runs in the number format of `autocast`, the head in float32: logits in bf16 have
    256 values between two powers of two, and millions of bins would tie.
    """
    with torch.inference_mode():
        logits = _score(model, windows if device is None else windows.to(device), autocast)
        if turned is not None:
            logits = (
                logits + _score(model, turned if device is None else turned.to(device), autocast)
            ) / 2
    return logits


def _score(model: nn.Module, windows: Windows, autocast: Autocast) -> Tensor:
    if not isinstance(model, BindingModel):
        return model(windows).float()
    with autocast():
        hidden = model.trunk.encode_windows(windows)
    return model.head(hidden.float(), windows)


class BinBlock(NamedTuple):
    """Predictions of successive bins.

    Attributes
    ----------
    first : int
        Position of the first bin among those asked for.
    probabilities : float32 (n, F)
    """

    first: int
    probabilities: NDArray[np.float32]


def predict_bins(
    run: str | Path | BindingRun,
    store: str | Path | Store,
    cell: str,
    bins: Bins,
    *,
    batch: int = BATCH,
    both_strands: bool | None = None,
    device: str = "auto",
    autocast: Autocast | None = None,
    say: Say | None = None,
) -> Iterator[BinBlock]:
    """Say for every bin how probable it is that the factors bind there, block by block.

    Memory does not grow with the number of bins. Rows that are neighbours on the genome are
    tokenised together, so bins should come sorted, as `tasks.dream.bins` makes them; any order
    gives the same numbers.

    Parameters
    ----------
    run : path or BindingRun
        A run of `epilm finetune dream`, or its model folder.
    store : path or Store
        With the genome, and the tracks of `cell` that the model reads.
    cell : str
        Its name in the store; it need not be one the model was trained on.
    bins : Bins
        Of the width the model was trained on.
    batch : int
        Bins of a forward pass.
    both_strands : bool, optional
        The mean over both strands' logits; as in training where not given.
    device : {"auto", "cpu", "cuda", "mps"}
    autocast : callable, optional
        Number format; fp32 where not given.
    say : callable, optional
        Takes a line on where the store lies beside a GPU. Without it a store that finds no room
        there is a warning of the log.

    Yields
    ------
    BinBlock

    Raises
    ------
    StoreError
        If the store lacks a track, has other states, or the bins lie on chromosomes it has not.
    InputError
        If a bin ends past its chromosome.
    CheckpointError
    """
    run = run if isinstance(run, BindingRun) else load_binding(run)
    store = store if isinstance(store, Store) else Store.open(store)
    run.check(store, [cell])
    place = found_device(device)
    if bins.width != run.width:
        raise UsageError(
            "the bins are not those the model was made for",
            found=f"{bins.width} bp",
            expected=f"{run.width} bp",
        )
    for name in (bins.chroms[c] for c in np.unique(bins.chrom)):
        store.chrom_number(name)
    check_inside(
        bins,
        dict(zip(store.chroms, store.sizes, strict=True)),
        store=store.path,
        do="Bins and store are of two assemblies: make the bins on the store's chromosomes.",
    )
    both = run.about.get("strands") == "both" if both_strands is None else both_strands
    both = both and not run.bases  # FactorNet reads both strands by itself
    read = _reading(run, store, cell, bins, both)
    if place.type == "cuda":
        n = min(batch, len(bins))
        store = _near(store, run, place, lambda step: read(slice(n)), f"batch of {n} bins", say)
        read = _reading(run, store, cell, bins, both)
    return _blocks(run, read, len(bins), batch, place, autocast or nullcontext)


def _near(
    store: Store,
    run: BindingRun,
    device: torch.device,
    make: Callable[[int], object],
    what: str,
    say: Say | None,
) -> Store:
    """Put what the model reads on a GPU that has room; else, and for a control's made-up tracks,
    memory maps give the same bits.

    `make` reads a batch, `what`, on the host: what that costs is said where there is no room.
    """
    names = [name for name, _, _ in run.signals if not is_motif(name)]
    if not all(hasattr(store.signals[name], "to") for name in names):
        return store
    placed = place_store(store, device, ("dna", "states"), signals=names)
    line = placed.said
    if not placed.on_device:
        line = f"{line}, {making_cost(make, what)}, and none is made ahead"
        say = say or log.warning
    if say is not None:
        say(line)
    return placed.store


def _reading(run: BindingRun, store: Store, cell: str, bins: Bins, both: bool) -> Read:
    """Make the function that reads a slice of bins; with `both` on the other strand too."""
    reader, number = run.reader(store), store.cell_number(cell)
    flank = (run.window_bp - run.width) // 2
    to_store = np.array(
        [store.chroms.index(n) if n in store.chroms else -1 for n in bins.chroms], np.int64
    )

    def read(rows: slice) -> tuple[Windows, Windows | None]:
        chrom = to_store[np.asarray(bins.chrom[rows])]
        start = np.asarray(bins.start[rows], np.int64) - flank
        return reader(number, chrom, start), (
            reader(number, chrom, start, reverse=True) if both else None
        )

    return read


def _blocks(
    run: BindingRun, read: Read, n: int, batch: int, device: torch.device, autocast: Autocast
) -> Iterator[BinBlock]:
    model = run.model.to(device)
    was_training = model.training
    model.eval()
    try:
        for first in range(0, n, batch):
            rows = min(batch, n - first)

            def scored(count: int, first: int = first) -> Tensor:
                windows, turned = read(slice(first, first + count))
                logits = logits_of(model, windows, turned, device=device, autocast=autocast)
                return logits.sigmoid().cpu()

            with batch_fits(
                rows,
                scored,
                option="--batch-size",
                where=f"bins from {first:,} on",
                device=device,
                kind=UsageError,
            ):
                probabilities = scored(rows)
            yield BinBlock(first, probabilities.numpy())
    finally:
        model.train(was_training)


def write_bins(
    run: str | Path | BindingRun,
    store: str | Path | Store,
    cell: str,
    bins: Bins,
    out: str | Path,
    *,
    factor: str | None = None,
    batch: int = BATCH,
    both_strands: bool | None = None,
    device: str = "auto",
    autocast: Autocast | None = None,
    say: Say = lambda line: None,
) -> float:
    """Predict bins into a file: the challenge's format (.tab.gz), bigWig or Parquet, by its name;
    whole or absent.

    Parameters
    ----------
    factor : str, optional
        Which one, where the model knows several.
    say : callable
        Takes lines of progress, and on where the store lies.
    run, store, cell, bins, batch, both_strands, device, autocast
        See `predict_bins`.

    Returns
    -------
    float
        The mean probability.

    Raises
    ------
    UsageError
        If the factor is not one of the model's, or the file's kind is unknown.
    """
    run = run if isinstance(run, BindingRun) else load_binding(run)
    store = store if isinstance(store, Store) else Store.open(store)
    column = run.column(factor)
    blocks = predict_bins(
        run,
        store,
        cell,
        bins,
        batch=batch,
        both_strands=both_strands,
        device=device,
        autocast=autocast,
        say=say,
    )
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    for note in proxy_notes(store, [cell]) if run.reads_states else []:
        say(f"WARNING: {note}")
    about = {"factor": run.factors[column], "cell": cell, "run": str(run.path)}
    total, began, told = 0.0, time.monotonic(), 0.0
    with open_predictions(out, bins, sizes=sizes, about=about) as file:
        for block in blocks:
            scores = block.probabilities[:, column]
            file.write(scores)
            total += float(scores.sum(dtype=np.float64))
            spent = time.monotonic() - began
            if spent - told > 30:
                told, done = spent, block.first + len(scores)
                say(f"{done:,} of {len(bins):,} bins, {done / spent:,.0f} a second")
    return total / max(len(bins), 1)
