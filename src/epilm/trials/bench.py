"""The bench that rows of an ablation are made on: a store, labels, runs; one row after another.

The same for data that are given and for the world of one seed. Everything is the public function of
a command, in a folder of its own, so that a stopped row goes on inside the step it was in.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from epilm.atomic import locked, plain
from epilm.errors import CheckpointError, EpilmError, RecipeError
from epilm.hub.load import spec_of
from epilm.models.model_spec import ModelSpec
from epilm.plots.page import read_lines
from epilm.pretraining.pretrain import pretrain
from epilm.recipes.recipe import Source, load_recipe
from epilm.store.motifs import motifs_of_store
from epilm.store.reader import Store
from epilm.tasks.binding.controls import controlled
from epilm.tasks.binding.labels import BinLabels
from epilm.trials.descriptions import Ablation, Arm, Control, Pretraining, Setting
from epilm.trials.learn import (
    BindingLesson,
    BindingSpec,
    FactorScores,
    baseline_binding,
    check_tracks,
    control_binding,
    signal_names,
    tune_binding,
)
from epilm.trials.made_before import take_over
from epilm.trials.trial import Say
from epilm.trials.trial_table import Words

# What the page says of a pre-training it reads from these.
PRETRAINING_FILES = tuple(
    f"{home}runs/*/{name}" for home in ("", "seed*/") for name in ("*.json", "*.jsonl")
)


@dataclass(frozen=True)
class Bench:
    """Where the rows of a description are made.

    Attributes
    ----------
    learned, tested : callable
        A setting to labels of training, and to those of the test cell type on the test places: a
        table a factor.
    motifs : sequence of Motif, optional
        The store's own where not given.
    made : sequence of path
        Finished pre-trainings, taken over where they are those that a model asks for.
    """

    plan: Ablation
    store: Store
    learned: Callable[[Setting], list[BinLabels]]
    tested: Callable[[Setting], list[BinLabels]]
    motifs: Sequence[Any] | None = None
    made: Sequence[Path] = ()

    def row(
        self, setting: Setting, row: Arm | Control, seed: int, folder: Path, say: Say
    ) -> dict[str, Any]:
        """Make one row.

        Returns
        -------
        dict
            The mean of each score over the factors that have one, n_factors, factors (all scores of
            each; None where there are none), notes, met (what training has seen of the test),
            seconds, and of a fine-tuned arm best_epoch and pretraining_seconds.
        """
        home = folder / f"seed{seed}" / (setting.name or "arms")
        if isinstance(row, Control):
            return self._control(setting, row, seed, home)
        if row.baseline:
            return self._baseline(setting, row, seed)
        return self._tuned(setting, row, seed, folder, home, say)

    def _lesson(
        self, setting: Setting, seed: int, own: BindingSpec | None = None, **spec: Any
    ) -> BindingLesson:
        inside = setting.test_cell in setting.train_cells
        filled = replace(
            own or self.plan.finetune,
            train_chroms=setting.train,
            valid_chroms=setting.valid,
            test_chroms=setting.test,
            train_cells=setting.train_cells,
            test_cells=() if inside else (setting.test_cell,),
            seed=seed,
            **spec,
        )
        # Toys are predicted where they are made; real data where fine-tuning computes.
        device = "cpu" if self.plan.world else filled.device
        return BindingLesson(
            self.store,
            self.learned(setting),
            self.tested(setting),
            setting.test_cell,
            filled,
            self.plan.both_strands,
            device,
            self.motifs,
        )

    def _tuned(
        self, setting: Setting, arm: Arm, seed: int, folder: Path, home: Path, say: Say
    ) -> dict[str, Any]:
        checkpoint, spent = self._pretrained(arm, seed, folder, say)
        started, spec = time.monotonic(), arm.finetune or self.plan.finetune
        lesson = self._lesson(
            setting,
            seed,
            spec,
            signals=arm.signals,
            freeze=arm.freeze or spec.freeze,
            lr=arm.lr or spec.lr,
        )
        start = {"init": arm.init, "size": arm.size, "k": arm.k or 7, "head": arm.head or None}
        scores, about = tune_binding(lesson, checkpoint, home / arm.name, **start)
        return self._made(scores, started) | about | {"pretraining_seconds": spent}

    def _control(self, setting: Setting, control: Control, seed: int, home: Path) -> dict[str, Any]:
        started = time.monotonic()
        cells, notes = stand_ins(setting, control, self.store)
        other = controlled(self.store, setting.test_cell, control.how, cells=cells, seed=seed)
        assert other is not None, "checked before the first row"
        scores = control_binding(self._lesson(setting, seed), other, home / control.arm)
        return self._made(scores, started) | {"notes": notes}

    def _baseline(self, setting: Setting, arm: Arm, seed: int) -> dict[str, Any]:
        started = time.monotonic()
        lesson = self._lesson(setting, seed)
        if lesson.motifs is None:
            lesson = replace(lesson, motifs=motifs_of_store(self.store))
        states = reads_states(arm, self.store)
        scores, notes = baseline_binding(
            lesson, str(arm.baseline), k=arm.k, states=states, signals=arm.signals
        )
        return self._made(scores, started) | {"notes": notes, "met": "no pre-training"}

    def _pretrained(self, arm: Arm, seed: int, folder: Path, say: Say) -> tuple[str, float]:
        """What an arm starts from, and the seconds its pre-training took: run once, then found."""
        if not arm.model:
            return str(arm.start), 0.0
        model = next(model for model in self.plan.models if model.name == arm.model)
        once = model.pretrain == "once" and not self.plan.world
        recipe = self.plan.recipe_of(model)
        run, seconds = run_of(model, recipe, seed, self.store, folder, once, say, self.made)
        return run, seconds if arm.init == "checkpoint" else 0.0

    def _made(self, scores: FactorScores, started: float) -> dict[str, Any]:
        known = [table for table in scores.values() if table and np.isfinite(table["ap"])]
        means = {
            score: float(np.mean([table[score] for table in known])) if known else float("nan")
            for score in LAB.scores
        }
        factors = {f: None if table is None else plain(dict(table)) for f, table in scores.items()}
        about = {"n_factors": len(known), "factors": factors, "notes": []}
        return means | about | {"seconds": time.monotonic() - started}


def run_of(
    model: Pretraining,
    recipe: tuple[str, str | None, tuple[str, ...]],
    seed: int,
    store: Store,
    folder: Path,
    once: bool,
    say: Say,
    made: Sequence[Path] = (),
) -> tuple[str, float]:
    """Give the run of a pre-trained model and the seconds it took: taken over from `made` or made,
    once, then found.

    `recipe` is name, size and changes; `once` makes one run for all seeds.
    """
    if model.run:
        return model.run_of(seed), 0.0
    run = folder / ("runs" if once else f"seed{seed}/runs") / model.name
    name, size, changes = recipe
    with turn(run):
        if not (run / "summary.json").is_file():
            title = f"pre-training {model.name}" + ("" if once else f", seed {seed}")
            changes = changes if once else (*changes, f"train.seed={seed}")
            wanted = load_recipe(name, size, changes)
            if other := take_over(run, made, wanted, store):
                say(f"{title}: that of {other}")
            else:
                say(title + (": none of --runs is of its recipe, seed and store" if made else ""))
                pretrain(wanted, store, run)
    rows = read_lines(run / "metrics.jsonl")
    return str(run), float(max((row.get("seconds") or 0.0 for row in rows), default=0.0))


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until no other process makes a folder that rows share: one makes it, the others find it.

    Several processes work in one folder where a trial is made in shards.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.turn"), wait=True):
        yield


def stand_ins(setting: Setting, control: Control, store: Store) -> tuple[list[str], list[str]]:
    """Cell types whose tracks a control takes, and notes: those of training, or all others."""
    cells = [cell for cell in setting.train_cells if cell != setting.test_cell]
    if control.how != "mean_of_cells" or cells:
        return cells, []
    cells = [cell for cell in store.cell_types if cell != setting.test_cell]
    note = f"no other cell type is trained on: the tracks are those of {', '.join(cells)}"
    return cells, [note]


def reads_states(arm: Arm, store: Store) -> bool:
    """Whether a baseline reads states."""
    if arm.states is not None:
        return arm.states
    return arm.baseline == "kmer_state" and store.states is not None


def check_runs(
    models: Sequence[Pretraining], seeds: Sequence[int], source: Source
) -> dict[str, ModelSpec]:
    """Open the runs of models that are not pre-trained here; name -> what it is, of the first seed.

    Raises
    ------
    RecipeError
        Naming the model and what cannot be opened.
    """
    specs: dict[str, ModelSpec] = {}
    for model in models:
        for run in model.runs(seeds):
            try:
                spec = spec_of(run)
            except (CheckpointError, OSError) as error:
                raise RecipeError(
                    "the run cannot be opened",
                    where=source.of("models"),
                    found=f"{model.name}: {error}",
                ) from None
            specs.setdefault(model.name, spec)
    return specs


def check_bench(
    plan: Ablation, source: Source, store: Store, seeds: Sequence[int]
) -> dict[tuple[str, str], str]:
    """Refuse an arm that reads what the store has not, or a run that cannot be opened.

    Returns
    -------
    dict
        Rows (setting, control) that no other cell type can stand in for, and why.

    Raises
    ------
    RecipeError
        Naming arm and setting.
    """
    specs = check_runs(plan.models, seeds, source)
    recipes = [model for model in plan.models if model.recipe]
    specs |= {model.name: load_recipe(*plan.recipe_of(model)).model for model in recipes}
    model_reads = {name: "states" in spec.streams for name, spec in specs.items()}
    left_out: dict[tuple[str, str], str] = {}
    for setting in plan.settings:
        cells = [*setting.train_cells, setting.test_cell]
        for row in plan.rows_of(setting).values():
            if isinstance(row, Control):
                others, _ = stand_ins(setting, row, store)
                if row.how == "mean_of_cells" and not any(_has_states(store, c) for c in others):
                    why = f"no other cell type has tracks to stand in for {setting.test_cell}"
                    left_out[setting.name, row.name] = why
                continue
            states = model_reads[row.model] if row.model else row.start == "ebert"
            if row.baseline:
                states = reads_states(row, store)
            try:
                check_tracks(store, cells, states=states, signals=signal_names(row.signals))
            except EpilmError as error:
                raise RecipeError(
                    f"the arm reads what the store has not: {error}",
                    where=source.of("arms"),
                    found=f"{row.name} in {setting.name}" if setting.name else row.name,
                    do="Leave the signal out, or say with only: [SETTING] where the arm is for.",
                ) from None
    return left_out


def _has_states(store: Store, cell: str) -> bool:
    """Whether a cell type can stand in for another one."""
    states = store.states
    return states is None or bool(states.rows[store.cell_number(cell)] >= 0)


_JUDGED = ("auprc_dg", "ap")
WORLDS = Words(
    noun="an ablation",
    plan="ablation.json",
    rows="rows.jsonl",
    setting="",
    arm="arm",
    lines="arms",
    scores=(*_JUDGED, "auroc"),
    judged=_JUDGED,
    printed=(*_JUDGED, "auroc"),
    other="the folder holds another ablation",
    cure="Choose another --out, or the size it was begun with.",
)
LAB = replace(
    WORLDS,
    plan="ablation_data.json",
    setting="setting",
    lines="rows",
    scores=(*_JUDGED, "auroc", "recall_at_fdr10", "recall_at_fdr50"),
    printed=(*_JUDGED, "auroc", "recall_at_fdr10", "recall_at_fdr50"),
    cure="Choose another --out, or give the data and the size it was begun with.",
)
