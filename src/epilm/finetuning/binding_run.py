"""A fine-tuned model of binding and what it must be told about: which tracks, which states, which
bins.

Written and read as a model folder (safetensors and JSON). `prediction_bins` predicts with it,
`training.binding` makes it. Axes: B windows, F factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from epilm.batches.motif_signals import Matrices, is_motif
from epilm.batches.overlapping import OverlappingReader
from epilm.errors import CheckpointError, StoreError, UsageError, nearest
from epilm.hub.checkpoint import load_model, read_spec, save_model
from epilm.hub.load import find_checkpoint
from epilm.models.model_spec import ModelSpec
from epilm.store.reader import Store

# How a signal becomes a value of a token, where nothing else is said (protocols 5.8).
POOLING = {"accessibility": ("max", "log1p"), "mappability": ("min", "raw")}
Signal = tuple[str, str, str]  # name, how it is pooled, transform


def parse_signal(text: str) -> Signal:
    """Read "accessibility" or "accessibility:max:raw": name, pooling over a token, transform; or
    "motif:CTCF".

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
                "not a signal",
                found=text,
                expected="NAME or NAME:POOL:TRANSFORM",
                do=nearest(word, known),
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
        JSON values: kind, head, factors, window_bp, width, signals, motifs, strands, cells, splits,
        state_names, state_bin, pretraining, settings, notes.
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
                    "the factor is not named",
                    found=", ".join(self.factors),
                    do="Name it with --factor.",
                )
            return 0
        if factor not in self.factors:
            raise UsageError(
                "the model was not made for this factor",
                found=factor,
                do=nearest(factor, self.factors),
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
                    found=(
                        f"{len(store.states.names)} states ({', '.join(store.states.names[:3])},"
                        f" ...) in bins of {store.states.bin} bp"
                    ),
                    expected=f"{len(names)} ({', '.join(names[:3])}, ...) in bins of {width} bp",
                    do="Build the store with the same segmentation (--states).",
                )
        check_tracks(
            store, cells, states=self.reads_states, signals=[name for name, _, _ in self.signals]
        )

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


def check_tracks(
    store: Store, cells: Sequence[str], *, states: bool, signals: Sequence[str] = ()
) -> None:
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
                    do=(
                        f"Build the store with --states {cell}=FILE, or declare a proxy: --cell-map"
                        f" {cell}=SOURCE."
                    ),
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
                do=(
                    f"Build it with --{name if name in POOLING else f'signal {name}:CELL'}=FILE, or"
                    " leave it out of --signals."
                ),
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


def is_binding(path: str | Path) -> bool:
    """Say whether a path is a run of `epilm finetune dream`, or its model folder."""
    try:
        return Path(path).is_dir() and "binding" in read_spec(find_checkpoint(path))[1]
    except CheckpointError:
        return False


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
            "this is no binding model",
            where=str(folder),
            expected="a run of epilm finetune dream",
            do="Fine-tune it first, or name that run.",
        )
    model, spec, extra = load_model(folder, device=device)
    return BindingRun(model.eval(), spec, dict(extra["binding"]), folder)
