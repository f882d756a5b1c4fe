"""Next segment: which second part follows which first part, and the foreign ones (A5, A6).

"Follows" is asked of one cell type's ordered list of accessible regions, so the
same two regions can be neighbours in one cell type and not in another. Half of
the pairs, by hash, get a foreign second part, never the first part itself nor
its true successor. Every draw is a function of (seed, sample, step). Needs
torch and numpy; used by `maker`.
Axes: B samples, P pairs, R regions of a sample, n and m regions of a part.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from epilm.errors import RecipeError, TrainingError
from epilm.objectives.table import NextSegmentSpec
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import CellLists, Samples, Subset, cell_lists
from epilm.tokens.random import hash_bits, uniform

_SLOT, _LABEL, _NEGATIVE = 21, 22, 23  # first counters of the three draws


@dataclass(frozen=True)
class Pairs:
    """Region rows of both parts of P pairs, -1 where a part is shorter.

    Attributes
    ----------
    first : int64 (P, n)
    second : int64 (P, m)
    labels : int64 (P,)
        1 where the second follows the first.
    owner, number : int64 (P,)
        Sample (0..B-1) of each pair, and the pair's number inside it.
    """

    first: Tensor
    second: Tensor
    labels: Tensor
    owner: Tensor
    number: Tensor


class PairDraws:
    """Draw pairs of form cross.

    Parameters
    ----------
    store : Store
    samples : Samples
    sample_spec : SampleSpec
    spec : NextSegmentSpec
    seed : int
    subset : {"train", "holdout", "all"}

    Raises
    ------
    TrainingError
        If a cell type of the samples has neither a successor nor a foreign part to offer.
    RecipeError
        If the unit does not fit the size of a sample.
    """

    def __init__(
        self,
        store: Store,
        samples: Samples,
        sample_spec: SampleSpec,
        spec: NextSegmentSpec,
        seed: int,
        subset: Subset = "train",
    ) -> None:
        self.spec, self.seed, self.size = spec, seed, sample_spec.regions
        if spec.pairs < 1 or (spec.unit != "region" and spec.pairs != 1):
            raise RecipeError(
                "the value is out of range",
                where="objectives.next_segment.pairs",
                found=spec.pairs,
                expected="1" if spec.unit != "region" else "at least 1",
            )
        if spec.unit == "halves" and self.size < 2:
            raise RecipeError(
                "a sample of one region has no halves",
                where="objectives.next_segment.unit",
                found=f"halves with samples.regions {self.size}",
                expected="samples.regions of at least 2",
            )
        device = store.device
        self.half = self.size // 2
        # Regions of a foreign part, when it is drawn from a list rather than from the table of
        # samples.
        self.span = {"region": 1, "sample": self.size, "halves": self.size - self.half}[spec.unit]
        self._chrom = torch.from_numpy(store.regions["chrom"].astype(np.int64)).to(device)
        self._crosses = sample_spec.tail == "cross"
        self._lists = _Lists(samples.lists, device)
        self._regions = torch.from_numpy(samples.regions).to(device)
        self._cells = torch.from_numpy(samples.cells.astype(np.int64)).to(device)
        self._first = torch.from_numpy(samples.first).to(device)
        self._foreign = None
        if spec.negative == "other_cell":
            foreign = cell_lists(store, sample_spec, subset, foreign=True)
            self._foreign = _Lists(foreign, device)
            counts = foreign.bounds[:, -1] - foreign.bounds[:, 0]
            for cell in np.unique(samples.cells):
                if counts[cell] < self.span:
                    raise TrainingError(
                        "negatives of other cell types need regions that are not accessible in"
                        " this one",
                        where=f"cell type {store.cell_types[cell]}",
                        found=f"{counts[cell]} such regions",
                        expected=f"at least {self.span}",
                        do="Set objectives.next_segment.negative to same_cell or same_chrom.",
                    )
        else:
            rows = torch.arange(len(samples), device=device)
            for a in range(0, len(rows), 1 << 16):
                self._check(store, rows[a : a + (1 << 16)])

    def _check(self, store: Store, rows: Tensor) -> None:
        number = torch.zeros_like(rows)
        offset = torch.zeros_like(rows)
        _, low, high, out_low, out_high, has_next = self._room(rows, offset)
        stuck = ((high - low) - (out_high - out_low) <= 0) & ~has_next & (number == 0)
        if bool(stuck.any()):
            cell = int(self._cells[rows[stuck][0]])
            raise TrainingError(
                "a sample has neither a next segment nor a foreign one",
                where=f"cell type {store.cell_types[cell]}",
                found=f"{int(self._lists.bounds[cell, -1] - self._lists.bounds[cell, 0])} regions",
                expected="more regions than a pair takes",
                do=(
                    "Leave this cell type out (samples.holdout_cells), or set"
                    " objectives.next_segment.weight to 0."
                ),
            )

    def draw(self, rows: Tensor, step: int) -> Pairs:
        """Draw the pairs of samples.

        Parameters
        ----------
        rows : int64 (B,)
            Row numbers of the samples.
        step : int

        Returns
        -------
        Pairs
            P = B * spec.pairs with unit region, else P = B; pairs of a sample stand together.
        """
        per = self.spec.pairs if self.spec.unit == "region" else 1
        owner = torch.arange(len(rows), device=rows.device).repeat_interleave(per)
        number = torch.arange(per, device=rows.device).repeat(len(rows))
        row = rows[owner]
        offset = torch.zeros_like(row)
        if self.spec.unit == "region":
            inside = ((self._regions[row] >= 0).sum(1) - 1).clamp(min=1)
            offset = (uniform(self.seed, _SLOT, step, row, number) * inside).to(torch.int64)
        at, low, high, out_low, out_high, has_next = self._room(row, offset)
        room = (high - low) - (out_high - out_low)
        if self._foreign is not None:
            bounds = self._foreign.bounds[self._cells[row]]
            room = bounds[:, -1] - bounds[:, 0] - (self.span - 1)
        wish = hash_bits(self.seed, _LABEL, step, row, number) & 1
        # Without a successor the pair is a foreign one; without foreign regions a true one.
        labels = torch.where(has_next, torch.where(room > 0, wish, 1), 0)
        number_drawn = (uniform(self.seed, _NEGATIVE, step, row, number) * room.clamp(min=1)).to(
            torch.int64
        )
        first, true = self._true(row, at)
        if self._foreign is not None:
            second = self._foreign.run(self._cells[row], number_drawn, self.span)
        else:
            drawn = low + number_drawn
            drawn = drawn + torch.where(drawn >= out_low, out_high - out_low, 0)
            second = self._other(drawn)
        return Pairs(first, torch.where(labels[:, None] == 1, true, second), labels, owner, number)

    def _room(self, row: Tensor, offset: Tensor) -> tuple[Tensor, ...]:
        """Where A stands in its list, the range [low, high) of candidates and the part of it that
        is excluded.
        """
        cell, first = self._cells[row], self._first[row]
        at = first + offset
        chrom = self._chrom[self._lists.flat[at].to(torch.int64)]
        bounds = self._lists.bounds[cell]
        cell_end = bounds[:, -1]
        here_low, here_high = (bounds.gather(1, c[:, None])[:, 0] for c in (chrom, chrom + 1))
        group_end = cell_end if self._crosses else here_high
        wide = self.spec.negative != "same_chrom"
        low, high = (bounds[:, 0], cell_end) if wide else (here_low, here_high)
        if self.spec.unit == "region":
            has_next = at + 1 < group_end
            return at, low, high, at, at + 1 + (at + 1 < high).to(torch.int64), has_next
        # Candidates are rows of the table of samples: those that overlap A or its successor are
        # excluded.
        after = 2 * self.size if self.spec.unit == "sample" else self.size
        has_next = at + after <= group_end
        if self.spec.unit == "halves":
            has_next = (self._regions[row][:, self.half :] >= 0).any(1)
        low, high = (torch.searchsorted(self._first, edge.contiguous()) for edge in (low, high))
        out_low = torch.searchsorted(self._first, at - self.size + 1)
        out_high = torch.searchsorted(self._first, at + after)
        out_low, out_high = torch.maximum(out_low, low), torch.minimum(out_high, high)
        return at, low, high, out_low, out_high, has_next

    def _true(self, row: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        if self.spec.unit == "region":
            return self._lists.at(at)[:, None], self._lists.at(at + 1)[:, None]
        mine = self._regions[row].to(torch.int64)
        if self.spec.unit == "halves":
            return mine[:, : self.half], mine[:, self.half :]
        position = at[:, None] + self.size + torch.arange(self.size, device=row.device)
        return mine, self._lists.at(position)

    def _other(self, drawn: Tensor) -> Tensor:
        if self.spec.unit == "region":
            return self._lists.at(drawn)[:, None]
        theirs = self._regions[drawn.clamp(max=len(self._regions) - 1)].to(torch.int64)
        return theirs if self.spec.unit == "sample" else theirs[:, self.half :]


class _Lists:
    """`CellLists` on a device."""

    def __init__(self, lists: CellLists, device: torch.device) -> None:
        self.flat = torch.from_numpy(lists.flat).to(device)
        self.bounds = torch.from_numpy(lists.bounds).to(device)

    def at(self, place: Tensor) -> Tensor:
        return self.flat[place.clamp(0, len(self.flat) - 1)].to(torch.int64)

    def run(self, cell: Tensor, number: Tensor, span: int) -> Tensor:
        """`span` regions in order from place `number` of a cell type's list, int64 (P, span)."""
        return self.at(
            (self.bounds[cell, 0] + number)[:, None] + torch.arange(span, device=cell.device)
        )


