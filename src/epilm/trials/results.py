"""Runs of many kinds on one page of Markdown: command, data, seeds, mean, sd, what stands beside.

On top one table says of each part what is best and what shows. Every number of the page stands in
`results.tsv`, every picture's numbers in a table beside it. `result_parts` reads the folders.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from epilm.atomic import atomic_folder
from epilm.finetuning.finetuned_page import (
    NAMES,
)
from epilm.metrics.bin_scores import HEADS
from epilm.plots.pictures import metric_bars
from epilm.plots.style import figure
from epilm.trials.across_sets import SetTable
from epilm.trials.result_lines import Line, Part
from epilm.trials.result_parts import collect
from epilm.trials.result_variants import SIGNED
from epilm.trials.trial_table import spread

PAGE, NUMBERS = "results.md", "results.tsv"
_MOST_BARS = 24  # rows of a picture; longer tables have none


def write_results(folders: Sequence[str | Path], out: str | Path) -> Path:
    """Write the page of results, its numbers and pictures into a folder.

    Parameters
    ----------
    folders : sequence of path
        Folders of `finetune`, `compare`, `ablate` or `risk`, tables of `score-variants --truth`.
    out : path
        A folder to appear, with results.md, results.tsv and, a part, a picture and its table.

    Returns
    -------
    Path
        The page, results.md.

    Raises
    ------
    InputError
        If a folder is none of these, is not finished, or the same run is named twice.
    """
    parts = collect([Path(folder) for folder in folders])
    with atomic_folder(out) as folder:
        drawn = [_draw(part, folder / f"part{number}") for number, part in enumerate(parts, 1)]
        text = page_of(parts, drawn, [str(path) for path in folders], Path(out))
        (folder / PAGE).write_text(text, encoding="utf-8")
        _write_tsv(folder / NUMBERS, parts)
    return Path(out) / PAGE


def page_of(parts: Sequence[Part], drawn: Sequence[bool], folders: Sequence[str], out: Path) -> str:
    """The page as Markdown.

    Parameters
    ----------
    parts : sequence of Part
    drawn : sequence of bool
        Whether a part has a picture.
    folders : sequence of str
        What was asked for, for the command on top.
    out : path
        The folder of the page, for the same.
    """
    blocks = [
        "# Results",
        f"```bash\nepilm report --results {' '.join(folders)} --out {out}\n```",
        "Mean ± sample standard deviation; one number where there is one seed. The best mean of a"
        f" column (where a row is a set, of the row) is bold. Every number stands in `{NUMBERS}`.",
    ]
    if len(parts) > 1:
        blocks += ["## In one table", _overview(parts)]
    for number, (part, has_picture) in enumerate(zip(parts, drawn), 1):
        blocks.append(f"## {part.title}")
        if part.command:
            blocks.append(f"```bash\n{part.command}\n```")
        if part.facts:
            blocks.append("\n".join(f"* {name}: {_cell(value)}" for name, value in part.facts))
        for table in part.tables:
            blocks += [_caption(table), _grid([table.heads, *table.cells])]
            if table.said:
                blocks.append("\n".join(f"* {_cell(text)}." for text in table.said))
        for setting in () if part.tables else dict.fromkeys(line.setting for line in part.lines):
            if setting:
                blocks.append(f"**{_cell(setting)}**")
            mine = [line for line in part.lines if line.setting == setting]
            blocks.append(_table(part, mine))
        if part.said:
            blocks.append("\n".join(f"* {_cell(text)}" for text in dict.fromkeys(part.said)))
        if has_picture:
            alt = f"{NAMES.get(part.scores[0], _name_of(part.scores[0]))} of {part.title}"
            blocks.append(f"![{alt}](part{number}.png)\n\nNumbers: `part{number}.tsv`.")
    return "\n\n".join(blocks) + "\n"


def _overview(parts: Sequence[Part]) -> str:
    """A row a part: the two best rows by the score that decides, and what shows."""
    rows = [["", "by", "best", "next", "what shows"]]
    for part in parts:
        score = part.claims[0].score if part.claims else part.scores[0]
        settings, means = _means(part, score)
        order = sorted(means, key=lambda name: -means[name])
        by = _name_of(score)
        best = [f"{name} {means[name]:.3f}" for name in order[:2]] + ["-", "-"]
        rows.append(
            [
                f"[{_cell(part.title)}](#{_anchor(part.title)})",
                f"{by}, mean of {settings}" if settings > 1 else by,
                *best[:2],
                "; ".join(_shown(part, score)) or "-",
            ]
        )
    return _grid(rows)


def _means(part: Part, score: str) -> tuple[int, dict[str, float]]:
    """Row -> mean over the settings that all rows have, and how many these are; what others have
    published, and single pre-trainings of a group, are no part of it. Where factors have a mean,
    that stands for them.
    """
    lines = [
        line
        for line in part.lines
        if " as published" not in f" {line.setting}"
        and line.name not in part.members
        and line.setting not in part.pooled
    ]
    if any(line.setting.endswith("mean of factors") for line in lines):
        lines = [line for line in lines if line.setting.endswith("mean of factors")]
    known = {
        (line.name, line.setting): mean
        for line in lines
        if (mean := _mean(line, score)) is not None
    }
    settings = dict.fromkeys(setting for _, setting in known)
    whole = [
        name
        for name in dict.fromkeys(name for name, _ in known)
        if all((name, setting) in known for setting in settings)
    ]
    means = {n: float(np.mean([known[n, setting] for setting in settings])) for n in whole}
    return len(settings), means


def _shown(part: Part, score: str) -> list[str]:
    """Claims by their verdict, or what the differences over many sets add up to."""
    if part.tables:
        return next((list(table.said) for table in part.tables if table.score == score), [])
    out = []
    of_one = f"{part.lines[0].setting.split(', ')[0]}: " if part.lines else ""
    if not all(claim.say.startswith(of_one) for claim in part.claims):
        of_one = ""  # several settings: each claim says of which it is
    for word in dict.fromkeys(claim.word for claim in part.claims):
        mine = [
            f"{claim.say.removeprefix(of_one)} {claim.mean:+.3f}"
            + ("" if np.isnan(claim.se) else f" ({claim.se:.3f})")
            for claim in part.claims
            if claim.word == word
        ]
        out.append(f"**{word}**: {', '.join(mine)}")
    return out


def _name_of(score: str) -> str:
    return HEADS.get(score) or NAMES.get(score) or SIGNED.get(score, score)


def _anchor(title: str) -> str:
    """What a heading is linked by.

    Examples
    --------
    >>> _anchor("Losses of GeneBERT (its Table 5)")
    'losses-of-genebert-its-table-5'
    """
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def _cell(text: str) -> str:
    """Text that a table's cell holds."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _table(part: Part, lines: Sequence[Line]) -> str:
    scores = [s for s in part.scores if any(_mean(line, s) is not None for line in lines)]
    best: dict[str, float] = {}
    for score in scores:
        means = [m for line in lines if (m := _mean(line, score)) is not None]
        if len(set(means)) > 1:  # where all are equal, as a chance is, none is best
            best[score] = max(means)
    heads = ["", part.per, *(_name_of(s) for s in scores)]
    rows = []
    for line in lines:
        cells = [line.name, str(line.count)]
        for score in scores:
            mean, sd = spread(line.values.get(score, ()))
            text = "-" if mean is None else f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
            is_best = mean is not None and mean == best.get(score)
            cells.append(f"**{text}**" if is_best else text)
        rows.append(cells)
    return _grid([heads, *rows])


