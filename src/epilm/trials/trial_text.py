"""A trial's tables as files and as text to print."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from epilm.atomic import atomic_file, plain, write_json
from epilm.metrics.bin_scores import HEADS
from epilm.trials.trial_table import (
    Design,
    beside_paper,
    over_settings,
    published_scores,
    said_over_settings,
    summarise,
)
from epilm.trials.verdicts import gap_text, judge, over_baselines, said_level

MOST_SAID = 12  # lines on arms that a baseline is as good as


def write_tables(folder: Path, design: Design, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write table.json, table.tsv, claims.tsv and, where there are factors, factors.tsv."""
    words, table, lead = design.words, summarise(design, rows), design.words.scores[0]
    judged = words.lines or design.claims
    verdicts = judge(design, rows) if judged else over_baselines(design, rows)
    lines = [plain(line) for line in table]
    if not words.setting:  # the table of worlds has a number a factor
        for line in lines:
            line["factors"] = {f: of[f"{lead}_mean"] for f, of in line["factors"].items()}
    claims = [plain(asdict(v) | {"verdict": v.word}) for v in verdicts]
    value: Any = {words.lines: lines, "claims": claims} if words.lines else lines
    write_json(folder / "table.json", value)
    scores = [f"{score}_{what}" for score in words.scores for what in ("mean", "sd")]
    names = [*([words.setting] if words.setting else []), words.arm]
    factors = list(dict.fromkeys(f for line in table for f in line.get("factors", ())))
    if words.lines and words.setting:
        heads = [*names, "seeds", "n_factors", *scores, "seconds"]
    elif words.lines:
        heads = [*names, "seeds", *scores, *(f"{lead}_{factor}" for factor in factors)]
        table = [
            line | {f"{lead}_{f}": of[f"{lead}_mean"] for f, of in line["factors"].items()}
            for line in table
        ]
    else:
        ends = [f"{score}_{end}" for score in words.scores for end in ("lo", "hi")]
        ends = [end for end in ends if any(end in line for line in table)]
        heads = [*names, "seeds", *scores, "collapsed", *ends]
    if any("failed" in line for line in table):
        heads.append("failed")
        table = [line | {"failed": "; ".join(line.get("failed", ()))} for line in table]
    _write_tsv(folder / "table.tsv", heads, table)
    if factors:
        split = [
            {"factor": factor, **{name: line[name] for name in (*names, "seeds")}, **of}
            for line in table
            for factor, of in line["factors"].items()
        ]
        heads = [*names, "factor", "seeds", "n", "positives", *scores]
        _write_tsv(folder / "factors.tsv", heads, split)
    heads = ["claim", "more", "less", "score", "seeds", "difference", "se", "verdict"]
    named = [
        asdict(v) | {"claim": v.say, "difference": v.mean, "verdict": v.word} for v in verdicts
    ]
    _write_tsv(folder / "claims.tsv", heads, named)
    if words.setting and not words.lines and len({design.place(row)[0] for row in rows}) > 1:
        quarters = ("q1", "median", "q3", "mean")
        heads = [f"{score}_{what}" for score in words.printed for what in quarters]
        heads = [words.arm, "settings", "failed", "collapsed", *heads]
        _write_tsv(folder / "summary.tsv", heads, over_settings(design, rows))
    if beside := beside_paper(design, rows):
        whats = ("mean", "sd", "published")
        heads = [f"{score}_{what}" for score in published_scores(design) for what in whats]
        _write_tsv(folder / "published.tsv", [*names, "seeds", *heads], beside)


