"""Pre-train a model from a recipe and a store: the order of things, each of which lives elsewhere.

Refuse what cannot work; write what the run is; build the model, with the weights the
recipe names; train from the newest state; save the model. The same command goes
on with a run that was stopped or killed, and says so when nothing is left to do.
Imports nothing that reads genome files: torch, transformers, lightning, numpy,
safetensors and yaml are enough.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

import epilm
from epilm.atomic import locked, write_json
from epilm.batches import BatchMaker, WindowMaker
from epilm.batches.placement import place_batches
from epilm.batches.reach import Reach, measure, region_reach
from epilm.batches.token_truths import count_truths, keep_truths
from epilm.device import Place, choose_place
from epilm.errors import AskedToStop, RecipeError, TrainingError
from epilm.hub.checkpoint import FORMAT, SPEC, WEIGHTS, read_spec, save_model
from epilm.hub.load import initialise
from epilm.hub.provenance import memory_of
from epilm.models.from_spec import build_model, parameter_table
from epilm.models.model_spec import ModelSpec
from epilm.pretraining import folder as runs
from epilm.pretraining.loop import Data, Outcome, run_pretrain
from epilm.pretraining.step import contrast_size
from epilm.pretraining.validate import pick_rows
from epilm.recipes.recipe import Recipe, load_recipe, to_dict
from epilm.recipes.rules import check_store
from epilm.store.identity import check_states, identity_of
from epilm.store.reader import Store
from epilm.store.samples import Samples, make_samples
from epilm.store.sampling import NoSharedOrder, order, rows_at, steps_per_epoch
from epilm.store.window_table import WindowTable, validation_rows, window_rows
from epilm.training.compute import check_compute, weights_fit
from epilm.training.engine import SCHEDULER, machines
from epilm.training.log import read_metrics
from epilm.training.ranks import check_processes, is_first, processes_started
from epilm.training.schedule import schedule_warnings
from epilm.training.state import load_model_tensors, newest_intact

MICRO, DEVICES, STRATEGY = "train.micro_batch", "train.devices", "train.strategy"

# Samples of a store whose first epoch is dealt out before step 0 (about a second): what cannot be
# contrasted shows then. A larger table is dealt out step by step.
_DEALT_FIRST = 300_000


@dataclass(frozen=True)
class Pretrained:
    """A finished run.

    Attributes
    ----------
    run : Path
        Its folder; `epilm.load(run)` opens the model.
    steps : int
    seconds : float
        Of all starts together.
    train, valid : dict
        The last metrics on training and on held-out samples.
    warnings : list of str
    was_complete : bool
        True where there was nothing left to do.
    best : dict
        step, score (its name) and value of the best validation, stopped_early, and which of the
        two `model/` is: last or best. Empty where nothing is held out.
    """

    run: Path
    steps: int
    seconds: float
    train: dict[str, Any]
    valid: dict[str, Any]
    warnings: list[str]
    was_complete: bool = False
    best: dict[str, Any] = field(default_factory=dict)


def pretrain(
    recipe: str | Path | Recipe,
    store: str | Path | Store,
    out: str | Path,
    size: str | None = None,
    set: Iterable[str] = (),
    resume: bool = True,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> Pretrained:
    """Pre-train a model.

    Parameters
    ----------
    recipe : str, path or Recipe
        Name of a recipe of the package (`epilm ls`), a YAML file, or one already read.
    store : str, path or Store
        What `epilm build` made.
    out : path
        The run's folder. One that holds this very run goes on where it stopped.
    size : {"tiny", "small", "base"}, optional
        A size of the recipe's file.
    set : iterable of str
        `key=value`, laid over the recipe: `optim.peak_lr=3e-4`, `samples.holdout_chroms=[chr8]`.
    resume : bool
        False: an existing run is an error.
    device : {"auto", "cpu", "cuda", "mps"}
        Overrides the recipe's `train.device`.

    Returns
    -------
    Pretrained

    Raises
    ------
    RecipeError
        If the recipe is wrong, or the store lacks what it needs.
    TrainingError
        If the folder holds another run, the device is not there, or a loss is not finite.
    EpilmError
        If another process is writing the run.
    KeyboardInterrupt
        After Ctrl-C, and as `AskedToStop` after SIGTERM or SIGUSR1; the run is saved and the same
        call goes on with it.
    """
    if isinstance(recipe, Recipe):
        if size is not None or tuple(set):
            raise RecipeError("size and set change a recipe's file, not a recipe already read")
    else:
        recipe = load_recipe(recipe, size, set)
    if device != "auto":
        recipe = replace(recipe, train=replace(recipe.train, device=device))
    opened = store if isinstance(store, Store) else Store.open(store)
    check_store(recipe, opened, str(opened.path))
    recipe = for_store(recipe, opened)
    check_processes(processes_started(), recipe.train.devices)
    of_machine = max(recipe.train.devices // machines(), 1)
    machine = choose_place(recipe.train.device, recipe.train.precision, of_machine)
    out = Path(out)
    if not is_first(recipe.train.devices):
        # Started by the first process (or beside it), which alone writes the folder.
        if (out / runs.SUMMARY).is_file():
            return _complete(out, _silent)
        plan = make_plan(recipe, opened)
        return _run(plan, *build_initial(plan, out), out, machine, _silent)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            "the run's folder cannot be made", where=str(out), found=error
        ) from None
    with locked(out):
        written = to_dict(recipe), store_identity(opened)
        how = runs.compare(out, *written, resume)
        if how == "complete":
            return _complete(out, _say)
        # All that can be refused is refused before the folder is touched.
        plan = make_plan(recipe, opened)
        initial = build_initial(plan, out)
        check_compute(initial[0], recipe.train, machine.device)
        # recipe.json stays as the run began; each start notes what it does otherwise.
        changed = runs.changed_keys(out, written[0]) if how == "resumed" else {}
        runs.begin(
            out,
            *written,
            how,
            place=list(machine.said),
            changed={key: new for key, (_, new) in changed.items()},
        )
        for key in (MICRO, DEVICES, STRATEGY):
            if key in changed:
                began, now = changed[key]
                pieces = " and dropout is drawn in other pieces" if key == MICRO else ""
                _say(
                    f"{key} is {now}, the run began with {began}: the steps have the same samples,"
                    f" but sums are rounded in another order{pieces}, so the weights are not the"
                    " same bits"
                )
        return _run(plan, *initial, out, machine, _say)


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
        **_states_of(store),
    }


def _states_of(store: Store) -> dict[str, Any]:
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


@weights_fit()
def build_initial(plan: RunPlan, out: Path) -> tuple[nn.Module, list[str], list[dict[str, Any]]]:
    """Build the model with the weights a run starts from.

    Where the run has a state, no other weights are read: it brings all of them.

    Returns
    -------
    model, notes, before
        Notes: what of the weights named in the recipe was not taken over as it was; before: what
        those weights had read.
    """
    spec, recipe = plan.recipe.model, plan.recipe
    before: list[dict[str, Any]] = []
    newest, _ = newest_intact(out / runs.CHECKPOINTS)  # the loop says what was passed over
    if newest is not None:
        before = read_spec(newest)[1].get("before", [])
        spec = replace(
            spec, encoder=replace(spec.encoder, init=None), tower=replace(spec.tower, weights=None)
        )
    elif spec.encoder.init is not None:
        before = memory_of(spec.encoder.init)
        if "states" in spec.streams and before:  # their vectors are taken over by number
            last = before[-1]
            check_states(
                last.get("state_names"),
                last.get("state_bin"),
                plan.store,
                str(spec.encoder.init),
                "of the weights it starts from",
            )
    with torch.random.fork_rng(devices=[]):
        model = build_model(spec, seed=recipe.train.seed)
    model.start_temperature(recipe.objectives.matching.temperature)
    return model, initialise(model, spec), before


def _kept(plan: RunPlan, before: list[dict[str, Any]]) -> dict[str, Any]:
    """Give what a checkpoint keeps beside its spec: recipe, store, what was held out."""
    recipe, store = plan.recipe, plan.store
    extra: dict[str, Any] = {
        "recipe": to_dict(recipe),
        **identity_of(store),
        "cell_types": list(store.cell_types),
        "chroms": list(store.chroms),
        "before": before,
        "factor_ids": list(plan.maker.factor_ids),
        "factor_statistics": list(plan.maker.statistics),
        "holdout_chroms": list(recipe.samples.holdout_chroms),
        "holdout_cells": list(recipe.samples.holdout_cells),
    }
    if recipe.samples.unit == "windows":
        extra["window_bp"] = recipe.samples.window_bp
    extra |= keep_truths(store, recipe.objectives)
    if "states" in recipe.model.streams:
        extra |= _states_of(store)
    return extra


def _run(
    plan: RunPlan,
    model: nn.Module,
    notes: list[str],
    before: list[dict[str, Any]],
    out: Path,
    place: Place,
    say: Callable[[str], None],
) -> Pretrained:
    recipe, store = plan.recipe, plan.store
    spec, train, objectives = recipe.model, recipe.train, recipe.objectives
    for line in (
        *place.said,
        f"{recipe.name} ({recipe.size}): {parameter_table(model)['total']:,} weights",
        *_said_of(plan),
        *notes,
        *(f"warning: {line}" for line in plan.warnings),
    ):
        say(line)

    homes: dict[torch.device, Store] = {}

    def on(
        subset: Literal["train", "holdout"],
    ) -> Callable[[torch.device], BatchMaker | WindowMaker]:
        def build(device: torch.device) -> BatchMaker | WindowMaker:
            if subset == "train" and device.type == "cpu":
                return plan.maker
            # Both subsets read one copy: it is placed, and said, once.
            placed = homes.get(device)
            maker = batch_maker(placed or store, recipe, subset, device, None if placed else say)
            homes[device] = maker.store
            return maker

        return build

    extra = _kept(plan, before)
    readable = {"format": FORMAT, "epilm": epilm.__version__, "model": asdict(spec), "extra": extra}
    outcome = run_pretrain(
        model,
        Data(on("train"), plan.rows_at, on("holdout"), plan.valid_rows),
        objectives,
        recipe.optim,
        train,
        out,
        place,
        beside={SPEC: readable},
    )
    best: dict[str, Any] = {}
    if is_first(train.devices):
        outcome.warnings = [*plan.warnings, *outcome.warnings]
        best = _finish(model, spec, out, outcome, extra, train.model)
    return Pretrained(
        out,
        outcome.step,
        outcome.seconds,
        outcome.train,
        outcome.valid,
        outcome.warnings,
        best=best,
    )


def _said_of(plan: RunPlan) -> list[str]:
    """What a run will read, in lines for the user."""
    table, samples, train = plan.maker.table, plan.recipe.samples, plan.recipe.train
    passes = (
        f"{train.batch_size} a step, {train.steps * train.batch_size / max(len(table), 1):.3g}"
        " passes"
    )
    validation = f"validation: {len(plan.valid_rows)} of {plan.held_out:,} held-out"
    nothing = (
        "validation: none, because nothing is held out (samples.holdout_chroms,"
        " samples.holdout_cells)"
        if train.validate_samples
        else "validation: none, because train.validate_samples is 0"
    )
    if isinstance(plan.maker, WindowMaker):
        assert isinstance(table, WindowTable), "windows have a table of windows"
        cells = (
            f" in {len(table.cells)} cell types" if "states" in plan.recipe.model.streams else ""
        )
        return [
            (
                f"{len(table):,} windows of {samples.window_bp} bp: {table.windows:,}"
                f" places{cells}, {table.left_out:,} left out for N; {passes}"
            ),
            *plan.maker.notes,
            *plan.said,
            f"{validation} windows" if len(plan.valid_rows) else nothing,
        ]
    assert not isinstance(table, WindowTable), "regions have a table of samples"
    return [
        (
            f"{len(table):,} samples of {samples.regions} regions, {table.dropped:,} accessible"
            f" regions in none; {passes}"
        ),
        *plan.said,
        f"{validation} samples, no region twice" if len(plan.valid_rows) else nothing,
    ]


def _finish(
    model: nn.Module,
    spec: ModelSpec,
    out: Path,
    outcome: Outcome,
    extra: dict[str, Any],
    which: Literal["last", "best"],
) -> dict[str, Any]:
    """Write what the run leaves; give what is said of its best validation."""
    if not outcome.completed:
        _say(f"stopped after step {outcome.step}; the same command goes on from there")
        raise AskedToStop if outcome.stopped_by == SCHEDULER else KeyboardInterrupt
    figures = {"steps": outcome.step, "train": outcome.train, "valid": outcome.valid}
    best, about = outcome.best, {}
    if which == "last" or best.step is None:
        save_model(out / runs.MODEL, model, spec, extra | {"metrics": figures}, overwrite=True)
    if best.step is not None:
        about = {
            "step": best.step,
            "score": best.score,
            "value": best.value,
            "stopped_early": outcome.early,
            "model": which,
        }
        if best.step != outcome.step:
            state = out / runs.CHECKPOINTS / f"step_{best.step:08d}" / WEIGHTS
            load_model_tensors(model, load_file(state), str(state))
        of_best = extra | {"metrics": {"steps": best.step, **_figures_at(out, best.step)}}
        save_model(out / runs.BEST, model, spec, of_best, overwrite=True)
        if which == "best":
            save_model(out / runs.MODEL, model, spec, of_best, overwrite=True)
    summary = figures | {
        "seconds": round(outcome.seconds, 3),
        "warnings": outcome.warnings,
        "best": about,
    }
    write_json(out / runs.SUMMARY, summary)  # last: it says that the run is complete
    if about:
        _say(_best_said(outcome, out))
    _say(
        f"done: {outcome.step} steps in {outcome.seconds:.0f} s; the model"
        f"{f' (of step {best.step}, the best)' if about and which == 'best' else ''} is in"
        f" {out / runs.MODEL}"
    )
    return about


def _figures_at(out: Path, step: int) -> dict[str, Any]:
    """Take the lines of metrics of a step, by their split."""
    return {row["split"]: row for row in read_metrics(out) if row["step"] == step}


def _best_said(outcome: Outcome, out: Path) -> str:
    best = outcome.best
    ended = (
        f"ended at step {outcome.step}, after {best.since} validations without a better one; "
        if outcome.early
        else ""
    )
    return f"{ended}best held-out: {best.said()}, kept in {out / runs.BEST}"


def _complete(out: Path, say: Callable[[str], None]) -> Pretrained:
    summary = runs.read_json(out / runs.SUMMARY)
    say(f"the run is complete: {summary['steps']} steps, the model is in {out / runs.MODEL}")
    return Pretrained(
        out,
        summary["steps"],
        summary["seconds"],
        summary["train"],
        summary["valid"],
        summary["warnings"],
        True,
        summary.get("best", {}),  # runs of an older version kept none
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    pass
