"""What a binding run learns from, drawn up and refused before anything is learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.store.arrays import unknown_runs
from epilm.store.reader import Store
from epilm.tasks.binding.binding_options import BindingSpec
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.rows import (
    BindingRows,
    BinDraw,
    join_labels,
    validation_rows,
)
from epilm.tasks.binding.split import BinningSplit, split_bins


@dataclass(frozen=True)
class BindingPlan:
    """Rows, parts and draws of a run, checked before anything is learned."""

    rows: BindingRows
    split: BinningSplit
    train_cells: tuple[int, ...]
    valid_cells: tuple[int, ...]
    draw: BinDraw
    valid_rows: NDArray[np.int64]
    notes: tuple[str, ...]
    places: dict[str, tuple[str, ...]]

    def said(self) -> list[str]:
        """Lines that count what will be learned."""
        bound = ", ".join(f"{cell} {count:,}" for cell, count in self.draw.by_cell.items())
        valid = self.rows.take(self.valid_rows)[3]
        return [
            (
                f"{', '.join(self.rows.factors)}: {len(self.split.train):,} training bins in"
                f" {len(self.train_cells)} cell types, bound: {bound}"
            ),
            (
                f"an epoch: {self.draw.n_positives:,} of {len(self.draw.positives):,} positives,"
                f" {len(self.draw):,} rows; validation: {len(self.valid_rows):,} rows,"
                f" {int((valid == 1).any(1).sum()):,} bound"
            ),
        ]

    def about(self) -> dict[str, Any]:
        """What the model remembers of its training."""
        rows = self.rows

        def chroms(bins: NDArray[np.int64]) -> list[str]:
            return [rows.chroms[c] for c in np.unique(rows.chrom[bins])]

        return {
            "cells": [rows.cells[c] for c in self.train_cells],
            "valid_cells": [rows.cells[c] for c in self.valid_cells],
            "train_chroms": list(self.places["train"]) or chroms(self.split.train),
            "valid_chroms": list(self.places["valid"]),
            "test_chroms": list(self.places["test"]),
        }


def cells_to_read(known: Sequence[str], settings: BindingSpec) -> tuple[str, ...]:
    """Name the cell types whose labels a run needs: those of the test are never looked at.

    Parameters
    ----------
    known : sequence of str
        All that the labels have.

    Raises
    ------
    UsageError
        If a cell type is for training and for test.
    InputError
        If the labels have not what is named.

    Examples
    --------
    >>> cells_to_read(("HepG2", "K562", "liver"), BindingSpec(test_cells=("liver",)))
    ('HepG2', 'K562')
    """
    both = sorted(set(settings.test_cells) & {*settings.train_cells, *settings.valid_cells})
    if both:
        raise UsageError(
            "a cell type is for test and for training or validation",
            found=", ".join(both),
            do="Take it out of one.",
        )
    wanted = (*settings.train_cells, *settings.valid_cells)
    if not settings.train_cells:
        for cell in settings.test_cells:
            if cell not in known:
                raise UsageError(
                    "the labels have no such test cell type", found=cell, do=nearest(cell, known)
                )
        wanted = (
            *(cell for cell in known if cell not in settings.test_cells),
            *settings.valid_cells,
        )
    for cell in wanted:
        if cell not in known:
            raise InputError(
                "the labels have no such cell type", found=cell, do=nearest(cell, known)
            )
    return tuple(dict.fromkeys(wanted))


def make_plan(
    tables: Sequence[BinLabels],
    store: Store,
    settings: BindingSpec,
    known: Sequence[str] | None = None,
) -> BindingPlan:
    """Join labels, divide them and draw up the rows.

    Parameters
    ----------
    tables : sequence of BinLabels
        One a factor.
    known : sequence of str, optional
        All cell types that the labels are there for; those of the tables where not given.

    Raises
    ------
    UsageError
        If two parts overlap, or a cell type is for training and for test.
    InputError
        If a part has no bin, or no bound one.
    """
    if known is None:
        known = tuple(dict.fromkeys(cell for table in tables for cell in table.cells))
    wanted = cells_to_read(known, settings)
    rows = join_labels(
        tables, chroms=store.chroms, sizes=store.sizes, cell_types=store.cell_types, cells=wanted
    )
    if settings.window_bp < rows.width:
        raise UsageError(
            "the window is narrower than a bin",
            where="--window-bp",
            found=settings.window_bp,
            expected=f"at least {rows.width}",
        )
    if settings.jitter > rows.width // 2:
        raise UsageError(
            "a window may be moved so far that its middle leaves the bin",
            where="--jitter",
            found=settings.jitter,
            expected=f"at most {rows.width // 2}",
        )
    places = {
        "train": settings.train_chroms,
        "valid": settings.valid_chroms,
        "test": settings.test_chroms,
    }
    # What learning may see of a bin: its window, moved to either side.
    reach = settings.window_bp + 2 * settings.jitter
    split = split_bins(rows, **places, window_bp=reach)
    notes = [*rows.notes, *split.notes]
    bare = bins_of_n(store, rows)
    train, valid = split.train[~bare[split.train]], split.valid[~bare[split.valid]]
    if gone := len(split.train) + len(split.valid) - len(train) - len(valid):
        notes.append(f"{gone:,} training and validation bins hold N alone and are left out")
    if not len(train) or not len(valid):
        raise UsageError(
            "a part holds no bin with bases",
            found=f"{len(train)} training, {len(valid)} validation bins",
        )
    split = BinningSplit(train, valid, split.test, split.notes)
    chosen = [
        c
        for c, cell in enumerate(rows.cells)
        if not settings.train_cells or cell in settings.train_cells
    ]
    judged = [rows.cells.index(cell) for cell in settings.valid_cells] or chosen
    if settings.valid_cells and not settings.train_cells:
        chosen = [c for c in chosen if rows.cells[c] not in settings.test_cells]
    draw = BinDraw(
        rows,
        train,
        chosen,
        settings.negatives,
        settings.positives_per_epoch,
        settings.seed,
        even=settings.even_factors,
    )
    valid_rows, said = validation_rows(
        rows, valid, judged, negatives=settings.valid_negatives, seed=settings.seed
    )
    notes += [*draw.notes, *said, *uneven_factors(rows, draw)]
    bound = (rows.take(valid_rows)[3] == 1).any(0)
    if silent := [
        factor for factor, any_bound in zip(rows.factors, bound, strict=True) if not any_bound
    ]:
        notes.append(
            f"{', '.join(silent)}: no validation bin is bound; the best epoch is chosen without"
        )
    return BindingPlan(
        rows, split, tuple(chosen), tuple(judged), draw, valid_rows, tuple(notes), places
    )


def uneven_factors(rows: BindingRows, draw: BinDraw) -> list[str]:
    """Say how many unbound rows an epoch has for each bound one, factor by factor.

    Rows are shared: `negatives` unbound ones are drawn for each that any factor binds, so that
    every factor has more.
    """
    if len(rows.factors) < 2:
        return []
    labels = rows.labels_of(draw.epoch(0))
    bound, unbound = (labels == 1).sum(0), (labels == 0).sum(0)
    shown = [
        f"{factor} 1:{no / yes:.0f}" if yes else f"{factor} none bound"
        for factor, yes, no in zip(rows.factors, bound.tolist(), unbound.tolist(), strict=True)
    ]
    return [
        f"bound to unbound rows of an epoch, factor by factor: {', '.join(shown)}; 1:"
        f"{draw.negatives} is that of rows which any of them binds"
        + (_STARVED if not draw.even and _starved(bound) else "")
    ]


_STARVED = (
    "; a rare factor learns little so: --even-factors with --positives-per-epoch, or a run for each"
)


def _starved(bound: NDArray[np.int64]) -> bool:
    """Whether a factor has less than a third of its even share of the positives."""
    return bool(bound.min() * len(bound) * 3 < bound.sum())


def bins_of_n(store: Store, rows: BindingRows) -> NDArray[np.bool_]:
    """Which bins lie in assembly gaps whole: nothing can be learned there."""
    runs = unknown_runs(store.genome)
    if not len(runs):
        return np.zeros(rows.n_bins, bool)
    flat = store.offsets[rows.chrom] + rows.start
    run = np.searchsorted(runs[:, 0], flat, "right") - 1
    return (run >= 0) & (flat + rows.width <= runs[run, 1])
