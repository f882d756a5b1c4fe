"""Binding: where factors bind in bins of a genome, in cell types of a store.

The challenge's files and rules are in `dream/`; what is learned from, in `binding_plan`; scores and
controls, in `scores`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from epilm.batches.reads import parse_signal
from epilm.errors import InputError, UsageError
from epilm.genome.chromosomes import few
from epilm.store.reader import Store
from epilm.store.tracks import proxy_notes
from epilm.tasks.binding.binding_options import BindingOptions, check_binding, with_pair
from epilm.tasks.binding.binding_plan import BindingPlan, cells_to_read, make_plan
from epilm.tasks.binding.binding_scores import DreamEvaluation, evaluate_binding
from epilm.tasks.binding.bins import grid, read_bins
from epilm.tasks.binding.dream.track_writers import open_predictions
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.regions import bins_of_regions
from epilm.tasks.binding.rows import CellBins
from epilm.tasks.binding.silent import check_signals, silent_notes, stretches
from epilm.tasks.binding.sources import cells_of, load_bins
from epilm.tasks.contract import Say, Scorer, Task
from epilm.tasks.label_kinds import Factors, column_of
from epilm.tasks.lesson import TaskLesson

PATH = {"type": Path}


@dataclass(frozen=True)
class BindingPredictOptions:
    """Which bins of which cell type are predicted."""

    store: Any = field(default=None, metadata=PATH)
    """Genome and the cell type's tracks."""
    cell: str | None = None
    """Cell type, by its name in the store. Needs no labels."""
    factor: str | None = None
    """Which one, where the model knows several."""
    chroms: tuple[str, ...] = ()
    """Chromosomes, or parts of them, to lay bins over (200 bp every 50)."""
    bins: Any = field(default=None, metadata=PATH)
    """A file with one bin a line, such as the challenge's region files; the order is kept."""
    regions: Any = field(default=None, metadata=PATH)
    """BED of regions to lay bins over, or a region file; with chroms, what lies in those."""
    other_assembly: bool = False
    """The store is of another genome than the model's, and that is meant."""


@dataclass(frozen=True)
class BindingEvaluateOptions:
    """Which bins are scored, and beside which controls."""

    store: Any = field(default=None, metadata=PATH)
    """Genome and tracks."""
    cell: tuple[str, ...] = ()
    """Cell types to score, one table each."""
    factor: str | None = None
    """Which one, where model or labels know several."""
    chroms: tuple[str, ...] = ()
    """Chromosomes, or parts of them, to score; the run's test chromosomes where not given."""
    test: tuple[str, ...] = ()
    """The same as chroms."""
    regions: Any = field(default=None, metadata=PATH)
    """Region file, or BED of regions; only bins in it."""
    blacklist: Any = field(default=None, metadata=PATH)
    """BED of regions; bins that touch it are left out."""
    rule: Literal["challenge", "bin_half"] | None = None
    """How labels are made from peaks, as in epilm finetune binding."""
    without_peaks: Literal["unknown", "unbound"] | None = None
    """Bins of a chromosome on which the cell type has no peak at all: unknown (not scored; where
    not given) or unbound."""
    controls: Any = field(default=False, metadata={"type": bool})
    """Also shuffled states, the other cell types' states, the sequence alone, the motif alone."""
    motifs: Any = field(default=None, metadata={"type": str})
    """Motif file or jaspar:2018 for the control of motifs; those of the store where not given."""
    name: str | None = None
    """How the table calls the model."""
    seed: int = 0
    """Of the shuffle of states."""
    other_assembly: bool = False
    """The store is of another genome than the model's, and that is meant."""


class BinPredictions(NamedTuple):
    """What was written.

    Attributes
    ----------
    bins : int
    cell : str
    mean : float
        Mean probability.
    seconds : float
    out : Path
    """

    bins: int
    cell: str
    mean: float
    seconds: float
    out: Path

    def summary(self) -> dict[str, Any]:
        """JSON values."""
        return self._asdict() | {"out": str(self.out), "seconds": round(self.seconds, 3)}

    def text(self) -> str:
        """A line to print."""
        return (
            f"{self.bins:,} bins of {self.cell}, mean {self.mean:.4f}, {self.seconds:.1f} s:"
            f" {self.out}"
        )


