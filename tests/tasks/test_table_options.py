"""The task `sequences` from the table to the scores, with every kind of label a table may have."""

import json

import numpy as np
import pandas as pd
import pytest

from epilm.cli import main
from epilm.errors import EpilmError
from epilm.finetuning.finetune import finetune
from epilm.finetuning.predict import predict
from toy_sequences import planted

WORDS = "--size tiny --k 3 --epochs 2 --lr 2e-3 --batch-size 16 --device cpu --quiet --json"
TINY = WORDS.split()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """160 sequences, half with a planted word: a class, two questions, numbers, counts."""
    rows = planted(160, 30)
    rng = np.random.default_rng(1)
    has = rows.labels
    gc = np.array([(np.isin(codes, (1, 2))).mean() for codes in rows.codes])
    frame = pd.DataFrame(
        {
            "sequence": [rows.text(row) for row in range(len(rows))],
            "kind": np.where(has == 1, "vein", "artery"),
            "word": has,
            "rich": np.where(rng.random(160) < 0.2, None, (gc > 0.5).astype(int)),
            "level": 500 + 100 * gc,
            "reads": rng.poisson(20 * gc),
        }
    )
    path = tmp_path_factory.mktemp("t") / "any.csv"
    frame.to_csv(path, index=False)
    return path


def learn(table, out, *options):
    return main(["finetune", "sequences", "--data", str(table), "--out", str(out), *TINY, *options])


def scores(capsys):
    return json.loads(capsys.readouterr().out)["scores"]


CASES = {
    "class": (["--labels", "kind", "--kind", "class"], ["p_artery", "p_vein"]),
    "multilabel": (["--labels", "word", "rich", "--kind", "multilabel"], ["p_word", "p_rich"]),
    "number": (["--labels", "level", "--kind", "number"], ["said_level"]),
    "count": (["--labels", "reads", "--kind", "count"], ["said_reads"]),
}


@pytest.mark.parametrize("kind", CASES)
def test_names_and_scores_are_the_same_on_every_road(tmp_path, table, capsys, kind):
    options, columns = CASES[kind]
    run = tmp_path / "run"
    assert learn(table, run, *options) == 0
    learned = scores(capsys)["test"]
    assert main(["evaluate", str(run), "--json"]) == 0
    kept = scores(capsys)
    # New data are read as the run's were.
    words = ["evaluate", str(run), "--data", str(table), "--split", "random", "--device", "cpu"]
    assert main([*words, "--json"]) == 0
    again = scores(capsys)
    outputs = [""] if kind == "class" else [column.split("_")[1] for column in columns]
    for output in outputs:
        mine = learned[output] if output else learned
        name = f"test, {output}" if output else "test"
        for key in ("n", "ap", "mcc", "pearson", "r2", "mse"):
            if mine.get(key) is not None:
                assert kept[name][key] == pytest.approx(mine[key], rel=1e-4, abs=1e-4), key
                assert again[name][key] == pytest.approx(mine[key], rel=1e-4, abs=1e-4), key
    (tmp_path / "new.fa").write_text(">a\nACGTTGACTCAACGGT\n>b\nACGTT\n")
    out = tmp_path / "said.tsv"
    assert main(["predict", str(run), str(tmp_path / "new.fa"), "--out", str(out)]) == 0
    assert out.read_text().splitlines()[0].split("\t")[4:] == columns
    assert "2 sequences" in capsys.readouterr().out


def test_numbers_begin_at_the_mean_of_the_rows_that_are_learned_from(table):
    said = []
    result = finetune(
        "sequences",
        table,
        labels=("level", "reads"),
        kind="number",
        size="tiny",
        k=3,
        epochs=1,
        lr=1e-12,
        device="cpu",
        precision="fp32",
        say=said.append,
    )
    rows = result.lesson.examples
    mean = rows.labels[rows.split == "train"].mean(0)
    sd = rows.labels[rows.split == "train"].std(0)
    assert (np.abs(result.said["test"].mean(0) - mean) < 0.5 * sd).all()
    level = result.tables["test"]["level"]
    truth = rows.labels[rows.split == "test"][:, 0]
    assert level["mse_of_mean"] == pytest.approx(((truth - mean[0]) ** 2).mean(), rel=1e-5)
    assert any("known level, reads: train" in line for line in said)


def test_weights_make_classes_count_alike(table):
    said = []
    common = {"size": "tiny", "k": 3, "epochs": 1, "device": "cpu", "say": said.append}
    rare = pd.read_csv(table)
    rare = pd.concat([rare[rare["word"] == 0], rare[rare["word"] == 1].head(20)])
    rare.to_csv(table.parent / "rare.csv", index=False)
    made = finetune(
        "sequences",
        table.parent / "rare.csv",
        labels=("kind",),
        kind="class",
        class_weights="balanced",
        **common,
    )
    weights = made.model.about["labels"]["weights"]
    train = made.lesson.examples.part("train").labels
    counts = np.bincount(train)
    np.testing.assert_allclose(np.array(weights) * counts, len(train) / 2)
    assert any(line.startswith("weights in the loss: artery 0.6") for line in said)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": "balanced"}, "--class-weights: labels are numbers"),
        ({"audit": True}, "--audit: labels are numbers"),
        ({"label_smoothing": 0.1}, "--label-smoothing: numbers are not smoothed"),
    ],
)
def test_what_numbers_have_not_is_refused(table, options, message):
    with pytest.raises(EpilmError, match=message):
        finetune(
            "sequences",
            table,
            labels=("level",),
            kind="number",
            size="tiny",
            k=3,
            epochs=1,
            device="cpu",
            say=lambda line: None,
            **options,
        )


def test_new_data_that_do_not_fit_the_model_are_refused(tmp_path, table, capsys):
    run = tmp_path / "run"
    assert learn(table, run, *CASES["class"][0]) == 0
    other = tmp_path / "other.csv"
    other.write_text("sequence,kind\nACGTACGT,vein\nACGGACGG,lymph\n")
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(other)]) == 1
    assert "a class the model does not know. Found lymph" in capsys.readouterr().err
    words = ["evaluate", str(run), "--data", str(table), "--labels", "level", "--kind", "number"]
    assert main(words) == 1
    assert "the model answers another kind of question" in capsys.readouterr().err
    few = tmp_path / "few.csv"
    few.write_text("sequence,kind\nACGTACGT,vein\nACGGACGG,artery\nTTTTTTTT,vein\n")
    assert main(["evaluate", str(run), "--data", str(few), "--json"]) == 0
    capsys.readouterr()
    assert [p > 0 for p in predict(run, ["ACGTACGT"], device="cpu").probabilities[0]] == [True] * 2
