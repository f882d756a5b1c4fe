"""What a model reads of a store: tokens, states, signals, motif scores; and whether it has them.

Tasks, prediction and controls ask this one thing. Axes: B windows, F factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.batches.base_reader import BaseReader
from epilm.batches.motif_signals import Matrices, is_motif
from epilm.batches.overlapping import OverlappingReader
from epilm.errors import StoreError, UsageError, nearest
from epilm.models.model_spec import ModelSpec
from epilm.store.identity import check_assembly, check_scales, check_states
from epilm.store.reader import Store

# How a signal becomes a value of a token, where nothing else is said (protocols 5.8).
POOLING = {"accessibility": ("max", "log1p"), "mappability": ("min", "raw")}
KEPT = ("assembly", "chrom_sizes", "signal_scales", "path")  # of the store a model was made with
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


@dataclass(frozen=True)
class Reads:
    """What a fine-tuned model reads around a place in a store's genome.

    Attributes
    ----------
    spec : ModelSpec
        Whose tokens.
    window_bp, width : int
        Bases read, and bases of the place in their middle.
    signals : tuple of (name, pooling, transform)
    motifs : dict
        Matrices of the signals that are motifs' scores.
    bases : bool
        Bases in place of tokens (the CNN, FactorNet's kind).
    states : bool
        Whether there is a stream of states, of examples that can have them.
    state_names : tuple of str, state_bin : int or None
        Of the segmentation it was made with.
    kept : dict
        What it keeps of the store it was made with (`store.identity.identity_of`).
    """

    spec: ModelSpec
    window_bp: int
    width: int
    signals: tuple[Signal, ...] = ()
    motifs: Mapping[str, Matrices] = field(default_factory=dict)
    bases: bool = False
    states: bool = False
    state_names: tuple[str, ...] = ()
    state_bin: int | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flank(self) -> int:
        """Bases of the window before the place."""
        return (self.window_bp - self.width) // 2

    def check(self, store: Store, cells: Sequence[str], *, other_assembly: bool = False) -> None:
        """Refuse a store of another genome or other states, or that lacks a track of a cell type.

        Raises
        ------
        CheckpointError, StoreError
        """
        where = str(self.kept.get("path") or "the model")
        check_assembly(store, self.kept, where, meant=other_assembly)
        if self.states:
            check_states(self.state_names, self.state_bin, store, where)
        names = [name for name, _, _ in self.signals]
        check_tracks(store, cells, states=self.states, signals=names)
        check_scales(self.kept, names, store, where)

    def reader(self, store: Store) -> OverlappingReader | BaseReader:
        """Make what reads this model's windows from a store."""
        how: dict[str, Any] = {"signals": self.signals, "motifs": self.motifs}
        if self.bases:
            return BaseReader(store, self.window_bp, **how)
        return OverlappingReader(store, self.spec, self.window_bp, **how)


def reads_of(spec: ModelSpec, about: Mapping[str, Any]) -> Reads:
    """Make it from what a model folder says."""
    return Reads(
        spec,
        int(about.get("window_bp") or 0),
        int(about.get("width") or 0),
        tuple((str(n), str(p), str(t)) for n, p, t in about.get("signals", ())),
        dict(about.get("motifs", {})),
        about["kind"] != "trunk",
        "states" in about.get("streams", ()),
        tuple(about.get("state_names") or ()),
        about.get("state_bin"),
        {key: about[key] for key in KEPT if about.get(key)},
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
