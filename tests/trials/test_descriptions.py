"""Descriptions of ablations: read strictly, what is wrong is named with its line."""

import json

import pytest

from epilm.errors import RecipeError
from epilm.recipes.recipe import load_recipe, recipe_sizes
from epilm.trials.descriptions import (
    LAB_PLAN,
    WORLD_PLAN,
    as_table,
    kept_design,
    list_designs,
    load_design,
)
from toy_designs import MINE, SMALL


@pytest.mark.parametrize("size", [None, "toy", "tiny"])
def test_the_shipped_worlds_are_sound_in_every_size(size):
    plan = load_design("playground_ebert", size)
    (setting,) = plan.settings
    for model in plan.models:
        recipe = load_recipe(*plan.recipe_of(model))
        assert recipe.samples.window_bp == plan.finetune.window_bp
        tested = {place.split(":")[0] for place in setting.test}
        assert tested == set(recipe.samples.holdout_chroms)
    assert "tiny" in recipe_sizes(list_designs()["playground_ebert"])


def test_the_shipped_description_of_given_data_is_sound():
    plan = load_design("dream_slices")
    assert not plan.world
    for model in plan.models:
        recipe = load_recipe(*plan.recipe_of(model))
        tested = {place.split(":")[0] for setting in plan.settings for place in setting.test}
        assert tested <= set(recipe.samples.holdout_chroms)
        assert recipe.samples.window_bp >= plan.finetune.window_bp


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "more: full, less: random}",
            "more: ful, less: random}",
            r"mine.yaml, line \d+, key claims.*Found ful.*full",
        ),
        ("factors: [CTCF, JUND]", "factors: [CTCF, JUNB]", r"key factors.*Found JUNB.*JUND"),
        ("test_cell: typeC", "test_cell: typeB", "the test cell type is trained on"),
        ("name: shuffled,", "name: full,", "two rows have one name"),
        ("how: shuffled_states", "how: shuffled", "Found shuffled.*shuffled_states"),
        ("bin_step: 200", "bin_stp: 200", "unknown key.*bin_step"),
        ("epochs: 1,", "epochs: 0,", "key finetune: impossible value. Found --epochs 0"),
        (
            'valid: ["chr1:160000-240000"]',
            'valid: ["chr1:150000-240000"]',
            r"line \d+, key valid: train and valid overlap",
        ),
        ("recipe: ebert_tiny", "run: somewhere", "a run has not seen these worlds"),
        ("test_cell: typeC\n", "", "key test_cell: a key is missing"),
        ("world: tiny", "world: toy", "key world: unknown name.*Found toy"),
    ],
)
def test_what_is_wrong_in_a_world_is_named_with_its_line(tmp_path, old, new, message):
    assert old in SMALL
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_design(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    test_cell: typeC",
            "    test_cel: typeC",
            r"mine.yaml, line 18, key settings.across.test_cel: unknown key.*test_cell",
        ),
        ("    test_cell: typeC\n", "", "line 16, key settings.across.test_cell: a key is missing"),
        (
            "test: [chr2]\n  within",
            'test: ["chr1:150000-170000"]\n  within',
            r"line 21, key settings.across.test: train and test overlap",
        ),
        (
            "train_cells: [typeA, typeB]",
            "train_cells: []",
            r"line 17, key settings.across.train_cells: the list is empty",
        ),
        (
            "test: [chr2]\n  within",
            'test: ["chr2:9-x"]\n  within',
            r"line 21, key settings.across.test: not a chromosome or region",
        ),
        ("only: [across]", "only: [acros]", r"key arms: unknown name. Found acros.*across"),
        ("model: ebert}", "model: ebrt}", r"key arms: unknown name. Found ebrt.*ebert"),
        (
            "start: factornet",
            "start: factornet, model: ebert",
            r"key arms: an arm is a model, a start or a baseline. Found cnn",
        ),
        ("baseline: motif,", "baseline: motive,", "Found motive.*motif"),
        ("name: cnn", "name: motif", "two rows have one name. Found motif"),
        (
            "arm: ebert, how",
            "arm: motif, how",
            "a control is of a fine-tuned arm.*mean of the baseline motif",
        ),
        ("less: motif", "less: motive", "key claims: unknown name. Found motive"),
        (
            "recipe: ebert_tiny",
            "recipe: ebert_tiny\n    run: there",
            "a model is a recipe or a run. Found ebert",
        ),
        ("title: A small one", "world: tiny", r"line 3, key world: the key cannot be set"),
        ("train.steps=2", "train.stps=2", "train.stps.*steps"),
    ],
)
def test_what_is_wrong_in_a_description_of_data_is_named_with_its_line(tmp_path, old, new, message):
    assert old in MINE
    path = tmp_path / "mine.yaml"
    path.write_text(MINE.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_design(path)


def test_an_unknown_ablation_prints_those_there_are():
    with pytest.raises(RecipeError, match=r"Did you mean playground_ebert.*dream_slices"):
        load_design("playground_ebrt")


@pytest.mark.parametrize(("text", "name"), [(SMALL, WORLD_PLAN), (MINE, LAB_PLAN)])
def test_a_folder_keeps_the_description_as_it_was_read(tmp_path, text, name):
    (tmp_path / "mine.yaml").write_text(text)
    plan = load_design(tmp_path / "mine.yaml")
    kept = as_table(plan) if plan.world else {"plan": as_table(plan), "about": {"store": "here"}}
    (tmp_path / name).write_text(json.dumps(kept))
    again, about = kept_design(tmp_path)
    assert again == plan
    assert about == ({} if plan.world else {"store": "here"})


def test_a_world_folder_keeps_the_keys_that_a_file_has(tmp_path):
    # As it was before descriptions of both kinds became one: older folders still open.
    (tmp_path / "mine.yaml").write_text(SMALL)
    table = as_table(load_design(tmp_path / "mine.yaml"))
    assert (table["test_cell"], table["train"]) == ("typeC", ("chr1:0-160000",))
    assert "settings" not in table
