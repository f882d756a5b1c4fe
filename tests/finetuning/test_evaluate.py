"""The one evaluator: tables of predictions and runs.

Bins: tests/tasks/binding/test_binding_scores.py.
"""

import pytest

from epilm.errors import CheckpointError, InputError, UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tasks.base import labelled
from toy_predictions import table
from toy_sequences import planted, quick


def test_a_folder_without_predictions(tmp_path):
    with pytest.raises(InputError, match="no predictions in it"):
        evaluate(tmp_path)
    with pytest.raises(CheckpointError, match="no fine-tuned model here"):
        evaluate(tmp_path, "sequences", tmp_path)
    table(tmp_path, "test\tchr1\t0\t5\tx\t1\t0.5\t0.5\n")
    assert evaluate(tmp_path).table["test"]["n"] == 1


def test_what_does_not_belong_to_the_task_is_refused(tmp_path):
    rows = table(tmp_path, "test\tchr1\t0\t5\tx\t1\t0.5\t0.5\n")
    with pytest.raises(UsageError, match=r"evaluate sequences: no such option. Found --cell, an"):
        evaluate(rows, cell=("typeA",))
    with pytest.raises(UsageError, match="a table of predictions brings its labels with it"):
        evaluate(rows, data=rows)
    with pytest.raises(UsageError, match="dream needs labels and a cell type"):
        evaluate(rows, "dream")
    with pytest.raises(InputError, match="there is no such run or table of predictions"):
        evaluate(tmp_path / "nothing")


def test_a_run_that_pretraining_began_reports_its_leak_and_new_data_are_scored(tmp_path):
    spec = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))
    save_model(tmp_path / "m", build_model(spec), spec, {"holdout_chroms": ["chr22"]})
    rows = planted(60)
    quick(rows, tmp_path / "ft", checkpoint=tmp_path / "m", epochs=1)
    scored = evaluate(tmp_path / "ft", say=lambda line: None)
    assert scored.leak["fraction"] is None  # planted rows have no place
    asked = {"device": "cpu", "say": lambda line: None}
    assert evaluate(tmp_path / "ft", data=rows, **asked).table["all"]["n"] == 60
    told = []
    other = evaluate(tmp_path / "ft", "tfbs", rows, device="cpu", say=told.append)
    assert other.table["all"]["n"] == 60
    assert "note: the model was made for sequences, the data are read as tfbs" in told
    three = labelled(["ACGTACGT"] * 3, [0, 1, 2])
    with pytest.raises(InputError, match=r"a class the model does not know.*Found label 2; exp"):
        evaluate(tmp_path / "ft", data=three, **asked)
