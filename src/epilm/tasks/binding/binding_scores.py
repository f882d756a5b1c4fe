"""Scores of ENCODE-DREAM for a model or a file of predictions, and whether the cell type has
anything to do with them.

A table comes with what makes it doubtful: test chromosomes and cell types that pre-training or
training has met, and controls, each one more prediction of the same model: its states shuffled, the
other cell types' states in their place, the sequence alone, and the best motif score without any
model (protocols 6.2, A21). Axes: n bins, S states.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epilm.batches.motif_signals import is_motif
from epilm.errors import InputError, UsageError, nearest
from epilm.genome.chromosomes import check_names
from epilm.metrics.bin_scores import METRICS, score_resamples
from epilm.metrics.level import difference
from epilm.motifs.formats import read_collection
from epilm.store.reader import Store
from epilm.store.tracks import same_track
from epilm.tasks.binding.controls import CONTROLS, controlled, motif_scores
from epilm.tasks.binding.dream.submission import scores_of
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.leak import leak_of, share_of_n
from epilm.tasks.binding.rows import CellBins
from epilm.tasks.binding.silent import silent_notes, stretches
from epilm.tasks.binding.sources import check_factor, factor_of_predictions, load_bins
from epilm.tasks.composition import (
    LEAST_JUDGED,
    average_precision,
    gc_of,
    gc_scores,
    said_of_gc,
)
from epilm.tasks.label_kinds import column_of

if TYPE_CHECKING:
    from epilm.tasks.binding.binding_task import BindingEvaluateOptions
    from epilm.tasks.contract import Scorer

SHOWN = (
    "n",
    "ambiguous",
    "positives",
    "prevalence",
    "auroc",
    "auprc_dg",
    "ap",
    "auprc_trapezoid",
    "recall_at_fdr10",
    "recall_at_fdr50",
    "recall_at_fdr5",
    "recall_at_fdr25",
)
Say = Callable[[str], None]
GC_WINDOW = 1000  # bp, where predictions do not say what they read


@dataclass(frozen=True)
class DreamEvaluation:
    """Scores of one model for one factor in one cell type.

    Attributes
    ----------
    model, factor, cell : str
    scores : dict
        Of `metrics.bin_scores.score_bins`.
    resamples : list of dict
        The challenge's four metrics on its ten nine-tenths of the bins; empty with too few bins.
    controls : dict
        Name of the control -> scores.
    leak : dict
        What pre-training and training have met of the test; `said` is a line on it.
    warnings : list of str
    notes : list of str
        How the labels were made, what was left out.
    """

    model: str
    factor: str
    cell: str
    scores: dict[str, Any]
    resamples: list[dict[str, Any]] = field(default_factory=list)
    controls: dict[str, dict[str, Any]] = field(default_factory=dict)
    leak: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined is None. `epilm leaderboard` reads it."""
        return {
            "task": "dream",
            "model": self.model,
            "factor": self.factor,
            "cell": self.cell,
            "scores": _plain(self.scores),
            "resamples": [_plain(row) for row in self.resamples],
            "controls": {name: _plain(table) for name, table in self.controls.items()},
            "leak": self.leak,
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def text(self) -> str:
        """A table to print: scores down, the model and its controls across."""
        columns = {self.model: self.scores, **self.controls}
        width = max(14, *(len(name) + 2 for name in columns))
        lines = [f"{self.factor} in {self.cell}"]
        lines.append(f"{'':<18}" + "".join(f"{name:>{width}}" for name in columns))
        for key in SHOWN:
            if key in self.scores:
                cells = "".join(f"{_cell(table.get(key)):>{width}}" for table in columns.values())
                lines.append(f"{key:<18}{cells}")
        if said := self.leak.get("said"):
            lines.append(said)
        if set(self.controls) - {"gc_content"}:
            lines.append(self.verdict())
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def verdict(self) -> str:
        """Say by how much the tracks of this very cell type helped."""
        parts = []
        for name, words in (
            ("mean_of_cells", "the training cell types' tracks in place of its own"),
            ("shuffled_states", "its own states shuffled along each chromosome"),
            ("sequence_only", "the sequence alone"),
        ):
            if name in self.controls:
                parts.append(
                    f"{self.scores['auprc_dg'] - self.controls[name]['auprc_dg']:+.4f} over {words}"
                )
        if not parts:
            return "no control of the cell type was run"
        if not np.isfinite(self.scores["auprc_dg"]):
            return "does the cell type matter? Not defined: no bound and unbound bins are scored"
        return f"does the cell type matter? auPRC (DG) {self.scores['auprc_dg']:.4f}: " + "; ".join(
            parts
        )


def evaluate_binding(
    run: Any,
    data: Any,
    options: "BindingEvaluateOptions",
    cell: str,
    score: "Scorer | None",
    say: Say,
) -> DreamEvaluation:
    """Score a model, or predictions in the challenge's format, as ENCODE-DREAM does.

    Parameters
    ----------
    run : path or Finetuned
        The model, for its name; or a file of predictions (.tab.gz).
    data : path or BinLabels
        Labels: see `tasks.binding.load.load_bins`.
    options : BindingEvaluateOptions
    cell : str
        Cell type, by its name in labels and store.
    score : Scorer or None
        The model; None where predictions are scored.
    say : callable
        Takes lines of progress.

    Raises
    ------
    InputError, StoreError, CheckpointError, UsageError
    """
    factor, chroms, controls = options.factor, options.chroms or options.test, options.controls
    motifs, seed = options.motifs, options.seed
    # An open model that came from no folder has no name of its own.
    path = Path(run if isinstance(run, str | Path) else run.path or "open model")
    # Before anything is predicted: a file of motifs that cannot be read is not "no motif of this
    # factor".
    motifs = None if motifs is None else read_collection(motifs)
    if score is None:
        _check_file(path)
        factor = factor_of_predictions(path, data, factor, cell)
    else:
        names = score.about["labels"]["names"]
        factor = names[column_of(names, factor)]
    store = options.store
    opened = Store.open(store) if isinstance(store, str | Path) else store
    if score is not None and opened is None:
        raise UsageError(
            "to predict, a store is needed",
            do="Give --store, with the genome and the tracks of the cell type.",
        )
    asked = {
        "regions": options.regions,
        "blacklist": options.blacklist,
        "rule": options.rule,
        "without_peaks": options.without_peaks,
    }
    reading = {key: value for key, value in asked.items() if value is not None}
    labels = _labels(data, factor, cell, opened, reading)
    notes, warnings = list(labels.notes), list[str]()
    if opened is not None:
        met = [name for name, _, _ in labels.bins.runs()]
        check_names(
            met,
            opened.chroms,
            str(data) if isinstance(data, str | Path) else "the labels",
            other="the store",
        )
        # All bins of the labels, not only those to score: one shows that the assembly is another.
        labels.bins.check_inside(
            dict(zip(opened.chroms, opened.sizes, strict=True)),
            store=opened.path,
            what="a bin of the labels",
            where=(str(data) if isinstance(data, str | Path) else labels.factor) or None,
            do=(
                "The labels are of another assembly: give a store of the genome they were made on,"
                " or lift them over."
            ),
        )
    labels = _judged(labels, chroms, score, opened, warnings)
    truth = labels.of(cell)
    model_folder = path.parent if path.name == "model" else path
    called = options.name or model_folder.name or "model"
    tables: dict[str, dict[str, Any]] = {}
    leak: dict[str, Any]
    if score is None:
        scores: NDArray[Any] = scores_of(path, labels.bins)
        said = "where these predictions come from is not known: no leak report"
        leak = {"pretraining": None, "training": None, "said": said}
        if controls:
            warnings.append("controls need a model: a file of predictions has none")
    else:
        assert opened is not None
        assert factor is not None
        column = column_of(score.about["labels"]["names"], factor)
        score.reads.check(opened, [cell], other_assembly=options.other_assembly)
        model = score

        def predict(source: Store) -> NDArray[np.float32]:
            bins = CellBins(labels.bins, source.cell_number(cell), tuple(source.chroms))
            blocks = model(bins, source)
            return np.concatenate([block[:, column] for block in blocks]).astype(np.float32)

        scores = predict(opened)
        leak = leak_of(
            score.about,
            labels.bins,
            cell,
            reads_states=score.reads.states,
            same_track=same_track(opened, cell),
        )
        warnings += list(leak.pop("warnings"))
        if names_read := [name for name, _, _ in score.reads.signals]:
            numbers = np.array([opened.chrom_number(name) for name in labels.bins.chroms])
            places = stretches(numbers[labels.bins.chrom], labels.bins.start, labels.bins.width)
            warnings += silent_notes(opened, names_read, [cell], places, "scored")
        if opened.states is not None and score.reads.states and cell in opened.states.proxies:
            warnings.append(
                f"the states of {cell} are those of {opened.states.proxies[cell]}, a declared proxy"
            )
        tables = _controls(
            score, opened, cell, factor, labels, controls, motifs, predict, seed, warnings, say
        )
    whole, parts = _scored(truth, scores)
    if not whole["n"]:
        warnings.append(
            f"every bin is ambiguous ({whole['ambiguous']:,} of them): every score is undefined"
        )
    elif not whole["positives"] or whole["positives"] == whole["n"]:
        warnings.append(
            f"the bins are of one class ({whole['positives']} of {whole['n']} bound): every score"
            " is undefined"
        )
    elif float(np.std(scores.astype(np.float64))) < 1e-6:
        warnings.append("COLLAPSE: the same score for every bin")
    if opened is not None and whole["n"] and (share := share_of_n(opened, labels.bins)) > 0.01:
        warnings.append(
            f"{share:.1%} of the scored bins hold N alone: unbound for certain, they flatter every"
            " model; --regions can leave them out"
        )
    if opened is not None and whole["n"]:
        window = score.reads.window_bp if score is not None else GC_WINDOW
        tables["gc_content"] = _beside_gc(labels, cell, opened, window, scores, warnings)
    return DreamEvaluation(
        called, factor or labels.factor, cell, whole, parts, tables, leak, warnings, notes
    )


def _beside_gc(
    labels: BinLabels,
    cell: str,
    store: Store,
    window_bp: int,
    scores: NDArray[Any],
    warnings: list[str],
) -> dict[str, Any]:
    """Scores of the windows' G+C content alone; a model that is level with it is called that."""
    truth = labels.of(cell)
    bins = CellBins(labels.bins, store.cell_number(cell), tuple(store.chroms))
    share = gc_of(bins, np.arange(len(bins)), store, window_bp, labels.bins.width)
    table = gc_scores(truth, share)
    if min((truth == 1).sum(), (truth == 0).sum()) >= LEAST_JUDGED:
        turned = share if table["auroc"] >= 0.5 else -share
        over = difference(truth, scores, turned, average_precision)
        if over.level:
            warnings.append(f"LEVEL: {said_of_gc('', over, average_precision(truth, scores))}")
    return table


def _check_file(path: Path) -> None:
    """Refuse what is no file of predictions in the challenge's format."""
    if path.suffix.lower() in (".parquet", ".bw", ".bigwig"):
        raise InputError(
            "predictions are scored from the challenge's format",
            where=str(path),
            found=path.suffix,
            expected=".tab or .tab.gz",
            do="Write them with epilm predict --out F.FACTOR.CELL.tab.gz, or give the run itself.",
        )
    if not path.exists():
        raise InputError(
            "there is no such run or file of predictions",
            where=str(path),
            expected=(
                "a run of epilm finetune binding, its model folder, or predictions in the"
                " challenge's"
                " format (.tab, .tab.gz)"
            ),
            do=(
                "Correct the path; epilm predict --out F.FACTOR.CELL.tab.gz writes such"
                " predictions."
            ),
        )


def _labels(
    data: Any, factor: str | None, cell: str, store: Store | None, options: Mapping[str, Any] | None
) -> BinLabels:
    if isinstance(data, BinLabels):
        data.column(cell)
        check_factor(data, factor)
        return load_bins(data, **dict(options)) if options else data
    sizes = dict(zip(store.chroms, store.sizes, strict=True)) if store is not None else None
    return load_bins(data, factor=factor, cells=[cell], sizes=sizes, **dict(options or {}))


def _judged(
    labels: BinLabels,
    chroms: Sequence[str],
    model: "Scorer | None",
    store: Store | None,
    warnings: list[str],
) -> BinLabels:
    """The bins to score."""
    there = [name for name, _, _ in labels.bins.runs()]
    if not chroms and model is not None:
        chroms = [p for p in model.about.get("test_chroms", ()) if p.split(":")[0] in there]
    if chroms:
        labels = labels.take(labels.bins.inside(chroms))
    elif model is not None:
        warnings.append(
            "no test chromosome was named: all bins of the labels are scored"
            f" ({', '.join(there[:6])}{', ...' if len(there) > 6 else ''})"
        )
    if store is not None:
        in_store = set(store.chroms)
        known = np.array([name in in_store for name in labels.bins.chroms] or [True])
        keep = known[labels.bins.chrom]
        if not keep.all():
            warnings.append(
                f"{int((~keep).sum()):,} bins on chromosomes that the store has not are left out"
            )
            labels = labels.take(keep)
    if not len(labels):
        raise InputError(
            "no bin is left to score",
            where=labels.factor or None,
            found=", ".join(chroms) or "no chromosome",
            expected=f"among {', '.join(there)}",
        )
    return labels


def _scored(
    truth: NDArray[np.int8], scores: NDArray[Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class: said among the table's warnings
        whole, parts = score_resamples(truth, scores)
    kept = [{key: dict(part)[key] for key in METRICS} for part in parts]
    return dict(whole), kept


# -- controls


def _controls(
    model: "Scorer",
    store: Store,
    cell: str,
    factor: str,
    labels: BinLabels,
    wanted: bool | Sequence[str],
    motifs: Any,
    predict: Callable[[Store], NDArray[np.float32]],
    seed: int,
    warnings: list[str],
    say: Say,
) -> dict[str, dict[str, Any]]:
    if not wanted:
        return {}
    names = list(CONTROLS) if wanted is True else list(wanted)
    for name in names:
        if name not in CONTROLS:
            raise UsageError("unknown control", found=name, do=nearest(name, CONTROLS))
    own = [
        n
        for n, _, _ in model.reads.signals
        if not is_motif(n) and store.signals[n].rows is not None
    ]
    if not model.reads.states and not own:
        warnings.append(
            "the model reads nothing of a cell type: it says the same of all of them, and no"
            " control of that is run"
        )
        names = [name for name in names if name == "motif"]
    out = {}
    for name in names:
        if name == "motif":
            scores = motif_scores(store, labels.bins, factor, motifs)
            if scores is None:
                if wanted is not True or motifs is not None:
                    warnings.append(f"no motif of {factor}: the control `motif` is left out")
                continue
        else:
            if name == "shuffled_states" and not model.reads.states:
                continue
            other = controlled(store, cell, name, cells=model.about.get("cells", ()), seed=seed)
            if other is None:
                warnings.append(
                    f"control {name}: no training cell type has a track other than the one that"
                    f" {cell} reads; left out"
                )
                continue
            say(f"control: {name}")
            scores = predict(other)
        out[name] = _scored(labels.of(cell), scores)[0]
    return out


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in table.items()}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "n/a" if not np.isfinite(value) else f"{value:.4f}"
    return str(value)
