"""`epilm predict`: its options are those of the run's task."""

import re

from epilm.cli import main
from toy_sequences import planted, quick


def one_line(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_prediction_has_the_options_of_the_runs_task(tmp_path, capsys):
    quick(planted(40), tmp_path / "ft", checkpoint="cnn", epochs=1)
    run = str(tmp_path / "ft")
    # In the place of the sequences it is a word that cyclopts gives without its own name.
    for words in (["--data", "x.tsv"], ["--data=x.tsv"]):
        assert main(["predict", run, *words]) == 2
        assert "predict sequences: no such option. Found --data. Known: --" in one_line(capsys)
    assert main(["predict", run, "x.fa", "--cell", "liver"]) == 2
    assert "predict sequences: no such option. Found --cell, an option of binding." in one_line(
        capsys
    )
    assert main(["predict", run, "--help"]) == 0
    options = options_in(capsys.readouterr().out)
    assert "--genome" in options
    assert "--cell" not in options
    assert main(["predict", str(tmp_path / "none"), "x.fa", "--genome", "g.fa"]) == 1
    assert "none: no fine-tuned model here" in one_line(capsys)


def options_in(text):
    """Names at the left of the boxes of a help page: the examples above name others' options."""
    return set(re.findall(r"^│ [* ]*(?:[A-Z-]+ )?(--[a-z-]+)", text, re.MULTILINE))
