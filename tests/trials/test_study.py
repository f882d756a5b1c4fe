"""Descriptions of the papers' tables: all that are shipped are sound, what is wrong is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from epilm.errors import RecipeError
from epilm.metrics.published import genebert_table
from epilm.models.from_spec import build_model
from epilm.nn.region import REGION_TOWERS
from epilm.recipes.recipe import load_recipe
from epilm.tasks.binding.dream.challenge import PAIRS
from epilm.trials.descriptions import ablation_of, list_designs, load_design, read_table
from epilm.trials.study import study_of
from epilm.trials.study_page import study_command
from epilm.trials.trial_page import ablation_command

TABLES = [name for name in list_designs() if "measure" in read_table(name)[0]]


def study(name, size=None):
    return study_of(*read_table(name, size))


def test_the_tables_of_the_papers_are_shipped():
    assert ["genebert_figure2", *(f"genebert_table{n}" for n in (5, 6, 7, 8))] == TABLES
    assert {"ebert_figure_s1", "ebert_table1"} < set(list_designs())


@pytest.mark.parametrize("name", TABLES)
def test_every_model_of_a_table_can_be_built_in_every_size(name):
    for size in (None, "small", "tiny"):
        plan = study(name, size)
        assert bool(plan.world) == (size == "tiny")
        used = {arm.model for arm in plan.arms}
        for model in plan.models:
            if model.name in used:
                recipe = load_recipe(*plan.recipe_of(model))
                if size == "tiny":
                    assert recipe.train.steps <= 2
                if size == "small":
                    build_model(replace(recipe.model, factors=24), seed=0)
    build_model(replace(recipe.model, factors=24), seed=0)  # of the tiny size


@pytest.mark.parametrize("number", ["5", "7", "8"])
def test_every_row_of_the_paper_has_its_arm(number):
    plan = study(f"genebert_table{number}")
    rows = dict(genebert_table(number).rows)
    if number == "8":  # the headline stands there twice, and is one row of ours
        assert rows.pop("lambda_0.5") == rows["batch_128"]
    assert [arm.name for arm in plan.arms if not arm.baseline] == list(rows)
    design = plan.design({"promoter": ""})
    assert {arm: scores for (_, arm), scores in design.published.items()} == rows


def test_table_7_changes_the_tower_and_table_8_the_batch_or_lambda_alone():
    plan = study("genebert_table7")
    for model in plan.models:
        recipe = load_recipe(*plan.recipe_of(model))
        assert recipe.model.tower.name == model.name
        assert model.name in REGION_TOWERS
    plan = study("genebert_table8")
    for arm in plan.arms:
        if arm.model:
            (model,) = [model for model in plan.models if model.name == arm.model]
            matching = load_recipe(*plan.recipe_of(model)).objectives.matching
            what, _, value = arm.name.partition("_")
            assert float(value) == {"batch": matching.batch, "lambda": matching.weight}[what]


def test_the_rows_of_table_2_stand_beside_the_sets_that_a_manifest_names():
    design = study("genebert_table6").design({"mine": "A549-UW", "another": ""})
    assert set(design.published) == {("mine", "genebert"), ("mine", "mgm")}
    assert design.published["mine", "genebert"]["auroc"] == 0.983
    assert design.published["mine", "mgm"]["macro_precision"] == 0.25


def test_the_thirteen_pairs_of_the_challenge_are_settings():
    plan = load_design("ebert_table1")
    assert len(plan.settings) == len(PAIRS) == 13
    first = plan.settings[0]
    assert (first.name, first.factors) == (f"{PAIRS[0].factor}.{PAIRS[0].cell}", (PAIRS[0].factor,))
    assert first.train_cells == PAIRS[0].train_cells
    assert first.test == ("chr1", "chr8", "chr21")
    assert ablation_of(*read_table("ebert_figure_s1", "tiny")).world == "tiny"


@pytest.mark.parametrize("name", ["ebert_figure_s1", "ebert_table1"])
def test_two_cores_measure_eberts_tables_in_a_line_that_no_label_is_of(name):
    plan = ablation_of(*read_table(name, "small"))
    (setting,) = plan.settings
    assert setting.test_cell not in setting.train_cells
    assert {arm.model for arm in plan.arms if arm.model} == {model.name for model in plan.models}
    for model in plan.models:
        recipe = load_recipe(*plan.recipe_of(model))
        assert recipe.samples.holdout_chroms == ("chr22",)  # where labels are
    assert ablation_command(plan, {}, Path("out"), [1]) == (
        f"epilm ablate {name} --out out --seeds 1 --size small"
    )


@pytest.mark.parametrize("name", ["ebert_figure_s1", "genebert_table5"])
def test_the_command_of_a_changed_copy_names_the_copy(tmp_path, name):
    def told(path, size="small"):
        table, source = read_table(path, size)
        if "measure" in table:
            return study_command(study_of(table, source), {}, "out", [1]).split()[2]
        return ablation_command(ablation_of(table, source), {}, Path("out"), [1]).split()[2]

    text, copied = list_designs()[name].read_text(), tmp_path / "copied.yaml"
    for change, size, expected in [
        (("", ""), "small", name),
        (('title: "', 'title: "Mine, '), "small", name),
        (("both_strands: true", "both_strands: false"), "small", f"{name}.yaml"),
        (("  small:", "  mine:"), "mine", f"{name}.yaml"),
    ]:
        copied.write_text(text.replace(*change, 1))
        assert told(copied, size) == expected
    assert told(name) == name


MINE = """
name: mine
measure: labels
task: promoter
models: [{name: a, recipe: genebert_paper, size: tiny}]
arms: [{name: a, model: a}, {name: kmer, baseline: kmer}]
claims: [{say: it helps, more: a, less: kmer}]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("measure: labels", "measure: label", r"line 3, key measure: unknown value. Found label"),
        ("task: promoter", "task: promotor", r"key task: unknown name. Found promotor.*promoter"),
        ("model: a}", "model: b}", r"key arms: unknown name. Found b"),
        ("model: a}", "model: a, baseline: cnn}", "an arm is a model or a baseline"),
        ("name: kmer,", "name: a,", "two have one name. Found a"),
        ("less: kmer", "less: kmers", r"key claims: unknown name. Found kmers"),
        ("size: tiny}", "run: x}", "a model is a recipe or a run"),
        ("{name: a, recipe", "{name: a b, recipe", "not a name for a folder. Found a b"),
        ("measure: labels", "measure: neighbours", "a baseline is of labelled sequences"),
        ("task: promoter", "world: tiny", "a world needs a task and its sets"),
        ("task: promoter", "task: promoter\nfinetune: {epochs: 0}", "key finetune: imposs"),
    ],
)
def test_what_is_wrong_in_a_description_is_named(tmp_path, old, new, message):
    assert old in MINE
    (tmp_path / "mine.yaml").write_text(MINE.replace(old, new, 1))
    with pytest.raises(RecipeError, match=message):
        study(tmp_path / "mine.yaml")
