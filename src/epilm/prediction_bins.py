"""Binding in the bins of a genome: what a fine-tuned EBERT says of a cell type, streamed.

Needs a store with the genome and that cell type's tracks, no labels. Windows of neighbouring bins
share most of their bases: a stretch is tokenised once for all of them (`batches.overlapping`).
`BindingRun` is a fine-tuned model and what it must be told about: which tracks, which states,
which bins. Axes: n bins, F factors.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epilm.batches.motif_signals import Matrices, is_motif
from epilm.batches.overlapping import OverlappingReader
from epilm.batches.placement import place_store
from epilm.errors import CheckpointError, StoreError, UsageError, nearest
from epilm.hub.checkpoint import load_model, read_spec, save_model
from epilm.hub.load import find_checkpoint
from epilm.models.binding import BindingModel
from epilm.models.spec import ModelSpec
from epilm.store.reader import Store
from epilm.store.windows import proxy_notes
from epilm.streams import Windows, found_device
from epilm.tasks.dream.bins import Bins
from epilm.tasks.dream.inside import check_inside
from epilm.tasks.dream.tracks import open_predictions

# How a signal becomes a value of a token, where nothing else is said (protocols 5.8).
POOLING = {"accessibility": ("max", "log1p"), "mappability": ("min", "raw")}
Signal = tuple[str, str, str]  # name, how it is pooled, transform
BATCH = 256
Autocast = Callable[[], AbstractContextManager[object]]


def parse_signal(text: str) -> Signal:
    """Read "accessibility" or "accessibility:max:raw": name, pooling over a token, transform; or "motif:CTCF".

    Raises
    ------
    UsageError
        If a word is unknown.

    Examples
    --------
    >>> parse_signal("mappability"), parse_signal("accessibility:mean:raw")
    (('mappability', 'min', 'raw'), ('accessibility', 'mean', 'raw'))
    >>> parse_signal("motif:CTCF")
    ('motif:CTCF', 'max', 'raw')
    """
    if is_motif(text):
        return text, "max", "raw"
    name, *more = text.split(":")
    pool, transform = POOLING.get(name, ("max", "log1p"))
    pool = more[0] if more else pool
    transform = more[1] if len(more) > 1 else transform
    for word, known in ((pool, ("max", "min", "mean")), (transform, ("log1p", "raw"))):
        if word not in known or len(more) > 2:
            raise UsageError(
                "not a signal", found=text, expected="NAME or NAME:POOL:TRANSFORM", do=nearest(word, known)
            )
    return name, pool, transform


@dataclass
class BindingRun:
    """A model that says where factors bind, with what it was made from.

    Attributes
    ----------
    model : nn.Module
        Windows to logits (B, F), in evaluation mode.
    spec : ModelSpec
        Of the trunk; the tokens of a window are its own.
    about : dict
        JSON values: kind, head, factors, window_bp, width, signals, motifs, strands, cells, splits, state_names,
        state_bin, pretraining, settings, notes.
    path : Path or None
    """

    model: nn.Module
    spec: ModelSpec
    about: dict[str, Any]
    path: Path | None = None

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the F columns."""
        return tuple(self.about["factors"])

    @property
    def window_bp(self) -> int:
        """Bases read around a bin."""
        return int(self.about["window_bp"])

    @property
    def width(self) -> int:
        """Bases of a bin."""
        return int(self.about["width"])

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Name, pooling, transform of each signal that is read."""
        return tuple((str(n), str(p), str(t)) for n, p, t in self.about["signals"])

    @property
    def motifs(self) -> dict[str, Matrices]:
        """Matrices of the signals that are motifs' scores."""
        return dict(self.about.get("motifs", {}))

    @property
    def reads_states(self) -> bool:
        """Whether the model has a stream of states."""
        return "states" in self.spec.streams

    @property
    def bases(self) -> bool:
        """Whether the model reads bases and not tokens (FactorNet's kind)."""
        return self.about.get("kind") == "factornet"

    def column(self, factor: str | None = None) -> int:
        """Give the number of a factor; it need not be named where there is one.

        Raises
        ------
        UsageError
            If it is unknown, or there are several and none is named.
        """
        if factor is None:
            if len(self.factors) > 1:
                raise UsageError(
                    "the factor is not named", found=", ".join(self.factors), do="Name it with --factor."
                )
            return 0
        if factor not in self.factors:
            raise UsageError(
                "the model was not made for this factor", found=factor, do=nearest(factor, self.factors)
            )
        return self.factors.index(factor)

    def check(self, store: Store, cells: Sequence[str]) -> None:
        """Refuse a store whose states are others, or that lacks a track of a cell type.

        Raises
        ------
        StoreError
        """
        where = str(store.path)
        if self.reads_states:
            names, width = tuple(self.about.get("state_names") or ()), self.about.get("state_bin")
            if (
                store.states is not None
                and names
                and (tuple(store.states.names), store.states.bin) != (names, width)
            ):
                raise StoreError(
                    "the states of the store are not those the model was made with",
                    where=where,
                    found=f"{len(store.states.names)} states ({', '.join(store.states.names[:3])}, ...) in bins of {store.states.bin} bp",
                    expected=f"{len(names)} ({', '.join(names[:3])}, ...) in bins of {width} bp",
                    do="Build the store with the same segmentation (--states).",
                )
        check_tracks(store, cells, states=self.reads_states, signals=[name for name, _, _ in self.signals])

    def reader(self, store: Store) -> OverlappingReader:
        """Make what reads this model's windows from a store."""
        return OverlappingReader(
            store,
            self.spec,
            self.window_bp,
            signals=self.signals,
            motifs=self.motifs,
            codes=self.bases,
            tracks=self.bases and bool(self.signals),
        )