class BindingTask(Task):
    """Where factors bind in bins of a genome, in several cell types."""

    name = "binding"
    aliases = ("dream",)
    about = "Bound by factors or not, 200 bp bins of a genome in several cell types (ENCODE-DREAM)."
    data = "label file of the challenge, or a folder of CELL.FACTOR.conservative.narrowPeak.gz"
    head = "convolutions"
    k = 7
    precision = "auto"  # a genome of bins; logits are float32 all the same
    options: ClassVar[Mapping[str, type]] = {
        "finetune": BindingOptions,
        "predict": BindingPredictOptions,
        "evaluate": BindingEvaluateOptions,
    }

    def check(self, options: Any) -> None:
        """See `Task.check`."""
        check_binding(options)

    def lesson(self, data: Any, options: Any, say: Say) -> TaskLesson:
        """See `Task.lesson`."""
        options = with_pair(options)
        if options.store is None:
            raise UsageError(
                "binding needs a store",
                do="Give --store, with the genome and the cell types' tracks.",
            )
        store = options.store if isinstance(options.store, Store) else Store.open(options.store)
        tables, known = _labels(data, options, store)
        plan = make_plan(tables, store, options, known)
        notes = list(dict.fromkeys(note for table in tables for note in table.notes))
        if options.signals:
            notes += _silent_parts(plan, store, options.signals)
        used = sorted({plan.rows.cells[c] for c in (*plan.train_cells, *plan.valid_cells)})
        return TaskLesson(
            plan.rows,
            Factors(plan.rows.factors),
            plan.draw,
            plan.valid_rows,
            {"valid": plan.valid_rows},
            options.metric,
            store=store,
            window_bp=options.window_bp,
            width=plan.rows.width,
            signals=options.signals,
            about=plan.about() | {"factors": list(plan.rows.factors), "used_cells": used},
            identity={"examples": plan.rows.fingerprint(), "store": store.fingerprint},
            said=plan.said(),
            notes=[*notes, *plan.notes],
        )

    def predict(
        self, source: Any, out: Any, options: Any, score: Scorer, say: Say
    ) -> BinPredictions:
        """Predict bins of a cell type into a file: the challenge's (.tab.gz), bigWig or Parquet."""
        if out is None:
            raise UsageError(
                "bins need a store, a cell type and a file", do="Give --store, --cell and --out."
            )
        store, bins = _bins_to_predict(source, options, score, say)
        sizes = dict(zip(store.chroms, store.sizes, strict=True))
        names = score.about["labels"]["names"]
        column = column_of(names, options.factor)
        about = {
            "factor": names[column],
            "cell": options.cell,
            "run": str(score.about.get("path")),
        }
        examples = CellBins(bins, store.cell_number(options.cell), tuple(store.chroms))
        total, began = 0.0, time.monotonic()
        with open_predictions(out, bins, sizes=sizes, about=about) as file:
            for block in score(examples, store):
                scores = block[:, column]
                file.write(scores)
                total += float(scores.sum(dtype="float64"))
        return BinPredictions(
            len(bins),
            options.cell,
            total / max(len(bins), 1),
            time.monotonic() - began,
            Path(out),
        )

    def to_predict(
        self, source: Any, options: Any, score: Scorer, say: Say
    ) -> Iterator[tuple[Any, Any]]:
        """See `Task.to_predict`."""
        store, bins = _bins_to_predict(source, options, score, say)
        yield CellBins(bins, store.cell_number(options.cell), tuple(store.chroms)), store

    def evaluate(
        self, run: Any, data: Any, options: Any, score: Scorer | None, say: Say
    ) -> list[DreamEvaluation]:
        """Score a model, or a file of predictions, one table a cell type."""
        if data is None or not options.cell:
            raise UsageError("dream needs labels and a cell type", do="Give --data and --cell.")
        return [evaluate_binding(run, data, options, cell, score, say) for cell in options.cell]


