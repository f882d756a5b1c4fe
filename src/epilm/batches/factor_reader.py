"""The factor matrix of a batch: gathered, normalised, ordered, weighted, partly hidden.

Normalisation knows the training chromosomes alone, and each statistic for itself. Hidden entries
are a function of (seed, sample, step), so any micro-batch hides the same ones. Needs torch and
numpy; used by `maker`.
Axes: B samples, R regions, F factors, C statistics an entry.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from epilm.errors import RecipeError, StoreError, nearest
from epilm.objectives.table import MaskedFactorsSpec
from epilm.store.arrays import Array, take
from epilm.store.reader import Store, no_factors
from epilm.store.sample_spec import SampleSpec
from epilm.tokens.random import uniform

_HIDE = 31  # first counter of these draws
_CHUNK = 65_536
CHANNELS = 3
"""Statistics that tower.prepare=channels shows as the three colours of an image (A10)."""


def factor_order(store: Store, how: str) -> np.ndarray:
    """Column order of the factor matrix that a model sees (A10).

    Parameters
    ----------
    store : Store
    how : {"store", "id", "family"}
        As scanned, by motif id, or by motif family and then id. Motifs without a
        family come last.

    Returns
    -------
    int64 (F,)
        Columns of the store.

    Raises
    ------
    StoreError
        If "family" is asked for and no motif has one.
    """
    ids = [str(m["id"]) for m in store.motifs]
    if how == "store":
        return np.arange(store.n_factors)
    if how == "id":
        return np.array(sorted(range(len(ids)), key=lambda i: ids[i]), np.int64)
    families = [m.get("family") or "" for m in store.motifs]
    if not any(families):
        raise StoreError(
            "factors cannot be ordered by family: no motif of the store has one",
            where=str(store.path),
            do=(
                "Set samples.factor_order to id, or build with a motif file that names families"
                " (TRANSFAC)."
            ),
        )
    return np.array(
        sorted(range(len(ids)), key=lambda i: (not families[i], families[i], ids[i])), np.int64
    )


def channel_statistics(store: Store) -> tuple[str, str, str]:
    """Which three factor matrices of a store tower.prepare=channels shows: its first three (A10).

    Raises
    ------
    StoreError
        If the store has fewer.
    """
    if store.factors is None:
        raise no_factors(store)
    statistics = store.statistics
    if len(statistics) < CHANNELS:
        raise StoreError(
            "model.tower.prepare=channels shows three statistics of each motif, and the store has"
            " fewer",
            where=str(store.path),
            found=", ".join(statistics),
            expected="three factor matrices, such as best, count, sum",
            do=(
                "Build the store with epilm build --statistic best --more-statistics count "
                "--more-statistics sum, or set model.tower.prepare to resize."
            ),
        )
    return statistics[0], statistics[1], statistics[2]


class FactorReader:
    """Normalised factor matrices of samples.

    Parameters
    ----------
    store : Store
        With a factor matrix.
    samples : SampleSpec
        normalise_factors, factor_order, matrix_weight and the held-out chromosomes.
    hide : MaskedFactorsSpec
        Entries to hide; weight 0 hides nothing.
    seed : int
    statistics : sequence of str, optional
        Matrices of the store to stack in the last axis; by default the first alone, without that
        axis.

    Raises
    ------
    StoreError
        If the store lacks such factors, or counts where matrix_weight needs them.
    RecipeError
        If a switch has an unknown value.
    """

    def __init__(
        self,
        store: Store,
        samples: SampleSpec,
        hide: MaskedFactorsSpec,
        seed: int,
        statistics: Sequence[str] = (),
    ) -> None:
        if store.factors is None:
            raise no_factors(store)
        if hide.unit not in ("entry", "region", "factor"):
            raise RecipeError(
                "unknown value",
                where="objectives.masked_factors.unit",
                found=hide.unit,
                do=nearest(hide.unit, ("entry", "region", "factor")),
            )
        if not 0 < hide.rate < 1:
            raise RecipeError(
                "the value is out of range",
                where="objectives.masked_factors.rate",
                found=hide.rate,
                expected="between 0 and 1",
            )
        self.store, self.hide, self.seed = store, hide, seed
        self.statistics = tuple(statistics)
        columns = factor_order(store, samples.factor_order)
        self.ids = [str(store.motifs[i]["id"]) for i in columns]
        device = store.device
        self._columns = (
            None if samples.factor_order == "store" else torch.from_numpy(columns).to(device)
        )
        self._parts: list[tuple[Array, Tensor, Tensor]] = []
        for statistic in self.statistics or store.statistics[:1]:
            shift, scale = (
                torch.from_numpy(v).to(device) for v in _normalisation(store, samples, statistic)
            )
            self._parts.append((store.factors_of(statistic), shift, scale))
        self._totals = self._levels = None
        if samples.matrix_weight == "accessibility":
            self._totals, self._levels = (
                torch.from_numpy(v).to(device) for v in accessibility_levels(store)
            )

    def __call__(self, regions: Tensor, cells: Tensor) -> Tensor:
        """Give the matrices of samples.

        Parameters
        ----------
        regions : int64 (B, R)
            -1 gives a row of zeros.
        cells : int64 (B,)

        Returns
        -------
        float32 (B, R, F)
            Or (B, R, F, C) where C statistics were asked for.
        """
        safe = regions.clamp(min=0)
        matrices = [
            (take(stored, safe).to(torch.float32) - shift) / scale
            for stored, shift, scale in self._parts
        ]
        one = len(matrices) == 1
        matrix = matrices[0][..., None] if one else torch.stack(matrices, -1)  # (B, R, F, C)
        if self._columns is not None:
            matrix = matrix[:, :, self._columns]
        if self._totals is not None and self._levels is not None:
            counts = take(self.store.counts, safe)  # type: ignore[arg-type]
            # (B, R, T) -> (B, R)
            mine = counts.gather(2, cells[:, None, None].expand(*safe.shape, 1))[..., 0]
            weight = (
                torch.log1p(mine * 1e6 / self._totals[cells][:, None])
                / self._levels[cells][:, None]
            )
            matrix = matrix * weight[..., None, None]
        matrix = matrix.masked_fill((regions < 0)[..., None, None], 0.0)
        return matrix if self.statistics else matrix[..., 0]

    def hidden(self, rows: Tensor, regions: Tensor, step: int) -> Tensor:
        """Draw the entries to hide.

        Parameters
        ----------
        rows : int64 (B,)
            Row numbers of the samples.
        regions : int64 (B, R)
        step : int

        Returns
        -------
        bool (B, R, F)
            Never True where there is no region.
        """
        n, f = regions.shape[1], len(self.ids)
        slot = torch.arange(n, device=rows.device)[None, :, None]
        factor = torch.arange(f, device=rows.device)[None, None, :]
        row = rows[:, None, None]
        if self.hide.unit == "entry":
            draw = uniform(self.seed, _HIDE, step, row, slot, factor)
        elif self.hide.unit == "region":
            draw = uniform(self.seed, _HIDE, step, row, slot)
        else:
            draw = uniform(self.seed, _HIDE, step, row, factor)
        hidden = (draw < self.hide.rate).expand(len(rows), n, f)
        return hidden & (regions >= 0)[..., None]


def _normalisation(
    store: Store, samples: SampleSpec, statistic: str
) -> tuple[np.ndarray, np.ndarray]:
    """What to take away from each factor and what to divide it by, float32 (F,) each."""
    shift, scale = np.zeros(store.n_factors), np.ones(store.n_factors)
    if samples.normalise_factors != "none":
        stats = store.factor_stats(samples.holdout_chroms, statistic)
        if samples.normalise_factors == "zscore":
            shift, scale = stats.mean, stats.sd
        else:
            scale = stats.max
    # A factor that never varies (or never scores) stays 0 rather than becoming infinite.
    scale = np.where(scale > 0, scale, 1.0)
    return shift.astype(np.float32), scale.astype(np.float32)


def accessibility_levels(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """What makes pseudo-bulk counts comparable between cell types (A16).

    A region's weight in a cell type is log(1 + counts per million) over the mean of
    that number over the accessible regions of the cell type: 1 on average.

    Returns
    -------
    totals : float32 (T,)
        Sum of counts.
    levels : float32 (T,)
        Mean of log(1 + counts per million) over accessible regions; 1 where there are none.

    Raises
    ------
    StoreError
        If the store keeps no counts.
    """
    if store.counts is None:
        raise StoreError(
            "samples.matrix_weight=accessibility needs counts, and the store has none",
            where=str(store.path),
            do=(
                "Build the store from a peak x cell matrix (--counts), or set matrix_weight to"
                " none."
            ),
        )
    counts = store.counts.cpu().numpy() if isinstance(store.counts, Tensor) else store.counts
    n_cells = len(store.cell_types)
    totals, levels = np.zeros(n_cells), np.ones(n_cells)
    blocks = range(0, store.n_regions, _CHUNK)
    for a in blocks:
        totals += counts[a : a + _CHUNK].sum(0, dtype=np.float64)
    totals = np.where(totals > 0, totals, 1.0)
    for cell in range(n_cells):
        rows = np.flatnonzero(store.accessible(cell))
        if len(rows):
            level = np.log1p(counts[rows, cell] * (1e6 / totals[cell])).mean()
            levels[cell] = level if level > 0 else 1.0
    return totals.astype(np.float32), levels.astype(np.float32)