def check_tracks(store: Store, cells: Sequence[str], *, states: bool, signals: Sequence[str] = ()) -> None:
    """Refuse cell types that a store has no track of, naming the cure.

    Raises
    ------
    StoreError
    """
    where = str(store.path)
    numbers = [store.cell_number(cell) for cell in cells]
    if states:
        if store.states is None:
            raise StoreError(
                "the model reads chromatin states and the store has none",
                where=where,
                do="Build it with --states, or take a model of DNA alone.",
            )
        for cell, number in zip(cells, numbers, strict=True):
            if store.states.rows[number] < 0:
                raise StoreError(
                    "the cell type has no track of states",
                    where=where,
                    found=cell,
                    expected=f"one of {', '.join(_with(store, store.states.rows))}",
                    do=f"Build the store with --states {cell}=FILE, or declare a proxy: --cell-map {cell}=SOURCE.",
                )
    for name in signals:
        if is_motif(name):
            continue  # worked out from the bases
        if name not in store.signals:
            raise StoreError(
                "the store has no such signal",
                where=where,
                found=name,
                expected=", ".join(store.signals) or "none",
                do=f"Build it with --{name if name in POOLING else f'signal {name}:CELL'}=FILE, or leave it out of --signals.",
            )
        rows = store.signals[name].rows
        for cell, number in zip(cells, numbers, strict=True):
            if rows is not None and rows[number] < 0:
                raise StoreError(
                    f"the cell type has no {name}",
                    where=where,
                    found=cell,
                    expected=f"one of {', '.join(_with(store, rows))}",
                    do=f"Build the store with --{name} {cell}=FILE.",
                )


def _with(store: Store, rows: NDArray[np.int64]) -> list[str]:
    return [cell for cell, row in zip(store.cell_types, rows, strict=True) if row >= 0] or ["none"]


def save_binding(folder: str | Path, run: BindingRun, *, overwrite: bool = False) -> Path:
    """Write a model folder: safetensors and JSON, whole or absent."""
    extra: dict[str, Any] = {"binding": run.about, "store": run.about.get("store")}
    extra["card"] = f"Binding of {', '.join(run.factors)} in bins of {run.width} bp."
    return save_model(folder, run.model, run.spec, extra, overwrite=overwrite)