def pairs_in_batch(
    regions: Tensor,
    cells: Tensor,
    rows: Tensor,
    *,
    negative: str,
    seed: int,
    step: int,
    chrom: Tensor,
    access: Tensor,
) -> tuple[Tensor, Tensor]:
    """Pairs of form bi: neighbours of each sample, and foreign regions from the same batch.

    The second part of a foreign pair is another sequence of the batch, so these pairs,
    unlike those of form cross, depend on which samples are in the batch (on their
    order they do not). A pair for which the batch has no foreign region is a true one.

    Parameters
    ----------
    regions : int64 (B, R)
    cells, rows : int64 (B,)
    negative : {"same_cell", "other_cell", "same_chrom"}
        Sequences of the same cell type; of another one and not accessible in this one;
        of the same cell type and chromosome.
    seed, step : int
    chrom : int64 (store's regions,)
    access : uint8 (store's regions, ceil(T / 8))

    Returns
    -------
    pair_index : int64 (P, 2)
        Into the B * R sequences of layout per_region; P = neighbouring pairs of real regions.
    labels : int64 (P,)
    """
    n, size = regions.shape
    sample = torch.arange(n, device=rows.device).repeat_interleave(size)
    slot = torch.arange(size, device=rows.device).repeat(n)
    flat = regions.reshape(-1)  # (B, R) -> (B * R,)
    follows = (slot < size - 1) & (flat >= 0)
    follows[:-1] &= flat[1:] >= 0
    first = follows.nonzero()[:, 0]
    mine, theirs = sample[first], sample[None, :]
    own, true = flat[first][:, None], flat[first + 1][:, None]
    other = flat[None, :]
    allowed = (other >= 0) & (other != own) & (other != true)
    if negative == "other_cell":
        here = cells[mine][:, None]
        bits = (access[other.clamp(min=0), here // 8].to(torch.int64) >> (7 - here % 8)) & 1
        allowed = allowed & (cells[theirs] != here) & (bits == 0)
    else:
        allowed = allowed & (cells[theirs] == cells[mine][:, None])
        if negative == "same_chrom":
            allowed = allowed & (chrom[other.clamp(min=0)] == chrom[own])
    row = rows[mine]
    rank = hash_bits(
        seed, _NEGATIVE, step, row[:, None], slot[first][:, None], rows[theirs], slot[None, :]
    )
    best = torch.where(allowed, rank, -1).argmax(1)
    wish = hash_bits(seed, _LABEL, step, row, slot[first]) & 1
    labels = torch.where(allowed.any(1), wish, 1)
    second = torch.where(labels == 1, first + 1, best)
    return torch.stack([first, second], 1), labels
