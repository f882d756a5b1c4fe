"""Ablations on invented worlds: a small one run, stopped and gone on with."""

import json
import shutil
from dataclasses import replace

import pytest

from epilm.cli import main
from epilm.errors import RecipeError, TrainingError, UsageError
from epilm.reporting import report
from epilm.trials.ablate import ablate
from epilm.trials.bench import WORLDS
from epilm.trials.descriptions import load_design
from epilm.trials.trial import rows_of
from epilm.trials.trial_page import design_of
from toy_designs import SMALL


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    home = tmp_path_factory.mktemp("ablation")
    (home / "mine.yaml").write_text(SMALL)
    said: list[str] = []
    result = ablate(home / "mine.yaml", home / "out", seeds=1, say=said.append)
    return home, result, said


def test_every_row_of_the_description_is_fine_tuned_or_predicted_and_scored(small):
    home, result, said = small
    assert [row["arm"] for row in result.rows] == ["full", "random", "shuffled"]
    for row in result.rows:
        assert set(row["factors"]) == {"CTCF", "JUND"}
        assert row["ap"] == pytest.approx(sum(t["ap"] for t in row["factors"].values()) / 2)
        assert all(t["positives"] > 0 for t in row["factors"].values())
    assert any(line.startswith("seed 1, shuffled: auprc_dg") for line in said)
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


@pytest.mark.twin  # the engine of tests/trials/test_trial.py
def test_a_stopped_ablation_goes_on_with_the_rows_that_are_missing(small, tmp_path):
    home, result, _ = small
    shutil.copytree(home / "out", tmp_path / "out")
    lines = (tmp_path / "out" / WORLDS.rows).read_text().splitlines()
    (tmp_path / "out" / WORLDS.rows).write_text(
        lines[0] + "\n" + lines[1][:40]
    )  # killed while it wrote
    shutil.rmtree(tmp_path / "out/seed1/arms/random")
    said: list[str] = []
    again = ablate(home / "mine.yaml", tmp_path / "out", seeds=1, say=said.append)
    for old, new in zip(result.rows, again.rows, strict=True):
        assert new["factors"] == old["factors"]
    assert not any("full" in line or "pre-training" in line for line in said)


@pytest.mark.twin  # rows of shards: tests/trials/test_trial_shards.py
def test_two_shards_joined_are_the_ablation_of_one_process(small, tmp_path, capsys):
    """The world and the pre-training are made once; a control is made where its arm is."""
    home, result, _ = small
    words = ["ablate", str(home / "mine.yaml"), "--seeds", "1", "--out", str(tmp_path / "parts")]
    said = []
    for i in (1, 2):
        assert main([*words, "--shard", f"{i}/2"]) == 0
        said += capsys.readouterr().err.splitlines()
    assert sum("an invented genome" in line for line in said) == 1
    assert said.count("pre-training ebert, seed 1") == 1
    assert [line for line in said if line.startswith("shard ")] == [
        "shard 1/2: 1 of 3 rows to do",
        "shard 2/2: 2 of 3 rows to do",
    ]
    joined = tmp_path / "joined"
    assert main(["merge", str(tmp_path / "parts"), "--out", str(joined)]) == 0
    rows = [json.loads(line) for line in (joined / WORLDS.rows).read_text().splitlines()]
    for mine, theirs in zip(rows, result.rows, strict=True):
        seconds = {key for key in mine if "seconds" in key}
        assert seconds <= {"seconds", "pretraining_seconds"}
        assert {k: mine[k] for k in mine.keys() - seconds} == {
            k: theirs[k] for k in theirs.keys() - seconds
        }
    # One process that goes on from these rows has nothing to do, and writes the same bytes.
    before = {path: path.read_bytes() for path in joined.rglob("*") if path.is_file()}
    ablate(home / "mine.yaml", joined, seeds=1, say=said.append)
    for path, content in before.items():
        assert path.read_bytes() == content, path
    assert b"Pre-training of ebert" in before[joined / "report.html"]


@pytest.mark.twin  # executors: tests/sharding/test_spread.py
def test_an_ablation_over_processes_leaves_what_one_process_leaves(small, tmp_path):
    home, result, _ = small
    out = tmp_path / "out"
    words = ["ablate", str(home / "mine.yaml"), "--seeds", "1", "--out", str(out)]
    assert main([*words, "--executor", "local", "--jobs", "2"]) == 0
    files = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (home / "out", out)
    ]
    alike = [{name for name in names if "tensorboard" not in name} for names in files]
    assert alike[0] == alike[1]
    weights = "seed1/arms/full/model/model.safetensors"
    assert (out / weights).read_bytes() == (home / "out" / weights).read_bytes()
    rows = [json.loads(line) for line in (out / WORLDS.rows).read_text().splitlines()]
    assert [row["factors"] for row in rows] == [row["factors"] for row in result.rows]
    # Another seed goes on in the same folder, on what is there.
    said: list[str] = []
    ablate(home / "mine.yaml", out, seeds=1, say=said.append)
    assert said == []


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
    plan = replace(load_design(home / "mine.yaml"), controls=())
    assert {row["arm"] for row in rows_of(home / "out", design_of(plan))} == {"full", "random"}


@pytest.mark.parametrize("seeds", [0, [], [-1]])
def test_no_seed_is_a_wrong_use(seeds, tmp_path):
    with pytest.raises(UsageError, match="--seeds"):
        ablate("playground_ebert", tmp_path / "x", seeds=seeds, size="tiny")


def test_a_signal_that_the_world_has_not_is_refused_before_anything_is_learned(tmp_path):
    (tmp_path / "mine.yaml").write_text(SMALL.replace("[accessibility]", "[methylation]"))
    with pytest.raises(RecipeError, match=r"full.*no such signal|no such signal.*full"):
        ablate(tmp_path / "mine.yaml", tmp_path / "out", seeds=1, say=lambda line: None)
    assert not (tmp_path / "out/seed1/runs").exists()
