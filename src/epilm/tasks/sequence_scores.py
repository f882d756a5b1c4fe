"""From predictions of sequences to a table of scores, with what makes it doubtful.

A table comes with its warnings: a model that says one thing for everything, test
sequences met in training, and how much of the test pre-training has already seen (A21).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.tasks.label_kinds import labels_from
from epilm.tasks.sequences import read_lines

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
    "pearson",
    "spearman",
    "r2",
    "mse",
    "mse_of_mean",
    "difference_pearson",
    "difference_r2",
    "row_pearson",
    "row_spearman",
)


class Told(NamedTuple):
    """Labels of N rows and what a model says of them.

    Attributes
    ----------
    labels : int64 (N,), int8 (N, F) or float32 (N, F)
        By their kind.
    said : float (N, C) or (N, F)
    split, chrom : str (N,)
    start, end : int64 (N,)
    described : dict
        kind and names, as `tasks.labels.labels_from` reads them.
    """

    labels: NDArray[Any]
    said: NDArray[np.float64]
    split: NDArray[np.str_]
    chrom: NDArray[np.str_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    described: Mapping[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set.

    Attributes
    ----------
    table : dict
        Split (of several labels "split, label") -> name -> score (`tasks.labels`).
    warnings : list of str
        Collapse, leaks, what was left out.
    leak : dict or None
        What of the test pre-training has seen; None where there was no pre-training.
    audit : list of str
        What rules without a model reached on the same parts.
    """

    table: dict[str, dict[str, Any]]
    warnings: list[str] = field(default_factory=list)
    leak: dict[str, Any] | None = None
    audit: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined is None."""
        table = {
            split: {
                k: None if isinstance(v, float) and not np.isfinite(v) else v
                for k, v in scores.items()
            }
            for split, scores in self.table.items()
        }
        told = {"scores": table, "warnings": self.warnings, "leak": self.leak}
        return told | ({"audit": self.audit} if self.audit else {})

    def text(self) -> str:
        """A table to print: scores down, splits across."""
        splits = list(self.table)
        width = max(12, *(len(name) + 2 for name in splits))
        lines = [f"{'':<18}" + "".join(f"{s:>{width}}" for s in splits)]
        for name in SHOWN:
            if any(name in self.table[s] for s in splits):
                cells = [self.table[s].get(name) for s in splits]
                lines.append(f"{name:<18}" + "".join(f"{_cell(c):>{width}}" for c in cells))
        if self.leak is not None and self.leak["said"] not in self.warnings:
            lines.append(self.leak["said"])
        lines += self.audit
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def score(
    told: Told, about: Mapping[str, Any] | None = None, store: str | Path | None = None
) -> Evaluation:
    """Score what is said split by split, and collect what makes the scores doubtful."""
    labels = labels_from(_described(told, about))
    names = [s for s in ("train", "valid", "test") if (told.split == s).any()]
    table, warnings = {}, []
    for part in names or ["all"]:
        here = told.split == part if names else np.ones(len(told.labels), bool)
        for output, scores in labels.scores(told.labels[here], told.said[here]).items():
            name = f"{part}, {output}" if output else part
            table[name] = scores
            if alarm := scores["collapse"]:
                warnings.append(f"COLLAPSE on {name}: {alarm}; macro averages hide it")
        if labels.kind == "classes" and len(np.unique(told.labels[here])) < 2:
            warnings.append(f"{part} holds one class alone: AUROC and AP are undefined")
    judged = told.split == "test" if "test" in names else np.ones(len(told.labels), bool)
    leak = None
    if about is not None and about.get("pretraining"):
        places = (told.chrom[judged], told.start[judged], told.end[judged])
        leak = leak_of(about["pretraining"], *places, store)
        if leak["fraction"] is None or leak["fraction"] > 0:
            warnings.append(leak["said"])
    return Evaluation(table, warnings, leak)


def _described(told: Told, about: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Labels of a table, with what a model of the same ones remembers of them: mean and spread of
    numbers, where the second of two classes begins.
    """
    kept = (about or {}).get("labels", {})
    same = all(kept.get(key) == told.described[key] for key in ("kind", "names"))
    return kept if same else told.described


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
        What the checkpoint keeps of its pre-training (`hub.provenance.memory`).
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

    chroms = held_out(pretraining)
    known = chrom != ""
    out = f"held out: {', '.join(chroms) or 'none'}"

    def answer(fraction: float | None, how: str, said: str) -> dict[str, Any]:
        return {"fraction": fraction, "how": how, "holdout_chroms": chroms, "said": said}

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
        from epilm.store.hold_outs import leak_report
        from epilm.store.reader import Store
        from epilm.store.sample_spec import SampleSpec

        spec = SampleSpec(
            holdout_chroms=tuple(chroms), holdout_cells=tuple(held_out(pretraining, "cells"))
        )
        opened = Store.open(store)
        if known_store := pretraining.get("store"):
            opened.check_same(str(known_store), "the pre-training of this model")
        total = leak_report(opened, spec, chrom[known], start[known], end[known])[-1]
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


