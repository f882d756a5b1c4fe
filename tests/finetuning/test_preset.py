"""Presets fill in what was not said, of what a task and a head know, and say so."""

import json
from dataclasses import replace

import pytest

from epilm.errors import UsageError
from epilm.finetuning.finetune import finetune
from epilm.finetuning.preset import check_width, find_preset, with_preset, with_steps
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.recipes.recipe import list_recipes
from epilm.tasks import TASKS
from epilm.tasks.binding.binding_options import BindingOptions
from epilm.tasks.expression.expression_options import ExpressionOptions
from epilm.tasks.promoter import PromoterOptions
from epilm.tasks.sequence_task import SequenceOptions
from toy_binding import QUICK as BINS
from toy_binding import toy_labels, toy_store
from toy_sequences import planted

LAB = {
    "lr": 2e-3,
    "batch_size": 64,
    "both_strands": True,
    "patience": 0,
    "window_bp": 280,
    "pool": "max+bin",
    "jitter": 50,
}


def chosen(task, given, named=(), checkpoint="ebert", head=None):
    own = {"checkpoint": checkpoint, "head": head}
    return with_preset("lab", TASKS[task], given, dict(named), **own)


def test_what_is_not_said_is_filled_in_and_what_is_said_wins():
    options, filled = chosen("binding", BindingOptions())
    assert filled == LAB
    assert {name: getattr(options, name) for name in LAB} == LAB
    said = {"lr": 1e-4, "patience": 3}  # the defaults, and said
    options, filled = chosen("binding", BindingOptions(jitter=7), said)
    assert (options.lr, options.patience, options.jitter) == (1e-4, 3, 7)
    assert set(LAB) - set(filled) == {"lr", "patience", "jitter"}


def test_a_preset_says_nothing_that_a_task_or_head_does_not_read():
    sequences = chosen("sequences", SequenceOptions())[1]
    assert sequences == {"lr": 2e-3, "batch_size": 64, "both_strands": True}
    assert "both_strands" not in chosen("promoter", PromoterOptions())[1]
    assert "both_strands" not in chosen("expression", ExpressionOptions())[1]
    for other in ({"checkpoint": "cnn"}, {"head": "linear"}):
        assert "pool" not in chosen("binding", BindingOptions(), **other)[1]


def test_an_unknown_preset_is_refused():
    given = BindingOptions()
    own = {"checkpoint": "ebert", "head": None}
    with pytest.raises(
        UsageError, match=r"--preset: unknown preset. Found 'lap'. Did you mean lab"
    ):
        with_preset("lap", TASKS["binding"], given, {}, **own)


def pretrained(folder, recipe, hidden):
    size = EncoderSpec(hidden=hidden, layers=1, heads=2, ffn=8, max_positions=8)
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=size, projection_dim=8)
    return save_model(folder, build_model(spec, seed=0), spec, {"recipe": {"name": recipe}})


@pytest.mark.parametrize("recipe", ["genebert_lab", "ebert_lab", "dnabert_lab"])
def test_a_small_model_of_a_lab_recipe_takes_the_preset_unasked(tmp_path, recipe):
    pretrained(tmp_path / "run" / "model", recipe, 8)
    assert find_preset(tmp_path / "run") == ("lab", recipe)
    assert recipe in list_recipes()


def test_no_other_model_takes_it_unasked(tmp_path):
    pretrained(tmp_path / "paper" / "model", "dbert_base", 8)
    pretrained(tmp_path / "wide" / "model", "dnabert_lab", 264)
    for name in ("paper", "wide", "nothing", "random", "cnn"):
        checkpoint = tmp_path / name if (tmp_path / name).exists() else name
        assert find_preset(checkpoint) == ("none", ""), name


def test_what_was_taken_unasked_is_said(tmp_path):
    pretrained(tmp_path / "run" / "model", "dnabert_lab", 8)
    lines, own = [], {"checkpoint": tmp_path / "run", "epochs": 1, "device": "cpu"}
    finetune("sequences", planted(60), say=lines.append, **own)
    assert "preset lab: lr 0.002, batch_size 64, both_strands True (1 steps)" in lines
    assert "dnabert_lab pre-trained it and says so; --preset none: the task's own values" in lines
    lines.clear()
    finetune("sequences", planted(60), say=lines.append, preset="none", **own)
    assert not [line for line in lines if line.startswith("preset")]


def test_epochs_are_raised_to_the_steps_unless_they_are_said():
    given = BindingOptions()  # 15 epochs
    assert with_steps("lab", given, {}, 7)[1] == {"epochs": 172}  # 171.4
    assert with_steps("lab", given, {}, 80)[1] == {}  # 1,200 as it is
    assert with_steps("lab", given, {"epochs": 15}, 7)[1] == {}
    assert with_steps("lab", replace(given, epochs=4), {}, 7)[1] == {}


def test_the_rate_is_for_small_models():
    check_width("lab", LAB, 256, "small")
    check_width("lab", {"batch_size": 64}, 768, "base")  # the rate was said
    with pytest.raises(
        UsageError,
        match=r"--preset lab: the preset's rate is for small models. Found an encoder 768 wide",
    ):
        check_width("lab", LAB, 768, "base")


def test_the_values_are_printed_and_kept_in_the_run(tmp_path):
    lines = []
    finetune(
        "sequences",
        planted(60),
        tmp_path / "ft",
        checkpoint="random",
        size="tiny",
        k=3,
        preset="lab",
        epochs=1,
        device="cpu",
        say=lines.append,
    )
    assert "preset lab: lr 0.002, batch_size 64, both_strands True (1 steps)" in lines
    about = json.loads((tmp_path / "ft" / "task.json").read_text())["about"]
    assert about["preset"]["chosen"] == {"lr": 0.002, "batch_size": 64, "both_strands": True}
    run = json.loads((tmp_path / "ft" / "run.json").read_text())
    assert run["settings"]["lr"] == 0.002


def test_a_binding_model_learns_by_the_preset(tmp_path):
    store, lines = toy_store(tmp_path), []
    settings = BindingOptions(
        store=store,
        valid_chroms=BINS.valid_chroms,
        test_chroms=BINS.test_chroms,
        window_bp=600,
        valid_negatives=40,
        positives_per_epoch=4,
        epochs=1,
        device="cpu",
    )
    own = {"checkpoint": "dbert", "size": "tiny", "preset": "lab", "say": lines.append}
    result = finetune("binding", toy_labels(store), settings=settings, **own)
    assert result.model.network.pool == "max+bin"
    assert result.model.about["settings"]["jitter"] == 50
    (said,) = [line for line in lines if line.startswith("preset lab: ")]
    filled = {name: value for name, value in LAB.items() if name != "window_bp"}  # it was said
    assert all(f"{name} {value}" in said for name, value in filled.items())
    assert result.model.about["settings"]["window_bp"] == 600
