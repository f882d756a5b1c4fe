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

import torch
from safetensors.torch import load_file
from torch import nn

import epilm
from epilm.atomic import locked, write_json
from epilm.batches import BatchMaker, WindowMaker
from epilm.batches.token_truths import keep_truths
from epilm.device import Place, choose_place
from epilm.errors import AskedToStop, RecipeError, TrainingError
from epilm.hub.checkpoint import FORMAT, SPEC, WEIGHTS, read_spec, save_model
from epilm.hub.load import initialise
from epilm.hub.provenance import memory_of
from epilm.models.from_spec import build_model, parameter_table
from epilm.models.model_spec import ModelSpec
from epilm.pretraining import folder as runs
from epilm.pretraining.loop import Data, Outcome, run_pretrain
from epilm.pretraining.run_plan import (
    RunPlan,
    batch_maker,
    for_store,
    make_plan,
    states_of_store,
    store_identity,
)
from epilm.recipes.recipe import Recipe, load_recipe, to_dict
from epilm.recipes.rules import check_store
from epilm.store.identity import check_states, identity_of
from epilm.store.reader import Store
from epilm.store.window_table import WindowTable
from epilm.training.compute import check_compute, weights_fit
from epilm.training.engine import SCHEDULER, machines
from epilm.training.log import read_metrics
from epilm.training.ranks import check_processes, is_first, processes_started
from epilm.training.state import load_model_tensors, newest_intact

MICRO, DEVICES, STRATEGY = "train.micro_batch", "train.devices", "train.strategy"


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
        extra |= states_of_store(store)
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
