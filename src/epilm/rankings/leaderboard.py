"""Models ranked over the ENCODE-DREAM datasets: tables of scores in, one table and its pictures
out.

Scores come from `epilm evaluate --task binding --json`, or from a CSV, where a peer's
published numbers can stand. The published ranks are shipped, the peers' metric
values are not known: both are never mixed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.atomic import atomic_folder, write_json
from epilm.errors import InputError, UsageError, nearest
from epilm.genome.chromosomes import few
from epilm.metrics.bin_scores import FOLDS, METRICS
from epilm.metrics.published import dream_internal_ranks, dream_ranks
from epilm.metrics.ranking import (
    METHODS,
    Leaderboard,
    Method,
    overall_scores,
    rank_by_ranks,
    rank_models,
    ranks,
)
from epilm.rankings.score_tables import Entry, read_scores, short_name


def leaderboard(
    scores: str | Path | Sequence[str | Path] = (),
    *,
    peers: str | Path | None = None,
    method: Method = "mean_rank",
    paper: bool = False,
    common: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Leaderboard:
    """Rank models over datasets, or give the ranking of the EBERT paper from its published ranks.

    Parameters
    ----------
    scores : path or sequence of path
        JSON of `epilm evaluate --task binding --json` (one table or a list of them), or CSV or TSV
        with the columns model, dataset (FACTOR:CELL; or factor and cell), auroc, auprc_dg,
        recall_at_fdr10 and recall_at_fdr50. An optional column `resample` (0 to 9) holds the
        challenge's ten resamples.
    peers : path, optional
        One more CSV, of models that are not ours.
    method : {"mean_rank", "log_rank", "challenge"}
        See `metrics.ranking`. "challenge" needs the resamples.
    paper : bool
        Table 1 of the paper instead: ranks of five systems on 13 datasets. Takes no scores.
    common : bool
        Rank only over the datasets that every model has.
    out : path, optional
        Folder to appear: leaderboard.json, ranks.tsv, metrics.tsv and pictures.
    overwrite : bool
        Replace that folder.

    Returns
    -------
    Leaderboard

    Raises
    ------
    InputError
        If a file cannot be read; names file, line and column.
    UsageError
        If there is nothing to rank, or published ranks and scores are to be mixed.
    """
    files = [scores] if isinstance(scores, str | Path) else list(scores)
    if method not in METHODS:
        raise UsageError(f"there is no method {method!r}", do=nearest(method, METHODS))
    if paper:
        if files or peers is not None:
            raise UsageError(
                "--paper takes no scores",
                do=(
                    "The paper gives ranks alone; its peers' metric values are not published, so"
                    " your models cannot be put among them."
                ),
            )
        board = paper_board(method)
    else:
        if not files and peers is None:
            raise UsageError("there is nothing to rank", do="Give tables of scores, or --paper.")
        entries = [
            e
            for path in [*files, *([peers] if peers is not None else [])]
            for e in read_scores(path)
        ]
        board = rank_entries(entries, method, common=common)
        for path, names in dict.fromkeys(
            (e.where.partition(",")[0], e.unread) for e in entries if e.unread
        ):
            board.notes.append(f"{path}: not used: {', '.join(names)}")
    if out is not None:
        with atomic_folder(out, overwrite=overwrite) as folder:
            write_board(board, folder)
    return board


def paper_board(method: Method = "mean_rank") -> Leaderboard:
    """Rank the five systems of the EBERT paper from its dataset ranks, and say what that is.

    Examples
    --------
    >>> paper_board().overall.astype(int).tolist()
    [3, 1, 2, 4, 5]
    """
    if method == "log_rank":
        raise UsageError(
            "log_rank needs the ranks of the four metrics, and the paper gives dataset ranks alone",
            do="Use --method mean_rank (the paper's) or challenge.",
        )
    table = dream_ranks()
    board = rank_by_ranks(table.models, table.datasets, table.ranks, method)
    inside = dream_internal_ranks()
    placed = np.stack([ranks(row, ties="min", best="low") for row in inside.ranks])
    internal = ", ".join(f"{m} {v:.3f}" for m, v in zip(inside.models, overall_scores(placed)))
    rule = (
        "average rank" if method == "mean_rank" else "mean of min(0.5, rank / 6), without resamples"
    )
    computed = [int(v) for v in board.overall]
    agrees = (
        "as printed there"
        if computed == list(table.overall)
        else f"the paper prints {_join(table.overall)}"
    )
    board.notes.extend(
        [
            f"Source: {table.source}. Published numbers, none of them measured here.",
            f"The overall line is computed here from the dataset ranks ({rule}): {agrees}.",
            f"{table.note}.",
            f"Among the paper's own three models (Table S1), mean dataset rank: {internal}.",
        ]
    )
    return board


def rank_entries(
    entries: Sequence[Entry], method: Method = "mean_rank", *, common: bool = False
) -> Leaderboard:
    """Put entries into one table and rank them.

    Raises
    ------
    InputError
        If a model's scores of a dataset are given twice, a metric is missing, or resamples are
        needed and not there.
    """
    table: dict[str, dict[str, dict[str, Any]]] = {}
    met: dict[tuple[str, str], str] = {}
    for entry in entries:
        key = entry.dataset, entry.model
        if key in met:
            raise InputError(
                f"{entry.model} has scores for {entry.dataset} already",
                where=entry.where,
                found=f"the first in {met[key]}",
                do="Keep one of them, or give the models different names.",
            )
        met[key] = entry.where
        for name in METRICS:
            if name not in entry.scores:
                raise InputError(
                    f"the metric {name} is missing", where=entry.where, expected=", ".join(METRICS)
                )
        # A model whose metrics are not defined there (all ambiguous, one class) has no resamples:
        # it counts as missing.
        defined = all(entry.scores[name] is not None for name in METRICS)
        if method == "challenge" and defined and len(entry.resamples) != FOLDS:
            raise InputError(
                "the challenge's rule needs the scores of its ten resamples",
                where=entry.where,
                found=f"{len(entry.resamples)} for {entry.model} on {entry.dataset}",
                do=(
                    "Score the bins with `epilm evaluate --task binding --json`, add them in a"
                    " column"
                    " `resample`, or use --method log_rank."
                ),
            )
        about = {"resamples": entry.resamples, "where": entry.where}
        table.setdefault(entry.dataset, {})[entry.model] = entry.scores | about
    try:
        return rank_models(
            table, method, models=tuple(dict.fromkeys(e.model for e in entries)), common=common
        )
    except ValueError as error:
        listed = [
            f"no {', '.join(names)} of {e.model} for {e.dataset} ({e.where})"
            for e in entries
            if (names := [name for name in METRICS if e.scores[name] is None])
        ]
        raise InputError(str(error), found=few(listed, 3) or None) from None


def write_board(board: Leaderboard, folder: Path) -> None:
    """Write a leaderboard's tables and pictures into a folder that exists."""
    write_json(folder / "leaderboard.json", board.as_dict())
    lines = ["\t".join(("dataset", *board.models))]
    lines += ["\t".join((d, *map(_rank, row))) for d, row in zip(board.datasets, board.ranks)]
    lines.append("\t".join((board.score_name(), *(f"{v:.6f}" for v in board.overall_scores))))
    lines.append("\t".join(("overall", *map(_rank, board.overall))))
    (folder / "ranks.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if board.values is not None:
        lines = ["\t".join(("dataset", "model", *board.metrics, "rank"))]
        for d, dataset in enumerate(board.datasets):
            for m, model in enumerate(board.models):
                cells = ["" if np.isnan(v) else f"{v:.6f}" for v in board.values[d, m]]
                lines.append("\t".join((dataset, model, *cells, _rank(board.ranks[d, m]))))
        (folder / "metrics.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_pictures(board, folder)


def write_pictures(board: Leaderboard, folder: Path) -> list[Path]:
    """Draw a leaderboard as PNG: ranks.png; with metric values auprc.png, gains.png and
    against.png.
    """
    from epilm.rankings.board_page import drawn

    written = []
    for name, fig, _, _ in drawn(board):
        written.append(folder / f"{name}.png")
        fig.savefig(written[-1], dpi=160, metadata={"Software": "epilm"})
    return written


def text_of(board: Leaderboard) -> str:
    """Give a leaderboard for reading: ranks, the overall line, auPRC where it is known, notes.

    Examples
    --------
    >>> text_of(paper_board()).splitlines()[-5].split()
    ['overall', '3', '1', '2', '4', '5']
    """
    names = [short_name(d) for d in board.datasets]
    first = max(18, *(len(n) + 2 for n in names))
    wide = max(8, *(len(m) + 1 for m in board.models)) if board.models else 8

    def line(name: str, cells: Sequence[str]) -> str:
        return f"{name:<{first}}" + "".join(f"{cell:>{wide}}" for cell in cells)

    lines = [board.title(), line("", board.models)]
    lines += [line(name, [_rank(v) for v in row]) for name, row in zip(names, board.ranks)]
    lines.append(line(board.score_name(), [f"{v:.3f}" for v in board.overall_scores]))
    lines.append(line("overall", [_rank(v) for v in board.overall]))
    if board.values is not None:
        area = board.values[:, :, board.metrics.index("auprc_dg")]
        lines += ["", "auPRC (Davis-Goadrich)", line("", board.models)]
        lines += [
            line(name, ["–" if np.isnan(v) else f"{v:.4f}" for v in row])
            for name, row in zip(names, area)
        ]
    return "\n".join([*lines, *board.notes])


def _rank(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:g}"


def _join(values: Sequence[int]) -> str:
    return " ".join(map(str, values))
