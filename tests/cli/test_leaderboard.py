"""`epilm leaderboard`: a metric that is not there is named."""

import pytest

from epilm.cli import main

HEADER = "model,dataset,auroc,auprc_dg,recall_at_fdr10,recall_at_fdr50\n"


@pytest.mark.parametrize("method", ["mean_rank", "log_rank"])
def test_the_metric_for_which_a_model_is_not_ranked_is_named(tmp_path, capsys, method):
    path = tmp_path / "s.csv"
    path.write_text(HEADER + "a,CTCF:K562,0.9,nan,0.1,0.2\nb,CTCF:K562,0.9,0.5,0.1,0.2\n")
    assert main(["leaderboard", str(path), "--method", method]) == 0
    said = capsys.readouterr().out
    assert (
        f"a has no auprc_dg for CTCF:K562 ({path}, line 2): it is ranked by all 4 metrics or not,"
        " and counts as last there" in said.splitlines()
    )
    assert "has no scores" not in said


def test_a_dataset_that_is_wholly_missing_is_still_said_to_have_no_scores(tmp_path, capsys):
    path = tmp_path / "s.csv"
    path.write_text(
        HEADER + "a,CTCF:K562,0.9,,,0.2\nb,CTCF:K562,0.9,0.5,0.1,0.2\nb,MAX:liver,0.9,0.5,0.1,0.2\n"
    )
    assert main(["leaderboard", str(path)]) == 0
    said = capsys.readouterr().out
    assert "a has no auprc_dg, recall_at_fdr10 for CTCF:K562" in said
    assert "a has no scores for MAX:liver: it counts as last there" in said


def test_no_dataset_left_says_which_metric_is_undefined(tmp_path, capsys):
    path = tmp_path / "s.csv"
    path.write_text(HEADER + "a,CTCF:K562,0.9,nan,0.1,0.2\n")
    assert main(["leaderboard", str(path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "no dataset is left to rank on" in said
    assert "Found no auprc_dg of a for CTCF:K562" in said
    assert "s.csv, line 2" in said
