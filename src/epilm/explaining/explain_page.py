"""Pictures and the page of an explanation: letters over heat maps, the strongest bases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.explaining.attention_motifs import KIND
from epilm.explaining.region_map import RegionMap
from epilm.genome.sequence import decode
from epilm.plots.logo import BASES, LETTERS_UP_TO, change_map, information, letter_logo
from epilm.plots.page import Page, Picture, PictureNumbers, Section, Table, footer
from epilm.plots.style import as_image, figure

NOT_ATTRIBUTION = "Not attribution: this is where attention goes, not what a base is worth."
STRONGEST = 8  # bases of a region in the table


def draw_region(each: RegionMap, about: dict[str, Any], path: Path | None = None) -> str:
    """Draw a region: letters as high as their scores, and below what each change does.

    Parameters
    ----------
    each : RegionMap
    about : dict
        Of the explanation: method, output.
    path : path, optional
        PNG to write.

    Returns
    -------
    str
        The picture as a data URI.
    """
    tables = [
        (each.changes, list(BASES), "change"),
        (each.worth if each.changes is None else None, list(BASES), "worth"),
        (
            each.deletions,
            [str(d + 1) if d in (0, 4, 9) else "" for d in range(_rows(each.deletions))],
            "change",
        ),
    ]
    shown = [(table, rows, label) for table, rows, label in tables if table is not None]
    n = len(each)
    width = float(np.clip(0.105 * min(n, 400) + 1.4, 6, 44))
    heights = [1.5, *(0.9 if len(rows) == 4 else 1.3 for _, rows, _ in shown)]
    with figure(width=width, height=sum(heights) + 0.7) as (fig, axes):
        axes[0].remove()
        grid = fig.add_gridspec(len(heights), 1, height_ratios=heights)
        top = fig.add_subplot(grid[0])
        start = each.region.start
        letters = np.where(each.codes[None] == np.arange(4)[:, None], each.scores, 0.0)
        letter_logo(top, letters, start)
        region = each.region
        # Chromosome and positions stand along the axis below.
        top.set_title(f"{region.name}: {about['method']} of {about['output']}")
        top.set_ylabel("score")
        below = [top]
        for number, (table, rows, label) in enumerate(shown, 1):
            ax = fig.add_subplot(grid[number], sharex=top)
            change_map(ax, table, rows, start, label)
            if len(rows) != 4:
                ax.set_ylabel("deleted bp")
            below.append(ax)
        for ax in below[:-1]:
            ax.tick_params(labelbottom=False)
        below[-1].set_xlabel(f"{region.chrom}, 0-based")
        below[-1].ticklabel_format(axis="x", style="plain", useOffset=False)
        if path is not None:
            fig.savefig(path, format="png", dpi=130, metadata={"Software": "epilm"})
        return as_image(fig, "png", dpi=110)


def _rows(table: Any) -> int:
    return 0 if table is None else len(table)


def draw_pattern(pattern: Any) -> str:
    """Draw a pattern: its bases in bits, and beside them their mean scores; a data URI."""
    with figure(width=max(2.2, 0.16 * len(pattern.counts)), height=1.3, columns=2) as (fig, axes):
        letter_logo(axes[0], information(pattern.counts + 1e-9))
        axes[0].set_ylabel("bits")
        letter_logo(axes[1], pattern.scores.T)
        axes[1].set_ylabel("mean score")
        for ax in axes:
            ax.set_xticks([])
        return as_image(fig)


def map_numbers(each: RegionMap) -> PictureNumbers:
    """Give what the picture of a region shows: a row a base, its score and what each change of it
    does.
    """
    tables: list[tuple[str, Any]] = []
    if each.changes is not None:
        tables += [(f"change_{base}", row) for base, row in zip(BASES, each.changes)]
    elif each.worth is not None:
        tables += [(f"worth_{base}", row) for base, row in zip(BASES, each.worth)]
    if each.deletions is not None:
        tables += [(f"deleted_{bp}", row) for bp, row in enumerate(each.deletions, 1)]
    region, letters = each.region, decode(each.codes)
    rows = [
        (
            region.chrom,
            region.start + at,
            letters[at],
            float(each.scores[at]),
            *(float(row[at]) for _, row in tables),
        )
        for at in range(len(each))
    ]
    header = ("chrom", "pos", "base", "score", *(name for name, _ in tables))
    return PictureNumbers(region.name, header, rows)


def pattern_numbers(pattern: Any) -> PictureNumbers:
    """Give what the logos of a pattern show: bits and mean scores of each base, column by
    column.
    """
    header = ("column", *(f"bits_{b}" for b in BASES), *(f"score_{b}" for b in BASES))
    bits = information(pattern.counts + 1e-9).T
    rows = [
        (at, *map(float, heights), *map(float, scores))
        for at, (heights, scores) in enumerate(zip(bits, pattern.scores, strict=True))
    ]
    return PictureNumbers(pattern.name, header, rows)


def explanation_page(done: Any, pictures: int, folder: Path | None = None) -> Page:
    """Draw the first regions and make the page; with a folder each picture is a PNG there too."""
    drawn = []
    for number, each in enumerate(done.maps[:pictures]):
        name = f"region{number + 1}_{file_name(each.region.name)}.png"
        path = None if folder is None else folder / name
        drawn.append((each, draw_region(each, done.about, path)))
    return explain_page(done, drawn)


def file_name(name: str) -> str:
    """Letters, digits and few signs of a name.

    Examples
    --------
    >>> file_name("chr1:5-9 (RET)")
    'chr1_5-9__RET_'
    """
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)[:60]


def strongest(each: RegionMap, most: int = STRONGEST) -> list[tuple[Any, ...]]:
    """List the bases with the largest scores of either sign: chrom, position, base, score."""
    order = np.argsort(-np.nan_to_num(np.abs(each.scores)), kind="stable")[:most]
    letters = decode(each.codes)
    return [
        (each.region.chrom, each.region.start + int(at), letters[at], float(each.scores[at]))
        for at in order
        if np.isfinite(each.scores[at])
    ]


def explain_page(done: Any, drawn: Sequence[tuple[RegionMap, str]]) -> Page:
    """Make the page of an explanation.

    Parameters
    ----------
    done : Explanation
    drawn : sequence of (RegionMap, data URI)
    """
    about, said = done.about, done.summary()
    warnings = [NOT_ATTRIBUTION] if about["method"] in ("attention", "rollout") else []
    overview = Section(
        "What was asked",
        text=[f"{about['method']}: {about['what']}."],
        facts=[
            ("model", about["model"]),
            ("output", about["output"]),
            ("strands", about["strands"]),
            *((k.replace("_", " "), str(value)) for k, value in said.items() if k != "output"),
        ],
        warnings=warnings,
    )
    overview.text += [f"Note: {note}." for note in done.notes]
    sections = [overview]
    if done.patterns:
        sections.append(_patterns(done.patterns))
    for each, uri in drawn:
        region = each.region
        facts = [
            (key, f"{int(value):,}" if float(value).is_integer() else f"{value:.5g}")
            for key, value in each.facts.items()
        ]
        sections.append(
            Section(
                region.name,
                facts=facts,
                pictures=[
                    Picture(
                        uri,
                        "Letters as high as their scores; below, what each change does."
                        if len(each) <= LETTERS_UP_TO
                        else "Bars as high as the scores; below, what each change does.",
                        wide=True,
                        alt=f"map of {region.name}",
                        numbers=(map_numbers(each),),
                    )
                ],
                tables=[
                    Table(
                        ("chrom", "position (0-based)", "base", "score"),
                        strongest(each),
                        "The strongest bases; all of them in bases.tsv",
                    )
                ],
            )
        )
    left = len(done.maps) - len(drawn)
    if left:
        sections.append(
            Section("Not drawn", text=[f"{left:,} more regions are in the tables alone."])
        )
    return Page(
        f"Explanation: {about['output']}",
        f"{about['method']} of {len(done.maps):,} region{'s' * (len(done.maps) != 1)}",
        sections=sections,
        footer=footer(),
    )


def _patterns(patterns: Sequence[Any]) -> Section:
    rows = [
        (
            each.name,
            each.consensus,
            len(each.seqlets),
            each.mean_score,
            each.match.name if each.match else "no name",
            each.match.q if each.match else None,
        )
        for each in patterns
    ]
    of_attention = all(each.name.startswith(f"{KIND}_") for each in patterns)
    return Section(
        "Motifs of attention" if of_attention else "Patterns",
        text=[
            "Named where TOMTOM's q is below 0.05; members and their places are in"
            " pattern_members.tsv."
        ],
        warnings=[NOT_ATTRIBUTION] if of_attention else [],
        tables=[Table(("pattern", "consensus", "seqlets", "mean score", "name", "q"), rows)],
        pictures=[
            Picture(
                draw_pattern(each), each.name, alt=each.consensus, numbers=(pattern_numbers(each),)
            )
            for each in patterns[:12]
        ],
    )
