"""Pictures of what a model says of a part: precision and recall, ROC, calibration, confusion, and
chromosome by chromosome; of numbers what is said against what is true.

Drawn from the outlines that a run keeps (`metrics.outlines`), or that follow from its predictions;
each picture brings its numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.metrics.outlines import (
    CALIBRATION_COLUMNS,
    CHROM_COLUMNS,
    NUMBER_COLUMNS,
    PR_COLUMNS,
    ROC_COLUMNS,
)
from epilm.plots.line_plots import drawn_curves
from epilm.plots.page import Picture, PictureNumbers, load_json
from epilm.plots.pictures import confusion_map, metric_bars, true_against_said
from epilm.plots.style import as_image, figure
from epilm.tasks.label_kinds import labels_from
from epilm.tasks.sequence_scores import read_predictions

KEPT = "outlines.json"
MOST = 8  # outputs that are told apart by colour; the numbers are of all
MOST_CHROMS = 30


def outlines_of(run: Path) -> dict[str, Any]:
    """Part -> what is drawn of it, kept in a run or made of its predictions; empty without both."""
    kept = load_json(run / KEPT)
    if kept:
        return dict(kept)
    path = run / "predictions.tsv"
    if not path.is_file():
        return {}
    told = read_predictions(path)  # of a run from before outlines were kept
    labels = labels_from(told.described)
    out = {}
    for part in np.unique(told.split):
        here = told.split == part
        out[str(part)] = labels.outlines(told.labels[here], told.said[here], told.chrom[here])
    return out


def outline_pictures(outlines: Mapping[str, Any], part: str) -> list[Picture]:
    """Draw all that there is of a part.

    Parameters
    ----------
    outlines : mapping
        `outputs`, `confusion`, `calibration`: see `metrics.outlines`.
    part : str
        "test", "valid": for titles.
    """
    return [
        *_curves(outlines, part),
        *_calibration(outlines, part),
        *_confusion(outlines, part),
        *_chroms(outlines, part),
        *_numbers(outlines, part),
    ]


def _with(outlines: Mapping[str, Any], key: str) -> dict[str, list[list[Any]]]:
    """Rows of outputs that have them."""
    return {name: of[key] for name, of in outlines["outputs"].items() if of.get(key)}


def _stacked(name: str, columns: Sequence[str], rows: Mapping[str, Any]) -> PictureNumbers:
    """All outputs' rows in one table."""
    cells = [[output, *row] for output, each in rows.items() for row in each]
    return PictureNumbers(name, ["output", *columns], cells)


def _first(rows: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(rows.items())[:MOST])


def _left_out(rows: Mapping[str, Any]) -> str:
    more = len(rows) - MOST
    return f" {more} more outputs are in the numbers alone." if more > 0 else ""


def _curves(outlines: Mapping[str, Any], part: str) -> Iterator[Picture]:
    points = _with(outlines, "precision_recall")
    roc = _with(outlines, "roc")
    if not points:
        return
    shares = {
        name: of["positives"] / of["n"] for name, of in outlines["outputs"].items() if of.get("n")
    }
    level = next(iter(shares.values())) if len(points) == 1 else None
    with figure(5.2, 3.1, columns=2) as (fig, (left, right)):
        drawn_curves(
            left,
            {name: [row[:2] for row in rows] for name, rows in _first(points).items()},
            title=f"{part.capitalize()} rows: precision and recall",
            labels=("recall", "precision"),
            level=level,
        )
        drawn_curves(
            right,
            {name: [(0.0, 0.0), *(r[:2] for r in rows)] for name, rows in _first(roc).items()},
            title=f"{part.capitalize()} rows: ROC",
            labels=("false positive rate", "true positive rate"),
            diagonal=True,
        )
        dashed = "Dashed: chance." if level is not None else "Dashed: chance of the ROC."
        yield Picture(
            as_image(fig),
            dashed + _left_out(points),
            wide=True,
            alt=f"precision and recall, and ROC, of the {part} rows",
            numbers=(
                _stacked(f"{part}.precision_recall", PR_COLUMNS, points),
                _stacked(f"{part}.roc", ROC_COLUMNS, roc),
            ),
        )


