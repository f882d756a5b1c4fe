"""Tables of scores: what is read and refused."""

import json

import numpy as np
import pytest

from epilm.cli import main
from epilm.errors import InputError
from epilm.metrics.bin_scores import score_entry
from epilm.metrics.published import dream_ranks
from epilm.rankings.leaderboard import leaderboard, text_of
from epilm.rankings.score_tables import read_scores, short_name


def simulated(model, factor, cell, quality, seed):
    """Scores of an invented model on invented bins, as `epilm evaluate --task dream --json` writes
    them.
    """
    rng = np.random.default_rng(seed)
    labels = (np.arange(600) % 8 == 0).astype(np.int8)
    return score_entry(model, factor, cell, labels, rng.normal(quality * labels, 1.0))


def test_the_paper_s_table_is_printed_with_its_overall_line(capsys):
    assert main(["leaderboard", "--paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["EBERT+", "JTeam", "FactorNet", "Anchor", "DeepGRN"]
    printed = [line.split() for line in lines[2:15]]
    assert [row[0] for row in printed] == [short_name(d) for d in dream_ranks().datasets]
    assert [[int(v) for v in row[1:]] for row in printed] == dream_ranks().ranks.tolist()
    assert lines[15].split() == ["mean", "rank", "2.846", "2.308", "2.692", "3.154", "3.692"]
    assert lines[16].split() == ["overall", "3", "1", "2", "4", "5"]
    said = "\n".join(lines[17:])
    assert "Table 1" in said
    assert "none of them measured here" in said
    assert "as printed there" in said
    assert "DBERT 3.000, EBERT 1.923, EBERT+ 1.077" in said


def test_one_table_alone_and_one_with_undefined_metrics(tmp_path):
    found = simulated("m", "MAX", "liver", 1.0, 0)
    (tmp_path / "one.json").write_text(json.dumps(found))
    (entry,) = read_scores(tmp_path / "one.json")
    assert (entry.model, entry.dataset, len(entry.resamples)) == ("m", "MAX:liver", 10)
    assert entry.scores == pytest.approx(found["scores"])
    found["scores"] = dict.fromkeys(found["scores"])
    (tmp_path / "none.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match="no dataset is left to rank on: MAX:liver is left out"):
        leaderboard(tmp_path / "none.json")
    board = leaderboard(tmp_path / "one.json", out=tmp_path / "alone")
    assert not (tmp_path / "alone/gains.png").exists()
    assert "overall" in text_of(board)
