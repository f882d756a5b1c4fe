"""`epilm leaderboard`: models ranked over the ENCODE-DREAM datasets."""

from pathlib import Path
from typing import Literal


def leaderboard(
    *scores: Path,
    peers: Path | None = None,
    method: Literal["mean_rank", "log_rank", "challenge"] = "mean_rank",
    paper: bool = False,
    common: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Rank models over datasets, from tables of scores; or print the published ranking.

    Examples:
    epilm leaderboard --paper
    epilm leaderboard dbert.json ebert.json --peers peers.csv --out board
    epilm leaderboard scores.json --method challenge --json

    Parameters
    ----------
    scores
        JSON of epilm evaluate --task binding --json, or CSV with the columns model, dataset
        (FACTOR:CELL), auroc, auprc_dg, recall_at_fdr10, recall_at_fdr50.
    peers
        One more CSV, of models that are not yours.
    method
        mean_rank (the EBERT paper), log_rank, or challenge (log ranks of ten resamples).
    paper
        Table 1 of the EBERT paper from its published ranks; takes no scores.
    common
        Rank only over the datasets that every model has.
    out
        Folder for leaderboard.json, ranks.tsv, metrics.tsv and pictures.
    overwrite
        Replace that folder.
    json
        Print JSON.
    """
    import json as writer

    from epilm.rankings.leaderboard import leaderboard as run
    from epilm.rankings.leaderboard import text_of

    board = run(
        scores, peers=peers, method=method, paper=paper, common=common, out=out, overwrite=overwrite
    )
    print(writer.dumps(board.as_dict(), indent=2) if json else text_of(board))
