"""What rows (seed, setting, arm) of an ablation on given data add up to: a table a setting, factor
by factor.

A factor may have no score in an arm (no motif of it is known): a row's mean is then over fewer
factors, which the table says, and a claim compares two rows over the factors that both have. Pure
functions but for the writing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epilm.atomic import write_json
from epilm.metrics.binding import HEADS
from epilm.training.log import plain
from epilm.trials.ablation_table import JUDGED, Verdict, write_tsv
from epilm.trials.ablation_table import judge as judge_rows

if TYPE_CHECKING:
    from epilm.trials.ablation_data import DataAblation

SCORES = ("auprc_dg", "ap", "auroc", "recall_at_fdr10", "recall_at_fdr50")


def spread(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of what is known; None where there is too little.

    Examples
    --------
    >>> spread([1.0, 3.0, None]), spread([2.0]), spread([])
    ((2.0, 1.4142135623730951), (2.0, None), (None, None))
    """
    known = np.array([v for v in values if v is not None and np.isfinite(v)], np.float64)
    if not len(known):
        return None, None
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else None


def summarise(plan: "DataAblation", rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give mean and sample sd over seeds of each row, in the order of the description.

    Returns
    -------
    list of dict
        setting, arm, title, seeds, `<score>_mean`, `<score>_sd` (None with one seed) of the means
        over factors, n_factors (that have a score, the fewest of all seeds), of_factors, factors:
        factor -> the same two of each score and positives, n; seconds: mean; notes.
    """
    table = []
    for setting in plan.settings:
        for row in plan.rows_of(setting):
            mine = [r for r in rows if (r["setting"], r["arm"]) == (setting.name, row.name)]
            if not mine:
                continue
            factors = plan.factors_of(setting)
            line: dict[str, Any] = {
                "setting": setting.name,
                "arm": row.name,
                "title": row.title or row.name,
                "seeds": len(mine),
            }
            line |= _spreads(mine)
            line |= {"n_factors": min(r["n_factors"] for r in mine), "of_factors": len(factors)}
            line["factors"] = {}
            for factor in factors:
                known = [r["factors"][factor] for r in mine if r["factors"].get(factor) is not None]
                counts = {key: known[0][key] if known else None for key in ("n", "positives")}
                line["factors"][factor] = _spreads(known) | counts
            line["seconds"] = float(np.mean([r["seconds"] for r in mine]))
            line["notes"] = list(dict.fromkeys(note for r in mine for note in r.get("notes", ())))
            table.append(line)
    return table


def _spreads(tables: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    out = {}
    for score in SCORES:
        out[f"{score}_mean"], out[f"{score}_sd"] = spread(table[score] for table in tables)
    return out


def judge(plan: "DataAblation", rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Judge every claim in every setting, over the factors that both rows have; as
    `ablation_table.judge`.
    """
    out = []
    for setting in plan.settings:
        mine = [row for row in rows if row["setting"] == setting.name]
        for claim in plan.claims:
            pair = [row for row in mine if row["arm"] in (claim.more, claim.less)]
            one = replace(plan, claims=(replace(claim, say=f"{setting.name}: {claim.say}"),))
            out += judge_rows(one, _alike(pair))  # type: ignore[arg-type]  # it reads the claims alone
    return out


def _alike(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same rows with means over the factors that all of them have."""
    common = [
        factor
        for factor in (rows[0]["factors"] if rows else ())
        if all(
            (t := row["factors"].get(factor)) is not None and t["ap"] is not None for row in rows
        )
    ]
    return [
        dict(row)
        | {
            s: float(np.mean([row["factors"][f][s] for f in common])) if common else None
            for s in JUDGED
        }
        for row in rows
    ]


def write_tables(folder: Path, plan: "DataAblation", rows: Sequence[Mapping[str, Any]]) -> None:
    """Write table.json, table.tsv (means over factors), factors.tsv (each factor) and
    claims.tsv.
    """
    table, verdicts = summarise(plan, rows), judge(plan, rows)
    claims = [plain(asdict(v) | {"verdict": v.word}) for v in verdicts]
    write_json(folder / "table.json", {"rows": [plain(line) for line in table], "claims": claims})
    scores = [f"{score}_{what}" for score in SCORES for what in ("mean", "sd")]
    heads = ["setting", "arm", "seeds", "n_factors", *scores, "seconds"]
    write_tsv(folder / "table.tsv", heads, [[line.get(head) for head in heads] for line in table])
    heads = ["setting", "arm", "factor", "seeds", "n", "positives", *scores]
    write_tsv(
        folder / "factors.tsv",
        heads,
        [
            [
                line["setting"],
                line["arm"],
                factor,
                line["seeds"],
                *(of.get(head) for head in heads[4:]),
            ]
            for line in table
            for factor, of in line["factors"].items()
        ],
    )
    heads = ["claim", "more", "less", "score", "seeds", "difference", "se", "verdict"]
    write_tsv(
        folder / "claims.tsv",
        heads,
        [[v.say, v.more, v.less, v.score, v.seeds, v.mean, v.se, v.word] for v in verdicts],
    )


def name_of(line: Mapping[str, Any]) -> str:
    """A row's title, with the number of factors where it is not all."""
    short = line["n_factors"] < line["of_factors"]
    return line["title"] + (
        f" ({line['n_factors']} of {line['of_factors']} factors)" if short else ""
    )


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


def text_of(table: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict]) -> str:
    """Print two tables a setting, means over factors and auPRC (DG) of each factor; then the
    claims.
    """
    lines: list[str] = []
    width = max([10, *(len(name_of(line)) for line in table)]) + 2
    for setting in dict.fromkeys(line["setting"] for line in table):
        mine = [line for line in table if line["setting"] == setting]
        lines.append(
            f"{setting:<{width}}{'seeds':>6}" + "".join(f"{HEADS[score]:>20}" for score in SCORES)
        )
        for line in mine:
            cells = "".join(f"{shown(line, score):>20}" for score in SCORES)
            lines.append(f"{name_of(line):<{width}}{line['seeds']:>6}{cells}")
        lines.append(
            f"{'auPRC (DG)':<{width + 6}}"
            + "".join(f"{factor:>20}" for factor in mine[0]["factors"])
        )
        for line in mine:
            cells = "".join(f"{shown(of, 'auprc_dg'):>20}" for of in line["factors"].values())
            lines.append(f"{line['title']:<{width + 6}}{cells}")
        lines.append("")
    wide = max([10, *(len(v.say) for v in verdicts)]) + 2
    for v in verdicts:
        se = "" if np.isnan(v.se) else f" +- {v.se:.4f}"
        lines.append(f"{v.say:<{wide}}{v.score:<10}{v.mean:+.4f}{se}  {v.word}")
    return "\n".join(lines).rstrip()