def _bins_to_predict(source: Any, options: Any, score: Scorer, say: Say) -> tuple[Store, Any]:
    """The store and the bins that are asked for, checked, with what must be said of them."""
    if source is not None:
        raise UsageError(
            "sequences and bins do not go together",
            found=str(source),
            do="Leave the file out: a model of binding reads --store and --cell.",
        )
    if options.store is None or options.cell is None:
        raise UsageError(
            "bins need a store, a cell type and a file", do="Give --store, --cell and --out."
        )
    store = options.store if isinstance(options.store, Store) else Store.open(options.store)
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    if options.bins is not None:
        if options.regions is not None:
            raise UsageError(
                "--bins and --regions both say where the bins lie",
                found=f"{options.bins} and {options.regions}",
                do="Give one of them.",
            )
        given = options.bins
        bins = (
            read_bins(given, chroms=list(options.chroms) or None)
            if isinstance(given, str | Path)
            else given
        )
    elif options.regions is not None:
        bins, notes = bins_of_regions(options.regions, sizes, chroms=list(options.chroms))
        for note in notes:
            say(f"note: {note}")
    elif options.chroms:
        bins = grid(sizes, chroms=list(options.chroms))
    else:
        raise UsageError("no bins are named", do="Give --chroms, --regions FILE, or --bins FILE.")
    score.reads.check(store, [options.cell], other_assembly=options.other_assembly)
    column_of(score.about["labels"]["names"], options.factor)
    for note in proxy_notes(store, [options.cell]) if score.reads.states else []:
        say(f"WARNING: {note}")
    check_bins(bins, store, score)
    names_read = [name for name, _, _ in score.reads.signals]
    if names_read:
        numbers = np.array([store.chroms.index(name) for name in bins.chroms] or [0])
        places = stretches(numbers[bins.chrom], bins.start, bins.width)
        for note in silent_notes(store, names_read, [options.cell], places, "predicted"):
            say(f"WARNING: {note}")
    return store, bins


def _silent_parts(plan: BindingPlan, store: Store, signals: Sequence[str]) -> list[str]:
    """Say which signals are 0 in a part; refuse one that is so wherever it would be learned."""
    names = [parse_signal(text)[0] for text in signals]
    names = [name for name in names if name in store.signals]  # what is not there is refused later
    rows, notes = plan.rows, list[str]()
    for part, bins, cells in (
        ("training", plan.split.train, plan.train_cells),
        ("validation", plan.split.valid, plan.valid_cells),
    ):
        places = stretches(rows.chrom[bins], rows.start[bins], rows.width)
        called = [rows.cells[c] for c in cells]
        if part == "training":
            check_signals(store, names, called, places)
        notes += [f"WARNING: {n}" for n in silent_notes(store, names, called, places, part)]
    return notes


def check_bins(bins: Any, store: Store, score: Scorer) -> None:
    """Refuse bins of another width, or off the store's chromosomes.

    Raises
    ------
    UsageError, StoreError, InputError
    """
    if bins.width != score.reads.width:
        raise UsageError(
            "the bins are not those the model was made for",
            found=f"{bins.width} bp",
            expected=f"{score.reads.width} bp",
        )
    for name, _, _ in bins.runs():
        store.chrom_number(name)
    bins.check_inside(
        dict(zip(store.chroms, store.sizes, strict=True)),
        store=store.path,
        do="Bins and store are of two assemblies: make the bins on the store's chromosomes.",
    )


def _labels(
    data: Any, options: BindingOptions, store: Store
) -> tuple[list[BinLabels], tuple[str, ...] | None]:
    """Labels of what is asked for alone, and all cell types that they are there for; None where the
    labels came from Python and say it themselves.
    """
    asked = {
        "regions": options.regions,
        "blacklist": options.blacklist,
        "rule": options.rule,
        "without_peaks": options.without_peaks,
    }
    reading = {key: value for key, value in asked.items() if value is not None}
    if not isinstance(data, str | Path):
        tables = [data] if isinstance(data, BinLabels) else list(data)
        return ([load_bins(each, **reading) for each in tables] if reading else tables), None
    if not options.factor:
        raise UsageError(
            "the factor is not named", where=str(data), do="Give --factor, e.g. --factor CTCF."
        )
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    there = {name: cells_of(data, name) for name in options.factor}
    known = tuple(dict.fromkeys(cell for cells in there.values() for cell in cells))
    wanted = cells_to_read(known, options)
    tables = []
    for name, cells in there.items():
        mine = [cell for cell in cells if cell in wanted]
        if not mine:
            raise InputError(
                f"the labels of {name} are of none of the cell types to learn from",
                where=str(data),
                found=few(cells, 24) or "none",
                expected=f"one of {few(wanted, 24)}",
                do="Leave the factor out (--factor), or choose other cell types (--train-cells).",
            )
        tables.append(load_bins(data, factor=name, cells=mine, sizes=sizes, **reading))
    return tables, known


TASK = BindingTask()