def _caption(table: SetTable) -> str:
    text = f"**{_name_of(table.score)} {table.of}**"
    if table.of == SetTable.of and any(" - " in head for head in table.heads):
        text += "; differences with their standard errors, bold above two of them"
    return text


def _grid(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, the first row on top."""
    heads, *cells = [[_cell(cell) for cell in row] for row in rows]
    table = [heads, ["---"] * len(heads), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def _mean(line: Line, score: str) -> float | None:
    return spread(line.values.get(score, ()))[0]


def _draw(part: Part, stem: Path) -> bool:
    """The score that decides as bars, and a table of what is drawn; no picture of many bars."""
    score = part.scores[0]
    bars = {
        (line.setting, line.name): [v for v in line.values.get(score, ()) if v is not None]
        for line in part.lines
    }
    bars = {key: numbers for key, numbers in bars.items() if numbers}
    if not 0 < len(bars) <= _MOST_BARS:
        return False
    named = {": ".join(filter(None, key)): numbers for key, numbers in bars.items()}
    with figure(5.6, 0.6 + 0.34 * len(named)) as (fig, (ax,)):
        kinds = [name for _, name in bars]
        metric_bars(ax, named, title=NAMES.get(score, _name_of(score)), kinds=kinds)
        fig.savefig(stem.with_suffix(".png"), dpi=120, metadata={"Software": "epilm"})
    with open(stem.with_suffix(".tsv"), "w", encoding="utf-8", newline="\n") as file:
        file.write(f"setting\trow\t{part.per}\t{score}\n")
        for (setting, name), numbers in bars.items():
            for at, number in enumerate(numbers, 1):
                file.write(f"{setting}\t{name}\t{at}\t{number!r}\n")
    return True


def _write_tsv(path: Path, parts: Sequence[Part]) -> None:
    """A row a part, setting, line and score."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("part\tsetting\trow\tscore\tcount\tof\tmean\tsd\n")
        for part in parts:
            for line in part.lines:
                for score in part.scores:
                    mean, sd = spread(line.values.get(score, ()))
                    if mean is None:
                        continue
                    known = sum(v is not None for v in line.values[score])
                    cells = [part.title, line.setting, line.name, score, str(known), part.per]
                    cells += [repr(mean), "" if sd is None else repr(sd)]
                    file.write("\t".join(cell.replace("\t", " ") for cell in cells) + "\n")
