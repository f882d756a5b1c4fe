"""What one trial pre-trained another takes over, where recipe, seed and store are the same."""

import json
import shutil

import pytest

import toy_store
from epilm.cli import main
from epilm.errors import UsageError
from epilm.trials.ablate import ablate
from epilm.trials.choices import LabFiles

TABLE = """
name: mine
measure: neighbours
cells: 2
drawn: 12
models:
  - name: mgm
    recipe: genebert_native
    size: tiny
    pretrain: per_seed
    set: [samples.regions=2, model.k=3, model.max_tokens=34, model.encoder.layers=1, train.steps=1,
          objectives.matching.weight=0, objectives.next_segment.weight=0, train.batch_size=4,
          "model.tower.patch=[1,2]",
          train.validate_samples=0, train.checkpoint_every=1, optim.warmup_steps=1]
arms: [{name: uni, model: mgm}]
"""
ONE = ["pre-training mgm, seed 1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store, the description, and the folder that it made with seed 1."""
    home = tmp_path_factory.mktemp("tables")
    toy_store.toy_store(home, contacts=False)
    (home / "mine.yaml").write_text(TABLE)
    said = table(home, "first")[1]
    assert [line for line in said if "pre-training" in line] == ONE
    return home


def table(home, out, name="mine.yaml", seeds=1, **more):
    said: list[str] = []
    files = LabFiles(store=next(home.glob("toy*")), **more)
    made = ablate(home / name, home / out, seeds=seeds, data=files, say=said.append)
    return made, said


def trained(home, out, seed=1):
    return home / out / f"seed{seed}/runs/mgm"


def test_a_pre_training_of_another_table_is_linked_in_and_a_missing_one_is_made(home):
    first = (home / "first/rows.jsonl").read_text()
    (home / "other.yaml").write_text(TABLE.replace("name: mine", "name: other"))
    _, said = table(home, "second", "other.yaml", seeds=2, runs=[home / "first"])
    assert [line for line in said if "pre-training" in line] == [
        f"{ONE[0]}: that of {trained(home, 'first')}",
        "pre-training mgm, seed 2: none of --runs is of its recipe, seed and store",
    ]
    weights = "model/model.safetensors"
    assert (trained(home, "second") / weights).samefile(trained(home, "first") / weights)
    rows = [json.loads(line) for line in (home / "second/rows.jsonl").read_text().splitlines()]
    before = json.loads(first)
    assert [row["seed"] for row in rows] == [1, 2]
    same = ("purity", "silhouette", "pretraining_seconds")
    assert {key: rows[0][key] for key in same} == {key: before[key] for key in same}
    assert f"--runs {home / 'first'}" in (home / "second/report.html").read_text()


def test_the_folder_needs_its_source_no_longer(home, tmp_path):
    table(home, "third", runs=[home / "first"])
    shutil.copytree(home / "third", tmp_path / "third")
    (tmp_path / "third/rows.jsonl").unlink()
    (tmp_path / "mine.yaml").write_text(TABLE)
    files = LabFiles(store=next(home.glob("toy*")))
    said: list[str] = []
    ablate(tmp_path / "mine.yaml", tmp_path / "third", seeds=1, data=files, say=said.append)
    assert not [line for line in said if "pre-training" in line]


@pytest.mark.parametrize("change", [("train.steps=1", "train.steps=2"), ("model.k=3", "model.k=4")])
def test_one_of_another_recipe_is_not_taken(home, change):
    (home / "changed.yaml").write_text(TABLE.replace(*change))
    out = f"changed{change[1][-3:]}"
    _, said = table(home, out, "changed.yaml", runs=[home / "first"])
    assert f"{ONE[0]}: none of --runs is of its recipe, seed and store" in said
    recipe = json.loads((trained(home, out) / "recipe.json").read_text())
    assert recipe != json.loads((trained(home, "first") / "recipe.json").read_text())


def test_one_of_another_store_is_not_taken(home, tmp_path):
    toy_store.toy_store(tmp_path, contacts=False, seed=5)
    (tmp_path / "mine.yaml").write_text(TABLE)
    table(tmp_path, "first")
    _, said = table(home, "fourth", runs=[tmp_path / "first", home / "first"])
    assert f"{ONE[0]}: that of {trained(home, 'first')}" in said
    _, said = table(home, "fifth", runs=[tmp_path / "first"])
    assert f"{ONE[0]}: none of --runs is of its recipe, seed and store" in said


def test_a_half_made_one_is_not_taken_and_makes_room(home):
    half = trained(home, "sixth")
    shutil.copytree(trained(home, "first"), half)
    (half / "summary.json").unlink()
    with pytest.raises(UsageError, match="no finished pre-training"):
        table(home, "other_place", runs=[half])
    shutil.copy(home / "first/study.json", home / "sixth")
    _, said = table(home, "sixth", runs=[home / "first"])
    assert f"{ONE[0]}: that of {trained(home, 'first')}" in said
    assert (half / "summary.json").is_file()


def test_what_has_none_or_needs_none_is_refused(home, tmp_path, capsys):
    with pytest.raises(UsageError, match=r"--runs: there is no finished pre-training.*nowhere"):
        table(home, "seventh", runs=[tmp_path / "nowhere"])
    run = trained(home, "first")
    given = TABLE.partition("models:")[0] + f"models: [{{name: mgm, run: {run}}}]\n"
    (home / "given.yaml").write_text(given + "arms: [{name: uni, model: mgm}]\n")
    with pytest.raises(UsageError, match="--runs: the description pre-trains nothing"):
        table(home, "seventh", "given.yaml", runs=[home / "first"])
    assert not (home / "seventh").exists()
    words = ["ablate", "playground_ebert", "--size", "toy", "--runs", str(home / "first")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "takes no data" in capsys.readouterr().err
