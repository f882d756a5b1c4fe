"""What a run will need before it is started: memory, time, disk, and whether it fits.

`plan` makes the checks of `pretrain` up to its first step, counts from the model's
code what a step costs (`cost`), takes a few real steps on the machine
(`probe`), and computes the rest. A GPU that is not here is planned from a table
(`chips`), and the plan says so. A run that cannot fit is refused, with the cure.
Axes: b samples of a micro-batch, P weights.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from epilm.device import Place, choose_place
from epilm.errors import RecipeError, UsageError, nearest
from epilm.hub.load import initialise
from epilm.models.from_spec import build_model, parameter_table
from epilm.nn.attention import attention_backend
from epilm.planning.answer import DoesNotFit, Plan
from epilm.planning.chips import CHIPS, Chip, chip_of
from epilm.planning.cluster import Cluster, check_cluster
from epilm.planning.cost import Costs, count, without_initialising
from epilm.planning.probe import Calibration, calibrate
from epilm.planning.sizing import Sizing
from epilm.pretraining.run_plan import RunPlan, for_store, make_plan
from epilm.pretraining.step import contrast_size, hidden_counts
from epilm.recipes.recipe import Recipe, load_recipe
from epilm.recipes.rules import check_store
from epilm.store.reader import Store
from epilm.training.compute import check_compiler
from epilm.training.optim import orthogonalised

HERE = ("auto", "cpu", "cuda", "mps")


def plan(
    recipe: str | Path | Recipe,
    store: str | Path | Store,
    size: str | None = None,
    set: Iterable[str] = (),
    device: str = "auto",
    devices: int | Cluster | None = None,
    calibrated: bool = True,
    seconds: float = 10.0,
) -> Plan:
    """Say what a run will need: memory, time, disk, the largest micro-batch.

    Parameters
    ----------
    recipe, store, size, set
        As `pretrain` takes them.
    device : str
        "auto", "cpu", "cuda" or "mps" of this machine, or a GPU of `CHIPS` ("h200", "a100", ...).
    devices : int or Cluster, optional
        Processes or GPUs, and as a `Cluster` over how many machines and links; the recipe's
        `train.devices` on one machine where not given.
    calibrated : bool
        Take real steps where the device is here. Without them a CPU's time is not known.
    seconds : float
        About how long those steps may take; more than 0.

    Returns
    -------
    Plan

    Raises
    ------
    RecipeError, StoreError, CheckpointError, TrainingError
        As `pretrain`: an impossible recipe, a store that lacks what it needs, weights to start from
        that are not there or do not fit, a device that is not here, a kernel or a compiler that the
        device here has not.
    DoesNotFit
        A TrainingError that names the cure; its `plan` holds the numbers.
    UsageError
        If the device's name is unknown, the devices do not lie evenly on the machines, or `seconds`
        is no number above 0.
    """
    if not (seconds > 0 and math.isfinite(seconds)):
        raise UsageError(
            "the trial steps cannot take so long",
            where="--seconds",
            found=seconds,
            expected="a number above 0",
            do=(
                "Give about how many seconds they may take, such as 10; --no-calibrate takes no"
                " steps."
            ),
        )
    processes = devices.devices if isinstance(devices, Cluster) else devices
    recipe = _recipe(recipe, size, set, processes)
    cluster = devices if isinstance(devices, Cluster) else Cluster(recipe.train.devices)
    check_cluster(cluster)
    chip, recipe, machine = _where(device, recipe)
    opened = store if isinstance(store, Store) else Store.open(store)
    check_store(recipe, opened, str(opened.path))
    recipe = for_store(recipe, opened)
    data = make_plan(recipe, opened)
    here = chip is None or machine.device.type != "cpu"
    if here:
        # The calibration would find it too: without one, a run that `pretrain` refuses must not be
        # planned.
        attention_backend(str(machine.device), recipe.train.attention)
        if recipe.train.compile == "blocks":
            check_compiler(machine.device)
    _check_weights(recipe)
    costs, numbers, states = _counted(
        recipe, data, machine, machine.device.type != "cpu" or not here
    )
    sizing = Sizing(recipe, data, opened, machine, chip, here, costs, numbers, states, cluster)
    measured = None
    planned = sizing.plan(measured)
    if here and calibrated and planned.largest_micro_batch:
        most = min(recipe.train.micro_batch, planned.largest_micro_batch)
        layer = costs.at(1, 1).step - costs.at(1, 0).step
        measured = calibrate(
            recipe,
            opened,
            device=machine.device.type,
            operations=[costs.at(1, 0).step, layer],
            most=most,
            seconds=seconds,
        )
        planned = sizing.plan(measured)
    if not planned.fits:
        raise _refusal(planned, recipe, sizing, measured)
    return planned


def _recipe(
    recipe: str | Path | Recipe, size: str | None, set: Iterable[str], devices: int | None
) -> Recipe:
    if isinstance(recipe, Recipe):
        if size is not None or tuple(set):
            raise RecipeError("size and set change a recipe's file, not a recipe already read")
        return (
            recipe
            if devices is None
            else replace(recipe, train=replace(recipe.train, devices=devices))
        )
    more = () if devices is None else (f"train.devices={devices}",)
    return load_recipe(recipe, size, (*set, *more))


def _where(device: str, recipe: Recipe) -> tuple[Chip | None, Recipe, Place]:
    """Find the device: of this machine, or one of the table."""
    train = recipe.train
    if device in HERE:
        if device != "auto":
            recipe = replace(recipe, train=replace(train, device=device))  # type: ignore[arg-type]
        machine = choose_place(recipe.train.device, train.precision, train.devices)
        if machine.device.type == "cuda":
            return _gpu(), recipe, machine
        return None, recipe, machine
    if device not in CHIPS:
        meant = "cuda" if device == "gpu" else device  # by its letters it would be cpu
        raise UsageError(
            "unknown device", where="--device", found=device, do=nearest(meant, [*HERE, *CHIPS])
        )
    chip = CHIPS[device]
    if torch.cuda.is_available() and _gpu() is chip:
        return chip, recipe, choose_place("cuda", train.precision, train.devices)
    bf16 = train.precision != "fp32"
    many = f"{train.devices} x " if train.devices > 1 else ""
    said = (
        f"device {many}{chip.name}; precision {'bf16' if bf16 else 'fp32'}; not here, not measured",
    )
    return chip, recipe, Place(torch.device("cpu"), bf16, said)


def _gpu() -> Chip | None:
    """Find what this machine's GPU is in the table."""
    device = torch.cuda.current_device()
    return chip_of(
        torch.cuda.get_device_name(device), torch.cuda.get_device_properties(device).total_memory
    )


