"""Windows that overlap their neighbours, tokenised once: what genome-wide prediction reads.

Bins stand every 50 bp and their windows are 1,000 bp wide, so each base is in twenty windows, at a
different place in its token in most of them. The k-mer, the state and the signal of a token
depend on where it begins and on nothing else: they are worked out once for every base of a stretch,
and a window picks every stride-th of them. The same numbers as `WindowReader`, which
reads whatever does not overlap. Axes: B windows, W bases, L tokens, S signals.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.batch import Windows
from epilm.batches.base_reader import tensor_of, transformed
from epilm.batches.motif_signals import Matrices
from epilm.batches.window_reader import WindowReader
from epilm.device import to_device
from epilm.models.model_spec import ModelSpec
from epilm.store.reader import Store
from epilm.tokens.kmers import kmer_ids, wrap
from epilm.tokens.pooling import SignalPool, pool_states, pool_to_tokens
from epilm.tokens.state_tokens import PAD_STATE, beside_tokens, state_ids


class OverlappingReader:
    """Windows of one cell type at many places, cheap where they overlap.

    Parameters
    ----------
    store : Store
    spec : ModelSpec
        Whose tokens.
    window_bp : int
    signals : sequence of (name, pool, transform)
    motifs : mapping
        Matrices of the signals "motif:NAME".
    """

    def __init__(
        self,
        store: Store,
        spec: ModelSpec,
        window_bp: int,
        *,
        signals: Sequence[tuple[str, str, str]] = (),
        motifs: Mapping[str, Matrices] | None = None,
    ) -> None:
        self.store, self.spec, self.window_bp, self.signals = store, spec, window_bp, tuple(signals)
        self.plain = WindowReader(store, spec, window_bp, signals=self.signals, motifs=motifs)
        self.tokens = self.plain.tokens
        self.shares = spec.tail == "drop"  # a k-mer filled up with N is the plain reader's business

    def __call__(self, cell: int, chroms: Any, starts: Any, *, reverse: bool = False) -> Windows:
        """Read windows.

        Parameters
        ----------
        cell : int
            Number of the cell type.
        chroms, starts : int64 numpy arrays (B,)
            Chromosome numbers and first bases, which may lie before the chromosome.
        reverse : bool
            Read the other strand.

        Returns
        -------
        Windows
            On the store's device.
        """
        chroms, starts = np.asarray(chroms, np.int64), np.asarray(starts, np.int64)
        runs = _runs(chroms, starts, self.window_bp) if self.shares else []
        bases = sum(int(starts[stop - 1] - starts[first]) + self.window_bp for first, stop in runs)
        if not runs or 2 * bases > len(starts) * self.tokens * self.spec.stride:
            strands = np.ones(len(starts), bool) if reverse else None
            return self.plain(np.full(len(starts), cell, np.int64), chroms, starts, strands)
        parts = [self._stretch(cell, int(chroms[a]), starts[a:b], reverse) for a, b in runs]
        ids, states, signals = (_joined([part[i] for part in parts]) for i in range(3))
        special, width = self.spec.special_tokens, self.plain.length
        tokens, mask = wrap(ids, cls=special, sep=special, pad_to=width)
        if states is not None:
            states = beside_tokens(states, special_tokens=special, width=width, fill=PAD_STATE)
        if signals is not None:
            signals = beside_tokens(signals, special_tokens=special, width=width, fill=0)
        return Windows(tokens, mask, states=states, signals=signals, full=self.plain.full)

    def _stretch(
        self, cell: int, chrom: int, starts: NDArray[np.int64], reverse: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Ids, states (B, T) and signals (B, T, S) of windows that overlap, without special
        tokens.
        """
        k, width = self.spec.k, self.window_bp
        first = int(starts[0])
        span = int(starts[-1]) - first + width
        cells, chroms = np.array([cell]), np.array([chrom])
        codes = tensor_of(self.store.bases(chroms, np.array([first]), span))
        if reverse:
            other = codes.flip(1)
            codes = torch.where(other > 3, other, 3 - other)
        every = kmer_ids(codes, k, 1)[0]  # the token that would begin at each base
        # Read backwards, the stretch begins where its last window ends.
        begins = first + span - width - starts if reverse else starts - first
        at = to_device(begins[:, None] + self.spec.stride * np.arange(self.tokens), every.device)
        states = signals = None
        if "states" in self.spec.streams and self.store.states is not None:
            table = self.store.states
            first_bin = first // table.bin
            offset = first - first_bin * table.bin
            bins = -(-(offset + span) // table.bin)
            stretch = tensor_of(table.gather(cells, chroms, np.array([first_bin]), bins))
            if reverse:
                stretch, offset = stretch.flip(1), bins * table.bin - offset - span
            into = torch.full((1,), offset, device=stretch.device)
            pooled = pool_states(stretch, into, bin=table.bin, k=k, stride=1, tokens=len(every))
            states = state_ids(pooled)[0][at]
        if self.signals:
            values = []
            for (_, how, transform), source in zip(
                self.signals, self.plain.bases.tables, strict=True
            ):
                signal = tensor_of(source.windows(cells, chroms, np.array([first]), span))
                pooled = pool_to_tokens(
                    signal.flip(1) if reverse else signal, k, 1, cast(SignalPool, how)
                )[0]
                values.append(transformed(pooled, transform)[at])
            signals = torch.stack(values, -1)
        return every[at], states, signals


def _runs(
    chroms: NDArray[np.int64], starts: NDArray[np.int64], width: int
) -> list[tuple[int, int]]:
    """Stretches of rows whose windows follow each other and overlap.

    Examples
    --------
    >>> _runs(np.array([0, 0, 0, 1]), np.array([0, 50, 5000, 5050]), 1000)
    [(0, 2), (2, 3), (3, 4)]
    """
    step = np.diff(starts)
    cut = np.flatnonzero((chroms[1:] != chroms[:-1]) | (step < 0) | (step >= width)) + 1
    edges = [0, *cut.tolist(), len(starts)]
    return list(pairwise(edges)) if len(starts) else []


def _joined(parts: list[Any]) -> Any:
    if parts[0] is None or len(parts) == 1:
        return parts[0]
    return torch.cat(parts)
