"""From raw files to a row of a leaderboard, every step typed.

Kill -9 in the middle of fine-tuning: tests/finetuning/test_finetune.py.
"""

import json

import pytest

from epilm.cli import main
from epilm.tasks.binding.dream.submission import read_submission


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Invented raw files, a store of them, and an EBERT pre-trained for three steps."""
    root = tmp_path_factory.mktemp("dream")
    play = root / "play"
    words = [
        ["simulate", play, "--size", "tiny"],
        [
            "build",
            "--genome",
            play / "genome.fa",
            "--states",
            play / "states",
            "--accessibility",
            f"{play}/signals/*.accessibility.bw",
            "--mappability",
            play / "signals" / "mappability.bw",
            "--out",
            root / "store",
        ],
        [
            "pretrain",
            "ebert_tiny",
            "--store",
            root / "store",
            "--out",
            root / "ebert",
            "--device",
            "cpu",
            "--set",
            "train.steps=3",
            "--set",
            "train.batch_size=32",
            "--set",
            "samples.holdout_chroms=[chr3]",
        ],
    ]
    for command in words:
        assert main([str(word) for word in command]) == 0
    return root


def tuning(root, out, *more):
    words = [
        "finetune",
        "dream",
        "--data",
        root / "play" / "chip",
        "--factor",
        "CTCF",
        "--store",
        root / "store",
        "--checkpoint",
        root / "ebert",
        "--valid",
        "chr2:0-40000",
        "--test",
        "chr3",
        "--test-cells",
        "typeC",
        "--signals",
        "accessibility",
        "mappability",
        "--positives-per-epoch",
        10,
        "--valid-negatives",
        60,
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--out",
        out,
        *more,
    ]
    return [str(word) for word in words]


@pytest.mark.slow
def test_raw_files_become_a_row_of_a_leaderboard(made, capsys):
    run = made / "ctcf"
    assert main(tuning(made, run, "--epochs", "1")) == 0
    store = ["--store", str(made / "store")]
    track = made / "F.CTCF.typeC.tab.gz"
    capsys.readouterr()
    assert (
        main(
            [
                "predict",
                str(run),
                *store,
                "--cell",
                "typeC",
                "--chroms",
                "chr3:0-9000",
                "--out",
                str(track),
                "--json",
            ]
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["bins"] == len(read_submission(track).bins) == 165
    labels = [
        "--task",
        "dream",
        "--data",
        str(made / "play" / "chip"),
        "--cell",
        "typeC",
        "--chroms",
        "chr3:0-9000",
    ]
    assert (
        main(["evaluate", str(run), *labels, *store, "--controls", "--json", "--precision", "fp32"])
        == 0
    )
    ours = json.loads(capsys.readouterr().out)
    assert set(ours["controls"]) >= {"shuffled_states", "mean_of_cells", "sequence_only"}
    assert ours["leak"]["pretraining"]["chroms_seen"] == []  # chr3 was held out
    assert ours["leak"]["pretraining"]["cell_seen"]
    assert not ours["leak"]["training"]["cell_seen"]
    assert main(["evaluate", str(track), *labels, *store, "--json"]) == 0
    from_file = json.loads(capsys.readouterr().out)
    for key in ("n", "positives", "ambiguous"):
        assert from_file["scores"][key] == ours["scores"][key]
    if ours["scores"]["auroc"] is not None:
        assert from_file["scores"]["auroc"] == pytest.approx(ours["scores"]["auroc"], abs=0.02)
    (made / "ours.json").write_text(
        json.dumps([ours | {"model": "ours"}, from_file | {"model": "file"}])
    )
    if ours["scores"]["auroc"] is not None:
        assert main(["leaderboard", str(made / "ours.json")]) == 0
        assert "ours" in capsys.readouterr().out
    # The run says itself what it is.
    assert main(["evaluate", str(run), *labels[2:], *store, "--json", "--precision", "fp32"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == ours["scores"]
    assert main(["inspect", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "run"
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    for words in (
        "Run ctcf: CTCF",
        "typeA, typeB",
        "Held out of pre-training",
        "1 of 1, the best 1",
        "accessibility:max:log1p",
        "--factor CTCF",
    ):
        assert words in page
