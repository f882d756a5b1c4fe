"""The page of a leaderboard: its numbers are those of the folder, its pictures bring theirs."""

import csv
import json

import pytest

from epilm.errors import InputError
from epilm.rankings.board_page import load_board
from epilm.rankings.leaderboard import leaderboard
from epilm.reporting import report
from html_page import parse

TABLE = """model,dataset,auroc,auprc_dg,recall_at_fdr10,recall_at_fdr50
weak,CTCF:iPSC,0.90,0.25,0.10,0.30
strong,CTCF:iPSC,0.95,0.75,0.40,0.70
weak,MAX:liver,0.80,0.50,0.10,0.20
strong,MAX:liver,0.85,0.25,0.20,0.30
peer,MAX:liver,0.99,0.95,0.90,0.99
"""


def numbers(folder, name):
    with open(folder / "report.numbers" / f"{name}.tsv", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_a_leaderboard_is_opened_as_it_was_written_and_has_its_page(tmp_path):
    (tmp_path / "scores.csv").write_text(TABLE)
    board = leaderboard(tmp_path / "scores.csv", out=tmp_path / "board")
    assert load_board(tmp_path / "board").as_dict() == board.as_dict()
    page = report(tmp_path / "board")
    words = " ".join(parse(page.read_text()).text)
    for said in (
        "Leaderboard of 3 models",
        "Ranks by mean rank, 2 datasets",
        "peer has no scores for CTCF:induced_pluripotent_stem_cell: it counts as last there",
        "0.990",
    ):
        assert said in words
    ranks = numbers(tmp_path / "board", "ranks")
    assert ranks[0]["peer"] == ""  # not entered
    assert [row["strong"] for row in ranks] == ["1", "2", "1"]
    gains = numbers(tmp_path / "board", "gains")
    first = next(row for row in gains if row["other"] == "weak" and "CTCF" in row["dataset"])
    assert (first["first"], first["gain"]) == ("strong", "0.5")
    assert len(numbers(tmp_path / "board", "auprc")) == 2
    assert numbers(tmp_path / "board", "against") == gains


def test_published_ranks_have_a_page_without_scores(tmp_path):
    leaderboard(paper=True, out=tmp_path / "board")
    text = report(tmp_path / "board").read_text()
    assert "(published)" in text
    assert "Metrics of each dataset" not in text
    assert [path.name for path in (tmp_path / "board/report.numbers").iterdir()] == ["ranks.tsv"]


def test_a_damaged_leaderboard_is_refused(tmp_path):
    (tmp_path / "leaderboard.json").write_text(json.dumps({"method": "mean_rank"}))
    with pytest.raises(InputError, match="the leaderboard is damaged.*KeyError: 'ranks'.*again"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()
