"""`epilm evaluate`: what it says of a path that is not there."""

import pytest

from epilm.cli import main


@pytest.mark.parametrize("words", [[], ["--data", "rows.tsv"], ["--task", "promoter", "--data", "rows.tsv"]])
def test_a_run_that_is_not_there_says_what_may_be_given(tmp_path, capsys, words):
    assert main(["evaluate", str(tmp_path / "nothere.tab"), *words]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "nothere.tab: there is no such run or table of predictions. Expected a run of epilm finetune" in said
    )
    assert "(.tab, .tab.gz) are scored with --task dream" in said
