"""The page of scored variants: how many, how their scores lie, the strongest, and what is known.

Reads the file that `epilm score-variants` wrote, and the comparison beside it where there is one
(`NAME.truth.tsv`, with --truth).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.plots.line_plots import histogram
from epilm.plots.page import (
    Page,
    Picture,
    PictureNumbers,
    Section,
    Table,
    footer,
)
from epilm.plots.pictures import metric_bars
from epilm.plots.style import as_image, figure
from epilm.variants.haplotypes import REASONS
from epilm.variants.kept_judgement import read_rows
from epilm.variants.scored_files import count_reasons, effects_among, read_scores, truth_file
from epilm.variants.variant_files import Allele, read_variants

STRONGEST = 25
MOST_DRAWN = 6  # scores with a histogram
BINS = 40
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
MEASURES = {"auroc": "AUROC", "spearman": "Spearman"}


def variants_page(path: Path) -> Page:
    """Collect the page of a file of scored variants."""
    file = read_variants(path)
    scores = read_scores(path, file)
    effects = effects_among(list(scores))
    judged = read_rows(path)
    sections = [_counts(path, file.alleles, scores)]
    if judged:
        sections.append(_against_truth(judged, truth_file(path).name))
    if effects:
        sections += [_spread(scores, effects), _strongest(file.alleles, scores, effects)]
    cards = [
        (f"{row['score']}, {row['truth']}", f"{float(row['of_size']):.3f}", _card(row))
        for row in judged
        if row["group"] == judged[0]["group"]
    ]
    return Page(
        f"Scored variants: {path.name}",
        f"{len(file.alleles):,} alleles, {len(effects)} scores",
        cards=cards[:6],
        sections=sections,
        footer=footer(),
    )


def _card(row: Mapping[str, str]) -> str:
    return f"{MEASURES.get(row['measure'], row['measure'])} by size, ± {float(row['se']):.3f}"


def _counts(
    path: Path, alleles: Sequence[Allele], scores: Mapping[str, Mapping[int, float]]
) -> Section:
    scored = {row for values in scores.values() for row in values}
    reasons = count_reasons(path)
    rows = [[REASONS.get(why, why), n] for why, n in sorted(reasons.items(), key=lambda x: -x[1])]
    chroms: dict[str, int] = {}
    for allele in alleles:
        chroms[allele.chrom] = chroms.get(allele.chrom, 0) + 1
    section = Section(
        "Variants",
        facts=[
            ("Alleles", f"{len(alleles):,}"),
            ("Scored", f"{len(scored):,}"),
            ("Chromosomes", f"{len(chroms)}"),
            ("Scores", ", ".join(effects_among(list(scores))) or "none"),
        ],
    )
    if rows:
        section.tables.append(Table(["not scored because", "alleles"], rows))
    return section


def _spread(scores: Mapping[str, Mapping[int, float]], effects: Sequence[str]) -> Section:
    """How each score lies: quantiles of all, histograms of the first."""
    rows, pictures = [], []
    for name in effects:
        values = np.array(list(scores[name].values()))
        rows.append([name, len(values), *np.quantile(values, QUANTILES).tolist()])
    for name in effects[:MOST_DRAWN]:
        values = np.array(list(scores[name].values()))
        counts, edges = np.histogram(values, BINS)
        with figure(4.2, 2.6) as (fig, (ax,)):
            histogram(ax, counts, edges, title=name)
            cells = [
                (float(low), float(high), int(n)) for low, high, n in zip(edges, edges[1:], counts)
            ]
            numbers = PictureNumbers(f"{name}.histogram", ("from", "to", "alleles"), cells)
            alt = f"how {name} lies"
            pictures.append(Picture(as_image(fig), alt=alt, numbers=(numbers,)))
    heads = ["score", "alleles", "least", "5 %", "median", "95 %", "largest"]
    text = [f"{len(effects) - MOST_DRAWN} more scores are in the table alone."]
    return Section(
        "How the scores lie",
        text=text if len(effects) > MOST_DRAWN else [],
        tables=[Table(heads, rows)],
        pictures=pictures,
    )


def _strongest(
    alleles: Sequence[Allele], scores: Mapping[str, Mapping[int, float]], effects: Sequence[str]
) -> Section:
    """The alleles whose first score is farthest from 0."""
    by_row = scores[effects[0]]
    order = sorted(by_row, key=lambda row: -abs(by_row[row]))[:STRONGEST]
    shown = effects[:4]
    rows = [
        [
            alleles[row].chrom,
            str(alleles[row].start + 1),
            alleles[row].name,
            alleles[row].ref[:12],
            alleles[row].alt[:12],
            *(scores[name].get(row) for name in shown),
        ]
        for row in order
    ]
    heads = ["chrom", "pos (1-based)", "id", "ref", "alt", *shown]
    return Section(
        "The strongest",
        text=["epilm explore --table FILE makes a page of all of them, to sort and filter."],
        tables=[Table(heads, rows, f"By the size of {effects[0]}")],
    )


def _against_truth(judged: Sequence[Mapping[str, str]], name: str) -> Section:
    """Scores and baselines against each column of what is known: bars, and a table."""
    section = Section(
        "Against what is known",
        text=[
            "By size: of the score without its sign, against the effect without its sign (of"
            " labels: against the label). Baselines use no model."
        ],
    )
    for group, truth in dict.fromkeys((row["group"], row["truth"]) for row in judged):
        rows = [row for row in judged if (row["group"], row["truth"]) == (group, truth)]
        measure = MEASURES.get(rows[0]["measure"], rows[0]["measure"])
        labels = rows[0]["measure"] == "auroc"
        bars = {row["score"]: [float(row["of_size"])] for row in rows}
        lowest = min(0.0, *(values[0] for values in bars.values()))
        with figure(6.0, 0.8 + 0.3 * len(bars)) as (fig, (ax,)):
            title = f"{measure} by size: {truth}, {group}"
            low = 0.3 if labels and min(v[0] for v in bars.values()) > 0.3 else lowest
            metric_bars(ax, bars, title=title, chance=0.5 if labels else 0.0, limits=(low, 1.0))
            numbers = PictureNumbers(
                f"{truth}.{group}", list(rows[0]), [list(row.values()) for row in rows]
            )
            text = f"Dashed: chance. Standard errors are in the table ({name})."
            section.pictures.append(Picture(as_image(fig), text, numbers=(numbers,)))
    heads = ["group", "truth", "score", "variants", "measure", "signed", "by size", "error"]
    keys = ("group", "truth", "score", "n", "measure", "signed", "of_size", "se")
    section.tables.append(Table(heads, [[_cell(key, row[key]) for key in keys] for row in judged]))
    return section


def _cell(key: str, text: str) -> Any:
    if key == "n":
        return int(text)
    return float(text) if key in ("signed", "of_size", "se") else MEASURES.get(text, text)
