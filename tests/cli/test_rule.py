"""`--rule`: how labels are made from peaks, from the command line to the labels."""

import json

import numpy as np
import pytest

from epilm.cli import application, main
from epilm.tasks.binding.bins import grid
from epilm.tasks.binding.dream.submission import SubmissionWriter


@pytest.mark.parametrize(
    ("words", "bound"), [([], 5), (["--rule", "challenge"], 5), (["--rule", "bin_half"], 3)]
)
def test_evaluate_labels_by_the_rule_that_is_named(tmp_path, capsys, words, bound):
    # The worked example of labels_from_peaks: one peak of 200 bp, bins every 50 bp.
    (tmp_path / "chip").mkdir()
    (tmp_path / "chip/liver.MAX.conservative.narrowPeak").write_text("chr1\t900\t1100\n")
    (tmp_path / "regions.bed").write_text("chr1\t600\t1400\n")
    bins = grid(["chr1:600-1400"])
    with SubmissionWriter(tmp_path / "F.MAX.liver.tab", bins) as out:
        out.write(np.linspace(0, 1, len(bins)))
    command = [
        "evaluate",
        tmp_path / "F.MAX.liver.tab",
        "--task",
        "dream",
        "--data",
        tmp_path / "chip",
        "--cell",
        "liver",
        "--regions",
        tmp_path / "regions.bed",
        "--json",
    ]
    assert main([str(word) for word in (*command, *words)]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["positives"] == bound


def test_finetune_takes_the_rule_and_refuses_another(capsys):
    words = ["finetune", "dream", "--data", "chip", "--out", "ft", "--factor", "MAX"]
    rule = [*words, "--rule", "bin_half"]
    chosen = application("finetune", rule).parse_args(rule)[1]
    assert chosen.arguments["options"].rule == "bin_half"
    assert main([*words, "--rule", "half"]) == 2
    assert "bin_half" in "".join(capsys.readouterr())
