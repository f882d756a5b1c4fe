"""The one evaluator: tables of predictions and runs.

Bins: tests/tasks/binding/test_binding_scores.py.
"""

import numpy as np
import pytest

from epilm.errors import CheckpointError, InputError, UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tasks.base import labelled
from epilm.tasks.sequence_scores import leak_of
from toy_sequences import planted, quick

HEAD = "split\tchrom\tstart\tend\torigin\tlabel\tp_0\tp_1\n"


def table(folder, body, head=HEAD):
    path = folder / "predictions.tsv"
    path.write_text(head + body)
    return path


def test_a_table_of_predictions_is_scored_by_split(tmp_path):
    scores = [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    labels = [1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
    body = "".join(
        f"test\tchr1\t{i}\t{i + 5}\tx\t{y}\t{1 - s:.2f}\t{s}\n"
        for i, (y, s) in enumerate(zip(labels, scores))
    )
    scored = evaluate(table(tmp_path, body))
    assert scored.table["test"]["ap"] == pytest.approx(0.830357, abs=5e-7)
    assert scored.table["test"]["auprc_dg"] == pytest.approx(0.811012, abs=5e-7)
    assert scored.leak is None
    assert "auroc" in scored.text()
    assert scored.as_dict()["scores"]["test"]["n"] == 10


def test_collapse_and_single_class_are_said(tmp_path):
    body = "".join(f"test\t\t-1\t-1\tx\t{i % 2}\t0.6\t0.4\n" for i in range(20))
    scored = evaluate(table(tmp_path, body))
    assert scored.table["test"]["macro_precision"] == 0.25
    assert any("constant prediction: class 0 for all 20 rows" in w for w in scored.warnings)
    single = evaluate(
        table(tmp_path, "".join(f"test\t\t-1\t-1\tx\t1\t0.{i}\t0.{9 - i}\n" for i in range(5)))
    )
    assert single.as_dict()["scores"]["test"]["auroc"] is None
    assert "test holds one class alone: AUROC and AP are undefined" in single.warnings


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        ("a\tb\n", "1\t2\n", "not a table of predictions"),
        (HEAD, "", "the table has no rows"),
        (
            HEAD,
            "test\tchr1\t0\t5\tx\t1\t0.5\n",
            "line 2: the row does not fit the header. Found 7; expected 8",
        ),
        (HEAD, "test\tchr1\t0\t5\tx\t1\t0.5\t1.5\n", "line 2: not a probability"),
        (HEAD, "test\tchr1\t0\t5\tx\tyes\t0.5\t0.5\n", "a value is not a number"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, head, body, message):
    with pytest.raises(InputError, match=message):
        evaluate(table(tmp_path, body, head))


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


def test_the_leak_is_counted():
    places = np.array(["chr1", "chr22", "chr22"]), np.array([0, 5, 9]), np.array([9, 14, 20])
    assert leak_of({"holdout_chroms": ["chr22"]}, *places)["fraction"] == pytest.approx(1 / 3)
    assert leak_of({"holdout_chroms": []}, *places)["fraction"] == 1
    began = {
        "holdout_chroms": ["chr22"],
        "chroms": ["chr20", "chr22"],
        "before": [{"checkpoint": "bert", "unknown": True}],
    }
    assert leak_of(began, *places)["fraction"] is None
    assert "the weights of bert have read is not known" in leak_of(began, *places)["said"]
    unknown = leak_of({"holdout_chroms": []}, np.array([""]), np.array([-1]), np.array([-1]))
    assert unknown["fraction"] is None


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
