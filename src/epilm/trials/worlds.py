"""Ablations on invented worlds: a seed is a genome of its own, and the randomness of all training
in it.

What every arm reads is seen to be there as soon as a world is built, before anything is learned.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from epilm.playground.simulate import simulate
from epilm.plots.page import Page
from epilm.processes import one_thread
from epilm.recipes.recipe import Source
from epilm.store.making.build import build
from epilm.store.reader import Store
from epilm.tasks.binding.binding_options import BindingSpec
from epilm.tasks.binding.bins import grid
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.sources import load_bins
from epilm.trials.bench import PRETRAINING_FILES, Bench, check_bench, turn
from epilm.trials.descriptions import Ablation, as_table
from epilm.trials.trial import Key, Maker, Say
from epilm.trials.trial_page import ablation_page, design_of


def make_world(home: Path, world: str, seed: int, cells: Sequence[str], say: Say) -> Path:
    """Make the invented genome of a seed in `home/data`, and in `home/store` the store of the
    tracks of cell types, unless they are there.
    """
    data, store = home / "data", home / "store"
    with turn(store):
        if not data.is_dir():
            say(f"seed {seed}: an invented genome ({world})")
            simulate(data, world, seed)
        if not store.is_dir():
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
    return store


class WorldRows(Maker):
    """Makes the rows of an ablation on invented worlds."""

    around = staticmethod(one_thread)  # on which toys are quickest
    page_reads = PRETRAINING_FILES
    usual = MappingProxyType({"finetune": asdict(BindingSpec())})

    def __init__(self, plan: Ablation, source: Source) -> None:
        self.ablation, self.source = plan, source
        self.design, self.left_out = design_of(plan), {}
        self._bench: tuple[int, Bench] | None = None

    def plan(self) -> dict[str, Any]:
        """The description, as its folder keeps it."""
        return as_table(self.ablation)

    def keys(self, seeds: Sequence[int]) -> list[Key]:
        """World after world: arms, then controls."""
        return [(seed, "", name) for seed in seeds for name in self.ablation.titles()]

    def piece(self, key: Key) -> Key:
        """A control belongs to the arm whose model it asks."""
        (setting,) = self.ablation.settings
        return (*key[:2], self.ablation.model_row(setting, key[2]))

    def make(self, key: Key, folder: Path, say: Say) -> dict[str, Any]:
        """Make one row in the world of its seed."""
        seed, _, name = key
        if self._bench is None or self._bench[0] != seed:
            self._bench = seed, self._world(folder / f"seed{seed}", seed, say)
        (setting,) = self.ablation.settings
        return self._bench[1].row(setting, self.ablation.rows_of(setting)[name], seed, folder, say)

    def page(self, folder: Path) -> Page:
        """The page of the folder as it is now."""
        return ablation_page(folder)

    def _world(self, home: Path, seed: int, say: Say) -> Bench:
        """Make the invented genome and the store of its tracks, unless they are there."""
        plan, data = self.ablation, home / "data"
        (setting,) = plan.settings
        cells = (*setting.train_cells, setting.test_cell)
        store = make_world(home, plan.world, seed, cells, say)
        opened = Store.open(store)
        check_bench(plan, self.source, opened, [seed])
        sizes = dict(zip(opened.chroms, opened.sizes, strict=True))
        used = dict.fromkeys(text.split(":")[0] for text in (*setting.train, *setting.valid))
        # Labels of training stand on its own chromosomes alone, every 50 bp; those of the test on
        # the test places, every `bin_step` bp.
        learned = grid({name: sizes[name] for name in used})
        tested = grid(sizes, step=plan.bin_step, chroms=setting.test)

        def labels(cells: Sequence[str], bins: Any) -> list[BinLabels]:
            return [
                load_bins(data / "chip", factor=factor, cells=cells, sizes=sizes, regions=bins)
                for factor in plan.factors
            ]

        learn, test = labels(setting.train_cells, learned), labels([setting.test_cell], tested)
        return Bench(plan, opened, lambda _: learn, lambda _: test)
