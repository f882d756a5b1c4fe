"""Examples become what a network reads: bases of their own, or windows around places of a store.

All have one face (`Reading`). Sequences are tokenised once for all epochs; places, and bases that
are cut from a genome, are read anew, neighbours together.
Axes: N examples, B rows, W bases, L tokens, F factors.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.batch import Windows
from epilm.batches.motif_signals import is_motif
from epilm.batches.placement import making_cost, place_store
from epilm.errors import InputError, UsageError
from epilm.finetuning.finetuned import Finetuned
from epilm.models.baselines import reverse_complement_codes
from epilm.store.reader import Store
from epilm.tasks.base import LabelledSequences
from epilm.tasks.locus_pairs import PairedSequences
from epilm.tokens.kmers import kmer_ids, wrap
from epilm.tokens.random import hash_bits

Rows = NDArray[np.int64]
Say = Callable[[str], None]
log = logging.getLogger(__name__)
_JITTER = 0xD8  # beside those of training.epochs and tasks.lesson


def shifts_of(rows: Rows, most: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw by how many bases the window of each row is moved in an epoch: -most to most.

    A function of (seed, epoch, row), whatever rows stand beside it.

    Examples
    --------
    >>> shifts_of(np.array([7, 8, 9]), 50, seed=0, epoch=0).tolist()
    [16, -34, 15]
    """
    drawn: NDArray[np.int64] = hash_bits(seed, _JITTER, epoch, rows) % (2 * most + 1) - most
    return drawn


class Reading(Protocol):
    """Examples as a network reads them.

    Attributes
    ----------
    notes : list of str
        What was cut or is not known.
    """

    notes: list[str]

    def windows(
        self,
        rows: Rows,
        strands: NDArray[np.bool_] | None = None,
        shifts: NDArray[np.int64] | None = None,
    ) -> Windows:
        """Rows in any order; with `strands`, from the other one where it is True; with `shifts`,
        so many bases further on the genome.
        """

    def blocks(self, rows: Rows, batch: int) -> Iterator[Rows]:
        """Positions in `rows`, so cut and ordered that a block is cheap to read."""

    def block(self, rows: Rows, *, reverse: bool = False) -> Windows:
        """Rows of one block."""


