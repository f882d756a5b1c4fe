"""A pre-training before its first step: rows, batches, what is held out, and what is doubtful.

Refuses what cannot work and says what a run would be; `planning` asks it too. Imports nothing that
reads genome files.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from epilm.batches import BatchMaker, WindowMaker
from epilm.batches.placement import place_batches
from epilm.batches.reach import Reach, measure, region_reach
from epilm.batches.token_truths import count_truths
from epilm.errors import RecipeError
from epilm.pretraining.step import contrast_size
from epilm.pretraining.validate import pick_rows
from epilm.recipes.recipe import Recipe
from epilm.store.reader import Store
from epilm.store.samples import Samples, make_samples
from epilm.store.sampling import NoSharedOrder, order, rows_at, steps_per_epoch
from epilm.store.window_table import WindowTable, validation_rows, window_rows
from epilm.training.schedule import schedule_warnings

# Samples of a store whose first epoch is dealt out before step 0 (about a second): what cannot be
# contrasted shows then. A larger table is dealt out step by step.
_DEALT_FIRST = 300_000


def for_store(recipe: Recipe, store: Store) -> Recipe:
    """Fill what the store decides: the number of factors, of cell types and of chromatin states."""
    streams = recipe.model.streams
    model = replace(
        recipe.model,
        factors=store.n_factors if "factors" in streams else 0,
        cells=len(store.cell_types),
        states=store.states.n_states if "states" in streams and store.states is not None else 0,
        **count_truths(store, recipe.objectives),
    )
    return replace(recipe, model=model)


def store_identity(store: Store) -> dict[str, Any]:
    """Say which store this is, by content."""
    files = {name.replace(".", "_"): entry["sha256"] for name, entry in store.info.files.items()}
    return {
        "path": str(store.path),
        "fingerprint": store.fingerprint,
        "assembly": store.info.assembly,
        "cell_types": list(store.cell_types),
        "n_regions": store.n_regions,
        "n_factors": store.n_factors,
        "files": files,
        **states_of_store(store),
    }


def states_of_store(store: Store) -> dict[str, Any]:
    """Names and bin width of a store's states; nothing where it has none."""
    table = store.states
    return {} if table is None else {"state_names": list(table.names), "state_bin": table.bin}


def unshared(samples: Samples | WindowTable, recipe: Recipe) -> NoSharedOrder | None:
    """Make the order in which no contrast holds a region twice; None where it is not asked for."""
    train, matching = recipe.train, recipe.objectives.matching
    if isinstance(samples, WindowTable):
        return None
    group = contrast_size(recipe.objectives, train, train.devices)
    if group is None or not matching.forbid_shared:
        return None
    return NoSharedOrder(samples, train.batch_size, train.seed, group)


def row_order(
    samples: Samples | WindowTable, recipe: Recipe, epochs: NoSharedOrder | None = None
) -> Callable[[int], np.ndarray]:
    """Make the function from a step to its samples.

    With `matching.forbid_shared` no contrast holds two samples with a common region. Windows are
    drawn point by point: no list of them is made. `epochs` is `unshared` of the same, where it is
    there already.

    Raises
    ------
    TrainingError
        If there are too few samples.
    """
    train = recipe.train
    if isinstance(samples, WindowTable):
        n = len(samples)
        return lambda step: window_rows(n, batch=train.batch_size, step=step, seed=train.seed)
    epochs = unshared(samples, recipe) if epochs is None else epochs
    if epochs is None:
        steps_per_epoch(len(samples), train.batch_size)
        return lambda step: rows_at(
            len(samples), batch=train.batch_size, step=step, seed=train.seed
        )
    return lambda step: rows_at(
        len(samples), batch=train.batch_size, step=step, seed=train.seed, order_of=epochs
    )


def batch_maker(
    store: Store,
    recipe: Recipe,
    subset: Literal["train", "holdout"],
    device: torch.device,
    say: Callable[[str], None] | None = None,
) -> BatchMaker | WindowMaker:
    """Make the batches of a run; on a GPU with room the store is moved there, and batches are made
    there.

    `say` gets a line on where the store lies, and what it costs where it does not fit.
    """
    maker, said = place_batches(
        store,
        recipe.model,
        recipe.objectives,
        recipe.samples,
        device=device,
        micro_batch=recipe.train.micro_batch,
        seed=recipe.train.seed,
        subset=subset,
    )
    if say is not None:
        say(said)
    return maker


