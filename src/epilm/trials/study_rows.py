"""Makes the rows of a table of a paper: pre-train what an arm starts from, once for all that share
it, and measure.

On given data a seed is the randomness of fine-tuning (and of a pre-training where the description
says so); without them a seed is a world of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from epilm.atomic import atomic_file
from epilm.errors import InputError, UsageError
from epilm.hub.load import Loaded, load
from epilm.models.from_spec import build_model
from epilm.playground.ground_plan import size_of
from epilm.plots.page import Page
from epilm.plots.pictures import project
from epilm.processes import one_thread
from epilm.store.reader import Store
from epilm.tasks.base import describe
from epilm.tasks.lesson import same_sample
from epilm.tasks.typed_options import split_pairs
from epilm.training.learning import Learning
from epilm.trials.bench import run_of
from epilm.trials.choices import LabFiles
from epilm.trials.learn import Competitor, DataSet, fit_cnn, fit_simple, tune_model
from epilm.trials.made_before import finished_in
from epilm.trials.manifest import ManifestSets, SetEntry, read_sets
from epilm.trials.study import Study, StudyArm, study_table
from epilm.trials.study_page import study_page
from epilm.trials.trial import Key, Maker, Say
from epilm.trials.worlds import make_world
from epilm.vectors.embed import embed

_DRAWN = 0xF2  # beside the draws of fine-tuning
_WHOLE = "all regions"  # the one setting where no labels are given


class StudyRows(Maker):
    """Makes the rows of a table.

    Parameters
    ----------
    study : Study
    files : LabFiles
        Store and data; nothing where the description makes a world.

    Raises
    ------
    UsageError, InputError, StoreError
        If something that is needed is missing, cannot be read, or is given in vain.
    """

    page_reads = ("seed*/*.tsne.tsv",)
    usual = MappingProxyType({"finetune": asdict(Learning())})

    def __init__(self, study: Study, files: LabFiles, say: Say) -> None:
        self.study, self.left_out = study, {}
        self._world: tuple[int, Store, ManifestSets] | None = None
        self._data: tuple[Any, DataSet] | None = None
        self._check_files(files)
        self.made = finished_in(files.runs or (), study.models)
        self.store = None if study.world else Store.open(files.store)  # type: ignore[arg-type]
        self.sets = self._given_sets(files)
        names = {e.name: e.options.get("published", "") for e in self.sets.entries}
        if study.measure == "neighbours":
            names = {_WHOLE: ""}
        self.names, self.design = names, study.design(names)
        self.about = {} if study.world else files.given()
        if self.store is not None:
            self.about["assembly"] = str(self.store.info.assembly)
            for number in range(len(self.sets.entries)):  # all are read before the first row
                say(f"looking at the set {self.sets.entries[number].name}")
                self._open(self.sets, number)

    @property
    def around(self) -> Callable[[], Any]:  # type: ignore[override]
        """Worlds are toys, quickest on one thread."""
        return one_thread if self.study.world else super().around

    def plan(self) -> dict[str, Any]:
        """The description, and what must be the same for rows to stand in one table."""
        given: dict[str, Any] = {}
        if self.store is not None:
            entries = self.sets.entries
            stamps = {entry.name: self.sets.stamp(at) for at, entry in enumerate(entries)}
            given = {"store": self.store.fingerprint, "sets": stamps}
        named = {"names": self.names, "about": self.about}
        return {"plan": study_table(self.study), "given": given, **named}

    def keys(self, seeds: Sequence[int]) -> list[Key]:
        """Seed after seed, set after set; a baseline without chance once, where data are given."""
        return [
            (seed, name, arm.name)
            for at, seed in enumerate(seeds)
            for name in self.names
            for arm in self.study.arms
            if arm.baseline != "kmer" or self.study.world or at == 0
        ]

    def starts(self, seeds: Sequence[int]) -> list[str]:
        """Runs that were pre-trained elsewhere."""
        return [run for model in self.study.models for run in model.runs(seeds)]

    def make(self, key: Key, folder: Path, say: Say) -> dict[str, Any]:
        """Make one row."""
        seed, name, arm_name = key
        arm = next(arm for arm in self.study.arms if arm.name == arm_name)
        store, sets = self._data_of(seed, folder, say)
        start, spent = "", 0.0
        if arm.model:
            model = next(model for model in self.study.models if model.name == arm.model)
            once = model.pretrain == "once" and not self.study.world
            recipe = self.study.recipe_of(model)
            start, spent = run_of(model, recipe, seed, store, folder, once, say, self.made)
        if self.study.measure == "neighbours":
            row = self._neighbours(arm, start, store, seed, folder)
        else:
            number = [entry.name for entry in sets.entries].index(name)
            row = self._labels(arm, start, self._open(sets, number), seed)
        return row | {"pretraining_seconds": spent}

    def page(self, folder: Path) -> Page:
        """The page of the folder as it is now."""
        return study_page(folder)

    def _labels(self, arm: StudyArm, start: str, data: DataSet, seed: int) -> dict[str, Any]:
        """Fine-tune, or fit the baseline; scores of the test rows."""
        spec = replace(self.study.finetune, seed=seed)
        if arm.baseline == "kmer":
            return fit_simple("kmer", data, None, self.study.finetune.threshold)
        if arm.baseline == "cnn":
            return fit_cnn(data, spec)
        return tune_model(Competitor(arm.name, start, arm.init), data, None, spec, ()).scores()

    def _neighbours(
        self, arm: StudyArm, start: str, store: Store, seed: int, folder: Path
    ) -> dict[str, Any]:
        """Embed regions of one cell type alone; numbers, and points for the picture."""
        model = load(start)
        if arm.init == "random":
            fresh = build_model(model.spec, seed=seed).eval()
            model = Loaded(fresh, model.spec, model.extra, model.path)
        names = list(store.cell_types)
        chosen = np.random.default_rng([seed, _DRAWN]).permutation(len(names))[: self.study.cells]
        cells = [names[number] for number in sorted(chosen)]
        notes: list[str] = []
        made = embed(model, store=store, cells=cells, specific=True, say=notes.append)
        if made.neighbours is None or made.vectors is None:
            raise InputError(
                "no cell types can be told apart", where=str(store.path), found=notes[-1]
            )
        labels = np.array(made.columns["cell_type"])
        rows = same_sample(np.arange(len(labels)), self.study.drawn, seed, _DRAWN)
        points = project(made.vectors[rows], "tsne", seed)
        home = folder / f"seed{seed}"
        home.mkdir(exist_ok=True)
        with (
            atomic_file(home / f"{arm.name}.tsne.tsv") as new,
            open(new, "w", encoding="utf-8") as out,
        ):
            out.write("x\ty\tcell_type\n")
            for (x, y), label in zip(points, labels[rows], strict=True):
                out.write(f"{x:.4f}\t{y:.4f}\t{label}\n")
        scores = made.neighbours._asdict()
        return {name: scores[name] for name in ("purity", "silhouette", "chance", "n")} | {
            "cells": cells,
            "notes": notes,
        }

    def _open(self, sets: ManifestSets, number: int) -> DataSet:
        """A set, the last one kept."""
        key = id(sets), number
        if self._data is None or self._data[0] != key:
            data = sets.open(number)
            about = describe(data.rows)
            if data.rows.kind != "classes" or about["classes"] < 2:
                raise InputError(
                    "the table is of classes", where=data.name, found=f"labels: {data.rows.kind}"
                )
            self._data = key, data
        return self._data[1]

    def _data_of(self, seed: int, folder: Path, say: Say) -> tuple[Store, ManifestSets]:
        """Store and sets: the given ones, or those of the world of a seed."""
        if self.store is not None:
            return self.store, self.sets
        if self._world is None or self._world[0] != seed:
            home, world = folder / f"seed{seed}", self.study.world
            store = make_world(home, world, seed, size_of(world).cell_types, say)
            self._world = seed, Store.open(store), self._world_sets(home / "data")
        return self._world[1:]

    def _world_sets(self, data: Path) -> ManifestSets:
        options = split_pairs(self.study.options)
        entries = []
        for text in self.study.world_sets:
            name, _, path = text.partition("=")
            own = options | {"genome": str(data / "genome.fa")}
            entries.append(SetEntry(name, self.study.task, str(data / path), own))
        return ManifestSets(entries)

    def _given_sets(self, files: LabFiles) -> ManifestSets:
        study = self.study
        if study.world:
            return self._world_sets(Path())
        if study.measure == "neighbours":
            return ManifestSets([])
        assert files.data is not None
        if not study.task:
            return read_sets(files.data, genome=files.genome)
        if not files.data.exists():
            raise InputError("there is no such file", where="--data", found=str(files.data))
        options = split_pairs(study.options)
        entry = SetEntry(study.task, study.task, str(files.data), options)
        return ManifestSets([entry], genome=files.genome)

    def _check_files(self, files: LabFiles) -> None:
        """Refuse what is missing, and what does not apply."""
        study, given = self.study, files.given()
        wanted = ["store"] + (["data"] if study.measure == "labels" else [])
        if study.world:
            wanted = []
        takes = [*wanted, *(["genome"] if "data" in wanted else []), *(["runs"] if wanted else [])]
        for option, value in given.items():
            if option not in takes:
                raise UsageError(
                    "the description makes its own world and takes no data"
                    if study.world
                    else "the table does not take this option",
                    where=f"--{option}",
                    found=value,
                    expected=" and ".join(f"--{name}" for name in takes) or None,
                )
        if lacking := [f"--{name}" for name in wanted if name not in given]:
            meant = {"--store": "the store to pre-train on", "--data": "the labelled sequences"}
            raise UsageError(
                "the table is of given data",
                where=study.name,
                do=f"Give {' and '.join(f'{name} ({meant[name]})' for name in lacking)}, or"
                " --size tiny to see that all parts run.",
            )
