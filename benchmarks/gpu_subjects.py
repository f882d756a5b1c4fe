"""What `benchmarks.gpu` measures: a store, models with all that one training step needs, and how a
step is timed.

Everything goes through the functions that `epilm pretrain` uses: the recipe, the store's place on
the device, the batches made ahead, `optimiser_step`. Needs torch, numpy, safetensors, yaml.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_flops import step_flops
from epilm.device import Place
from epilm.errors import UsageError
from epilm.models.from_spec import build_model
from epilm.pretraining.run_plan import batch_maker, for_store, row_order
from epilm.pretraining.step import Ahead, contrast_size, cut, optimiser_step
from epilm.recipes.recipe import Recipe, load_recipe
from epilm.recipes.rules import check_store
from epilm.store.making.writer import write_store
from epilm.store.reader import Store
from epilm.store.schema import REGION_TYPE
from epilm.store.track_arrays import StateArrays
from epilm.training.compute import choose_compute
from epilm.training.optim import Optimiser
from epilm.training.ranks import Ranks

MEMORY_ERRORS = (torch.cuda.OutOfMemoryError, MemoryError)


class OutOfTime(Exception):
    """A part's seconds are over."""


def random_store(folder: Path, tiny: bool) -> Store:
    """Make a store of random numbers, as large as the rows need: bases, 15 states of 8 cell types,
    regions, 579 motifs.
    """
    rng = np.random.default_rng(0)
    bases, n_regions, width, motifs, cells = (
        (40_000, 400, 60, 32, 3) if tiny else (24_000_000, 30_000, 515, 579, 8)
    )
    chroms = ("chr1", "chr2")
    genome = {name: rng.integers(0, 4, bases, dtype=np.uint8) for name in chroms}
    names = [f"type{i}" for i in range(cells)]
    bins = 2 * -(-bases // 200)
    lengths = rng.integers(1, 13, bins)
    codes = np.stack(
        [np.repeat(rng.integers(0, 15, bins, dtype=np.uint8), lengths)[:bins] for _ in names]
    )
    gap = bases * 2 // n_regions
    regions = np.array(
        [
            (c, at, at + width)
            for c in (0, 1)
            for at in range(0, (n_regions // 2) * gap, gap)
            if at + width < bases
        ],
        REGION_TYPE,
    )
    shape = (len(regions), motifs)
    path = write_store(
        folder / "random.store",
        genome=genome,
        regions=regions,
        accessible=rng.random((len(regions), cells)) < 0.7,
        cell_types=names,
        factors=rng.standard_normal(shape, dtype=np.float32),
        motifs=[{"id": f"M{i:04d}.1", "name": f"F{i}", "family": ""} for i in range(motifs)],
        states=StateArrays(
            codes,
            {n: i for i, n in enumerate(names)},
            200,
            [f"{i + 1}_S{i + 1}" for i in range(15)],
        ),
        assembly="random",
    )
    return Store.open(path)


def has(store: Store, what: str) -> bool:
    """Whether a store can serve "ebert" (states) or "genebert" (regions and factors)."""
    return (
        store.states is not None
        if what == "ebert"
        else store.factors is not None and store.n_regions > 0
    )


def model_to_train(store: Store, asked: str | None = None) -> str:
    """Name the model that is pre-trained on a store: the one asked for, else ebert where it can.

    Raises
    ------
    UsageError
        If the store lacks what that one reads.
    """
    served = [name for name in ("ebert", "genebert") if has(store, name)]
    if asked in served or (asked is None and served):
        return asked or served[0]
    reads = {"ebert": "chromatin states", "genebert": "regions with motif scores"}
    raise UsageError(
        "the store has not what the model reads" if asked else "the store serves no model",
        where=store.path.name,
        found=(
            f"a store for {', '.join(served)}"
            if served
            else "neither states nor regions with motif scores"
        ),
        expected=reads[asked] if asked else " or ".join(reads.values()),
        do=(
            f"Pass --model {served[0]}, or another --store."
            if served
            else (
                "Build the store with --states, or with --peaks and --motifs; or leave the"
                " trainings out with --only."
            )
        ),
    )


@dataclass
class Subject:
    """A model in training: one call is one optimiser step as `epilm pretrain` does it."""

    recipe: Recipe
    model: Any
    maker: Any
    optimiser: Optimiser
    place: Place
    rows_at: Callable[[int], np.ndarray]
    done: int = 0  # steps so far
    fed: int = 0  # those of them with data of their own
    ready: Any = None
    said: str = ""  # which kernels

    @property
    def batch(self) -> int:
        """Samples of a step."""
        return self.recipe.train.batch_size

    def micros(self, step: int) -> list[np.ndarray]:
        """Rows of each micro-batch of a step."""
        group = contrast_size(self.recipe.objectives, self.recipe.train, 1)
        rows = self.rows_at(step)
        return [
            m.rows
            for part in cut(rows, group or len(rows), self.recipe.train.micro_batch, Ranks())
            for m in part
        ]

    def prepare(self) -> None:
        """Make the batches of the next step, as `pretraining.loop` does while the device works."""
        for rows in self.micros(self.fed):
            self.ready.prepare(rows, self.fed)

    def flops(self) -> float:
        """Operations of one step (`gpu_flops`), from its first micro-batch."""
        rows = self.micros(0)
        return step_flops(self.model, self.maker(rows[0], 0)) * self.batch / len(rows[0])

    def steps(self, n: int, *, constant: bool = False, limit: float | None = None) -> list[float]:
        """Seconds of each of n steps, the device waited for at the ends of each; one with data also
        makes the next one's.

        Parameters
        ----------
        n : int
        constant : bool
            Every micro-batch is one that was made before: what the step is without its data.
        limit : float, optional
            `time.monotonic()` after which no further step begins.
        """
        if constant:
            # Micro-batches of a step may differ in length: one of each is kept.
            kept = {len(rows): self.maker(rows, 0) for rows in self.micros(0)}
        elif self.ready is None:
            self.ready = Ahead(self.maker, self.place.device)
            self.prepare()
        found: list[float] = []
        for _ in range(n):
            if limit is not None and found and time.monotonic() > limit:
                break
            make: Any = (lambda rows, step: kept[len(rows)]) if constant else self.ready
            step = self.done if constant else self.fed
            self.fed += not constant
            synchronise(self.place.device)
            began = time.perf_counter()
            optimiser_step(
                self.model,
                make,
                self.optimiser,
                self.rows_at(step),
                step=step,
                lr=1e-5,
                objectives=self.recipe.objectives,
                train=self.recipe.train,
                clip=self.recipe.optim.clip,
                ranks=Ranks(),
                place=self.place,
                meanwhile=None if constant else self.prepare,
            )
            synchronise(self.place.device)
            found.append(time.perf_counter() - began)
            self.done += 1
        return found


def make_subject(
    name: str, store: Store, place: Place, *, size: str | None = None, set: Iterable[str] = ()
) -> Subject:
    """Build a model from a recipe, on the device, with its batches.

    Raises
    ------
    EpilmError
        If recipe and store do not fit.
    """
    recipe = load_recipe(name, size, ("samples.holdout_chroms=[]", *set))
    check_store(recipe, store, str(store.path))
    recipe = for_store(recipe, store)
    model = build_model(recipe.model, seed=0)
    model.start_temperature(recipe.objectives.matching.temperature)
    model = model.to(place.device).train()
    said = choose_compute(model, recipe.train, place.device)
    maker = batch_maker(store, recipe, "train", place.device)
    rows_at = row_order(maker.table, recipe)
    return Subject(recipe, model, maker, Optimiser(model, recipe.optim), place, rows_at, said=said)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def empty_cache(device: torch.device) -> None:
    """Give the allocator's free memory back, and forget the peak."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device) -> float | None:
    """Largest memory of the GPU since `empty_cache`, in GB."""
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None


def attention(name: str) -> AbstractContextManager[Any]:
    """Hold attention to one of torch's kernels: cudnn, flash, efficient, math; "" leaves the choice
    as it is.
    """
    if not name:
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kinds = {
        "cudnn": "CUDNN_ATTENTION",
        "flash": "FLASH_ATTENTION",
        "efficient": "EFFICIENT_ATTENTION",
        "math": "MATH",
    }
    return sdpa_kernel(getattr(SDPBackend, kinds[name]))
