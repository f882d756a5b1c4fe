"""What rows (seed, arm) add up to: means, paired differences, and whether a claim shows.

Arms of one seed share its world, so a claim is judged on differences within seeds. It shows where
the mean difference is above two of its standard errors (sample sd over seeds / sqrt(seeds)). Pure
functions but for the writing of tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epilm.atomic import atomic_file, write_json
from epilm.training.log import plain

if TYPE_CHECKING:
    from epilm.trials.ablation import Ablation

JUDGED = ("auprc_dg", "ap")
ERRORS = 2.0  # standard errors that a difference has to exceed
FEWEST = 3  # seeds; with two, two standard errors are exceeded by chance every third time


@dataclass(frozen=True)
class Verdict:
    """A claim, judged on one score.

    Attributes
    ----------
    say : str
        The claim in words.
    more, less : str
        Rows of the table; the difference is more - less.
    kind : str
        "above" shows where mean > 2 se; "not_above" where it is not.
    score : str
    seeds : int
        With both rows.
    mean, se : float
        Of the paired differences; `se` NaN with one seed.
    shown : bool or None
        None: too few seeds to say.
    differences : tuple of float
        A seed each.
    """

    say: str
    more: str
    less: str
    kind: str
    score: str
    seeds: int
    mean: float
    se: float
    shown: bool | None
    differences: tuple[float, ...]

    @property
    def word(self) -> str:
        """The verdict for a table."""
        return {True: "shown", False: "not shown", None: "too few seeds"}[self.shown]


def paired(differences: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error of paired differences.

    Parameters
    ----------
    differences : sequence of float
        One a seed.

    Returns
    -------
    mean, se : float
        se = sample sd / sqrt(n); NaN with fewer than two.

    Examples
    --------
    >>> mean, se = paired([0.1, 0.2, 0.3])
    >>> round(mean, 3), round(se, 4)
    (0.2, 0.0577)
    """
    values = np.asarray(differences, np.float64)
    if not len(values):
        return float("nan"), float("nan")
    se = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return float(values.mean()), se


def judge(plan: "Ablation", rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Judge every claim on every score; claims without a seed that has both rows are left out."""
    out = []
    values = {(row["seed"], row["arm"]): row for row in rows}
    seeds = sorted({row["seed"] for row in rows})
    for claim in plan.claims:
        both = [s for s in seeds if (s, claim.more) in values and (s, claim.less) in values]
        for score in JUDGED:
            pairs = [(values[s, claim.more][score], values[s, claim.less][score]) for s in both]
            gaps = tuple(more - less for more, less in pairs if _known(more) and _known(less))
            if not gaps:
                continue
            mean, se = paired(gaps)
            shown = (
                None if len(gaps) < FEWEST else bool(mean > ERRORS * se) == (claim.kind == "above")
            )
            out.append(
                Verdict(
                    claim.say,
                    claim.more,
                    claim.less,
                    claim.kind,
                    score,
                    len(gaps),
                    mean,
                    se,
                    shown,
                    gaps,
                )
            )
    return out


def _known(value: float | None) -> bool:
    """Undefined where a factor has no bound bin; None in a row read back from JSON."""
    return value is not None and bool(np.isfinite(value))


def summarise(plan: "Ablation", rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give each row's mean and sample sd over seeds, in the order of the description.

    Returns
    -------
    list of dict
        arm, title, seeds, `<score>_mean`, `<score>_sd` (None with one seed) for ap, auprc_dg and
        auroc, factors: factor -> mean auprc_dg, seconds: mean.
    """
    table = []
    for arm, title in plan.titles().items():
        mine = [row for row in rows if row["arm"] == arm]
        if not mine:
            continue
        line: dict[str, Any] = {"arm": arm, "title": title, "seeds": len(mine)}
        for score in ("auprc_dg", "ap", "auroc"):
            values = np.array([row[score] for row in mine], np.float64)
            line[f"{score}_mean"] = float(values.mean())
            line[f"{score}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
        line["factors"] = {
            factor: float(
                np.mean(np.array([row["factors"][factor]["auprc_dg"] for row in mine], np.float64))
            )
            for factor in plan.factors
        }
        line["seconds"] = float(np.mean([row["seconds"] for row in mine]))
        table.append(line)
    return table


def write_tables(folder: Path, plan: "Ablation", rows: Sequence[Mapping[str, Any]]) -> None:
    """Write table.json (arms and claims), table.tsv and claims.tsv."""
    table, verdicts = summarise(plan, rows), judge(plan, rows)
    claims = [plain(asdict(v) | {"verdict": v.word}) for v in verdicts]
    write_json(folder / "table.json", {"arms": [plain(line) for line in table], "claims": claims})
    heads = [
        "arm",
        "seeds",
        *(f"{s}_{w}" for s in ("auprc_dg", "ap", "auroc") for w in ("mean", "sd")),
    ]
    lines = [[*(line.get(head) for head in heads), *line["factors"].values()] for line in table]
    write_tsv(
        folder / "table.tsv", [*heads, *(f"auprc_dg_{factor}" for factor in plan.factors)], lines
    )
    heads = ["claim", "more", "less", "score", "seeds", "difference", "se", "verdict"]
    write_tsv(
        folder / "claims.tsv",
        heads,
        [[v.say, v.more, v.less, v.score, v.seeds, v.mean, v.se, v.word] for v in verdicts],
    )


def write_tsv(path: Path, heads: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    def cell(value: Any) -> str:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return ""
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    with atomic_file(path) as new, open(new, "w", encoding="utf-8", newline="\n") as out:
        for line in (heads, *lines):
            out.write("\t".join(cell(value) for value in line) + "\n")


def text_of(table: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict]) -> str:
    """Print arms with mean +- sd, and claims with difference, standard error and verdict."""

    def spread(line: Mapping[str, Any], score: str) -> str:
        sd = line[f"{score}_sd"]
        return f"{line[f'{score}_mean']:.4f}" + ("" if sd is None else f" +- {sd:.4f}")

    width = max([10, *(len(line["title"]) for line in table)]) + 2
    lines = [f"{'':<{width}}{'seeds':>6}{'auPRC (DG)':>20}{'AP':>20}{'auROC':>20}"]
    for line in table:
        cells = "".join(f"{spread(line, score):>20}" for score in ("auprc_dg", "ap", "auroc"))
        lines.append(f"{line['title']:<{width}}{line['seeds']:>6}{cells}")
    wide = max([10, *(len(v.say) for v in verdicts)]) + 2
    for v in verdicts:
        se = "" if np.isnan(v.se) else f" +- {v.se:.4f}"
        lines.append(f"{v.say:<{wide}}{v.score:<10}{v.mean:+.4f}{se}  {v.word}")
    return "\n".join(lines)
