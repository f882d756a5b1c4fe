"""Every kind of labels has its pictures, and each picture its numbers beside the page."""

import csv
import json

import numpy as np
import pytest

from epilm.finetuning.outline_pictures import outline_pictures, outlines_of
from epilm.reporting import report
from epilm.tasks.base_classes import BaseClasses
from epilm.tasks.label_kinds import Classes, Factors, Numbers
from toy_sequences import planted, quick

RNG = np.random.default_rng(0)
CHROMS = np.array(["chr1", "chr2"] * 20)


def tables_of(labels, true, said):
    made = labels.outlines(true, said, CHROMS)
    pictures = outline_pictures(json.loads(json.dumps(made)), "test")
    assert all(picture.numbers for picture in pictures)
    return {numbers.name: numbers for picture in pictures for numbers in picture.numbers}


@pytest.mark.parametrize(
    ("labels", "true", "said", "drawn"),
    [
        (
            Classes(("a", "b", "c")),
            RNG.integers(0, 3, 40),
            RNG.dirichlet((1, 1, 1), 40),
            "precision_recall roc calibration confusion chromosomes",
        ),
        (
            Factors(("CTCF", "MAX")),
            RNG.integers(-1, 2, (40, 2)).astype(np.int8),
            RNG.random((40, 2)),
            "precision_recall roc calibration confusion chromosomes",
        ),
        (
            Numbers(("level",)),
            RNG.normal(size=(40, 1)).astype(np.float32),
            RNG.normal(size=(40, 1)),
            "true_and_said chromosomes",
        ),
        (
            BaseClasses(("neither", "acceptor", "donor")),
            RNG.integers(0, 3, (40, 6)).astype(np.int8),
            RNG.dirichlet((1, 1, 1), (40, 6)),
            "precision_recall roc calibration confusion chromosomes",
        ),
    ],
    ids=["classes", "factors", "numbers", "bases"],
)
def test_a_kind_of_labels_has_its_pictures(labels, true, said, drawn):
    tables = tables_of(labels, true, said)
    assert set(tables) == {f"test.{name}" for name in drawn.split()}
    for numbers in tables.values():
        assert all(len(row) == len(numbers.header) for row in numbers.rows)
    if "test.confusion" in tables and labels.kind == "classes":
        assert sum(row[-1] for row in tables["test.confusion"].rows) == 40


def test_the_page_of_a_run_writes_its_numbers_and_an_older_run_has_them_too(tmp_path):
    quick(planted(60), tmp_path / "ft")
    folder = tmp_path / "ft/report.numbers"
    report(tmp_path / "ft")
    with open(folder / "test.confusion.tsv", newline="") as lines:
        cells = list(csv.DictReader(lines, delimiter="\t"))
    lines = (tmp_path / "ft/predictions.tsv").read_text().splitlines()
    rows = [line.split("\t")[0] for line in lines]
    assert sum(int(cell["rows"]) for cell in cells) == rows.count("test")
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert "test.precision_recall.tsv" in before
    # Before outlines were kept: the same from the predictions, to their eight digits.
    kept = outlines_of(tmp_path / "ft")
    (tmp_path / "ft/outlines.json").unlink()
    again = outlines_of(tmp_path / "ft")
    assert list(again) == sorted(kept)
    assert again["test"]["confusion"]["counts"] == kept["test"]["confusion"]["counts"]
    ours, theirs = (
        next(iter(each["test"]["outputs"].values()))["precision_recall"] for each in (kept, again)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
