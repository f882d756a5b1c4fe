"""Labels side by side in a store's numbers, and the rows of every epoch.

A row is a (bin, cell type). An epoch is every positive row once and so many negatives for
each, drawn anew: a pure function of (seed, epoch), never a list of all rows. Ambiguous bins
are in neither (protocols 6.1). Axes: n bins, C cell types of the labels, F factors.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.tasks.binding.bins import chrom_type
from epilm.tokens.random import hash_bits, permutation, scrambled

_NEGATIVES, _ORDER, _PASS, _VALID = 0xD0, 0xD1, 0xD2, 0xD3  # keep the draws apart


class StoreRows(NamedTuple):
    """Rows that lie in a store's genome.

    Attributes
    ----------
    cells, chroms : int64 (B,)
        Numbers of cell types and chromosomes of the store.
    starts : int64 (B,)
        First base of the place itself; the window around it is the reader's.
    labels : int8 (B, F) or None
    """

    cells: NDArray[np.int64]
    chroms: NDArray[np.int64]
    starts: NDArray[np.int64]
    labels: Any = None


@dataclass(frozen=True)
class BindingRows:
    """Labels of F factors over n bins and C cell types, in a store's numbers.

    Row `b * C + c` is bin b in cell type c.

    Attributes
    ----------
    chrom : int16 (n,), start : int64 (n,)
        Chromosome number in the store (`bins.chrom_type`), first base; sorted.
    width : int
        Of a bin, bp.
    values : int8 (n, C, F)
        1 bound, 0 unbound, -1 ambiguous or not known.
    cells : tuple of str, length C
    cell_numbers : int64 (C,)
        In the store.
    factors : tuple of str, length F
    chroms : tuple of str
        Names of the store's chromosomes.
    notes : tuple of str
        What was left out.
    """

    chrom: NDArray[np.signedinteger[Any]]
    start: NDArray[np.int64]
    width: int
    values: NDArray[np.int8]
    cells: tuple[str, ...]
    cell_numbers: NDArray[np.int64]
    factors: tuple[str, ...]
    chroms: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.n_bins * len(self.cells)

    @property
    def n_bins(self) -> int:
        """Bins, whatever the cell types."""
        return len(self.start)

    def take(self, rows: NDArray[np.int64]) -> "StoreRows":
        """Give cell types, places and labels of rows."""
        bins, cells = np.divmod(rows, len(self.cells))
        return StoreRows(
            self.cell_numbers[cells],
            self.chrom[bins].astype(np.int64),
            self.start[bins],
            self.values[bins, cells],
        )

    def labels_of(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Labels of rows, (B, F)."""
        bins, cells = np.divmod(rows, len(self.cells))
        return self.values[bins, cells]

    def chroms_of(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        """Chromosomes of rows, (B,)."""
        return np.array(self.chroms, np.str_)[self.chrom[rows // len(self.cells)]]

    def groups(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Positions in `rows`, cell type by cell type, each in the genome's order."""
        columns = rows % len(self.cells)
        out = []
        for column in np.unique(columns):
            mine = np.flatnonzero(columns == column)
            out.append(mine[np.argsort(rows[mine], kind="stable")])
        return out

    def origin_of(self, row: int) -> str:
        """Place and cell type of a row."""
        at, cell = divmod(int(row), len(self.cells))
        start = int(self.start[at])
        interval = f"{self.chroms[self.chrom[at]]}:{start}-{start + self.width}"
        return f"{interval} in {self.cells[cell]}"

    def fingerprint(self) -> str:
        """Digest of places, labels and names."""
        digest = hashlib.sha256()
        for array in (self.chrom, self.start, self.values):
            digest.update(np.ascontiguousarray(array).data)
        digest.update(json.dumps([self.cells, self.factors, self.chroms]).encode())
        return digest.hexdigest()

    def present(self) -> tuple[str, ...]:
        """Names of the chromosomes that have bins."""
        return tuple(self.chroms[c] for c in np.unique(self.chrom))


def join_labels(
    tables: Sequence[Any],
    *,
    chroms: Sequence[str],
    sizes: Sequence[int],
    cell_types: Sequence[str],
    cells: Sequence[str] = (),
) -> BindingRows:
    """Put the labels of one or several factors side by side, in a store's numbers.

    Parameters
    ----------
    tables : sequence of BinLabels
        One a factor. A bin or cell type that a table has not is not known (-1) for its factor.
    chroms, sizes, cell_types : sequences
        Of the store. Bins on other chromosomes are left out and counted.
    cells : sequence of str
        Use these cell types alone; all of the labels where not given.

    Returns
    -------
    BindingRows

    Raises
    ------
    InputError
        If bins are of several widths or end past their chromosome, two tables are of one factor,
        or a cell type is not in the labels or the store.
    """
    if not tables:
        raise InputError("there are no labels", expected="BinLabels of at least one factor")
    factors = tuple(str(table.factor) for table in tables)
    if len(set(factors)) < len(factors):
        raise InputError(
            "a factor comes twice", found=", ".join(factors), do="Give each factor once."
        )
    widths = {int(table.bins.width) for table in tables}
    if len(widths) > 1:
        raise InputError(
            "the bins of the factors differ in width", found=sorted(widths), expected="one width"
        )
    width = widths.pop()
    known = tuple(dict.fromkeys(cell for table in tables for cell in table.cells))
    for cell in cells:
        if cell not in known:
            raise InputError(
                "the labels have no such cell type",
                where=factors[0],
                found=cell,
                do=nearest(cell, known),
            )
    used = tuple(cell for cell in known if not cells or cell in cells)
    for cell in used:
        if cell not in cell_types:
            raise InputError(
                "a cell type of the labels is not in the store",
                where=factors[0],
                found=cell,
                do=(
                    f"{nearest(cell, cell_types)}. Call it in the labels as the store does, build"
                    " the store with its tracks (--states, --cell-map for a proxy), or name the"
                    " cell types to use (--train-cells)."
                ),
            )
    number = {name: c for c, name in enumerate(chroms)}
    notes: list[str] = []
    keys, kept = [], []
    for table in tables:
        to_store = np.array([number.get(name, -1) for name in table.bins.chroms], np.int64)
        at = to_store[table.bins.chrom]
        here = at >= 0
        start = np.asarray(table.bins.start, np.int64)
        lost = int((~here).sum())
        if lost:
            gone = sorted({table.bins.chroms[c] for c in np.unique(table.bins.chrom[~here])})
            notes.append(
                f"{table.factor}: {lost:,} bins on chromosomes that the store has not"
                f" ({', '.join(gone[:4])}{', ...' if len(gone) > 4 else ''}) are left out"
            )
        if not here.any():
            raise InputError(
                "no bin of the labels lies on a chromosome of the store",
                where=str(table.factor),
                found=", ".join(table.bins.chroms[:4]),
                expected=", ".join(list(chroms)[:4]),
                do="Check the names (chr1 or 1) and the assembly.",
            )
        table.bins.check_inside(
            dict(zip(chroms, sizes, strict=True)),
            store="that is trained on",
            where=str(table.factor),
            do=(
                "Labels and store are of two assemblies, or the genome was cut: build the labels on"
                " the store's chromosome sizes."
            ),
        )
        keys.append((at[here] << 40) | start[here])
        kept.append(here)
    first = keys[0]
    same = bool((np.diff(first) > 0).all()) and all(np.array_equal(key, first) for key in keys)
    union = first if same else np.unique(np.concatenate(keys))
    values = np.full((len(union), len(used), len(tables)), -1, np.int8)
    for f, (table, key, here) in enumerate(zip(tables, keys, kept, strict=True)):
        rows = slice(None) if same else np.searchsorted(union, key)
        for c, cell in enumerate(used):
            if cell in table.cells:
                values[rows, c, f] = table.values[:, table.cells.index(cell)][here]
    if not same and len(tables) > 1:
        notes.append(
            f"the factors have different bins: {len(union):,} in all, missing labels are masked"
        )
    return BindingRows(
        (union >> 40).astype(chrom_type(len(chroms))),
        union & ((1 << 40) - 1),
        width,
        values,
        used,
        np.array([list(cell_types).index(cell) for cell in used], np.int64),
        factors,
        tuple(chroms),
        tuple(notes),
    )


@dataclass
class BinDraw:
    """The rows of every epoch: positives once, negatives anew.

    Parameters
    ----------
    rows : BindingRows
    bins : int64 (m,)
        The training bins.
    cells : sequence of int
        Columns of `rows` that are learned from.
    negatives : int
        For each positive, drawn without repetition from the unbound bins of the positive's own cell
        type.
    per_epoch : int, optional
        Positives of an epoch; the epochs then go through all of them in turn. All where not given.
    seed : int
    even : bool
        Whether `per_epoch` is divided evenly among the factors, each with a walk of its own. A bin
        that two of them bind may then come twice in an epoch.

    Raises
    ------
    InputError
        If there is no positive, or no negative.
    UsageError
        If there are too few positives an epoch to divide, or one factor alone.

    Examples
    --------
    >>> values = np.array([1, 0, 0, -1, 0, 1], np.int8).reshape(6, 1, 1)
    >>> rows = BindingRows(
    ...     np.zeros(6, np.int16),
    ...     np.arange(6) * 200,
    ...     200,
    ...     values,
    ...     ("K562",),
    ...     np.array([0]),
    ...     ("CTCF",),
    ...     ("chr2",),
    ... )
    >>> draw = BinDraw(rows, np.arange(6), [0], negatives=1)
    >>> sorted(
    ...     rows.take(draw.epoch(0))[3].ravel().tolist()
    ... )  # two positives, two of the three negatives
    [0, 0, 1, 1]
    """

    rows: BindingRows
    bins: NDArray[np.int64]
    cells: Sequence[int]
    negatives: int = 10
    per_epoch: int | None = None
    seed: int = 0
    even: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        width = len(self.rows.cells)
        bound_rows, self.available = [], {}
        for c in self.cells:
            bound = _bound(self.rows.values[self.bins, c])
            bound_rows.append(self.bins[bound] * width + c)
            self.available[c] = int(_unbound(self.rows.values[self.bins, c]).sum())
        self.positives: NDArray[np.int64] = (
            np.concatenate(bound_rows) if bound_rows else np.zeros(0, np.int64)
        )
        self.by_cell = {
            self.rows.cells[c]: len(p) for c, p in zip(self.cells, bound_rows, strict=True)
        }
        where = f"{', '.join(self.rows.factors)} in {', '.join(self.by_cell)}"
        if not len(self.positives):
            raise InputError(
                "no training bin is bound",
                where=where,
                do="Widen the training part or its cell types.",
            )
        if self.even:
            self._divide()
        if self.negatives and not any(self.available.values()):
            raise InputError(
                "no training bin is unbound", where=where, do="Widen the training part."
            )
        for c in self.cells:
            wanted = self.negatives * self.by_cell[self.rows.cells[c]]
            if self.per_epoch is None and wanted > self.available[c]:
                self.notes.append(
                    f"{self.rows.cells[c]}: {self.available[c]:,} unbound bins where {wanted:,} are"
                    " asked for; every epoch has all of them"
                )

    def _divide(self) -> None:
        """Positives of each factor (those without any have none), for walks of their own."""
        factors, width = self.rows.factors, len(self.rows.cells)
        if len(factors) < 2 or (self.per_epoch or 0) < len(factors):
            raise UsageError(
                "positives cannot be divided evenly among factors",
                where="--even-factors",
                found=f"{len(factors)} factors, {self.per_epoch} positives an epoch",
                expected="several factors, and at least one positive for each",
            )
        values = self.rows.values[self.positives // width, self.positives % width]
        each = [self.positives[values[:, f] == 1] for f in range(len(factors))]
        self.by_factor = [positives for positives in each if len(positives)]

    def __len__(self) -> int:
        """Rows of an epoch; with `per_epoch` at most."""
        if self.even or self.n_positives < len(self.positives):
            return self.n_positives * (1 + self.negatives)
        each = ((self.by_cell[self.rows.cells[c]], self.available[c]) for c in self.cells)
        return sum(bound + min(unbound, self.negatives * bound) for bound, unbound in each)

    @property
    def n_positives(self) -> int:
        """Positives of an epoch."""
        total = len(self.positives)
        if self.even and self.per_epoch is not None:
            return self.per_epoch // len(self.by_factor) * len(self.by_factor)
        return total if self.per_epoch is None else min(self.per_epoch, total)

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Give the rows of an epoch in the order in which they are learned."""
        bound = self._bound_of(epoch)
        parts, width = [bound], len(self.rows.cells)
        columns = bound % width
        for c in self.cells:
            wanted = min(self.negatives * int((columns == c).sum()), self.available[c])
            parts.append(self._unbound_of(epoch, c, wanted) * width + c)
        rows = np.concatenate(parts)
        return rows[permutation(len(rows), self.seed, _ORDER, epoch)]

    def steps(self, epoch: int, batch_size: int) -> list[NDArray[np.int64]]:
        """Rows of each step of an epoch."""
        rows = self.epoch(epoch)
        return [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]

    def _bound_of(self, epoch: int) -> NDArray[np.int64]:
        count = self.n_positives
        if self.even:
            share = count // len(self.by_factor)
            return np.concatenate(
                [self._walk(each, epoch, share, f + 1) for f, each in enumerate(self.by_factor)]
            )
        return (
            self.positives
            if count == len(self.positives)
            else self._walk(self.positives, epoch, count)
        )

    def _walk(
        self, positives: NDArray[np.int64], epoch: int, count: int, *key: int
    ) -> NDArray[np.int64]:
        """An epoch's `count` positives: epochs go through one shuffled list after the other."""
        total = len(positives)
        at = epoch * count + np.arange(count)
        out = np.empty(count, np.int64)
        for turn in np.unique(at // total):
            here = at // total == turn
            order = permutation(total, self.seed, _PASS, int(turn), *key)
            out[here] = positives[order[at[here] % total]]
        return out

    def _unbound_of(self, epoch: int, cell: int, wanted: int) -> NDArray[np.int64]:
        """The first `wanted` unbound bins of a permutation that is never listed whole."""
        total, unbound, count, at = len(self.bins), [], 0, 0
        while count < wanted:
            size = min(
                max(1024, (wanted - count) * total // max(self.available[cell], 1) * 21 // 20),
                total - at,
            )
            drawn = scrambled(
                np.arange(at, at + size, dtype=np.int64), total, self.seed, _NEGATIVES, epoch, cell
            )
            bins = self.bins[drawn]
            kept = bins[_unbound(self.rows.values[bins, cell])][: wanted - count]
            unbound.append(kept)
            count, at = count + len(kept), at + size
        return np.concatenate(unbound) if unbound else np.zeros(0, np.int64)


def _bound(values: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Rows (m, F) with a bound factor."""
    return (values == 1).any(1)


def _unbound(values: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Rows (m, F) without a bound factor, and with an unbound one."""
    return (values != 1).all(1) & (values == 0).any(1)


def validation_rows(
    rows: BindingRows,
    bins: NDArray[np.int64],
    cells: Sequence[int],
    *,
    negatives: int | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.int64], list[str]]:
    """List the rows that choose the best epoch: all bound, and all or a fixed sample of the
    unbound.

    Parameters
    ----------
    rows, bins, cells
        As in `BinDraw`.
    negatives : int, optional
        Unbound rows kept, the same ones every epoch; all where not given.
    seed : int

    Returns
    -------
    rows : int64 (m,)
        In the order of the bins.
    notes : list of str
        That a sample was taken: precision is then higher than over all bins.

    Raises
    ------
    InputError
        If a class is absent.
    """
    width = len(rows.cells)
    bound, unbound = [], []
    for c in cells:
        values = rows.values[bins, c]
        bound.append(bins[_bound(values)] * width + c)
        unbound.append(bins[_unbound(values)] * width + c)
    yes, no = np.concatenate(bound), np.concatenate(unbound)
    for name, part in (("bound", yes), ("unbound", no)):
        if not len(part):
            raise InputError(
                f"no validation bin is {name}: no epoch could be called the best",
                where=f"{', '.join(rows.factors)} in {', '.join(rows.cells[c] for c in cells)}",
                do="Choose another validation part (--valid) or other cell types (--valid-cells).",
            )
    notes = []
    if negatives is not None and len(no) > negatives:
        notes.append(
            f"validation scores {negatives:,} of {len(no):,} unbound bins, the same ones every"
            " epoch: its precision is higher than over all of them"
        )
        order = np.argsort(hash_bits(seed, _VALID, no), kind="stable")
        no = no[order[:negatives]]
    return np.sort(np.concatenate([yes, no])), notes


@dataclass(frozen=True)
class CellBins:
    """Bins of one cell type, without labels: what is predicted.

    Attributes
    ----------
    bins : Bins
    cell : int
        Number in the store.
    chroms : tuple of str
        Names of the store's chromosomes.
    """

    bins: Any
    cell: int
    chroms: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.bins)

    @property
    def width(self) -> int:
        """Bases of a bin."""
        return int(self.bins.width)

    @cached_property
    def _numbers(self) -> NDArray[np.int64]:
        """Of each chromosome of the bins, its number in the store; -1 where it has none."""
        number = {name: c for c, name in enumerate(self.chroms)}
        return np.array([number.get(name, -1) for name in self.bins.chroms], np.int64)

    def groups(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Positions in `rows`, as they come: bins should come sorted."""
        return [np.arange(len(rows))]

    def take(self, rows: Any) -> StoreRows:
        """Give places of rows, by number or slice."""
        chosen = np.asarray(self.bins.chrom[rows])
        chroms = self._numbers[chosen]
        starts = np.asarray(self.bins.start[rows], np.int64)
        return StoreRows(np.full(len(starts), self.cell, np.int64), chroms, starts)
