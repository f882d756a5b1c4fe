"""Ablations: descriptions read strictly, claims judged by hand-made rows, a small one run, stopped
and gone on with.
"""

import json
import math
import shutil
from dataclasses import replace

import pytest

from epilm.errors import RecipeError, TrainingError, UsageError
from epilm.recipes.recipe import load_recipe, recipe_sizes
from epilm.reporting import report
from epilm.trials.ablation import (
    PLAN,
    Ablation,
    Arm,
    Claim,
    Control,
    Pretraining,
    ablate,
    list_ablations,
    load_ablation,
    read_rows,
)
from epilm.trials.ablation_folder import ROWS
from epilm.trials.ablation_table import judge, paired, summarise, text_of

SMALL = """
name: mine
title: A small one
world: tiny
train_cells: [typeA, typeB]
test_cell: typeC
factors: [CTCF, JUND]
train: ["chr1:0-160000"]
valid: ["chr1:160000-240000"]
test: [chr2, chr3]
bin_step: 200
models:
  - name: ebert
    recipe: ebert_tiny
    set: [model.k=5, model.stride=5, model.max_tokens=64, samples.window_bp=300, "samples.holdout_chroms=[chr2,chr3]",
          train.steps=2, train.batch_size=4, train.micro_batch=4, train.validate_every=2, train.validate_samples=4, optim.warmup_steps=1]
finetune: {window_bp: 300, epochs: 1, positives_per_epoch: 8, valid_negatives: 8, conv_channels: [4], dense: 4}
arms:
  - {name: full, model: ebert, signals: [accessibility]}
  - {name: random, model: ebert, init: random, title: random start}
controls:
  - {name: shuffled, arm: random, how: shuffled_states}
claims:
  - {say: both help, more: full, less: random}
  - {say: shuffling does not help, more: shuffled, less: random, kind: not_above}
"""


def plan_of(*claims: Claim) -> Ablation:
    arms = (Arm("a", "m"), Arm("b", "m", title="the other"))
    return Ablation(
        "x",
        ("typeA",),
        "typeB",
        ("CTCF",),
        ("chr1",),
        ("chr2",),
        ("chr3",),
        (Pretraining("m", "ebert_tiny"),),
        arms,
        (Control("c", "a", "shuffled_states"),),
        claims,
    )


def rows_of(**values):
    """a=[0.1, 0.2]: scores of arm a in seeds 1, 2."""
    return [
        {
            "seed": seed,
            "arm": arm,
            "ap": v,
            "auprc_dg": v,
            "auroc": v,
            "factors": {"CTCF": {"auprc_dg": v}},
            "seconds": 1.0,
        }
        for arm, column in values.items()
        for seed, v in enumerate(column, 1)
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    home = tmp_path_factory.mktemp("ablation")
    (home / "mine.yaml").write_text(SMALL)
    said: list[str] = []
    result = ablate(home / "mine.yaml", home / "out", seeds=1, say=said.append)
    return home, result, said


# -- what is claimed


def test_mean_and_standard_error_of_differences_are_those_of_the_book():
    mean, se = paired([1.0, 2.0, 3.0, 6.0])
    assert mean == 3.0
    assert se == pytest.approx(math.sqrt(((4 + 1 + 0 + 9) / 3) / 4))
    assert math.isnan(paired([1.0])[1])


@pytest.mark.parametrize(
    ("more", "less", "kind", "word"),
    [
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3], "above", "shown"),  # the same gap in every seed
        ([0.5, 0.1, 0.6], [0.4, 0.4, 0.4], "above", "not shown"),  # 0, with an error
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], "above", "not shown"),
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], "not_above", "shown"),
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3], "not_above", "not shown"),
        ([0.5, 0.6], [0.1, 0.2], "above", "too few seeds"),
    ],
)
def test_a_claim_shows_by_two_standard_errors_of_paired_differences(more, less, kind, word):
    verdict, *_ = judge(plan_of(Claim("it helps", "a", "b", kind)), rows_of(a=more, b=less))
    assert verdict.word == word
    assert verdict.seeds == len(more)


def test_a_seed_that_lacks_one_of_the_pair_or_has_no_score_is_left_out():
    plan = plan_of(Claim("it helps", "a", "b"))
    rows = rows_of(a=[0.5, 0.6, 0.7, None], b=[0.1, 0.2])
    assert {v.seeds for v in judge(plan, rows)} == {2}
    assert judge(plan, rows_of(a=[0.5])) == []


def test_the_table_has_means_sample_deviations_and_the_order_of_the_description():
    plan = plan_of()
    table = summarise(plan, rows_of(b=[0.2, 0.4], a=[0.1, 0.1]))
    assert [line["title"] for line in table] == ["a", "the other"]
    assert table[1]["ap_mean"] == pytest.approx(0.3)
    assert table[1]["ap_sd"] == pytest.approx(math.sqrt(0.02))
    assert "0.3000 +- 0.1414" in text_of(table, [])


