"""The table of objectives: what each refuses, and one of ten lines from outside of the package."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from epilm.errors import RecipeError
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.table import OBJECTIVES, ObjectivesSpec, register, unregister
from epilm.playground.simulate import simulate
from epilm.pretraining.pretrain import pretrain
from epilm.pretraining.run_page import run_table
from epilm.recipes.recipe import load_recipe, to_dict
from epilm.store.making.build import build


# An objective from outside of the package: short sequence vectors.
@dataclass(frozen=True)
class ShortSpec:
    weight: float = 0.0
    most: float = 1.0


def short(outputs, batch, spec):
    """Length of the sequence vectors above `most`."""
    return {"loss": (outputs.seq_embedding.norm(dim=1) - spec.most).clamp(min=0).mean()}


def needs(recipe) -> Iterator[Misfit]:
    if recipe.objectives.short.most > 5:
        yield Misfit("objectives.short.most", "too long to be short", found=9, expected="at most 5")


SHORT = Objective(
    "short",
    ShortSpec,
    short,
    ranges={"most": (0, None)},
    reads=("regions",),
    needs=needs,
    titles={"loss": "Short vectors: loss"},
    line={"loss": "short {:.2f}"},
)


@pytest.fixture
def registered():
    register(SHORT)
    yield
    unregister("short")


def test_the_table_has_every_objective_and_each_says_its_own_name():
    assert set(OBJECTIVES) == set(ObjectivesSpec().parts())
    for name, objective in OBJECTIVES.items():
        assert objective.name == name
        assert isinstance(getattr(ObjectivesSpec(), name), objective.spec)
        assert {f"{name}.{key}" for key in objective.ranges} <= {
            f"{name}.{key}" for key in objective.spec.__dataclass_fields__
        }


def test_an_objective_from_outside_trains_and_stands_on_the_page(registered, tmp_path, capsys):
    simulate(tmp_path / "raw", "tiny", 3)
    raw = tmp_path / "raw"
    store = build(
        genome=raw / "genome.fa",
        peaks=raw / "peaks",
        motifs=raw / "motifs.jaspar",
        assembly="toy",
        out=tmp_path / "store",
    ).path
    changes = [
        "objectives.short.weight=0.5",
        "objectives.short.most=0.25",
        "objectives.matching.batch=4",
        "train.steps=2",
        "train.batch_size=4",
        "train.micro_batch=4",
        "train.log_every=1",
        "train.validate_samples=4",
        "optim.warmup_steps=1",
        "samples.holdout_chroms=[chr3]",
    ]
    pretrain("genebert_native", store, tmp_path / "run", size="tiny", set=changes)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["split"] == "train"]
    assert len(trained) == 2
    parts = {
        name: getattr(load_recipe("genebert_native", "tiny").objectives, name).weight
        for name in ("masked_kmers", "next_segment", "matching")
    }
    for row in trained:
        total = sum(weight * row[f"{name}/loss"] for name, weight in parts.items())
        assert row["loss"] == pytest.approx(total + 0.5 * row["short/loss"], rel=1e-4)
    table = run_table(tmp_path / "run")
    assert table is not None
    assert any(line[0] == "Short vectors: loss" for line in table.rows)
    assert "short " in capsys.readouterr().err
    # Its recipe says its keys; without it the run's recipe is refused by name.
    recipe = json.loads((tmp_path / "run/recipe.json").read_text())
    assert recipe["objectives"]["short"] == {"weight": 0.5, "most": 0.25}


def test_a_registered_objective_is_ruled_by_its_own_file(registered):
    for changes, message in (
        (["objectives.short.most=-1"], r"objectives\.short\.most=-1: the value is out of range"),
        (["objectives.short.weight=1", "objectives.short.most=9"], "too long to be short"),
        (["objectives.short.wait=1"], r"unknown key"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe("genebert_native", "tiny", changes)
    with pytest.raises(RecipeError, match="needs regions, and windows have none"):
        load_recipe("dbert_base", "tiny", ["objectives.short.weight=1"])
    with pytest.raises(RecipeError, match=r"there is an objective of that name\. Found matching"):
        register(Objective("matching", ShortSpec, short))
    with pytest.raises(RecipeError, match=r"there is an objective of that name\. Found alpha"):
        register(Objective("alpha", ShortSpec, short))


def test_without_it_nothing_is_known_of_it():
    before = to_dict(load_recipe("genebert_native"))
    register(SHORT)
    unregister("short")
    assert to_dict(load_recipe("genebert_native")) == before
    with pytest.raises(RecipeError, match=r"objectives\.short.*unknown key"):
        load_recipe("genebert_native", None, ["objectives.short.weight=1"])
    with pytest.raises(RecipeError, match="not the last"):
        unregister("short")


# name of a recipe -> what no run can be asked; messages are the objectives' own.
REFUSED = [
    ("masked_kmers.weight=-1", r"masked_kmers\.weight=-1: the value is out of range\. Found -1"),
    ("masked_kmers.rate=0", r"masked_kmers\.rate=0: the value is out of range"),
    ("masked_kmers.late_rate=1.5", r"at least 0\.001 and at most 0\.9"),
    ("masked_kmers.scheme=span", r"unknown value\. Found span\. Did you mean"),
    ("masked_kmers.span_tokens=0", r"expected at least 1"),
    ("masked_kmers.late_from_step=-1", r"expected at least 0"),
    ("next_segment.negative=none", r"next_segment\.negative=none: unknown value"),
    ("matching.form=x", r"matching\.form=x: unknown value"),
    ("matching.temperature=0", r"expected at least 0\.001 and at most 100"),
    ("matching.batch=1", r"expected at least 2"),
    ("masked_factors.loss=mae", r"masked_factors\.loss=mae: unknown value"),
    ("masked_factors.rate=0", r"masked_factors\.rate=0: the value is out of range"),
    ("masked_factors.weight=1", "which fusion none keeps apart"),
    ("contacts.weight=1", "aligning contacts needs their encoder"),
    ("masked_states.weight=1", "masked states need the states stream"),
    ("masked_states.flank_bp=-7", r"masked_states\.flank_bp=-7: the value is out of range"),
    ("masked_states.flank_round=up", "unknown value"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_an_objective_refuses_is_refused_in_a_recipe(change, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("genebert_native", "tiny", [f"objectives.{change}"])


@pytest.mark.parametrize("how", ["zscore", "max", "none"])
def test_bce_is_not_asked_of_z_scores(how):
    given = [
        "objectives.masked_factors.weight=1",
        "objectives.masked_factors.loss=bce",
        "model.fusion=concat",
        f"samples.normalise_factors={how}",
    ]
    if how != "zscore":
        assert load_recipe("genebert_native", "tiny", given).samples.normalise_factors == how
        return
    with pytest.raises(RecipeError, match=r"a z-score is above 0 wherever.*expected mse, or samp"):
        load_recipe("genebert_native", "tiny", given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], None),
        (["objectives.matching.weight=0", "objectives.matching.batch=6"], "whole micro-batches"),
        (
            ["objectives.matching.weight=0", "objectives.matching.batch=null"],
            "one sample alone has nothing to be contrasted with",
        ),
    ],
)
def test_contacts_alone_are_contrasted_among_whole_micro_batches_too(changes, message):
    given = ["train.micro_batch=4"] if "null" not in str(changes) else ["train.micro_batch=1"]
    if message is None:
        load_recipe("genebert_hic", "tiny", given)
        return
    with pytest.raises(RecipeError, match=message):
        load_recipe("genebert_hic", "tiny", [*given, *changes])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["next_segment.form=bi"], None),
        (["next_segment.form=bi", "next_segment.unit=sample"], "bi compares single regions"),
    ],
)
def test_form_bi_compares_regions_of_one_pass(changes, message):
    given = [f"objectives.{change}" for change in changes]
    if message is None:
        load_recipe("genebert_native", "tiny", given)
        return
    with pytest.raises(RecipeError, match=message):
        load_recipe("genebert_native", "tiny", given)
