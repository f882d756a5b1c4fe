"""Vectors of places in a store: bases, and the cell type where the model reads one.

A place longer than the model reads is cut into pieces of equally many k-mers, as `Loaded.embed`
cuts sequences; its vector is the mean of theirs. Axes: N places, L tokens, H hidden.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.batch import Sequences
from epilm.batches.window_reader import WindowReader
from epilm.hub.load import Loaded, Pool, find_trunk, places_of_pool, pool_of
from epilm.models.genebert import GeneBERT
from epilm.store.reader import Store
from epilm.tokens.kmers import n_window_tokens

Ints = NDArray[np.int64]


def reads_of_cell(model: Loaded) -> str:
    """What a model reads of a cell type: "states", "vector" (GeneBERT's cell_embedding), or ""."""
    trunk = find_trunk(model.model)
    if trunk is not None and trunk.states is not None:
        return "states"
    own = model.model
    return "vector" if isinstance(own, GeneBERT) and own.cells is not None else ""


def tokens_of(model: Loaded, widths: Ints) -> Ints:
    """Count the k-mers of places of so many bases."""
    spec = model.spec
    tail = spec.tail if reads_of_cell(model) == "states" else "drop"
    kinds, inverse = np.unique(widths, return_inverse=True)
    counts = [n_window_tokens(int(width), spec.k, spec.stride, tail) for width in kinds]
    return np.array(counts, np.int64)[inverse]


def pieces_of(model: Loaded, widths: Ints) -> Ints:
    """Count the pieces that places of so many bases are read in."""
    return -(-tokens_of(model, widths) // model.room)


class PlaceVectors:
    """Places of a store to vectors.

    Parameters
    ----------
    model : Loaded
        On the device that computes.
    store : Store
        That the model reads; checked by the caller.
    pool : {"cls", "mean", "pooler", "max"}
    batch_size : int
        Pieces of a forward pass.
    """

    def __init__(self, model: Loaded, store: Store, pool: Pool, batch_size: int) -> None:
        self.model, self.store, self.pool, self.batch = model, store, pool, batch_size
        self.reads = reads_of_cell(model)
        # Rows are padded to the longest of their batch here, not to the longest of all.
        self.spec = replace(model.spec, pad_to_max=False)

    def __call__(self, chroms: Ints, starts: Ints, ends: Ints, cells: Ints) -> NDArray[np.float32]:
        """Give vectors, float32 (N, H), of places [start, end) on chromosome numbers.

        `cells` are numbers of the store's cell types; not read where the model reads none.
        """
        if not self.reads:
            codes = [
                np.asarray(self.store.bases([chrom], [start], int(end - start)))[0]
                for chrom, start, end in zip(chroms, starts, ends, strict=True)
            ]
            return self.model.embed(codes, pooling=self.pool, batch_size=self.batch)
        owner, at, widths = self._cut(starts, ends - starts)
        ids: list[Tensor] = [torch.zeros(0)] * len(owner)
        states: list[Tensor | None] = [None] * len(owner)
        for width in np.unique(widths):
            here = np.flatnonzero(widths == width)
            row = owner[here]
            reader = WindowReader(self.store, self.spec, int(width))
            windows = reader(cells[row], chroms[row], at[here])
            for n, piece in enumerate(here.tolist()):
                ids[piece] = windows.ids[n]
                states[piece] = None if windows.states is None else windows.states[n]
        return self._mean(ids, states, cells, owner, len(starts))

    def _cut(self, starts: Ints, widths: Ints) -> tuple[Ints, Ints, Ints]:
        """Owner, first base and width of each piece."""
        k, stride, room = self.spec.k, self.spec.stride, self.model.room
        owner, at, out = [], [], []
        for row, tokens in enumerate(tokens_of(self.model, widths).tolist()):
            if tokens <= room:
                owner.append(row)
                at.append(int(starts[row]))
                out.append(int(widths[row]))
                continue
            first = 0
            for part in np.array_split(np.arange(tokens), -(-tokens // room)):
                begin, bases = first * stride, (len(part) - 1) * stride + k
                owner.append(row)
                at.append(int(starts[row]) + begin)
                # The last k-mer may be one that the end of the place cuts short (tail=pad).
                out.append(min(bases, int(widths[row]) - begin))
                first += len(part)
        return np.array(owner, np.int64), np.array(at, np.int64), np.array(out, np.int64)

    def _mean(
        self,
        ids: list[Tensor],
        states: list[Tensor | None],
        cells: Ints,
        owner: Ints,
        count: int,
    ) -> NDArray[np.float32]:
        """Vectors of pieces, and of each place their mean."""
        lengths = np.array([len(piece) for piece in ids])
        total = np.zeros((count, self.model.encoder.hidden))
        order = np.argsort(lengths, kind="stable")
        with torch.inference_mode():
            for begin in range(0, len(order), self.batch):
                rows = order[begin : begin + self.batch]
                vectors = self._encode(
                    [ids[row] for row in rows], [states[row] for row in rows], cells[owner[rows]]
                )
                np.add.at(total, owner[rows], vectors.double().cpu().numpy())
        return (total / np.bincount(owner, minlength=count)[:, None]).astype(np.float32)

    def _encode(self, ids: list[Tensor], states: list[Tensor | None], cells: Ints) -> Tensor:
        """Pool pieces (n, L) that are padded to the longest of them."""
        encoder = self.model.encoder
        device = encoder.words.weight.device

        def padded(rows: list[Tensor]) -> Tensor:
            return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)

        table = padded(ids)
        lengths = torch.tensor([len(row) for row in ids], device=device)
        mask = torch.arange(table.shape[1], device=device) < lengths[:, None]
        if self.reads == "vector":
            own = self.model.model
            assert isinstance(own, GeneBERT)
            read = own.read(
                Sequences(table, torch.zeros_like(table), mask),
                torch.from_numpy(cells).to(device),
                whole=True,
            )
            return pool_of(read.tokens, mask, self.pool, encoder.pooler)
        trunk = find_trunk(self.model.model)
        assert trunk is not None
        rows = places_of_pool(table, self.pool)
        beside = padded([row for row in states if row is not None])
        hidden = trunk.encode(table, mask, beside, rows=rows)
        return pool_of(hidden, mask, self.pool, encoder.pooler)
