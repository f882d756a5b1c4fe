"""Tasks of sequences: every loader is documented and takes what its options say; rows, parts and
names become a lesson.
"""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.tasks import TASKS, LabelledSequences
from epilm.tasks.base import labelled
from epilm.tasks.sequence_task import SequenceEvaluateOptions, SequenceOptions, SequenceTask

# Those that are a loader and a line.
OF_SEQUENCES = [name for name, task in TASKS.items() if type(task) is SequenceTask]


@pytest.mark.parametrize("name", OF_SEQUENCES)
def test_contract_of_a_loader(name, tmp_path):
    task = TASKS[name]
    parameters = inspect.signature(task.load).parameters
    assert {"data", "genome", "negative", "seed"} <= set(parameters)
    assert all(p.kind is p.KEYWORD_ONLY for n, p in parameters.items() if n != "data")
    assert task.load.__doc__
    base = {
        each.name for kind in (SequenceOptions, SequenceEvaluateOptions) for each in fields(kind)
    }
    for verb in ("finetune", "evaluate"):
        own = {each.name for each in fields(task.options_of(verb))} - base
        assert own <= set(parameters), verb
        assert own == set(parameters) - {"data", "genome", "negative", "seed"}, verb
    (tmp_path / "set.tsv").write_text("sequence\tlabel\nACGTACGT\t1\nTTTTAAAA\t0\n")
    rows = task.rows(tmp_path / "set.tsv", task.options_of("finetune")())
    assert isinstance(rows, LabelledSequences)
    assert rows.codes.dtype == np.uint8
    assert rows.labels.tolist() == [1, 0]
    assert len(task.label_names) in (0, 2)
    with pytest.raises(InputError, match="there is no such file"):
        task.rows(tmp_path / "nothing.tsv", task.options_of("finetune")())


def test_the_defaults_of_options_are_those_of_the_loader():
    for name in OF_SEQUENCES:
        task = TASKS[name]
        parameters = inspect.signature(task.load).parameters
        options = task.options_of("finetune")()
        for each in set(parameters) - {"data", "genome", "negative", "seed"}:
            default = parameters[each].default
            assert getattr(options, each) == default, f"{name} {each}"


def lesson_of(rows, **options):
    return TASKS["sequences"].lesson(rows, SequenceOptions(**options), lambda line: None)


def test_parts_names_and_counts_of_a_lesson():
    split = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
    rows = labelled(["ACGT", "CCGT"] * 5, [0, 1] * 5, split=split, name="toy", notes=["odd"])
    lesson = lesson_of(rows)
    assert {part: len(numbers) for part, numbers in lesson.parts.items()} == {
        "train": 6,
        "valid": 2,
        "test": 2,
    }
    assert lesson.valid.tolist() == [6, 7]
    assert lesson.labels.names == ("0", "1")
    assert lesson.metric == "ap"
    assert lesson.said == ["toy: 10 sequences (by class: train 3 + 3, valid 1 + 1, test 1 + 1)"]
    assert lesson.notes == [
        "toy: odd",
        "toy: 2 valid sequences are also in train",
        "toy: 2 test sequences are also in train",
    ]
    split = ["train"] * 3 + ["valid"] * 3 + ["test"] * 3
    three = labelled(["ACGT"] * 9, [0, 1, 2] * 3, split=split)
    assert lesson_of(three).metric == "auroc"


def test_an_empty_part_of_training_is_refused():
    rows = labelled(["ACGT", "CCGT"], [0, 1], split=["test", "test"], name="toy")
    with pytest.raises(InputError, match="toy: the train split is empty"):
        lesson_of(rows)


def test_predictions_are_written_in_the_order_of_the_rows(tmp_path):
    split = ["test", "train", "valid", "test"]
    rows = labelled(
        ["ACGT", "CC", "GGG", "T"],
        [0, 1, 0, 1],
        split=split,
        chrom=["chr1"] * 4,
        start=[5, 6, 7, -1],
    )
    lesson = lesson_of(rows)
    said = {
        part: np.stack([numbers / 10, 1 - numbers / 10], 1)
        for part, numbers in lesson.parts.items()
    }
    TASKS["sequences"].write_predictions(tmp_path, lesson, said)
    lines = (tmp_path / "predictions.tsv").read_text().splitlines()
    assert lines[0] == "split\tchrom\tstart\tend\torigin\tlabel\tp_0\tp_1"
    assert [line.split("\t") for line in lines[1:]] == [
        ["test", "chr1", "5", "9", "set:1", "0", "0", "1"],
        ["valid", "chr1", "7", "10", "set:3", "0", "0.2", "0.8"],
        ["test", "chr1", "-1", "-1", "set:4", "1", "0.3", "0.7"],
    ]