def _check_weights(recipe: Recipe) -> None:
    """Refuse weights to start from as `pretrain` does; those of a tower are read when the model is
    built.
    """
    if recipe.model.encoder.init is not None:
        with without_initialising():
            model = build_model(recipe.model, seed=0)
        initialise(model, recipe.model)


def _counted(
    recipe: Recipe, data: RunPlan, place: Place, fused: bool
) -> tuple[Costs, dict[str, int], float]:
    """Count the model: the cost of a micro-batch, its weights, and the bytes of the optimiser's
    state.
    """
    with without_initialising():
        model = build_model(recipe.model, seed=0)
    model.encoder.compute(recipe.train.attention)
    rows = data.rows_at(0)
    few, several = data.maker(rows[:4], 0), data.maker(rows[:32], 0)
    kmers, states = (hidden_counts(several) / len(several)).tolist()
    group = contrast_size(recipe.objectives, recipe.train, recipe.train.devices)
    exact = group is not None and group > recipe.train.micro_batch
    compiled = recipe.train.compile == "blocks"
    costs = count(model, few, (kmers, states), place, exact=exact, fused=fused, compiled=compiled)
    by_muon = orthogonalised(model) if recipe.optim.name == "muon" else frozenset()
    moments = sum((4 if name in by_muon else 8) * p.numel() for name, p in model.named_parameters())
    return costs, parameter_table(model), moments


def _refusal(
    planned: Plan, recipe: Recipe, sizing: Sizing, measured: Calibration | None
) -> DoesNotFit:
    train = recipe.train
    cures = []
    if planned.largest_micro_batch:
        cures.append(f"Set train.micro_batch={planned.largest_micro_batch}, the largest that fits")
    if not recipe.model.encoder.checkpoint_activations:
        encoder = replace(recipe.model.encoder, checkpoint_activations=True)
        lighter = replace(recipe, model=replace(recipe.model, encoder=encoder))
        costs, _, _ = _counted(lighter, sizing.data, sizing.place, not sizing.on_cpu)
        most = replace(sizing, recipe=lighter, costs=costs).largest(None)
        if most > planned.largest_micro_batch:
            needed = f" and train.micro_batch={most}" if most < train.micro_batch else ""
            cures.append(
                f"{'or set' if cures else 'Set'} model.encoder.checkpoint_activations=true{needed}"
            )
    if sizing.on_cpu and (fewer := _fewer_processes(sizing, measured)):
        cures.append(f"{'or set' if cures else 'Set'} {fewer}")
    if not cures:
        cures.append("Take a smaller --size, or a device with more memory")
    error = DoesNotFit(
        f"the run does not fit into the memory of {planned.device}",
        where=f"{planned.name} ({planned.size})",
        found=(
            f"{planned.memory['total'] / 1e9:.1f} GB, of which activations of one micro-batch of"
            f" {train.micro_batch} {planned.memory['activations'] / 1e9:.1f} GB"
        ),
        expected=f"at most {planned.memory['available'] / 1e9:.1f} GB",
        do=", ".join(cures) + ".",
    )
    error.plan = planned
    return error


def _fewer_processes(sizing: Sizing, measured: Calibration | None) -> str:
    """Name the most processes of a CPU that fit: with the run's micro-batch, else with a smaller
    one; "" where none do.
    """
    train, smaller = sizing.recipe.train, ""
    for n in range(train.devices - 1, 0, -1):
        fewer = replace(sizing, recipe=replace(sizing.recipe, train=replace(train, devices=n)))
        most = fewer.largest(measured, train.micro_batch)
        if most == train.micro_batch:
            return f"train.devices={n}, the most processes that fit"
        if most and not smaller:
            smaller = f"train.devices={n} and train.micro_batch={most}"
    return smaller
