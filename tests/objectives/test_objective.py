"""An objective is one record: one of ten lines from outside of the package trains and leaves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from epilm.errors import RecipeError
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.table import register, unregister
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