def _calibration(outlines: Mapping[str, Any], part: str) -> Iterator[Picture]:
    bins = outlines.get("calibration") or _with(outlines, "calibration")
    if not bins:
        return
    with figure(4.2, 3.1) as (fig, (ax,)):
        drawn_curves(
            ax,
            {name: [(row[3], row[4]) for row in rows] for name, rows in _first(bins).items()},
            title=f"{part.capitalize()} rows: calibration",
            labels=("probability said (mean of a bin)", "share that is true"),
            diagonal=True,
            marks=True,
        )
        yield Picture(
            as_image(fig),
            "On the dashed line a probability means what it says; how many rows a bin has is in"
            f" the numbers.{_left_out(bins)}",
            alt=f"calibration on the {part} rows",
            numbers=(_stacked(f"{part}.calibration", CALIBRATION_COLUMNS, bins),),
        )


def _confusion(outlines: Mapping[str, Any], part: str) -> Iterator[Picture]:
    whole = outlines.get("confusion")
    if whole is None:  # of several questions the first: no and yes at one half
        halves = _with(outlines, "confusion")
        tables = {name: (["no", "yes"], counts) for name, counts in halves.items()}
    else:
        tables = {"": (whole["names"], whole["counts"])}
    if not tables:
        return
    shown = list(tables.items())[:2]
    with figure(3.9, 3.1, columns=len(shown)) as (fig, axes):
        for ax, (name, (names, counts)) in zip(axes, shown):
            of = f", {name}" if name else ""
            confusion_map(ax, counts, names, f"{part.capitalize()} rows{of}: confusion")
        rule = "the likeliest class" if whole is not None else "yes from 0.5 on"
        rest = len(tables) - len(shown)
        yield Picture(
            as_image(fig),
            f"What was said ({rule}) of each true class; a row's colours are its shares."
            + (f" {rest} more are in the numbers alone." if rest > 0 else ""),
            alt=f"confusion on the {part} rows",
            numbers=(
                PictureNumbers(
                    f"{part}.confusion",
                    ["output", "true", "said", "rows"],
                    [
                        [name, names[t], names[s], counts[t][s]]
                        for name, (names, counts) in tables.items()
                        for t in range(len(names))
                        for s in range(len(names))
                    ],
                ),
            ),
        )


def _chroms(outlines: Mapping[str, Any], part: str) -> Iterator[Picture]:
    """Bars of the first output that has several chromosomes."""
    rows = _with(outlines, "chroms")
    score, columns = (
        ("AP", CHROM_COLUMNS) if len(_width(rows)) == 5 else ("Pearson", NUMBER_COLUMNS)
    )
    named = next((name for name, each in rows.items() if len(each) > 1), None)
    if named is None:
        return
    bars = {f"{row[0]} ({row[1]:,})": [row[-1]] for row in rows[named] if row[-1] is not None}
    if not bars:
        return
    bars = dict(list(bars.items())[:MOST_CHROMS])
    of = f", {named}" if len(rows) > 1 else ""
    low = min(0.0, *(values[0] for values in bars.values()))
    with figure(4.6, 0.8 + 0.28 * len(bars)) as (fig, (ax,)):
        metric_bars(
            ax,
            bars,
            title=f"{part.capitalize()} rows{of}: {score} by chromosome",
            limits=(low, 1.0),
            kinds=[""] * len(bars),
        )
        yield Picture(
            as_image(fig),
            "In brackets the rows of each; one that has one class alone has no score.",
            alt=f"{score} of each chromosome",
            numbers=(_stacked(f"{part}.chromosomes", columns, rows),),
        )


def _width(rows: Mapping[str, Any]) -> Sequence[Any]:
    return next((row for each in rows.values() for row in each), ())


def _numbers(outlines: Mapping[str, Any], part: str) -> Iterator[Picture]:
    points = _with(outlines, "points")
    if not points:
        return
    shown = list(points.items())[:2]
    rest = len(points) - len(shown)
    with figure(4.2, 3.4, columns=len(shown)) as (fig, axes):
        for ax, (name, each) in zip(axes, shown):
            true_against_said(ax, each, f"{part.capitalize()} rows: {name}")
        yield Picture(
            as_image(fig, "png"),
            "Dashed: what is said is true."
            + (f" {rest} more are in the numbers alone." if rest > 0 else ""),
            alt=f"said against true on the {part} rows",
            wide=len(shown) > 1,
            numbers=(_stacked(f"{part}.true_and_said", ("true", "said"), points),),
        )
