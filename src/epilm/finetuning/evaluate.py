"""From a fine-tuned run, or predictions, to a table of scores, with what makes it doubtful.

A table comes with its warnings: a model that says one thing for everything, test
sequences met in training, and how much of the test pre-training has already seen (A21).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.device import found_device
from epilm.errors import InputError, UsageError
from epilm.finetuning.classifier import Classifier, load_classifier
from epilm.finetuning.predict import predict
from epilm.metrics.classification import score_table
from epilm.tasks import find_task
from epilm.tasks.base import LabelledSequences
from epilm.tasks.options import typed_options
from epilm.tasks.sequences import read_lines
from epilm.tasks.splits import split_rows

SHOWN = (
    "n",
    "auroc",
    "ap",
    "auprc_trapezoid",
    "auprc_dg",
    "accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "precision",
    "recall",
    "f1",
    "mcc",
    "prevalence",
)


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set.

    Attributes
    ----------
    table : dict
        Split -> name -> score (`metrics.score_table`).
    warnings : list of str
        Collapse, leaks, what was left out.
    leak : dict or None
        What of the test pre-training has seen; None where there was no pre-training.
    """

    table: dict[str, dict[str, Any]]
    warnings: list[str] = field(default_factory=list)
    leak: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined is None."""
        table = {
            split: {
                k: None if isinstance(v, float) and not np.isfinite(v) else v
                for k, v in scores.items()
            }
            for split, scores in self.table.items()
        }
        return {"scores": table, "warnings": self.warnings, "leak": self.leak}

    def text(self) -> str:
        """A table to print: scores down, splits across."""
        splits = list(self.table)
        lines = [f"{'':<18}" + "".join(f"{s:>12}" for s in splits)]
        for name in SHOWN:
            if any(name in self.table[s] for s in splits):
                cells = [self.table[s].get(name) for s in splits]
                lines.append(f"{name:<18}" + "".join(f"{_cell(c):>12}" for c in cells))
        if self.leak is not None and self.leak["said"] not in self.warnings:
            lines.append(self.leak["said"])
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def evaluate(
    run: str | Path | Classifier,
    task: str | None = None,
    data: str | Path | LabelledSequences | None = None,
    *,
    genome: Any = None,
    negative: str | Path | None = None,
    options: dict[str, Any] | None = None,
    split: Literal["none", "auto", "random", "chromosome", "given"] = "none",
    valid: Sequence[str] = (),
    test: Sequence[str] = (),
    data_seed: int = 0,
    store: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 256,
) -> Evaluation:
    """Score a fine-tuned model.

    Parameters
    ----------
    run : path or Classifier
        A run of `epilm finetune`, its model folder, a table of predictions (TSV with `label` and
        `p_0`, `p_1`, ...), or an open classifier.
    task : str, optional
        The run's own by default.
    data : path or LabelledSequences, optional
        New labelled data; without it the predictions kept in the run are scored.
    genome, negative, options, data_seed
        For the task's loader, as in `finetune`.
    split, valid, test
        How to split new data; "none" scores all of it as "all".
    store : path, optional
        The store of the pre-training: the leak is then counted region by region.
    device : {"auto", "cpu", "cuda", "mps"}
    batch_size : int
        Sequences of a forward pass.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError, CheckpointError, UsageError
    """
    if not isinstance(run, Classifier) and not Path(run).exists():
        raise InputError(
            "there is no such run or table of predictions",
            where=str(run),
            expected="a run of epilm finetune, its model folder, or a table of predictions (.tsv)",
            do=(
                "Correct the path; predictions of bins (.tab, .tab.gz) are scored with --task"
                " dream."
            ),
        )
    if data is None:
        if isinstance(run, Classifier):
            raise UsageError("an open classifier has no predictions", do="Pass data.")
        path = Path(run)
        table = path / "predictions.tsv" if path.is_dir() else path
        if not table.is_file():
            raise InputError(
                "no predictions in it",
                where=str(path),
                expected="a run of epilm finetune, or a table of predictions",
                do="Pass --data to predict now.",
            )
        labels, probabilities, splits, chrom, start, end = read_predictions(table)
        classifier = load_classifier(path) if path.is_dir() else None
    else:
        if isinstance(run, Classifier):
            classifier = run
        else:
            classifier = load_classifier(run, found_device(device))
        rows = data if isinstance(data, LabelledSequences) else None
        if rows is None:
            name = task or classifier.about.get("task")
            if name is None:
                raise UsageError("the model does not say its task", do="Pass --task.")
            load = find_task(name).load
            texts = {key: v for key, v in (options or {}).items() if isinstance(v, str)}
            extra = dict(options or {}) | typed_options(load, texts)
            extra |= {"negative": negative} if negative is not None else {}
            assert not isinstance(data, LabelledSequences)
            rows = load(data, genome=genome, seed=data_seed, **extra)
        if split != "none":
            rows = split_rows(rows, how=split, seed=data_seed, valid=valid, test=test)
        if rows.labels.max() >= classifier.n_labels:
            raise InputError(
                "the data have a class the model does not know",
                where=rows.name,
                found=f"label {rows.labels.max()}",
                expected=f"0 to {classifier.n_labels - 1}",
            )
        probabilities = predict(classifier, rows, batch_size=batch_size).probabilities
        labels, splits, chrom = rows.labels, rows.split, rows.chrom
        start, end = rows.start, rows.start + rows.lengths
    return score(labels, probabilities, splits, chrom, start, end, classifier, store)


def score(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    splits: NDArray[np.str_],
    chrom: NDArray[np.str_],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    classifier: Classifier | None = None,
    store: str | Path | None = None,
) -> Evaluation:
    """Score probabilities split by split, and collect what makes the scores doubtful."""
    names = [s for s in ("train", "valid", "test") if (splits == s).any()]
    table, warnings = {}, []
    for name in names or ["all"]:
        here = splits == name if names else np.ones(len(labels), bool)
        table[name] = score_table(labels[here], probabilities[here])
        if alarm := table[name]["collapse"]:
            warnings.append(f"COLLAPSE on {name}: {alarm}; macro averages hide it")
        if len(np.unique(labels[here])) < 2:
            warnings.append(f"{name} holds one class alone: AUROC and AP are undefined")
    judged = splits == "test" if "test" in names else np.ones(len(labels), bool)
    leak = None
    if classifier is not None and classifier.about.get("pretraining"):
        leak = leak_of(
            classifier.about["pretraining"], chrom[judged], start[judged], end[judged], store
        )
        if leak["fraction"] is None or leak["fraction"] > 0:
            warnings.append(leak["said"])
    return Evaluation(table, warnings, leak)


def leak_of(
    pretraining: dict[str, Any],
    chrom: NDArray[np.str_],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    store: str | Path | None = None,
) -> dict[str, Any]:
    """Say which share of the test lies where pre-training has read (A21).

    Parameters
    ----------
    pretraining : dict
        What the checkpoint keeps of its pre-training (`hub.memory`).
    chrom, start, end : (n,)
        Test intervals; "" where the place is unknown.
    store : path, optional
        Count overlaps with the regions of this store; by chromosome alone without it.

    Returns
    -------
    dict
        fraction (None where no place is known), how, said.

    Examples
    --------
    >>> places = np.array(["chr1", "chr22"]), np.array([0, 5]), np.array([9, 14])
    >>> leak_of({"holdout_chroms": ["chr22"]}, *places)["said"]
    'pre-training has seen the chromosomes of 50.0 % of the test sequences (held out: chr22)'
    """
    from epilm.hub.provenance import chroms_seen, held_out, unknown_starts

    held = held_out(pretraining)
    known = chrom != ""
    out = f"held out: {', '.join(held) or 'none'}"

    def answer(fraction: float | None, how: str, said: str) -> dict[str, Any]:
        return {"fraction": fraction, "how": how, "holdout_chroms": held, "said": said}

    if unknown := unknown_starts(pretraining):
        return answer(
            None,
            "unknown",
            f"what the weights of {', '.join(unknown)} have read is not known: they may have seen"
            " any of the test sequences",
        )
    if not known.any():
        return answer(
            None,
            "unknown",
            "whether pre-training has seen the test sequences is unknown: they carry no place"
            f" ({out})",
        )
    if store is not None:
        from epilm.store.reader import Store
        from epilm.store.sample_spec import SampleSpec
        from epilm.store.splits import leak_report

        spec = SampleSpec(
            holdout_chroms=tuple(held), holdout_cells=tuple(held_out(pretraining, "cells"))
        )
        total = leak_report(Store.open(store), spec, chrom[known], start[known], end[known])[-1]
        fraction = float(total.fraction)
        return answer(
            fraction,
            "regions",
            f"{100 * fraction:.1f} % of the test sequences overlap regions of the pre-training"
            f" ({out})",
        )
    seen = chroms_seen(pretraining, np.unique(chrom[known]).tolist())
    fraction = float(np.isin(chrom[known], seen).mean())
    return answer(
        fraction,
        "chromosomes",
        f"pre-training has seen the chromosomes of {100 * fraction:.1f} % of the test sequences"
        f" ({out})",
    )


def read_predictions(path: str | Path) -> tuple[Any, ...]:
    """Read a table of predictions: labels, probabilities, splits, chrom, start, end.

    Raises
    ------
    InputError
        If a column is missing or a value is no probability; names the line.
    """
    lines = read_lines(path)
    _, header = next(lines)
    names = header.split("\t")
    scores = [n for n in names if n.startswith("p_")]
    if "label" not in names or len(scores) < 2:
        raise InputError(
            "not a table of predictions",
            where=f"{path}, line 1",
            found=repr(header[:80]),
            expected="columns label, p_0, p_1, ... (split, chrom, start, end where known)",
        )
    columns: dict[str, list[str]] = {n: [] for n in names}
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(names):
            raise InputError(
                "the row does not fit the header",
                where=f"{path}, line {number}",
                found=len(cells),
                expected=len(names),
            )
        for name, cell in zip(names, cells):
            columns[name].append(cell)
    rows = len(columns["label"])
    if not rows:
        raise InputError("the table has no rows", where=str(path))
    try:
        labels = np.array(columns["label"], np.int64)
        probabilities = np.stack([np.array(columns[s], np.float64) for s in scores], 1)
    except ValueError as error:
        raise InputError("a value is not a number", where=str(path), found=error) from None
    wrong = (
        ~np.isfinite(probabilities).all(1) | (probabilities < 0).any(1) | (probabilities > 1).any(1)
    )
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            "not a probability",
            where=f"{path}, line {row + 2}",
            found=probabilities[row].tolist(),
            expected="0 to 1",
        )

    def column(name: str, other: str) -> list[str]:
        return columns.get(name, [other] * rows)

    return (
        labels,
        probabilities,
        np.array(column("split", ""), np.str_),
        np.array(column("chrom", ""), np.str_),
        np.array(column("start", "-1"), np.int64),
        np.array(column("end", "-1"), np.int64),
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "n/a" if not np.isfinite(value) else f"{value:.4f}"
    return str(value)