@dataclass(frozen=True)
class RunPlan:
    """What a run will read, checked before anything is written.

    Attributes
    ----------
    recipe : Recipe
    store : Store
    maker : BatchMaker or WindowMaker
        Of the training samples, on the CPU.
    rows_at : step -> int64 (batch_size,)
    valid_rows : int64 (N,)
        Held-out samples: of regions such that no two share one, of windows drawn once.
    held_out : int
        All held-out samples.
    warnings : list of str
        What of the recipe looks wrong, though it can be run.
    said : list of str
        What else of the data the user should know.
    """

    recipe: Recipe
    store: Store
    maker: BatchMaker | WindowMaker
    rows_at: Callable[[int], np.ndarray]
    valid_rows: np.ndarray
    held_out: int
    warnings: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def make_plan(recipe: Recipe, store: Store) -> RunPlan:
    """Draw up the data of a run.

    Raises
    ------
    EpilmError
        If recipe and store do not fit, or there are too few samples.
    """
    train = recipe.train
    maker = batch_maker(store, recipe, "train", torch.device("cpu"))
    epochs = unshared(maker.table, recipe)
    rows = row_order(maker.table, recipe, epochs)
    rows(0)  # an impossible contrast shows now
    notes: tuple[str, ...] = ()
    if epochs is not None and len(maker.table) <= _DEALT_FIRST and (again := epochs.repeated(0)):
        notes = (
            f"{again:,} of the {len(epochs):,} samples of an epoch stand for others: near its end"
            " the rest share regions with each other, and some are drawn a second time instead",
        )
    if isinstance(maker, WindowMaker):
        windows = WindowTable(store, recipe.samples, "holdout", recipe.model.streams)
        valid_rows = validation_rows(len(windows), train.validate_samples, train.seed)
        _check_best(recipe, len(valid_rows))
        warnings = recipe_warnings(recipe)
        return RunPlan(recipe, store, maker, rows, valid_rows, len(windows), warnings)
    holdout = make_samples(store, recipe.samples, "holdout")
    valid_rows = np.zeros(0, np.int64)
    if len(holdout) and train.validate_samples:
        valid_rows = pick_rows(
            holdout.regions, train.validate_samples, order(len(holdout), train.seed, 0)
        )
    _check_best(recipe, len(valid_rows))
    warnings, said = recipe_warnings(recipe), list(notes)
    reach = _reach(recipe, store, maker)
    if reach is not None:
        said.append(reach.said())
        warnings += [] if reach.enough else [reach.warning()]
    return RunPlan(recipe, store, maker, rows, valid_rows, len(holdout), warnings, said)


def _reach(recipe: Recipe, store: Store, maker: BatchMaker) -> Reach | None:
    """Measure what of the regions is read; refuse regions that were cut to more than that."""
    reach = region_reach(recipe.model)
    if reach is None:
        return None
    width = store.info.access.get("region_width")
    if width is not None and width > reach:
        raise RecipeError(
            "the store's regions were cut to more than the model reads of each",
            where="model.max_tokens",
            found=f"{recipe.model.max_tokens}, which read {reach} bp",
            expected=f"at least {width} bp, --region-width of the store",
            do=f"Build the store with --region-width {reach}, or raise model.max_tokens.",
        )
    rows = np.unique(maker.table.regions)
    learns = "factors" in recipe.model.streams
    return measure(store, rows[rows >= 0], reach, recipe.train.seed, learns)


def recipe_warnings(recipe: Recipe) -> list[str]:
    """Say what of a recipe looks wrong, though it can be run."""
    train = recipe.train
    out = schedule_warnings(recipe.optim, train.steps)
    if train.patience is not None and train.patience * train.validate_every >= train.steps:
        out.append(
            f"train.patience {train.patience} x train.validate_every {train.validate_every} is not"
            f" shorter than the run of {train.steps} steps: it cannot stop early"
        )
    return out


def _check_best(recipe: Recipe, n_valid: int) -> None:
    """Refuse to choose by a validation that never comes."""
    train = recipe.train
    for key, asked in (
        ("train.patience", train.patience),
        ("train.model", "best" if train.model == "best" else None),
    ):
        if asked is not None and not n_valid:
            raise RecipeError(
                "only held-out samples say which step is best, and there are none",
                where=key,
                found=asked,
                do=(
                    "Hold out a chromosome (samples.holdout_chroms) or a cell type"
                    " (samples.holdout_cells) with train.validate_samples above 0, or leave the"
                    " key out."
                ),
            )
