"""The task of binding: its lesson, what it refuses, and its words."""

from dataclasses import replace

import pytest

from epilm.errors import InputError, UsageError
from epilm.tasks import TASKS, find_task
from epilm.tasks.binding import write_labels
from toy_binding import QUICK, toy_labels, toy_store

TASK = TASKS["binding"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def lesson_of(data, options):
    return TASK.lesson(data, options, lambda line: None)


def test_dream_is_another_word_for_it():
    assert find_task("dream") is TASK


def test_a_lesson_says_where_it_learns_and_what_is_read(store):
    lesson = lesson_of(toy_labels(store), replace(QUICK, store=store))
    assert lesson.about["cells"] == ["typeA", "typeB"]
    assert lesson.about["test_chroms"] == ["chr3"]
    assert (lesson.window_bp, lesson.width, lesson.metric) == (600, 200, "auprc_dg")
    assert lesson.identity["store"] == store.fingerprint
    assert list(lesson.parts) == ["valid"]
    assert lesson.examples.chrom[lesson.valid // 2].tolist() == [1] * len(lesson.valid)


def test_labels_of_a_file_need_the_factors_name(store, tmp_path):
    path = tmp_path / "TF.train.labels.tsv"
    write_labels(path, toy_labels(store))
    with pytest.raises(UsageError, match=r"the factor is not named.*--factor CTCF"):
        lesson_of(path, replace(QUICK, store=store))
    lesson = lesson_of(path, replace(QUICK, store=store, factor=("TF",)))
    assert lesson.labels.names == ("TF",)
    with pytest.raises(InputError, match="the labels are of another factor"):
        lesson_of(path, replace(QUICK, store=store, factor=("MAX",)))


def test_a_store_is_asked_for(store):
    with pytest.raises(UsageError, match=r"binding needs a store.*--store"):
        lesson_of(toy_labels(store), QUICK)