def load_binding(path: str | Path, device: str | torch.device = "cpu") -> BindingRun:
    """Open a run of `epilm finetune dream`, or its model folder.

    Raises
    ------
    CheckpointError
        If there is none, it is damaged, or it is another kind of model.
    """
    folder = find_checkpoint(path)
    if "binding" not in read_spec(folder)[1]:
        raise CheckpointError(
            "this is no binding model", where=str(folder), expected="a run of epilm finetune dream",
            do="Fine-tune it first, or name that run.",
        )  # fmt: skip
    model, spec, extra = load_model(folder, device=device)
    return BindingRun(model.eval(), spec, dict(extra["binding"]), folder)


def logits_of(
    model: nn.Module,
    windows: Windows,
    turned: Windows | None = None,
    *,
    device: torch.device | None = None,
    autocast: Autocast = nullcontext,
) -> Tensor:
    """Score windows, float32 (B, F); with `turned`, the same windows on the other strand, the mean of both.

    The encoder runs in the number format of `autocast`, the head in float32: logits in bf16 have 256 values
    between two powers of two, and millions of bins would tie.
    """
    with torch.inference_mode():
        logits = _score(model, windows if device is None else windows.to(device), autocast)
        if turned is not None:
            logits = (logits + _score(model, turned if device is None else turned.to(device), autocast)) / 2
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
) -> Iterator[BinBlock]:
    """Say for every bin how probable it is that the factors bind there, block by block.

    Memory does not grow with the number of bins. Rows that are neighbours on the genome are tokenised
    together, so bins should come sorted, as `tasks.dream.bins` makes them; any order gives the same numbers.

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
        bins, dict(zip(store.chroms, store.sizes, strict=True)), store=store.path,
        do="Bins and store are of two assemblies: make the bins on the store's chromosomes.",
    )  # fmt: skip
    if place.type == "cuda":
        store = _near(store, run, place)
    return _blocks(run, store, cell, bins, batch, both_strands, place, autocast or nullcontext)


def _near(store: Store, run: BindingRun, device: torch.device) -> Store:
    """Put what the model reads on a GPU that has room; else, and for a control's made-up tracks, memory maps give the same bits."""
    names = [name for name, _, _ in run.signals if not is_motif(name)]
    if not all(hasattr(store.signals[name], "to") for name in names):
        return store
    return place_store(store, device, ("dna", "states"), signals=names).store


def _blocks(
    run: BindingRun,
    store: Store,
    cell: str,
    bins: Bins,
    batch: int,
    both: bool | None,
    device: torch.device,
    autocast: Autocast,
) -> Iterator[BinBlock]:
    both = run.about.get("strands") == "both" if both is None else both
    both = both and not run.bases  # FactorNet reads both strands by itself
    reader, number = run.reader(store), store.cell_number(cell)
    model = run.model.to(device)
    was_training = model.training
    model.eval()
    flank = (run.window_bp - run.width) // 2
    to_store = np.array([store.chroms.index(n) if n in store.chroms else -1 for n in bins.chroms], np.int64)
    try:
        for first in range(0, len(bins.start), batch):
            rows = slice(first, first + batch)
            chrom = to_store[np.asarray(bins.chrom[rows])]
            start = np.asarray(bins.start[rows], np.int64) - flank
            windows = reader(number, chrom, start)
            turned = reader(number, chrom, start, reverse=True) if both else None
            logits = logits_of(model, windows, turned, device=device, autocast=autocast)
            yield BinBlock(first, logits.sigmoid().cpu().numpy())
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
    say: Callable[[str], None] = lambda line: None,
) -> float:
    """Predict bins into a file: the challenge's format (.tab.gz), bigWig or Parquet, by its name; whole or absent.

    Parameters
    ----------
    factor : str, optional
        Which one, where the model knows several.
    say : callable
        Takes lines of progress.
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
        run, store, cell, bins, batch=batch, both_strands=both_strands, device=device, autocast=autocast
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
