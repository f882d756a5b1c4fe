"""What the cost curves and the profile share: a store of invented arrays, and the training step of
a recipe on it.

The step is the one of `epilm pretrain`: batches from the store, forward and backward passes,
clipping, optimiser, number format of this machine. Nothing is read from files but the store's own
memory maps.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

CHROMS = 4
SPACING = 700  # bp from region to region


def invented_store(
    folder: Path,
    *,
    genome_bp: int = 2_000_000,
    cells: int = 3,
    factors: int = 0,
    regions: int = 0,
    states: int = 15,
    bin_bp: int = 200,
    seed: int = 0,
) -> Path:
    """Write a store of random bases, states, and (where asked for) regions with a factor matrix."""
    from epilm.store.making.writer import write_store
    from epilm.store.schema import REGION_TYPE
    from epilm.store.track_arrays import StateArrays
    from epilm.store.tracks import bin_offsets

    rng = np.random.default_rng(seed)
    each = max(genome_bp // CHROMS, regions // CHROMS * SPACING + 2 * SPACING)
    genome = {f"chr{c + 1}": rng.integers(0, 4, each, dtype=np.uint8) for c in range(CHROMS)}
    names = [f"type{t}" for t in range(cells)]
    n_bins = int(bin_offsets((each,) * CHROMS, bin_bp)[-1])
    codes = np.repeat(rng.integers(0, states, (cells, -(-n_bins // 6)), dtype=np.uint8), 6, axis=1)[
        :, :n_bins
    ]
    more: dict[str, Any] = {}
    if regions:
        rows = [
            (c, SPACING * (i + 1), SPACING * (i + 1) + 500)
            for c in range(CHROMS)
            for i in range(regions // CHROMS)
        ]
        more["regions"] = np.array(rows, REGION_TYPE)
        more["accessible"] = rng.random((len(rows), cells)) < 0.9
    if factors:
        more["factors"] = rng.normal(size=(len(more["regions"]), factors)).astype(np.float32)
        more["motifs"] = [
            {"id": f"MA{i:04d}.1", "name": f"F{i}", "family": "none"} for i in range(factors)
        ]
    return write_store(
        folder,
        genome=genome,
        cell_types=names,
        assembly="invented",
        overwrite=True,
        states=StateArrays(
            codes,
            {name: i for i, name in enumerate(names)},
            bin_bp,
            [f"{i + 1}_S" for i in range(states)],
        ),
        **more,
    )


class Steps:
    """A recipe, its model and optimiser, and one step after another.

    Parameters
    ----------
    recipe, size : str, str or None
        Of the package.
    store : path
    keys : sequence of str
        "key=value", laid over the recipe.
    """

    def __init__(
        self, recipe: str, size: str | None, store: Path, keys: tuple[str, ...] = ()
    ) -> None:
        from epilm.device import choose_place
        from epilm.pretraining.run_plan import for_store, make_plan
        from epilm.recipes.recipe import load_recipe
        from epilm.store.reader import Store

        keys = ("train.device=cpu", "train.validate_samples=0", *keys)
        opened = Store.open(store)
        self.recipe = for_store(load_recipe(recipe, size, keys), opened)
        self.place = choose_place(self.recipe.train.device, self.recipe.train.precision, 1)
        self.plan = make_plan(self.recipe, opened)
        self.make: Any = self.plan.maker
        self.done = 0

    @cached_property
    def model(self) -> Any:
        """The model, made when it is first asked for: a batch needs none."""
        from epilm.models.from_spec import build_model

        model = build_model(self.recipe.model, seed=0).train()
        model.start_temperature(self.recipe.objectives.matching.temperature)
        return model

    @cached_property
    def optimiser(self) -> Any:
        """Its optimiser."""
        from epilm.training.optim import Optimiser

        return Optimiser(self.model, self.recipe.optim)

    def batch(self) -> Any:
        """Make the next batch and nothing else."""
        self.done += 1
        return self.make(self.plan.rows_at(self.done), self.done)

    def step(self) -> float:
        """Take one optimiser step; the loss."""
        from epilm.pretraining.step import optimiser_step
        from epilm.training.ranks import Ranks

        recipe = self.recipe
        figures = optimiser_step(
            self.model,
            self.make,
            self.optimiser,
            self.plan.rows_at(self.done),
            step=self.done,
            lr=1e-4,
            objectives=recipe.objectives,
            train=recipe.train,
            clip=1.0,
            ranks=Ranks(),
            place=self.place,
        )
        self.done += 1
        return float(figures.values["loss"])