def _write_tsv(path: Path, heads: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> None:
    """Write columns by their heads; what is not known stays empty."""

    def text(value: Any) -> str:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return ""
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    with atomic_file(path) as new, open(new, "w", encoding="utf-8", newline="\n") as out:
        out.write("\t".join(heads) + "\n")
        for line in lines:
            out.write("\t".join(text(line.get(head)) for head in heads) + "\n")


def name_of(line: Mapping[str, Any]) -> str:
    """A row's title, with the number of factors where it is not all."""
    scored, known = line.get("n_factors", 0), line.get("of_factors", 0)
    return line["title"] + (f" ({scored} of {known} factors)" if scored < known else "")


def shown(line: Mapping[str, Any], score: str, digits: int = 4, sign: str = "+-") -> str:
    """Mean and sd of a score, for reading.

    Examples
    --------
    >>> shown({"ap_mean": 0.25, "ap_sd": 0.01}, "ap"), shown({"ap_mean": None, "ap_sd": None}, "ap")
    ('0.2500 +- 0.0100', '-')
    """
    mean, sd = line[f"{score}_mean"], line[f"{score}_sd"]
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + ("" if sd is None else f" {sign} {sd:.{digits}f}")


def best_line(table: Sequence[Mapping[str, Any]], score: str) -> int | None:
    """Which line has the best mean, among those over the most factors.

    Examples
    --------
    >>> lines = [{"n_factors": 1, "ap_mean": 0.9}, {"n_factors": 2, "ap_mean": 0.4}]
    >>> best_line(lines, "ap")
    1
    """
    most = max((line.get("n_factors", 0) for line in table), default=0)
    means = {
        number: mean
        for number, line in enumerate(table)
        if line.get("n_factors", 0) == most and (mean := line[f"{score}_mean"]) is not None
    }
    return max(means, key=means.__getitem__, default=None)


def text_of(design: Design, rows: Sequence[Mapping[str, Any]], left_out: Sequence[str] = ()) -> str:
    """Print the table, of each factor too; what is claimed, what is level, what is left out."""
    words, table, lead = design.words, summarise(design, rows), design.words.scores[0]
    width = max([10, *(len(name_of(line)) for line in table)]) + 2
    column = max([8, *(len(str(line.get(words.setting, ""))) for line in table)]) + 2
    lines: list[str] = []

    def block(mine: Sequence[Mapping[str, Any]], heads: str, *, named: bool) -> None:
        titles = "".join(f"{HEADS.get(score, score):>20}" for score in words.printed)
        bounded = any(f"{lead}_lo" in line for line in mine)
        title = f"{f'95 % of {HEADS.get(lead, lead)}':>20}" if bounded else ""
        lines.append(f"{heads}{'seeds':>6}{titles}{title}")
        for line in mine:
            start = f"{line[words.setting]:<{column}}" if named else ""
            cells = "".join(f"{shown(line, score):>20}" for score in words.printed)
            flag = f"  {line['collapsed']} collapsed" if line.get("collapsed") else ""
            if f"{lead}_lo" in line:
                cells += f"{line[f'{lead}_lo']:.4f} to {line[f'{lead}_hi']:.4f}".rjust(20)
            elif bounded:
                cells += " " * 20
            flag += f"  failed: {line['failed'][0]}" if "failed" in line else ""
            lines.append(f"{start}{name_of(line):<{width}}{line['seeds']:>6}{cells}{flag}")

    if words.lines:
        for setting in dict.fromkeys(line.get(words.setting, "") for line in table):
            mine = [line for line in table if line.get(words.setting, "") == setting]
            block(mine, f"{setting:<{width}}", named=False)
            factors = "".join(f"{factor:>20}" for factor in mine[0]["factors"])
            lines.append(f"{HEADS[lead]:<{width + 6}}{factors}")
            for line in mine:
                cells = "".join(f"{shown(of, lead):>20}" for of in line["factors"].values())
                lines.append(f"{line['title']:<{width + 6}}{cells}")
            lines.append("")
    else:
        block(table, f"{words.setting:<{column}}{words.arm:<{width}}", named=True)
    verdicts = judge(design, rows)
    wide = max([10, *(len(v.say) for v in verdicts)]) + 2
    score = max([10, *(len(v.score) + 1 for v in verdicts)])
    lines += [f"{v.say:<{wide}}{v.score:<{score}}{gap_text(v)}  {v.word}" for v in verdicts]
    level = said_level(over_baselines(design, rows))
    lines += level[:MOST_SAID]
    if len(level) > MOST_SAID:
        lines.append(f"and {len(level) - MOST_SAID} more such: claims.tsv")
    if not words.lines:
        lines += said_over_settings(design, rows)
    lines += text_beside(design, rows)
    lines += [f"left out: {text}" for text in left_out]
    return "\n".join(lines).rstrip()


def text_beside(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines to print of ours beside what is published; none where nothing is."""
    beside, scores = beside_paper(design, rows), published_scores(design)
    if not beside:
        return [design.note] if design.note else []
    names = ["  ".join((str(line.get(design.words.setting, "")), line["title"])) for line in beside]
    wide = max(map(len, names)) + 2
    titles = "".join(f"{HEADS.get(score, score):>28}" for score in scores)
    out = ["", f"ours, and published ({design.source}):", " " * wide + titles]
    for name, line in zip(names, beside, strict=True):
        cells = ""
        for score in scores:
            theirs = line[f"{score}_published"]
            ours = shown(line, score) if line[f"{score}_mean"] is not None else "-"
            cells += f"{ours:>20} {'-' if theirs is None else f'{theirs:.3f}':>7}"
        out.append(f"{name.strip():<{wide}}{cells}")
    return [*out, *([design.note] if design.note else [])]
