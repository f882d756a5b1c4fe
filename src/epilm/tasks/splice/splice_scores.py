"""Scores of splice sites as a table, with what makes them doubtful.

Beside a model stands what two letters say: a donor before GT, an acceptor after AG.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import plain
from epilm.tasks.composition import letters_at

RULE = "GT..AG"
SHOWN = (
    "positives",
    "negatives_per_positive",
    "top_k",
    "ap",
    "top_k_0.5",
    "top_k_2",
    "top_k_4",
    "threshold",
    "tied",
    "nll",
    "miscalibration",
)
_SURE, _NEVER = 0.25, 1e-9


@dataclass(frozen=True)
class SpliceEvaluation:
    """Scores of one model on one set of transcripts, and of what stands beside it.

    Attributes
    ----------
    tables : dict
        Part -> class (acceptor, donor, mean) -> scores (`metrics.sites`).
    beside : dict
        Name -> part -> class -> scores.
    warnings : list of str
    notes : list of str
        What was left out, counted.
    """

    tables: dict[str, dict[str, dict[str, Any]]]
    beside: dict[str, dict[str, dict[str, dict[str, Any]]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON values; what is undefined is None."""

        def bare(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
            return {name: plain(table) for name, table in tables.items()}

        return {
            "scores": {part: bare(tables) for part, tables in self.tables.items()},
            "beside": {
                name: {part: bare(tables) for part, tables in parts.items()}
                for name, parts in self.beside.items()
            },
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def text(self) -> str:
        """A table a part: scores down, classes across, and the mean of what stands beside."""
        lines: list[str] = []
        for part, tables in self.tables.items():
            columns = dict(tables)
            for name, parts in self.beside.items():
                if part in parts:
                    columns[name] = parts[part].get("mean", {})
            bases = next(iter(tables.values()))["n"]
            lines.append(f"{part}: {bases:,} bases (of what stands beside: the mean)")
            width = max(12, *(len(name) + 2 for name in columns))
            lines.append(f"{'':<24}" + "".join(f"{name:>{width}}" for name in columns))
            for key in SHOWN:
                if any(key in table for table in columns.values()):
                    cells = (_cell(table.get(key)) for table in columns.values())
                    lines.append(f"{key:<24}" + "".join(f"{cell:>{width}}" for cell in cells))
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if np.isfinite(value) else "n/a"
    return f"{value:,}"


def said_of_rule(codes: NDArray[np.uint8], answers: int) -> NDArray[np.float64]:
    """What GT and AG alone say of bases: (n, W, 3), probabilities of neither, acceptor, donor.

    Parameters
    ----------
    codes : uint8 (n, W + context)
    answers : int
        W.

    Examples
    --------
    >>> acag_gt = np.array([[0, 1, 0, 2, 2, 2, 3]], np.uint8)
    >>> said_of_rule(acag_gt, 7)[0].round(2)[:, 1:].tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.25, 0.25], [0.0, 0.0], [0.0, 0.0]]
    """

    def beside(first: int, letters: tuple[int, int]) -> NDArray[np.bool_]:
        pair = [letters_at(codes, answers, first + n) == letters[n] for n in (0, 1)]
        return pair[0] & pair[1]

    said = np.empty((len(codes), answers, 3))
    said[..., 1] = np.where(beside(-2, (0, 2)), _SURE, _NEVER)
    said[..., 2] = np.where(beside(1, (2, 3)), _SURE, _NEVER)
    said[..., 0] = 1 - said[..., 1] - said[..., 2]
    return said


def warnings_of(tables: Mapping[str, Mapping[str, Any]], part: str) -> list[str]:
    """Say what of a table is doubtful: collapse, ties at the cut, no true site."""
    out = []
    for name, table in tables.items():
        if alarm := table.get("collapse"):
            out.append(f"COLLAPSE on {part}, {name}: {alarm}")
        if tied := table.get("tied"):
            out.append(
                f"{part}, {name}: {tied:,} bases have the score of the cut of top-k; those that"
                " come first are counted"
            )
        if not table.get("positives", 1):
            out.append(f"{part} has no {name}: top-k and AP are undefined")
    return out
