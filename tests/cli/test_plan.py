"""`epilm plan`: what it prints and refuses."""

import json
from dataclasses import replace

import pytest

from epilm.cli import main
from epilm.planning.chips import CHIPS
from toy_store import toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(150, 120, 60), factors=24)


# -- the command


def test_the_command_prints_the_plan_and_refuses_with_code_1(store, capsys, monkeypatch):
    words = ["plan", "genebert_native", "--store", str(store.path), "--size", "tiny"]
    assert main([*words, "--no-calibrate", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    for line in (
        "model     genebert_native (tiny)",
        "largest micro-batch that fits: 8",
        "note      not calibrated",
    ):
        assert line in text
    assert main([*words, "--device", "a100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "A100 80 GB"
    monkeypatch.setitem(CHIPS, "toy", replace(CHIPS["l4"], name="Toy", memory=1e8))
    assert main([*words, "--device", "toy"]) == 1
    shown = capsys.readouterr()
    assert "DOES NOT FIT" in shown.out
    assert "epilm: DoesNotFit: genebert_native (tiny): the run does not fit" in shown.err
