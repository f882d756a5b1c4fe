"""What a comparison remembers of its model: its recipe or task, and which seed of it."""

import shutil
from dataclasses import replace

import pytest

from epilm.finetuning.ensemble import ensemble
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.variants.kept_judgement import model_behind
from toy_sequences import QUICK, planted, quick
from toy_variants import SPEC

ONE = replace(QUICK, epochs=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two pre-trainings of one recipe, and fine-tunings of them."""
    folder, rows = tmp_path_factory.mktemp("kept"), planted(40)
    for seed in (1, 2):
        recipe = {"name": "toy_lab", "train": {"steps": 3, "seed": seed, "log_every": seed}}
        extra = {"recipe": recipe, "store": "s", "holdout_chroms": []}
        save_model(folder / f"pre{seed}", build_model(SPEC, seed=seed), SPEC, extra)
    for name, (before, settings, more) in {
        "one": (1, ONE, {}),
        "two": (2, replace(ONE, seed=1), {}),
        "slow": (1, replace(ONE, lr=1e-4), {}),
        "other_rows": (1, ONE, {"rows": planted(48)}),
        "other_head": (1, ONE, {"head": "convolutions"}),
        "twin": (1, ONE, {"init": "random"}),
        "twin2": (2, replace(ONE, seed=1), {"init": "random"}),
    }.items():
        start = {"checkpoint": folder / f"pre{before}", "settings": settings}
        quick(more.pop("rows", rows), folder / name, **start | more)
    return folder


def test_pretrainings_of_one_recipe_and_store_are_alike_whatever_their_seed(runs, tmp_path):
    one, two = model_behind(runs / "pre1"), model_behind(runs / "pre2")
    assert (one["name"], one["seed"], two["seed"]) == ("toy_lab", "1", "2")
    assert one["alike"] == two["alike"]
    for name, recipe, store in (("steps", {"steps": 4}, "s"), ("store", {"steps": 3}, "other")):
        made = {"recipe": {"name": "toy_lab", "train": recipe | {"seed": 1}}, "store": store}
        save_model(tmp_path / name, build_model(SPEC, seed=1), SPEC, made)
        assert model_behind(tmp_path / name)["alike"] != one["alike"]


def test_finetunings_are_alike_where_seeds_alone_differ_pretrainings_too(runs):
    names = ("one", "two", "slow", "other_rows", "other_head", "twin", "twin2")
    told = {name: model_behind(runs / name) for name in names}
    assert told["one"]["name"] == "sequences, toy_lab"
    assert (told["one"]["seed"], told["two"]["seed"]) == (
        "0 (pre-training 1)",
        "1 (pre-training 2)",
    )
    assert told["one"]["alike"] == told["two"]["alike"]
    # A random twin has nothing of the pre-training whose shape it has.
    assert (told["twin"]["seed"], told["twin2"]["seed"]) == ("0", "1")
    assert told["twin"]["name"] == "sequences, random weights, shape of toy_lab"
    assert told["twin"]["alike"] == told["twin2"]["alike"]
    others = ("one", "slow", "other_rows", "other_head", "twin")
    assert len({told[name]["alike"] for name in others}) == len(others)


def test_an_ensemble_is_named_by_how_many_it_is_of(runs, tmp_path):
    ensemble([runs / "one", runs / "two"], tmp_path / "both")
    told = model_behind(tmp_path / "both")
    assert (told["name"], told["seed"]) == ("sequences, mean of 2", "")


def test_a_runs_best_model_and_its_steps_are_not_the_model_it_ended_with(runs, tmp_path):
    for name in ("run/model", "run/best", "run/checkpoints/step_00000003"):
        shutil.copytree(runs / "pre1", tmp_path / name)
    whole = model_behind(tmp_path / "run")["alike"]
    assert whole == model_behind(tmp_path / "run" / "model")["alike"]
    apart = {
        model_behind(tmp_path / "run" / n)["alike"] for n in ("best", "checkpoints/step_00000003")
    }
    assert len({whole, *apart}) == 3


def test_weights_of_unknown_making_are_alike_to_none(world):
    told = model_behind(world["folder"] / "model")
    assert (told["name"], told["seed"]) == ("model", "")
    assert told["alike"] != model_behind(world["folder"] / "tuned")["alike"]
