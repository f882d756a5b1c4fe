"""Whether rows lie on one strand: what is symmetric by its making is not called directed, what has
a signal at a place is, and the presets and comparisons go by it.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.predict import predict
from epilm.finetuning.preset import with_preset
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tasks import TASKS
from epilm.tasks.base import labelled
from epilm.tasks.direction import direction_of
from epilm.training.learning import Learning
from epilm.trials.compare import compare_sets
from epilm.trials.competitors import competitors_of
from epilm.trials.learn import DataSet


def rows_of(n=600, width=40, tata=True, either=False, seed=0):
    """Rows of class 1 with TATAAA at base 8; either: about half are turned to the other strand."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, width)).astype(np.uint8)
    labels = np.arange(n) // 10 % 2
    if tata:
        codes[labels == 1, 8:14] = (3, 0, 3, 0, 0, 0)
    if either:
        turned = np.flatnonzero(rng.random(n) < 0.5)
        codes[turned] = 3 - codes[turned][:, ::-1]
    split = np.resize(["train"] * 8 + ["valid", "test"], n)
    return labelled(list(codes), labels, split=split)


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_lie_on_either_strand_have_no_direction(seed):
    assert direction_of(rows_of(either=True, seed=seed)) == ""
    assert direction_of(rows_of(tata=False, seed=seed)) == ""


def test_rows_with_a_signal_at_one_place_have_one_and_the_class_is_named():
    assert "rows lie on one strand (class 1:" in direction_of(rows_of())
    named = replace(rows_of(), label_names=("other", "promoter"))
    assert "(class promoter:" in direction_of(named)


def test_a_row_equal_to_its_other_strand_is_symmetric_to_the_last_count():
    """Of a row and its other strand side by side every base has its mirror: chi-square is 0."""
    one = rows_of().codes
    both = np.concatenate([one, 3 - one[:, ::-1]])
    assert direction_of(labelled(list(both), np.zeros(len(both), int))) == ""


def test_few_rows_say_nothing_and_shorter_ones_are_not_counted():
    assert direction_of(rows_of(n=300)) == ""  # 150 of a class
    rows = rows_of()
    short = replace(rows, lengths=np.where(rows.labels == 1, 20, 40))
    # TATA rows are cut to 20 bases: those of 40 are the commonest no more than these.
    assert direction_of(short) == "" or "class 1" in direction_of(short)


def test_numbers_have_no_direction_that_is_looked_for():
    rows = rows_of()
    numbers = replace(rows, labels=rows.labels[:, None].astype(np.float32), kind="numbers")
    assert direction_of(numbers) == ""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    spec = ModelSpec(
        name="dbert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"), projection_dim=8
    )
    folder = tmp_path_factory.mktemp("direction") / "run"
    save_model(folder, build_model(spec, seed=1), spec, {})
    return folder


def test_a_preset_reads_directed_rows_as_they_lie_and_others_from_both_strands(run):
    for rows, strands in ((rows_of(), False), (rows_of(either=True), True)):
        said = []
        result = finetune(
            "sequences",
            rows,
            checkpoint=run,
            preset="lab",
            epochs=1,
            split="given",
            say=said.append,
        )
        assert result.model.about["settings"]["both_strands"] is strands
        assert result.model.both_strands is strands
        assert any("read as they lie" in line for line in said) is not strands
        assert any("preset lab" in line and "both_strands" in line for line in said) is strands
    given = TASKS["sequences"].options_of("finetune")()
    filled = with_preset("lab", TASKS["sequences"], given, {}, checkpoint="random", head=None)[0]
    assert filled.both_strands  # the preset itself asks for both


def test_the_cnn_reads_directed_rows_as_they_lie_and_others_from_both_strands(tmp_path):
    for name, rows, asked, symmetric in (
        ("directed", rows_of(), False, False),
        ("asked", rows_of(), True, True),
        ("not", rows_of(either=True), False, True),
    ):
        own = {"checkpoint": "cnn", "epochs": 1, "split": "given", "both_strands": asked}
        quiet = finetune("sequences", rows, tmp_path / name, say=lambda _: None, **own)
        opened = load_finetuned(tmp_path / name)
        assert quiet.model.symmetric is opened.symmetric is symmetric
        turned = replace(rows, codes=3 - rows.codes[:, ::-1])
        here, there = (predict(opened, each, device="cpu").probabilities for each in (rows, turned))
        assert np.allclose(here, there, atol=1e-5) is symmetric


def test_both_strands_of_directed_rows_are_doubted(run, tmp_path):
    said = []
    asked = {"checkpoint": run, "epochs": 1, "split": "given", "both_strands": True}
    result = finetune("sequences", rows_of(), say=said.append, preset="none", **asked)
    assert result.model.both_strands  # it is done as it was asked for
    doubt = "reads each from the wrong side as well: leave it out"
    assert sum(line.startswith("WARNING") and doubt in line for line in said) == 1
    settings = Learning(epochs=1, both_strands=True, batch_size=64)
    sets = [
        DataSet("directed", rows_of(), "sequences"),
        DataSet("not", rows_of(either=True), "sequences"),
    ]
    made = compare_sets(
        sets,
        tmp_path / "c",
        models=competitors_of([f"m={run}"]),
        baselines=("kmer",),
        seeds=(0,),
        settings=settings,
        say=said.append,
    )
    notes = {(row["set"], row["competitor"]): row.get("notes") for row in made.rows}
    assert [key for key, note in notes.items() if note] == [("directed", "m")]
    page = (tmp_path / "c/report.html").read_text()
    assert "What is doubtful" in page
    assert json.loads((tmp_path / "c/runs.jsonl").read_text().splitlines()[-1])
