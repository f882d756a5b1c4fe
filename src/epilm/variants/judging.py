"""Scores of variants against what is known of them: effects measured, or labels 0 and 1.

Rank correlation for numbers, AUROC for labels, beside baselines that need no model: change of G+C,
the motif whose score changes most, conservation, nearness to a start of transcription.
Axes: N alleles.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from epilm.errors import InputError, UsageError, nearest
from epilm.genome.annotation import read_tss
from epilm.metrics.curves import auroc
from epilm.variants.conservation import CONSERVATION
from epilm.variants.haplotypes import Change
from epilm.variants.prepared_scoring import VariantScores
from epilm.variants.variant_files import kind_of, open_table

Values = NDArray[np.float64]
ALL = "all"  # the group of all variants
MISSING = ("", ".", "NA", "nan", "NaN")
MOTIFS_APART = 10  # more motifs than that are told by the one that changes most alone
CHANGED = "motifs_changed"  # of `MotifScorer` where it tells no motif apart
# Baselines without a direction: what is larger is more, and below 0 is no effect the other way.
UPWARD = ("baseline tss", "baseline conservation")
LEAST = 3  # variants, and of labels one of either kind


@dataclass(frozen=True)
class Truth:
    """What a table knows of its records.

    Attributes
    ----------
    values : dict of str to float64 (records,)
        NaN where nothing is known.
    groups : list of str (records,)
        ALL where there is no column of groups.
    """

    values: dict[str, Values]
    groups: list[str]


def read_truth(path: str | Path, columns: Sequence[str], group: str | None = None) -> Truth:
    """Read columns of a table of variants.

    Parameters
    ----------
    path : path
        As `variants.variant_files.read_variants` takes it; a table.
    columns : sequence of str
        Numbers; "", ".", "NA" and "nan" where nothing is known.
    group : str, optional

    Raises
    ------
    InputError
        If a column is not there, or a value is no number. Names the line.
    UsageError
        If it is no table.
    """
    path = Path(path)
    if kind_of(path, "variants") != "tsv":
        raise UsageError(
            "columns to compare with stand in a table",
            where="--truth",
            found=path.name,
            expected="a .tsv with chrom, pos, ref, alt and the columns",
        )
    with open_table(path) as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = names
        for column in (*columns, *([group] if group else [])):
            if column not in names:
                raise InputError(
                    "the table has no such column",
                    where=f"{path}, line 1",
                    found=column,
                    do=nearest(column, names),
                )
        said: dict[str, list[float]] = {column: [] for column in columns}
        groups: list[str] = []
        for line, row in enumerate(rows, 2):
            groups.append((row[group] or ".") if group else ALL)
            if group and groups[-1] == ALL:
                raise InputError(
                    "a group has the name that all groups together have",
                    where=f"{path}, line {line}, column {group}",
                    found=ALL,
                    do="Name it otherwise.",
                )
            for column in columns:
                text = (row[column] or "").strip()
                try:
                    said[column].append(math.nan if text in MISSING else float(text))
                except ValueError:
                    raise InputError(
                        f"{column} is no number",
                        where=f"{path}, line {line}",
                        found=text,
                        expected="a number, or NA where it is not known",
                    ) from None
    return Truth({column: np.array(values) for column, values in said.items()}, groups)


class TruthScores(NamedTuple):
    """One score against one column, in one group.

    Attributes
    ----------
    group, truth, score : str
    n, positives : int
        Variants compared; of labels those that are 1, else 0.
    measure : str
        "spearman" or "auroc".
    signed : float
        Of the score with its sign, against the effect with its own.
    of_size : float
        Of the score without its sign, against the effect without.
    se : float
        Standard error of `of_size`: Hanley and McNeil's of AUROC, Fisher's of a correlation.
    """

    group: str
    truth: str
    score: str
    n: int
    positives: int
    measure: str
    signed: float
    of_size: float
    se: float


@dataclass(frozen=True)
class Judgement:
    """The table of a comparison."""

    rows: tuple[TruthScores, ...]

    def text(self) -> str:
        """Lines to print: a table a group and column."""
        lines: list[str] = []
        for group, truth in dict.fromkeys((row.group, row.truth) for row in self.rows):
            rows = [row for row in self.rows if (row.group, row.truth) == (group, truth)]
            of = f", {rows[0].positives} of them 1" if rows[0].measure == "auroc" else ""
            lines.append(f"{truth}, {group}: {rows[0].measure} ({rows[0].n} variants{of})")
            wide = max(len(row.score) for row in rows)
            lines += [
                f"  {row.score:{wide}} {row.signed:7.3f}  by size {row.of_size:6.3f}"
                f" +- {row.se:.3f}" + ("" if row.n == rows[0].n else f"  ({row.n} variants)")
                for row in rows
            ]
        return "\n".join(lines)

    def as_dicts(self) -> list[dict[str, object]]:
        """Rows as JSON takes them."""
        return [row._asdict() for row in self.rows]


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation, ties at their mean rank; NaN where one side does not vary.

    Examples
    --------
    >>> round(spearman([1, 2, 3, 4], [1, 3, 2, 9]), 3), spearman([1, 1], [1, 2])
    (0.8, nan)
    """
    x, y = (rankdata(np.asarray(each, np.float64)) for each in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt(float((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm else math.nan


def auroc_error(area: float, positives: int, negatives: int) -> float:
    """Standard error of an AUROC.

    References
    ----------
    Hanley JA, McNeil BJ. The meaning and use of the area under a ROC curve. Radiology 1982.

    Examples
    --------
    >>> round(auroc_error(0.5, 50, 50), 3)
    0.058
    """
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (
        area * (1 - area)
        + (positives - 1) * (first - area**2)
        + (negatives - 1) * (second - area**2)
    )
    return math.sqrt(max(spread, 0) / (positives * negatives))


def judge(done: VariantScores, truth: Truth, *, tss: str | Path | None = None) -> Judgement:
    """Compare scores, and baselines without a model, with what is known.

    Parameters
    ----------
    done : VariantScores
        Of the table `truth` was read from.
    truth : Truth
    tss : path, optional
        Start sites of transcription: nearness is a baseline then.

    Returns
    -------
    Judgement
        Of every group with three variants or more and, of labels, both kinds; ALL groups together
        first where there are several. A column of 0 and 1 alone is one of labels.

    Examples
    --------
    >>> from epilm.variants.variant_files import Allele
    >>> alleles = [Allele(i, 0, "chr1", i, "A", alt, ".", "") for i, alt in enumerate("CGTC")]
    >>> changes = [Change("chr1", a.start, "A", a.alt) for a in alleles]
    >>> effect = np.array([0.1, 0.4, -0.2, 0.3])
    >>> done = VariantScores(
    ...     alleles, changes, [""] * 4, {"x_delta": 2 * effect}, effects=("x_delta",)
    ... )
    >>> table = judge(done, Truth({"effect": effect}, ["all"] * 4))
    >>> [(row.score, row.signed) for row in table.rows]
    [('x_delta', 1.0), ('baseline gc', 0.7745966692414834)]
    """
    records = np.array([allele.record for allele in done.alleles], np.int64)
    scores = _of_model(done) | baselines(done, tss)
    groups = np.array(truth.groups)[records]
    names = list(dict.fromkeys(groups.tolist()))
    rows: list[TruthScores] = []
    for column, by_record in truth.values.items():
        known = by_record[records]
        for group in names if len(names) == 1 else [ALL, *sorted(names)]:
            here = np.isfinite(known) & ((groups == group) | (group == ALL))
            rows += _of_group(group, column, known, scores, here)
    return Judgement(tuple(rows))


def _of_model(done: VariantScores) -> dict[str, Values]:
    """Effects; of many motifs none, `baselines` has their largest."""
    names = [name for name in done.effects if name != CHANGED]
    motifs = sum(name.startswith("motif_") for name in names)
    if motifs > MOTIFS_APART or "motif_largest_delta" in names:
        names = [name for name in names if not name.startswith("motif_")]
    return {name: done.values[name] for name in names}


def baselines(done: VariantScores, tss: str | Path | None = None) -> dict[str, Values]:
    """Give what can be said of variants without a model.

    Returns
    -------
    dict of str to float64 (N,)
        "baseline gc": bases G and C that ALT has more than REF; where motifs were scored "baseline
        motif", the delta of the one that changes most, and "baseline motifs", the sum of all
        changes without their signs; "baseline conservation" where a track was given; "baseline
        tss": nearness to a start site, -log10(1 + bp). NaN where a variant was not scored.
    """
    scored = [
        change if not reason else None
        for change, reason in zip(done.changes, done.reasons, strict=True)
    ]
    said = {"baseline gc": np.array([_gc(change) for change in scored])}
    motifs = [
        values
        for name, values in done.values.items()
        if name.startswith("motif_") and name.endswith("_delta")
    ]
    if CHANGED in done.values:
        said["baseline motif"] = done.values["motif_largest_delta"]
        said["baseline motifs"] = done.values[CHANGED]
    elif motifs:
        table = np.stack(motifs)  # (F, N)
        most = np.abs(np.nan_to_num(table)).argmax(0)
        said["baseline motif"] = table[most, np.arange(table.shape[1])]
        said["baseline motifs"] = np.abs(table).sum(0)
    if CONSERVATION in done.values:
        said["baseline conservation"] = done.values[CONSERVATION]
    if tss is not None:
        sites = read_tss(tss)
        by_chrom = {
            str(chrom): np.sort(part["start"].to_numpy())
            for chrom, part in sites.groupby("chrom", observed=True)
        }
        said["baseline tss"] = np.array([_nearness(change, by_chrom) for change in scored])
    return said


def _gc(change: Change | None) -> float:
    if change is None:
        return math.nan
    more, fewer = (sum(base in "GC" for base in allele) for allele in (change.alt, change.ref))
    return float(more - fewer)


def _nearness(change: Change | None, sites: dict[str, NDArray[np.int64]]) -> float:
    if change is None or change.chrom not in sites:
        return math.nan
    there = sites[change.chrom]
    at = np.searchsorted(there, change.start)
    near = there[max(at - 1, 0) : at + 1]
    return -math.log10(1 + float(np.abs(near - change.start).min()))


def _of_group(
    group: str, column: str, known: Values, scores: dict[str, Values], here: NDArray[np.bool_]
) -> list[TruthScores]:
    rows: list[TruthScores] = []
    labels = bool(np.isin(known[np.isfinite(known)], (0, 1)).all())
    for name, values in scores.items():
        use = here & np.isfinite(values)
        n, positives = int(use.sum()), int(known[use].sum()) if labels else 0
        if n < LEAST or (labels and not 0 < positives < n):
            continue
        score = values[use]
        effect = known[use].astype(np.int64) if labels else known[use]
        size = score if name in UPWARD else np.abs(score)
        if labels:
            signed, of_size = auroc(effect, score), auroc(effect, size)
            error = auroc_error(of_size, positives, n - positives)
        else:
            signed, of_size = spearman(score, effect), spearman(size, np.abs(effect))
            error = (1 - of_size**2) / math.sqrt(max(n - 3, 1))
        rows.append(
            TruthScores(
                group,
                column,
                name,
                n,
                positives,
                "auroc" if labels else "spearman",
                signed,
                of_size,
                error,
            )
        )
    return rows
