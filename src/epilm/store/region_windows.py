"""Windows that stand on accessible regions, drawn point by point beside those of the grid.

Which region, and which base of it is the window's middle, are functions of the bits given: nothing
is remembered, and no list of windows is made. On the training path: numpy only.
Axes: B windows, M regions of all cell types end to end, T cell types.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from epilm.errors import RecipeError
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import Subset, cell_lists
from epilm.tokens.random import scaled


class RegionWindows:
    """Places of windows on the accessible regions of a subset.

    Parameters
    ----------
    store : Store
    spec : SampleSpec
        window_bp and what is held out.
    subset : {"train", "holdout", "all"}
        As of `WindowTable`: no region of a held-out chromosome or cell type is in "train".
    streams : sequence of str
        Of the model. With "states" a window of a cell type stands on a region that is accessible
        there; without, on one that is accessible anywhere.

    Attributes
    ----------
    n : int
        Different regions.
    notes : tuple of str
        What the user should know.

    Raises
    ------
    RecipeError
        If the store has no region there.
    """

    def __init__(
        self, store: Any, spec: SampleSpec, subset: Subset, streams: Sequence[str] = ("dna",)
    ) -> None:
        by_cell = "states" in streams
        if not by_cell:  # sequence is the same in all cell types
            spec = replace(spec, holdout_cells=())
        lists = cell_lists(store, spec, subset)
        long_enough = np.asarray(store.sizes, np.int64) >= spec.window_bp
        kept = [lists.of(cell) for cell in range(len(store.cell_types))]
        kept = [rows[long_enough[store.regions["chrom"][rows]]] for rows in kept]
        if not by_cell:
            kept = [np.unique(np.concatenate([np.zeros(0, np.int32), *kept]))]
        self._flat = np.concatenate([np.zeros(0, np.int32), *kept])
        self._count = np.array([len(rows) for rows in kept], np.int64)
        self._first = np.cumsum(self._count) - self._count
        self._regions, self._sizes = store.regions, np.asarray(store.sizes, np.int64)
        self._width = spec.window_bp
        self.n = len(np.unique(self._flat))
        if not self.n and subset == "train":
            raise RecipeError(
                "windows on accessible regions are asked for, and there is none to learn from",
                where="samples.on_regions",
                found=f"{store.n_regions} regions in the store",
                do="Build the store with --peaks, hold out less, or set samples.on_regions to 0.",
            )
        bare = [name for name, rows in zip(store.cell_types, kept) if by_cell and not len(rows)]
        self.notes = (
            (f"without a region, their windows stay on the grid: {', '.join(bare)}",)
            if bare
            else ()
        )

    def at(
        self, cells: np.ndarray, which: np.ndarray, where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Say where windows stand.

        Parameters
        ----------
        cells : int64 (B,)
            Of the windows.
        which, where : int64 (B,)
            53 random bits each (`hash_bits`): the region, and the window's middle in it.

        Returns
        -------
        chroms, starts : int64 (B,)
            A window stays inside of its chromosome.
        there : bool (B,)
            False where the cell type has no region.
        """
        count = self._count[cells]
        there = count > 0
        at = self._first[cells] + scaled(np.maximum(count, 1), which)
        row = self._flat[np.minimum(at, max(len(self._flat) - 1, 0))] if self.n else None
        if row is None:
            return np.zeros_like(cells), np.zeros_like(cells), there
        region = self._regions[row]
        begin = region["start"].astype(np.int64)
        middle = begin + scaled(region["end"].astype(np.int64) - begin, where)
        chroms = region["chrom"].astype(np.int64)
        starts = np.clip(middle - self._width // 2, 0, self._sizes[chroms] - self._width)
        return chroms, starts, there
