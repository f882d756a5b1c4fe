"""Ablations on a lab's own data: the store and the labels are given, a seed is the randomness of
training.

All that the description asks of the data is seen to be there before the first row: chromosomes,
cell types, tracks, labels, motifs, runs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from epilm.batches.motif_signals import is_motif
from epilm.errors import RecipeError, nearest
from epilm.motifs.formats import read_collection
from epilm.plots.page import Page
from epilm.recipes.recipe import Source
from epilm.store.motifs import motifs_of_store
from epilm.store.reader import Store
from epilm.tasks.binding.binding_options import BindingSpec
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.leak import share_of_n
from epilm.tasks.binding.sources import load_bins
from epilm.trials.bench import PRETRAINING_FILES, Bench, check_bench
from epilm.trials.choices import LabFiles
from epilm.trials.descriptions import Ablation, Setting, as_table, places_of
from epilm.trials.learn import own_motifs
from epilm.trials.made_before import finished_in
from epilm.trials.trial import Key, Maker, Say
from epilm.trials.trial_page import ablation_page, design_of


class LabRows(Maker):
    """Makes the rows of an ablation on given data.

    Attributes
    ----------
    tables : dict
        Factor -> labels on the chromosomes in use, in all cell types they are of.
    about : dict
        Where the data lie, for the page.
    notes : list of str
        What is missing or was left out.
    made : sequence of path
        Finished pre-trainings that may be taken over.
    """

    page_reads = PRETRAINING_FILES
    usual = MappingProxyType({"finetune": asdict(BindingSpec())})

    def __init__(
        self,
        plan: Ablation,
        store: Store,
        tables: dict[str, BinLabels],
        motifs: list[Any],
        about: dict[str, Any],
    ) -> None:
        self.ablation, self.store, self.tables = plan, store, tables
        self.motifs, self.about, self.design = motifs, about, design_of(plan)
        self.left_out: dict[tuple[str, str], str] = {}
        self.notes: list[str] = []
        self.made: Sequence[Path] = ()

    def plan(self) -> dict[str, Any]:
        """The description, and what must be the same for rows to stand in one table."""
        motifs = repr([(motif.id, motif.name) for motif in self.motifs]).encode()
        given = {
            "store": self.store.fingerprint,
            "labels": {factor: _digest(table) for factor, table in self.tables.items()},
            "motifs": hashlib.sha256(motifs).hexdigest()[:16],
        }
        return {"plan": as_table(self.ablation), "given": given, "about": self.about}

    def keys(self, seeds: Sequence[int]) -> list[Key]:
        """Seed after seed, setting after setting: arms, then controls."""
        return [(seed, cell.setting, cell.arm) for seed in seeds for cell in self.ablation.cells()]

    def piece(self, key: Key) -> Key:
        """A control belongs to the arm whose model it asks."""
        setting = next(each for each in self.ablation.settings if each.name == key[1])
        return (*key[:2], self.ablation.model_row(setting, key[2]))

    def starts(self, seeds: Sequence[int]) -> list[str]:
        """Runs that were pre-trained elsewhere."""
        return [run for model in self.ablation.models for run in model.runs(seeds)]

    def make(self, key: Key, folder: Path, say: Say) -> Mapping[str, Any]:
        """Make one row."""
        seed, name, arm = key
        bench = Bench(self.ablation, self.store, self.learned, self.tested, self.motifs, self.made)
        setting = next(setting for setting in self.ablation.settings if setting.name == name)
        return bench.row(setting, self.ablation.rows_of(setting)[arm], seed, folder, say)

    def page(self, folder: Path) -> Page:
        """The page of the folder as it is now."""
        return ablation_page(folder)

    def learned(self, setting: Setting) -> list[BinLabels]:
        """Labels to learn from, a table a factor, of the training cell types that have them."""
        tables = [self.tables[factor] for factor in self.ablation.factors_of(setting)]
        return [
            table.select([cell for cell in setting.train_cells if cell in table.cells])
            for table in tables
        ]

    def tested(self, setting: Setting) -> list[BinLabels]:
        """Labels of the test cell type on the test places, every `bin_step` bp."""
        out = []
        for factor in self.ablation.factors_of(setting):
            table, step = self.tables[factor].select([setting.test_cell]), self.ablation.bin_step
            out.append(table.take(table.bins.inside(setting.test) & (table.bins.start % step == 0)))
        return out


def open_lab(plan: Ablation, source: Source, files: LabFiles, seeds: Sequence[int]) -> LabRows:
    """Open store and labels and refuse what the description asks of them in vain.

    Raises
    ------
    RecipeError
        Naming the key that asks for a cell type, place, factor, signal or motif that is not there.
    """
    assert files.store is not None
    assert files.labels is not None
    store = Store.open(files.store)
    for setting in plan.settings:
        for part in ("train", "valid", "test"):
            for interval in places_of(setting, part, source):
                where = source.of(setting.key(part))
                _known("chromosome", interval.chrom, store.chroms, where)
        for part in ("train_cells", "test_cell"):
            cells = setting.train_cells if part == "train_cells" else (setting.test_cell,)
            for cell in cells:
                _known("cell type", cell, store.cell_types, source.of(setting.key(part)))
    left_out = check_bench(plan, source, store, seeds)
    used = dict.fromkeys(
        interval.split(":")[0] for s in plan.settings for interval in (*s.train, *s.valid, *s.test)
    )
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    tables = {
        factor: load_bins(
            files.labels,
            factor=factor,
            sizes=sizes,
            chroms=list(used),
            regions=files.regions,
            blacklist=files.blacklist,
            rule=files.rule,
        )
        for factor in dict.fromkeys(f for s in plan.settings for f in plan.factors_of(s))
    }
    motifs = motifs_of_store(store) if files.motifs is None else read_collection(files.motifs)
    about = {"rule": files.rule} | files.given() | {"assembly": store.info.assembly}
    lab = LabRows(plan, store, tables, motifs, about)
    lab.left_out |= left_out
    lab.made = finished_in(files.runs or (), plan.models)
    _check_labels(lab, source)
    _check_motifs(lab, source)
    return lab


def _known(what: str, name: str, among: Sequence[str], where: str) -> None:
    if name not in among:
        cure = nearest(name, among)
        raise RecipeError(f"the store has no such {what}", where=where, found=name, do=cure)


def _check_labels(lab: LabRows, source: Source) -> None:
    """Refuse a setting without labels to learn from or to be tested on; note what is missing."""
    plan = lab.ablation
    for setting in plan.settings:
        lacking: list[str] = []
        for factor in plan.factors_of(setting):
            table = lab.tables[factor]
            if setting.test_cell not in table.cells:
                raise RecipeError(
                    f"the labels of {factor} lack the test cell type",
                    where=source.of(setting.key("test_cell")),
                    found=setting.test_cell,
                    expected=f"one of {', '.join(table.cells)}",
                    do=f"Give the setting factors: of its own without {factor}.",
                )
            missing = [cell for cell in setting.train_cells if cell not in table.cells]
            if len(missing) == len(setting.train_cells):
                raise RecipeError(
                    f"no training cell type has labels of {factor}",
                    where=source.of(setting.key("train_cells")),
                    found=", ".join(missing),
                    expected=f"some of {', '.join(table.cells)}",
                )
            if missing:
                lacking.append(f"{factor} in {', '.join(missing)}")
        if lacking:
            lab.notes.append(
                f"{setting.name}: no labels of {'; '.join(lacking)}: nothing is learned there"
            )
        tested = lab.tested(setting)
        if not all(map(len, tested)):
            raise RecipeError(
                "no bin lies in the test places",
                where=source.of(setting.key("test")),
                found=", ".join(setting.test),
            )
        if (share := share_of_n(lab.store, tested[0].bins)) > 0.01:
            lab.notes.append(
                f"{setting.name}: {share:.1%} of the tested bins hold N alone and flatter every"
                " row; --regions can leave them out"
            )
    used = {cell for s in plan.settings for cell in (*s.train_cells, s.test_cell)}
    for factor, table in lab.tables.items():
        idle = tuple(f"{cell}: " for cell in table.cells if cell not in used)
        lab.notes += [f"{factor}: {note}" for note in table.notes if not note.startswith(idle)]


def _check_motifs(lab: LabRows, source: Source) -> None:
    """Note factors without a motif; leave out the baseline motif of a setting where all lack one.

    Raises
    ------
    RecipeError
        If no factor has a motif and some arm asks for one.
    """
    plan = lab.ablation
    asking = [
        arm for arm in plan.arms if arm.baseline == "motif" or any(map(is_motif, arm.signals))
    ]
    without = [factor for factor in lab.tables if not own_motifs(lab.motifs, factor)]
    if not asking or not without:
        return
    if len(without) == len(lab.tables):
        raise RecipeError(
            "no motif of any factor is known",
            where=source.of("arms"),
            found=", ".join(without),
            do=(
                "Give --motifs FILE or jaspar:2018, build the store with --motifs, or take the"
                " arm out."
            ),
        )
    lab.notes.append(f"motif: the collection has none of {', '.join(without)}: no score there")
    for setting in plan.settings:
        if set(plan.factors_of(setting)) <= set(without):
            for name, row in plan.rows_of(setting).items():
                if getattr(row, "baseline", None) == "motif":
                    names = ", ".join(plan.factors_of(setting))
                    lab.left_out[setting.name, name] = f"the collection has no motif of {names}"


def _digest(table: BinLabels) -> str:
    digest = hashlib.sha256(repr((table.cells, table.bins.chroms)).encode())
    for array in (table.bins.chrom, table.bins.start, table.values):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
