"""The page of a leaderboard, and its pictures: ranks as a map, auPRC dataset by dataset, the first
of the ranking against the next ones.

Reads the folder that `epilm leaderboard --out` writes (leaderboard.json).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from epilm.errors import InputError
from epilm.metrics.ranking import Leaderboard
from epilm.plots.page import Page, Picture, PictureNumbers, Section, Table, footer, load_json
from epilm.plots.rank_plots import dataset_points, gain_bars, model_against_model, rank_heatmap
from epilm.plots.style import as_image, figure
from epilm.rankings.score_tables import short_name

KEPT = "leaderboard.json"
NEXT = 3  # models that the first is set against
AREA = "auprc_dg"
HEADS = {
    "auroc": "AUROC",
    "auprc_dg": "auPRC",
    "recall_at_fdr10": "recall at FDR 10 %",
    "recall_at_fdr50": "recall at FDR 50 %",
}
CAPTIONS = {
    "ranks": "1 is the best; a dash: not entered. The overall rank stands apart below.",
    "auprc": "Davis-Goadrich's area; the best datasets on top.",
    "gains": "Right of the line the first of the ranking is better.",
    "against": "Above the diagonal the first of the ranking is better.",
}
Drawn = tuple[str, Figure, str, PictureNumbers]


def drawn(board: Leaderboard) -> Iterator[Drawn]:
    """Draw all that there is of a leaderboard, one picture after the other.

    Yields
    ------
    name : str
        ranks; of a leaderboard with metric values auprc, gains and against too.
    figure : Figure
        To be saved before the next one is asked for.
    caption : str
    numbers : PictureNumbers
        What is drawn.
    """
    names = [short_name(d) for d in board.datasets]
    tall = 1.2 + 0.27 * len(names)
    with figure(2.0 + 0.85 * len(board.models), tall + 0.8) as (fig, (ax,)):
        rank_heatmap(ax, names, board.models, board.ranks, board.overall, title=board.title())
        rows = [*zip(board.datasets, board.ranks.tolist()), ("overall", board.overall.tolist())]
        cells = [[dataset, *each] for dataset, each in rows]
        yield _drawn("ranks", fig, ["dataset", *board.models], cells)
    if board.values is None:
        return
    area = board.values[:, :, board.metrics.index(AREA)]
    with figure(6.4, tall + 0.7) as (fig, (ax,)):
        title, label = "auPRC of each dataset", "auPRC (Davis-Goadrich)"
        dataset_points(ax, names, board.models, area, title=title, label=label)
        cells = [[d, *each] for d, each in zip(board.datasets, area.tolist())]
        yield _drawn("auprc", fig, ["dataset", *board.models], cells)
    first, *others = board.order()
    pairs = [(m, first) for m in others[:NEXT] if np.isfinite(area[:, m] - area[:, first]).any()]
    if not pairs:
        return
    heads = ["dataset", "first", "other", "auprc of the first", "auprc of the other", "gain"]
    cells = [
        [d, board.models[first], board.models[m], *map(float, (up, left, up - left))]
        for m, _ in pairs
        for d, up, left in zip(board.datasets, area[:, first], area[:, m])
    ]
    for name, draw, width, height in (
        ("gains", gain_bars, 4.6, tall + 0.3),
        ("against", model_against_model, 3.7, 4.0),
    ):
        with figure(width, height, columns=len(pairs)) as (fig, axes):
            for ax, (left, ahead) in zip(axes, pairs):
                both = (board.models[left], board.models[ahead])
                draw(ax, names, area[:, left], area[:, ahead], both)
            if draw is gain_bars:  # one scale, or the panels cannot be compared
                limits = [ax.get_xlim() for ax in axes]
                for ax in axes:
                    ax.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
            yield _drawn(name, fig, heads, cells)


def _drawn(name: str, fig: Figure, header: Sequence[str], cells: Sequence[Sequence[Any]]) -> Drawn:
    return name, fig, CAPTIONS[name], PictureNumbers(name, header, cells)


def load_board(folder: Path) -> Leaderboard:
    """Open the leaderboard of a folder.

    Raises
    ------
    InputError
        If its file is damaged.
    """
    try:
        return Leaderboard.from_dict(load_json(folder / KEPT, {}))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "the leaderboard is damaged",
            where=str(folder / KEPT),
            found=f"{type(error).__name__}: {error}",
            do="Make it again: epilm leaderboard SCORES --out FOLDER --overwrite.",
        ) from None


def board_page(folder: Path) -> Page:
    """Make the page of a folder that `epilm leaderboard --out` wrote."""
    board = load_board(folder)
    cards = [
        (board.models[m], _short(board.overall[m]), f"{board.score_name()} {score:.3f}")
        for m in board.order()[:6]
        for score in [board.overall_scores[m]]
    ]
    ranking = Section("Ranking", text=list(board.notes), tables=[_overall(board)])
    sections = [ranking]
    if board.values is not None:
        sections.append(Section("Scores", tables=[_scores(board)]))
    for name, fig, caption, numbers in drawn(board):
        picture = Picture(as_image(fig), caption, name in ("gains", "against"), name, (numbers,))
        (ranking if name == "ranks" else sections[-1]).pictures.append(picture)
    return Page(
        f"Leaderboard of {len(board.models)} models",
        f"{board.title()}, {len(board.datasets)} datasets",
        cards=cards,
        sections=sections,
        footer=footer(),
    )


def _overall(board: Leaderboard) -> Table:
    """A row a model, the best first."""
    rows = [
        [
            board.models[m],
            _short(board.overall[m]),
            float(board.overall_scores[m]),
            int(np.isfinite(board.ranks[:, m]).sum()),
            int((board.ranks[:, m] == 1).sum()),
        ]
        for m in board.order()
    ]
    return Table(["model", "overall rank", board.score_name(), "datasets", "first on"], rows)


def _scores(board: Leaderboard) -> Table:
    """A row a dataset and model that was entered there; the best of each metric marked."""
    assert board.values is not None
    rows: list[list[Any]] = []
    best: set[tuple[int, int]] = set()
    for d, dataset in enumerate(board.datasets):
        values = board.values[d]
        entered = [m for m in range(len(board.models)) if np.isfinite(values[m]).any()]
        for column in range(len(board.metrics)):
            known = [m for m in entered if np.isfinite(values[m, column])]
            top = max((values[m, column] for m in known), default=np.nan)
            at = (len(rows) + entered.index(m) for m in known if values[m, column] == top)
            best |= {(row, 2 + column) for row in at}
        rows += [
            [short_name(dataset), board.models[m], *values[m].tolist(), _short(board.ranks[d, m])]
            for m in entered
        ]
    heads = ["dataset", "model", *(HEADS.get(name, name) for name in board.metrics), "rank"]
    return Table(heads, rows, "Metrics of each dataset", frozenset(best))


def _short(rank: float) -> str:
    return "–" if np.isnan(rank) else f"{rank:g}"
