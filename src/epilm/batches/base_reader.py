"""Windows of a store as bases, and signals base by base: all that a network without tokens reads.

`WindowReader` lays tokens beside what is read here. A window read from the other strand is its
reverse complement, with signals turned round. Memory maps and a store on a device give the same
bits; no step of Python per window. On the training path: torch, numpy and the standard library
only. Axes: B windows, W bases, S signals.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from epilm.batch import Windows
from epilm.batches.motif_signals import Matrices, MotifSignal, is_motif
from epilm.device import to_device
from epilm.errors import RecipeError, StoreError, nearest
from epilm.store.reader import Store
from epilm.tokens.pooling import SignalPool

SignalUse = tuple[str, str, str]  # name, pooling, transform


class BaseReader:
    """Read windows of one width.

    Parameters
    ----------
    store : Store
        Memory maps, or on a device (`store.to(device)`).
    window_bp : int
        W.
    signals : sequence of (name, pooling, transform)
        Signals of the store in the order of the result, transform "raw" or "log1p"; how they are
        pooled is the business of tokens.
    motifs : mapping
        Matrices of the signals "motif:NAME" (`motif_signals.choose_motifs`).

    Attributes
    ----------
    tables : list of SignalTable or MotifSignal
        What each signal is read from.

    Raises
    ------
    RecipeError
        If a pooling or a transform is unknown.
    StoreError
        If the store lacks a signal.
    """

    def __init__(
        self,
        store: Store,
        window_bp: int,
        *,
        signals: Sequence[SignalUse] = (),
        motifs: Mapping[str, Matrices] | None = None,
    ) -> None:
        self.store, self.window_bp, self.signals = store, window_bp, tuple(signals)
        self.tables = [_table(store, each, motifs or {}) for each in self.signals]

    def __call__(self, cell: int, chroms: Any, starts: Any, *, reverse: bool = False) -> Windows:
        """Read windows of one cell type, as `OverlappingReader` does."""
        chroms, starts = np.asarray(chroms, np.int64), np.asarray(starts, np.int64)
        strands = np.ones(len(starts), bool) if reverse else None
        return self.plain(np.full(len(starts), cell, np.int64), chroms, starts, strands)

    def plain(self, cells: Any, chroms: Any, starts: Any, strands: Any = None) -> Windows:
        """Read windows, each of a cell type and strand of its own.

        Parameters
        ----------
        cells, chroms : int64 (B,)
            Numbers of cell types and chromosomes of the store; numpy, tensor or list.
        starts : int64 (B,)
            First base; may be negative, and the window may end after the chromosome: N there,
            signal 0.
        strands : bool (B,), optional
            True: from the other strand. All False where not given.

        Returns
        -------
        Windows
            `codes`, and `tracks` where there are signals; without tokens. On the store's device.
        """
        cells, chroms, starts = self.numbers(cells), self.numbers(chroms), self.numbers(starts)
        turned = None if strands is None else self.flags(strands)
        codes, tracks = self.codes(chroms, starts, turned), None
        if self.signals:
            values = self.values(cells, chroms, starts, turned)
            kinds = (transform for _, _, transform in self.signals)
            tracks = torch.stack([transformed(*each) for each in zip(values, kinds)], -1)
        nothing = torch.zeros(len(codes), 1, dtype=torch.int64, device=codes.device)
        return Windows(nothing, nothing == 0, codes=codes, tracks=tracks)

    # -- the parts, on the store's device

    def numbers(self, numbers: Any) -> Any:
        """Integers as the store takes them."""
        if isinstance(self.store.genome, Tensor):
            return to_device(numbers, self.store.device, torch.int64)
        return np.asarray(numbers, dtype=np.int64)

    def flags(self, strands: Any) -> Any:
        """Booleans as the store takes them."""
        if isinstance(self.store.genome, Tensor):
            return to_device(strands, self.store.device, torch.bool)
        return np.asarray(strands, dtype=bool)

    def codes(self, chroms: Any, starts: Any, turned: Any) -> Tensor:
        """Bases in the order they are read: uint8 (B, W)."""
        codes = tensor_of(self.store.bases(chroms, starts, self.window_bp))
        if turned is None:
            return codes
        other = codes.flip(1)
        complement = torch.where(other > 3, other, 3 - other)
        return torch.where(tensor_of(turned)[:, None], complement, codes)

    def values(self, cells: Any, chroms: Any, starts: Any, turned: Any) -> list[Tensor]:
        """Each signal base by base, as it is stored: float32 (B, W)."""
        out = []
        for table in self.tables:
            values = tensor_of(table.windows(cells, chroms, starts, self.window_bp))
            if turned is not None:
                values = torch.where(tensor_of(turned)[:, None], values.flip(1), values)
            out.append(values)
        return out


def transformed(values: Tensor, transform: str) -> Tensor:
    """Give log(1 + x) of a signal, x below 0 (a track of log-ratios) as 0; or the signal as it is
    ("raw").

    Examples
    --------
    >>> transformed(torch.tensor([0.0, -3.0, 1.0]), "log1p")
    tensor([0.0000, 0.0000, 0.6931])
    """
    return values.clamp(min=0).log1p() if transform == "log1p" else values


def tensor_of(array: Any) -> Tensor:
    """See an array as a tensor."""
    return array if isinstance(array, Tensor) else torch.from_numpy(array)


def _table(store: Store, signal: SignalUse, motifs: Mapping[str, Matrices]) -> Any:
    """What a signal is read from, its pooling and transform checked."""
    name, how, transform = signal
    for key, value, known in (
        ("pooling", how, get_args(SignalPool)),
        ("transform", transform, ("raw", "log1p")),
    ):
        if value not in known:
            raise RecipeError(
                f"unknown {key}", where=f"signal {name}", found=value, do=nearest(value, known)
            )
    if is_motif(name):
        return MotifSignal(store, motifs[name])
    if name in store.signals:
        return store.signals[name]
    raise StoreError(
        f"the store has no signal {name}",
        where=str(store.path),
        found=", ".join(store.signals) or "no signals",
        do=(
            f"Build it with --{name}."
            if name in ("accessibility", "mappability")
            else f"Build it with --signal {name}:CELL=FILE."
        ),
    )
