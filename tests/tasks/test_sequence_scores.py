"""Tables of predictions: scored by split, collapse and leaks said, what is none refused."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.finetuning.evaluate import evaluate
from epilm.tasks.sequence_scores import leak_of
from toy_predictions import HEAD, table


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
