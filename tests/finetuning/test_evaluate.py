"""Tables of predictions: read, scored, refused by line."""

import pytest

from epilm.errors import CheckpointError, InputError
from epilm.finetuning.evaluate import evaluate

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
    found = evaluate(table(tmp_path, body))
    assert found.table["test"]["ap"] == pytest.approx(0.830357, abs=5e-7)
    assert found.table["test"]["auprc_dg"] == pytest.approx(0.811012, abs=5e-7)
    assert found.leak is None
    assert "auroc" in found.text()
    assert found.as_dict()["scores"]["test"]["n"] == 10


def test_collapse_and_single_class_are_said(tmp_path):
    body = "".join(f"test\t\t-1\t-1\tx\t{i % 2}\t0.6\t0.4\n" for i in range(20))
    found = evaluate(table(tmp_path, body))
    assert found.table["test"]["macro_precision"] == 0.25
    assert any("constant prediction: class 0 for all 20 rows" in w for w in found.warnings)
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
    with pytest.raises(CheckpointError, match="no fine-tuned classifier here"):
        evaluate(tmp_path, "sequences", tmp_path)
