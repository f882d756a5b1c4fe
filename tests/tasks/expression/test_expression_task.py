"""Levels are learned from bases, scored by cell type and between them, and predicted for a file of
starts as they were learned.
"""

import numpy as np
import pytest

from epilm.cli import main
from epilm.errors import UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetune import finetune
from epilm.finetuning.predict import predict
from epilm.tasks import TASKS
from epilm.tasks.expression.expression_options import ExpressionOptions
from epilm.tasks.sequences import read_lines
from toy_expression import write_expression

WINDOW = {"upstream": 20, "downstream": 20}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expression")
    files = write_expression(folder)
    result = finetune(
        "expression",
        files["data"],
        folder / "run",
        tss=files["tss"],
        genome=files["genome"],
        test=("chr3",),
        valid=("chr2",),
        checkpoint="cnn",
        epochs=2,
        device="cpu",
        say=lambda line: None,
        **WINDOW,
    )
    return folder, files, result


def test_the_baselines_find_what_was_planted_and_the_mean_does_not(run):
    result = run[2]
    assert set(result.tables["test"]) == {"warm", "cold", "mean", "between"}
    assert result.beside["cpg"]["test"]["mean"]["r2"] > 0.8
    assert result.beside["cpg"]["test"]["between"]["difference_r2"] > 0.8
    assert result.beside["mean"]["test"]["mean"]["r2"] < 0.1
    assert np.isnan(result.beside["mean"]["test"]["between"]["difference_pearson"])


def test_a_kept_run_and_new_data_have_the_same_scores(run):
    folder, files, result = run
    kept = evaluate(folder / "run").table["test, between"]
    new = evaluate(
        folder / "run",
        data=files["data"],
        tss=files["tss"],
        genome=files["genome"],
        split="chromosome",
        test=("chr3",),
        valid=("chr2",),
        device="cpu",
        say=lambda line: None,
    ).table
    for name, table in result.tables["test"].items():
        for key in ("pearson", "r2", "difference_r2"):
            if key in table:
                assert new[f"test, {name}"][key] == pytest.approx(table[key], abs=1e-4)
    assert kept["difference_r2"] == pytest.approx(new["test, between"]["difference_r2"], abs=1e-4)


def test_starts_are_predicted_in_the_window_that_was_learned(run):
    folder, files, result = run
    out = folder / "said.tsv"
    words = ["predict", str(folder / "run"), str(files["tss"]), "--genome", str(files["genome"])]
    assert main([*words, "--out", str(out), "--device", "cpu"]) == 0
    lines = [line.split("\t") for _, line in read_lines(out)]
    assert lines[0] == ["name", "chrom", "start", "end", "said_warm", "said_cold"]
    assert len(lines) == 37
    said = {cells[0]: list(map(float, cells[4:])) for cells in lines[1:]}
    rows = result.lesson.parts["test"]
    names = [result.lesson.examples.origin_of(row).split(".")[0] for row in rows]
    np.testing.assert_allclose([said[n] for n in names], result.said["test"], atol=1e-5)
    fasta = predict(folder / "run", ["ACGT" * 10], device="cpu", say=lambda line: None)
    assert fasta.probabilities.shape == (1, 2)


def test_what_is_of_classes_is_refused(run):
    _, files, _ = run
    task = TASKS["expression"]
    place = {"tss": files["tss"], "genome": files["genome"], **WINDOW}
    for option, value in (("negative", "x.fa"), ("class_weights", "balanced"), ("audit", True)):
        with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}: l"):
            task.lesson(files["data"], ExpressionOptions(**place, **{option: value}), print)
    with pytest.raises(UsageError, match="nothing to predict is named. Give start sites"):
        predict(run[0] / "run", say=lambda line: None)
