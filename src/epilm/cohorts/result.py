"""What came of a risk run: scores beside the baselines, as lines, tables and JSON.

Axes: N people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_folder, write_json
from epilm.cohorts.classifiers import CONSTANT, OutOfFold
from epilm.cohorts.people import People
from epilm.cohorts.scoring import AT_PREVALENCE, SCORES, FoldScore
from epilm.metrics.level import Difference
from epilm.metrics.prevalence import at_prevalence
from epilm.plots.page import write_page

MODEL, DOSAGE, BACKGROUND = "model", "dosage", "background"
RESULT = "risk.json"


@dataclass(frozen=True)
class RiskResult:
    """What came of it.

    Attributes
    ----------
    people : People
    fold : int64 (N,)
        The fold in which a person was tested.
    said : dict of str to OutOfFold
        By arm.
    folds : dict of str to list of dict
        Scores of each fold.
    table : dict of str to dict of str to FoldScore
        Scores over folds.
    differences : dict of str to Difference
        AUROC of the model less that of each other arm.
    alarms : dict of str to str
        Arms that call everybody the same.
    notes : list of str
    about : dict
        What was asked, and counts.
    """

    people: People
    fold: NDArray[np.int64]
    said: dict[str, OutOfFold]
    folds: dict[str, list[dict[str, Any]]]
    table: dict[str, dict[str, FoldScore]]
    differences: dict[str, Difference]
    alarms: dict[str, str]
    notes: list[str]
    about: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Lines to print."""
        shown = [name for name in (*SCORES, *AT_PREVALENCE) if name in self.table[CONSTANT]]
        lines = ["\t".join(["", *((SCORES | AT_PREVALENCE)[name] for name in shown)])]
        for arm, scores in self.table.items():
            cells = [f"{scores[name].mean:.3f} ± {scores[name].sd:.3f}" for name in shown]
            lines.append("\t".join([arm, *cells]))
        lines += verdicts(self.differences)
        lines += [f"{arm}: {alarm}" for arm, alarm in self.alarms.items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def as_json(self) -> dict[str, Any]:
        """Everything but the people, for a file."""
        return {
            "about": self.about,
            "scores": {
                arm: {name: plain(spread._asdict()) for name, spread in scores.items()}
                for arm, scores in self.table.items()
            },
            "folds": {arm: [plain(table) for table in rows] for arm, rows in self.folds.items()},
            "differences": {
                arm: plain({"auroc": value.value, "error": value.error}) | {"level": value.level}
                for arm, value in self.differences.items()
            },
            "penalties": {arm: [clean(c) for c in said.chosen] for arm, said in self.said.items()},
            "columns": {arm: said.columns for arm, said in self.said.items()},
            "alarms": self.alarms,
            "notes": self.notes,
        }


def clean(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with None where a value is undefined."""
    return {name: clean(value) for name, value in table.items()}


def verdicts(differences: Mapping[str, Difference]) -> list[str]:
    """Say of each baseline whether the model is above it.

    Examples
    --------
    >>> verdicts({"dosage": Difference(0.01, 0.02), "constant": Difference(0.2, 0.03)})[0]
    'level with dosage: AUROC +0.010 ± 0.020 (standard error)'
    """
    lines = []
    for arm, value in differences.items():
        below = value.value < -2 * value.error
        word = "below" if below else "level with" if value.level else "above"
        lines.append(f"{word} {arm}: AUROC {value.value:+.3f} ± {value.error:.3f} (standard error)")
    return lines


def write_result(out: Path, result: RiskResult, overwrite: bool) -> None:
    """Write the folder: risk.json, tables, predictions and the page, all or nothing."""
    from epilm.cohorts.risk_page import risk_page

    with atomic_folder(out, overwrite=overwrite) as folder:
        write_json(folder / RESULT, result.as_json())
        _tsv(folder / "scores.tsv", *_score_rows(result))
        _tsv(folder / "folds.tsv", *_fold_rows(result))
        _tsv(folder / "predictions.tsv", *_prediction_rows(result))
        write_page(risk_page(folder), folder / "report.html")


def _tsv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    def said(value: Any) -> str:
        if isinstance(value, float):
            return "." if not np.isfinite(value) else f"{value:.6g}"
        return "." if value is None else str(value)

    lines = ["\t".join(header), *("\t".join(map(said, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _score_rows(result: RiskResult) -> tuple[list[str], list[list[Any]]]:
    names = list(result.table[CONSTANT])
    header = ["arm", "score", "mean", "sd", "folds", "model_above", "error", "level"]
    rows: list[list[Any]] = []
    for arm, scores in result.table.items():
        for name in names:
            apart = result.differences.get(arm) if name == "auroc" else None
            ends = [None] * 3 if apart is None else [apart.value, apart.error, int(apart.level)]
            rows.append([arm, name, *scores[name], *ends])
    return header, rows


def _fold_rows(result: RiskResult) -> tuple[list[str], list[list[Any]]]:
    names = list(result.table[CONSTANT])
    rows = [
        [arm, number + 1, table["n"], *(float(table.get(name, np.nan)) for name in names)]
        for arm, tables in result.folds.items()
        for number, table in enumerate(tables)
    ]
    return ["arm", "fold", "n", *names], rows


def _prediction_rows(result: RiskResult) -> tuple[list[str], list[list[Any]]]:
    people, prevalence = result.people, result.about["judging"]["prevalence"]
    header = ["sample", "phenotype", "fold", *(f"p_{arm}" for arm in result.said)]
    values = [each.probabilities for each in result.said.values()]
    if prevalence is not None:
        shares = np.array(
            [people.labels[result.fold != f].mean() for f in range(int(result.fold.max()) + 1)]
        )
        header.append(f"p_{MODEL}_population")
        learned = shares[result.fold]
        values.append(at_prevalence(result.said[MODEL].probabilities, learned, prevalence))
    rows = [
        [name, "case" if label else "control", int(fold) + 1, *(float(v[i]) for v in values)]
        for i, (name, label, fold) in enumerate(
            zip(people.samples, people.labels.tolist(), result.fold.tolist())
        )
    ]
    return header, rows