class OwnBases:
    """Sequences that bring their bases.

    Parameters
    ----------
    model : Finetuned
        Whose tokens; its position table says how long an input may be, the centre is kept.
    rows : LabelledSequences
    device : torch.device

    Raises
    ------
    InputError
        If a sequence is shorter than one k-mer.
    UsageError
        If the model reads signals, which a sequence has not.
    """

    def __init__(self, model: Finetuned, rows: LabelledSequences, device: torch.device) -> None:
        self.device = device
        self.notes: list[str] = []
        _refuse_signals(model, "sequences")
        self.factors = _fusion_scores(model, rows, device)
        self.pieces = np.ones(len(rows), np.int64)  # of each row
        self.codes: Tensor | None = None
        self.ids: list[Tensor] = []
        if model.bases:
            self.codes = torch.from_numpy(np.ascontiguousarray(rows.codes)).to(device)
            self.lengths = torch.from_numpy(rows.lengths).to(device)
        else:
            self._tokenise(model, rows, device)
        self._first = np.cumsum(self.pieces) - self.pieces
        self._order = np.add.reduceat(self.lengths.cpu().numpy(), self._first)
        if model.reads.states:
            self.notes.append(
                "the model reads chromatin states and sequences have none: every state is unknown"
            )

    def _tokenise(self, model: Finetuned, rows: LabelledSequences, device: torch.device) -> None:
        """Token ids (N, L), once for all epochs; of the other strand when they are asked for."""
        codes, lengths, spec = rows.codes, rows.lengths, model.spec
        if lengths.min() < spec.k:
            row = int(lengths.argmin())
            raise InputError(
                "the sequence is shorter than one k-mer",
                where=str(rows.origin[row]),
                found=f"{lengths[row]} bp",
                expected=f"at least {spec.k} bp",
            )
        special = 2 * spec.special_tokens
        widest = (model.max_tokens - special - 1) * spec.stride + spec.k  # bases of the longest
        cropped = int((lengths > widest).sum())
        if cropped and model.about.get("longer") == "chunks":
            overlap = int(model.about["overlap"])
            codes, lengths, self.pieces = chunks_of(codes, lengths, widest, overlap)
            self.notes.append(
                f"{cropped} sequences are longer than the {widest} bp that the model reads at once:"
                f" in chunks of that, {int(self.pieces.max())} at most, {overlap} bp shared"
            )
        elif cropped:
            if model.about.get("longer") == "refuse":
                row = int(lengths.argmax())
                raise InputError(
                    "the sequence is longer than the model reads",
                    where=str(rows.origin[row]),
                    found=f"{lengths[row]} bp ({cropped} such)",
                    expected=f"at most {widest} bp",
                    do="Cut it, or fine-tune with --longer cut, positions or chunks.",
                )
            codes, lengths = _centre(codes, lengths, widest)
            self.notes.append(
                f"{cropped} sequences are longer than the model reads: their centre was used"
            )
        forward = torch.from_numpy(np.ascontiguousarray(codes))
        tokens = torch.from_numpy((lengths - spec.k) // spec.stride + 1)

        def ids_of(bases: Tensor) -> Tensor:
            """Bases (N, W) to token ids (N, L)."""
            wrapped, _ = wrap(
                kmer_ids(bases, spec.k, spec.stride),
                tokens,
                cls=spec.special_tokens,
                sep=spec.special_tokens,
            )
            return wrapped.int().to(device)

        self.ids.append(ids_of(forward))
        # Asked for by training from either strand, or by a prediction from both of a model that
        # learned from one.
        self._turned = lambda: ids_of(reverse_complement_codes(forward, torch.from_numpy(lengths)))
        self.lengths = (tokens + special).to(device)

    def windows(
        self,
        rows: Rows,
        strands: NDArray[np.bool_] | None = None,
        shifts: NDArray[np.int64] | None = None,
    ) -> Windows:
        """See `Reading.windows`; bases beside a sequence are not known.

        Raises
        ------
        UsageError
            If it is to be shifted.
        """
        if shifts is not None:
            raise UsageError(
                "sequences bring their bases, and those beside them are not known",
                where="--jitter",
                expected="0, or places of a store",
            )
        at = torch.from_numpy(rows).to(self.device)
        factors = None if self.factors is None else self.factors[at][:, None]
        at, owner = torch.from_numpy(self._first[rows]).to(self.device), None
        if (self.pieces[rows] > 1).any():
            numbers, whose = self._pieces_of(rows, strands)
            strands = None if strands is None else strands[whose]
            at = torch.from_numpy(numbers).to(self.device)
            owner = torch.from_numpy(whose).to(self.device)
        lengths = self.lengths[at]
        if self.codes is not None:
            codes = self.codes[at]
            if strands is not None:
                turned = reverse_complement_codes(codes, lengths)
                codes = torch.where(
                    torch.from_numpy(strands).to(self.device)[:, None], turned, codes
                )
            nothing = torch.zeros(len(at), 1, dtype=torch.int64, device=self.device)
            return Windows(nothing, nothing > 0, codes=codes, lengths=lengths, factors=factors)
        widest = int(lengths.max())
        ids = self.ids[0][at, :widest].long()
        if strands is not None:
            if len(self.ids) == 1:
                self.ids.append(self._turned())
            turned = self.ids[1][at, :widest].long()
            ids = torch.where(torch.from_numpy(strands).to(self.device)[:, None], turned, ids)
        mask = torch.arange(widest, device=self.device) < lengths[:, None]
        return Windows(ids, mask, factors=factors, owner=owner)

    def _pieces_of(
        self, rows: Rows, strands: NDArray[np.bool_] | None
    ) -> tuple[Rows, NDArray[np.int64]]:
        """Numbers of the pieces of rows, and the row in `rows` of each; from the other strand the
        last piece comes first.
        """
        counts = self.pieces[rows]
        whose = np.repeat(np.arange(len(rows)), counts)
        step = np.arange(len(whose)) - np.repeat(np.cumsum(counts) - counts, counts)
        if strands is not None:
            step = np.where(strands[whose], counts[whose] - 1 - step, step)
        return self._first[rows][whose] + step, whose

    def blocks(self, rows: Rows, batch: int) -> Iterator[Rows]:
        """Rows of like length share a block of so many pieces, and a row at least."""
        order = np.argsort(self._order[rows], kind="stable")
        yield from blocks_of_pieces(order, self.pieces[rows][order], batch)

    def block(self, rows: Rows, *, reverse: bool = False) -> Windows:
        """See `Reading.block`."""
        return self.windows(rows, np.ones(len(rows), bool) if reverse else None)


class PairedBases:
    """Pairs of sequences that bring their bases: windows of 2 B rows, the first loci of B pairs and
    then the second ones (`models.siamese`). A locus of many pairs is tokenised once.

    Parameters
    ----------
    model : Finetuned
    rows : PairedSequences
    device : torch.device

    Raises
    ------
    InputError, UsageError
        As `OwnBases`.
    """

    def __init__(self, model: Finetuned, rows: PairedSequences, device: torch.device) -> None:
        loci, self.pairs = rows.table_of_loci()
        self.own = OwnBases(model, loci, device)
        self.notes = self.own.notes
        self._order = rows.lengths + rows.second.lengths
        self._counts = self.own.pieces[self.pairs].sum(1)

    def windows(
        self,
        rows: Rows,
        strands: NDArray[np.bool_] | None = None,
        shifts: NDArray[np.int64] | None = None,
    ) -> Windows:
        """See `Reading.windows`; seen from the other strand the second locus comes first."""
        pairs = self.pairs[rows]
        if strands is not None:
            pairs = np.where(strands[:, None], pairs[:, ::-1], pairs)
            strands = np.concatenate([strands, strands])
        return self.own.windows(np.concatenate([pairs[:, 0], pairs[:, 1]]), strands, shifts)

    def blocks(self, rows: Rows, batch: int) -> Iterator[Rows]:
        """Pairs of like length share a block of so many pairs, or of pieces of twice as many."""
        order = np.argsort(self._order[rows], kind="stable")
        yield from blocks_of_pieces(order, self._counts[rows][order], 2 * batch)

    def block(self, rows: Rows, *, reverse: bool = False) -> Windows:
        """See `Reading.block`."""
        return self.windows(rows, np.ones(len(rows), bool) if reverse else None)


class AroundPlaces:
    """Windows around places of a store, in a cell type each.

    Parameters
    ----------
    model : Finetuned
    examples : BindingRows, CellBins, or their like
        `take(rows)` gives cells, chroms and starts; `groups(rows)` what lies together.
    store : Store
        On the device that computes where it has room: see `near`.
    """

    def __init__(self, model: Finetuned, examples: Any, store: Store) -> None:
        self.examples, self.flank = examples, model.reads.flank
        self.reader = model.reads.reader(store)
        self.notes: list[str] = []

    def windows(
        self,
        rows: Rows,
        strands: NDArray[np.bool_] | None = None,
        shifts: NDArray[np.int64] | None = None,
    ) -> Windows:
        """See `Reading.windows`."""
        places = self.examples.take(rows)
        starts = places.starts - self.flank
        starts = starts if shifts is None else starts + shifts
        return self.reader.plain(places.cells, places.chroms, starts, strands)

    def blocks(self, rows: Rows, batch: int) -> Iterator[Rows]:
        """Rows of one cell type share a block, in the genome's order."""
        for group in self.examples.groups(rows):
            for at in range(0, len(group), batch):
                yield group[at : at + batch]

    def block(self, rows: Rows, *, reverse: bool = False) -> Windows:
        """Neighbours are tokenised once for all of them."""
        places = self.examples.take(rows)
        cell = int(places.cells[0])
        return self.reader(cell, places.chroms, places.starts - self.flank, reverse=reverse)


class DrawnBases:
    """Rows whose bases are cut when they are asked for, all of one width: those of a genome are
    never in memory as windows.

    Parameters
    ----------
    model : Finetuned
        That reads bases, or cuts them into tokens by itself.
    examples : SpliceBlocks, or their like
        `take(rows)` gives `codes` (B, W).

    Raises
    ------
    UsageError
        If the model reads signals, which such a row has not.
    """

    def __init__(self, model: Finetuned, examples: Any) -> None:
        self.examples = examples
        self.notes: list[str] = []
        _refuse_signals(model, "the rows")

    def windows(
        self,
        rows: Rows,
        strands: NDArray[np.bool_] | None = None,
        shifts: NDArray[np.int64] | None = None,
    ) -> Windows:
        """See `Reading.windows`; a row has one strand and one place."""
        assert strands is None, "the task refuses --both-strands"
        assert shifts is None, "the task has no --jitter"
        codes = torch.from_numpy(self.examples.take(rows).codes)
        nothing = torch.zeros(len(rows), 1, dtype=torch.int64)
        return Windows(nothing, nothing == 0, codes=codes)

    def blocks(self, rows: Rows, batch: int) -> Iterator[Rows]:
        """Rows in their order."""
        for at in range(0, len(rows), batch):
            yield np.arange(at, min(at + batch, len(rows)))

    def block(self, rows: Rows, *, reverse: bool = False) -> Windows:
        """See `Reading.block`."""
        assert not reverse, "the task refuses --both-strands"
        return self.windows(rows)


def reading_of(
    model: Finetuned, examples: Any, store: Store | None, device: torch.device, say: Say | None
) -> Reading:
    """Make what reads examples for a model.

    Raises
    ------
    InputError, UsageError, StoreError
    """
    if (loci := int(model.about.get("loci", 1))) != getattr(examples, "loci", 1):
        read = ("one locus", "a pair of loci")
        raise UsageError(
            f"the model reads {read[loci == 2]}, and a row is {read[loci != 2]}",
            where=str(model.path or model.about["task"]),
            do="Give it what its task reads: epilm ls tasks.",
        )
    if isinstance(examples, PairedSequences):
        return PairedBases(model, examples, device)
    if isinstance(examples, LabelledSequences):
        return OwnBases(model, examples, device)
    if store is None:
        return DrawnBases(model, examples)
    return AroundPlaces(model, examples, near(store, model, examples, device, say))


def near(
    store: Store, model: Finetuned, examples: Any, device: torch.device, say: Say | None
) -> Store:
    """Put what the model reads on a GPU that has room; else, and for a control's made-up tracks,
    memory maps give the same bits, and what that costs is said.
    """
    reads = model.reads
    names = [name for name, _, _ in reads.signals if not is_motif(name)]
    if device.type != "cuda" or not all(hasattr(store.signals[name], "to") for name in names):
        return store
    placed = place_store(store, device, ("dna", "states"), signals=names)
    line = placed.said
    if not placed.on_device:
        sample = examples.take(np.arange(min(len(examples), 256)))
        reader = reads.reader(store)
        cost = making_cost(
            lambda step: reader.plain(sample.cells, sample.chroms, sample.starts - reads.flank),
            f"batch of {len(sample.starts)} windows",
        )
        line = f"{line}, {cost}, and none is made ahead"
    (say or log.warning)(line)
    return placed.store


def _fusion_scores(
    model: Finetuned, rows: LabelledSequences, device: torch.device
) -> Tensor | None:
    """Normalised motif scores (N, F) of the inputs themselves, where the model is fused."""
    if model.about.get("fusion", "none") == "none":
        return None
    raw = _best_scores(model, rows)
    mean = np.array(model.about["factor_mean"], np.float32)
    spread = np.array(model.about["factor_sd"], np.float32)
    scores = (raw - mean) / np.maximum(spread, 1e-6)
    return torch.from_numpy(scores.astype(np.float32)).to(device)


def _best_scores(model: Finetuned, rows: LabelledSequences) -> NDArray[np.float32]:
    """Best score (N, F) of each motif of a fused model."""
    # Here alone: what reads no motifs trains without the scanner (numba).
    from epilm.motifs.matrix import best_of_sequences

    return best_of_sequences(rows.codes, rows.lengths, model.fusion_motifs)


def learn_fusion_scale(model: Finetuned, learned: LabelledSequences) -> None:
    """Keep mean and deviation of the motif scores of what is learned from, if it reads any."""
    if model.about.get("fusion", "none") == "none" or "factor_mean" in model.about:
        return
    raw = _best_scores(model, learned)
    model.about["factor_mean"] = raw.mean(0).astype(float).tolist()
    model.about["factor_sd"] = raw.std(0).astype(float).tolist()


def chunks_of(
    codes: NDArray[np.uint8], lengths: NDArray[np.int64], width: int, overlap: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Cut rows in pieces of one width, as few as share `overlap` bases with their neighbours,
    evenly from end to end. A row that fits is one piece.

    Parameters
    ----------
    codes : uint8 (N, W)
    lengths : int64 (N,)
    width : int
        Bases of a piece.
    overlap : int

    Returns
    -------
    codes : uint8 (M, width), lengths : int64 (M,)
    pieces : int64 (N,)
        How many of the M are of each row, in its order.

    Raises
    ------
    UsageError
        If a piece would not reach beyond what it shares.

    Examples
    --------
    >>> codes = np.arange(9, dtype=np.uint8)[None] % 4
    >>> pieces, lengths, counts = chunks_of(codes, np.array([9]), 5, 2)
    >>> pieces.tolist(), counts.tolist()
    ([[0, 1, 2, 3, 0], [2, 3, 0, 1, 2], [0, 1, 2, 3, 0]], [3])
    """
    if overlap >= width:
        raise UsageError(
            "a chunk must reach beyond what it shares with the next",
            where="--overlap",
            found=overlap,
            expected=f"below the {width} bp of a chunk",
        )
    counts = np.maximum(-(-(lengths - overlap) // (width - overlap)), 1)
    row = np.repeat(np.arange(len(codes)), counts)
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    gap = np.maximum(lengths - width, 0)[row]
    start = number * gap // np.maximum(counts - 1, 1)[row]
    at = start[:, None] + np.arange(width)
    inside = at < lengths[row][:, None]
    cut = np.where(inside, codes[row[:, None], np.minimum(at, codes.shape[1] - 1)], 4)
    return cut.astype(np.uint8), np.minimum(lengths[row], width), counts


def blocks_of_pieces(
    order: NDArray[np.int64], pieces: NDArray[np.int64], most: int
) -> Iterator[NDArray[np.int64]]:
    """Rows in an order, as many at a time as have so many pieces together, and one at least.

    Examples
    --------
    >>> blocks = blocks_of_pieces(np.arange(5), np.array([1, 1, 1, 3, 9]), 3)
    >>> [block.tolist() for block in blocks]
    [[0, 1, 2], [3], [4]]
    """
    first = total = 0
    for at, count in enumerate(pieces.tolist()):
        if at > first and total + count > most:
            yield order[first:at]
            first, total = at, 0
        total += count
    if first < len(order):
        yield order[first:]


def _centre(
    codes: NDArray[np.uint8], lengths: NDArray[np.int64], widest: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Cut rows to `widest` bases around their middle."""
    start = np.maximum(lengths - widest, 0) // 2
    at = start[:, None] + np.arange(min(widest, codes.shape[1]))
    inside = at < lengths[:, None]
    cut = np.where(inside, np.take_along_axis(codes, np.minimum(at, codes.shape[1] - 1), 1), 4)
    return cut.astype(np.uint8), np.minimum(lengths, widest)


def _refuse_signals(model: Finetuned, rows: str) -> None:
    if model.about.get("signals"):
        raise UsageError(
            f"the model reads signals, and {rows} have none",
            found=", ".join(name for name, _, _ in model.reads.signals),
            expected="places in a store, in a cell type",
        )