def no_such_run(path: Path) -> InputError:
    """Say what may be scored, where there is nothing."""
    return InputError(
        "there is no such run or table of predictions",
        where=str(path),
        expected="a run of epilm finetune, its model folder, or a table of predictions (.tsv)",
        do="Correct the path; predictions of bins (.tab, .tab.gz) are scored with --task binding.",
    )


def read_predictions(path: str | Path) -> Told:
    """Read a table of predictions: labels, what is said, splits, chrom, start, end.

    Classes have one column `label` and columns `p_0`, `p_1`, ... (or `p_NAME`); several labels
    `label_NAME` and `p_NAME` each, numbers `label_NAME` and `said_NAME`.

    Raises
    ------
    InputError
        If a column is missing or a value is no probability; names the line.
    """
    lines = read_lines(path)
    _, header = next(lines)
    names = header.split("\t")
    truths = [n for n in names if n.startswith("label_")]
    numbers = any(n.startswith("said_") for n in names)
    prefix = "said_" if numbers else "p_"
    scores = [n for n in names if n.startswith(prefix)]
    called = [n.removeprefix(prefix) for n in scores]
    several = bool(truths) and "label" not in names
    fits = [f"label_{n}" for n in called] == truths if several else len(scores) > 1
    if ("label" not in names and not several) or not fits:
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
    rows = len(columns[names[0]])
    if not rows:
        raise InputError("the table has no rows", where=str(path))
    kind = "classes"
    try:
        if several:
            missing = "nan" if numbers else "-1"
            cells_of = [[cell or missing for cell in columns[n]] for n in truths]
            kind = "numbers" if numbers else "factors"
            labels = np.array(cells_of, np.float32 if numbers else np.int8).T
        else:
            labels = _class_numbers(columns["label"], called)
        said = np.stack([np.array(columns[s], np.float64) for s in scores], 1)
    except ValueError as error:
        raise InputError("a value is not a number", where=str(path), found=error) from None
    wrong = ~np.isfinite(said).all(1)
    if not numbers:
        wrong |= (said < 0).any(1) | (said > 1).any(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            "not a number" if numbers else "not a probability",
            where=f"{path}, line {row + 2}",
            found=said[row].tolist(),
            expected="a finite number" if numbers else "0 to 1",
        )

    def column(name: str, other: str) -> list[str]:
        return columns.get(name, [other] * rows)

    return Told(
        labels,
        said,
        np.array(column("split", ""), np.str_),
        np.array(column("chrom", ""), np.str_),
        np.array(column("start", "-1"), np.int64),
        np.array(column("end", "-1"), np.int64),
        {"kind": kind, "names": called},
    )


def _class_numbers(cells: list[str], names: list[str]) -> NDArray[np.int64]:
    """Classes by the names of their columns; by number where columns are 0, 1, ... or labels are
    numbers (`p_promoter` and label 1).
    """
    at = {name: number for number, name in enumerate(names)}
    if all(cell in at for cell in cells):
        return np.array([at[cell] for cell in cells], np.int64)
    return np.array(cells, np.int64)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "n/a" if not np.isfinite(value) else f"{value:.4f}"
    return str(value)