# -- descriptions


@pytest.mark.parametrize("name", list_ablations())
@pytest.mark.parametrize("size", [None, "toy", "tiny"])
def test_shipped_ablations_are_sound_in_every_size(name, size):
    plan = load_ablation(name, size)
    for model in plan.models:
        recipe = load_recipe(model.recipe, model.size, (*plan.set, *model.set))
        assert recipe.samples.window_bp == plan.finetune.window_bp
        assert {place.split(":")[0] for place in plan.test} == set(recipe.samples.holdout_chroms)
    assert "tiny" in recipe_sizes(list_ablations()[name])


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
        ("world: tiny", "world: toy", "key world: unknown name.*Found toy"),
    ],
)
def test_what_is_wrong_in_a_description_is_named_with_its_line(tmp_path, old, new, message):
    assert old in SMALL
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_ablation(path)


def test_an_unknown_ablation_prints_those_there_are():
    with pytest.raises(RecipeError, match="playground_ebert"):
        load_ablation("playground_ebrt")


# -- a run


def test_every_row_of_the_description_is_fine_tuned_or_predicted_and_scored(small):
    home, result, said = small
    assert [row["arm"] for row in result.rows] == ["full", "random", "shuffled"]
    for row in result.rows:
        assert set(row["factors"]) == {"CTCF", "JUND"}
        assert row["ap"] == pytest.approx(sum(t["ap"] for t in row["factors"].values()) / 2)
        assert all(t["positives"] > 0 for t in row["factors"].values())
    assert any(line.startswith("seed 1, shuffled: ap") for line in said)
    table = json.loads((home / "out/table.json").read_text())
    assert [line["arm"] for line in table["arms"]] == ["full", "random", "shuffled"]
    assert {claim["verdict"] for claim in table["claims"]} == {"too few seeds"}
    assert (home / "out/table.tsv").read_text().startswith("arm\tseeds\tauprc_dg_mean")
    assert len((home / "out/claims.tsv").read_text().splitlines()) == 1 + 2 * 2


def test_the_page_says_what_it_is(small):
    home, result, _ = small
    text = result.report.read_text()
    assert result.report == home / "out/report.html"
    assert "SIMULATED" in text
    assert "shuffling does not help" in text
    assert "too few seeds" in text
    assert "http" not in text


def test_a_stopped_ablation_goes_on_with_the_rows_that_are_missing(small, tmp_path):
    home, result, _ = small
    shutil.copytree(home / "out", tmp_path / "out")
    lines = (tmp_path / "out" / ROWS).read_text().splitlines()
    (tmp_path / "out" / ROWS).write_text(lines[0] + "\n" + lines[1][:40])  # killed while it wrote
    shutil.rmtree(tmp_path / "out/seed1/arms/random")
    said: list[str] = []
    again = ablate(home / "mine.yaml", tmp_path / "out", seeds=1, say=said.append)
    for old, new in zip(result.rows, again.rows, strict=True):
        assert new["factors"] == old["factors"]
    assert not any("full" in line or "pre-training" in line for line in said)


def test_a_folder_of_another_ablation_is_refused_but_a_new_claim_is_not(small, tmp_path):
    home, result, _ = small
    other = tmp_path / "mine.yaml"
    other.write_text(SMALL.replace("epochs: 1", "epochs: 2"))
    with pytest.raises(TrainingError, match=r"finetune\.epochs was 1, is 2"):
        ablate(other, home / "out", seeds=1)
    shutil.copytree(home / "out", tmp_path / "out")
    other.write_text(SMALL.replace("say: both help", "say: together they help"))
    again = ablate(other, tmp_path / "out", seeds=1, say=lambda line: None)
    assert again.verdicts[0].say == "together they help"
    assert "together they help" in report(tmp_path / "out").read_text()
    assert [row["factors"] for row in again.rows] == [row["factors"] for row in result.rows]


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(TrainingError, match="not an ablation"):
        ablate("playground_ebert", tmp_path, size="tiny")
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["mine.txt"]


def test_rows_of_arms_that_are_no_longer_there_are_left_out(small):
    home, _, _ = small
    plan = load_ablation(home / "mine.yaml")
    assert {row["arm"] for row in read_rows(home / "out", replace(plan, controls=()))} == {
        "full",
        "random",
    }
    assert (home / "out" / PLAN).is_file()


@pytest.mark.parametrize("seeds", [0, [], [-1]])
def test_no_seed_is_a_wrong_use(seeds, tmp_path):
    with pytest.raises(UsageError, match="--seeds"):
        ablate("playground_ebert", tmp_path / "x", seeds=seeds, size="tiny")
