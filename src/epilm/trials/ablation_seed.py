"""One seed of an ablation: a world, its store, two pre-trainings, the arms, the controls.

Everything is the public function of a command, in a folder of its own, so that a stopped seed goes
on inside the step it was in. Rows come out one by one.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epilm.finetuning.binding import finetune_binding
from epilm.finetuning.binding_run import BindingRun, load_binding
from epilm.finetuning.predict_bins import predict_bins
from epilm.metrics.binding import score_bins
from epilm.playground.simulate import simulate
from epilm.plots.page import read_lines
from epilm.pretraining.pretrain import pretrain
from epilm.store.making.build import build
from epilm.store.reader import Store
from epilm.tasks.binding.bins import grid
from epilm.tasks.binding.controls import controlled
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.load import load_bins

if TYPE_CHECKING:
    from epilm.trials.ablation import Ablation

Say = Callable[[str], None]
SCORES = ("ap", "auprc_dg", "auroc")


def run_seed(
    plan: "Ablation", folder: Path, seed: int, done: set[str], say: Say
) -> Iterator[dict[str, Any]]:
    """Do what is left of one seed.

    Parameters
    ----------
    plan : Ablation
    folder : path
        Of this seed: data, store, runs, arms.
    seed : int
        Of the world, of both pre-trainings and of every fine-tuning.
    done : set of str
        Arms and controls that have their row.
    say : callable

    Yields
    ------
    dict
        seed, arm, the mean of each score over factors, `factors` with all scores of each, seconds
        (of fine-tuning and prediction), pretraining_seconds, best_epoch.
    """
    left = [arm for arm in plan.arms if arm.name not in done]
    controls = [control for control in plan.controls if control.name not in done]
    if not left and not controls:
        return
    store = world_store(plan, folder, seed, say)
    needed = {a.model for a in plan.arms if a in left}
    spent = {}
    for model in plan.models:
        run = folder / "runs" / model.name
        if model.name in needed and not (run / "summary.json").is_file():
            say(f"seed {seed}: pre-training {model.name}")
        if model.name in needed or (run / "summary.json").is_file():
            spent[model.name] = _pretrained(plan, model, store, run, seed)
    labels = binding_labels(plan, folder / "data", store)
    truth = unseen_labels(plan, folder / "data", store)
    for arm in left:
        started = time.monotonic()
        settings = replace(
            plan.finetune,
            signals=arm.signals,
            train_chroms=plan.train,
            valid_chroms=plan.valid,
            test_chroms=plan.test,
            train_cells=plan.train_cells,
            test_cells=(plan.test_cell,),
            seed=seed,
        )
        result = finetune_binding(
            labels,
            store,
            folder / "runs" / arm.model,
            folder / "arms" / arm.name,
            settings,
            init=arm.init,
            say=_quiet,
        )
        row = _row(seed, arm.name, _scored(plan, result.run, store, truth), started)
        pretraining = spent.get(arm.model, 0.0) if arm.init == "checkpoint" else 0.0
        yield row | {"best_epoch": result.best_epoch, "pretraining_seconds": pretraining}
    for control in controls:
        started = time.monotonic()
        other = controlled(store, plan.test_cell, control.how, cells=plan.train_cells, seed=seed)
        assert other is not None, "training cell types have tracks"
        trained = load_binding(folder / "arms" / control.arm)
        yield _row(seed, control.name, _scored(plan, trained, other, truth), started)


def world_store(plan: "Ablation", folder: Path, seed: int, say: Say) -> Store:
    """Make the invented genome and the store of its tracks, unless they are there."""
    data, store = folder / "data", folder / "store"
    if not data.is_dir():
        say(f"seed {seed}: an invented genome ({plan.world})")
        simulate(data, plan.world, seed)
    if not store.is_dir():
        cells = (*plan.train_cells, plan.test_cell)
        build(
            genome=data / "genome.fa",
            peaks={cell: data / f"peaks/{cell}.narrowPeak.gz" for cell in cells},
            motifs=data / "motifs.jaspar",
            states={cell: data / f"states/{cell}.bed.gz" for cell in cells},
            accessibility={cell: data / f"signals/{cell}.accessibility.bw" for cell in cells},
            mappability=data / "signals/mappability.bw",
            assembly="simulated",
            out=store,
        )
    return Store.open(store)


def _pretrained(plan: "Ablation", model: Any, store: Store, run: Path, seed: int) -> float:
    """Pre-train, or go on, or find it done; seconds of the training itself."""

    changes = [*plan.set, *model.set, f"train.seed={seed}"]
    if not (run / "summary.json").is_file():
        pretrain(model.recipe, store, run, size=model.size, set=changes)
    rows = read_lines(run / "metrics.jsonl")
    return float(max((row.get("seconds") or 0.0 for row in rows), default=0.0))


def binding_labels(plan: "Ablation", data: Path, store: Store) -> list[BinLabels]:
    """Labels of the training cell types on the training and validation places, a table a factor."""
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    used = list(dict.fromkeys(place.split(":")[0] for place in (*plan.train, *plan.valid)))
    bins = grid({name: sizes[name] for name in used})
    return [
        load_bins(data / "chip", factor=factor, cells=plan.train_cells, sizes=sizes, regions=bins)
        for factor in plan.factors
    ]


def unseen_labels(plan: "Ablation", data: Path, store: Store) -> list[BinLabels]:
    """Labels of the unseen cell type on the test places, every `bin_step` bp."""
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    bins = grid(sizes, step=plan.bin_step, chroms=plan.test)
    return [
        load_bins(data / "chip", factor=factor, cells=[plan.test_cell], sizes=sizes, regions=bins)
        for factor in plan.factors
    ]


def _scored(
    plan: "Ablation", run: BindingRun, store: Store, truth: list[BinLabels]
) -> dict[str, Mapping[str, Any]]:
    """All scores of each factor in the unseen cell type; one forward pass serves all factors."""
    bins = truth[0].bins
    scores: NDArray[np.float32] = np.empty((len(bins), len(run.factors)), np.float32)
    for block in predict_bins(
        run, store, plan.test_cell, bins, both_strands=plan.both_strands, device="cpu"
    ):
        scores[block.first : block.first + len(block.probabilities)] = block.probabilities
    return {
        table.factor: score_bins(
            table.of(plan.test_cell), scores[:, run.factors.index(table.factor)]
        )
        for table in truth
    }


def _row(
    seed: int, arm: str, scores: dict[str, Mapping[str, Any]], started: float
) -> dict[str, Any]:
    means = {key: float(np.mean([table[key] for table in scores.values()])) for key in SCORES}
    factors = {factor: dict(table) for factor, table in scores.items()}
    return {
        "seed": seed,
        "arm": arm,
        **means,
        "factors": factors,
        "seconds": time.monotonic() - started,
    }


def _quiet(line: str) -> None:
    pass
