"""A run's folder says what the run is, and takes no other run."""

import json

import pytest

from epilm.errors import TrainingError
from epilm.pretraining.folder import begin, changed_keys, compare, git_state, read_json

RECIPE = {
    "name": "a",
    "optim": {"peak_lr": 1e-3},
    "train": {"steps": 5, "log_every": 1, "device": "cpu"},
}
STORE = {"path": "a.store", "fingerprint": "f00d"}


def prepare(out, recipe, store, resume):
    how = compare(out, recipe, store, resume)
    begin(out, recipe, store, how)
    return how


def test_new_then_resumed_then_complete(tmp_path):
    out = tmp_path / "deep" / "run"
    assert prepare(out, RECIPE, STORE, True) == "new"
    assert json.loads((out / "recipe.json").read_text()) == RECIPE
    other = {**RECIPE, "name": "b"}
    assert prepare(out, other, STORE, True) == "new"  # nothing was learned in it yet
    assert prepare(out, RECIPE, STORE, True) == "new"
    (out / "checkpoints").mkdir()
    assert prepare(out, RECIPE, STORE, True) == "resumed"
    (out / "summary.json").write_text("{}")
    assert prepare(out, RECIPE, STORE, True) == "complete"


def test_what_changes_no_weight_may_differ(tmp_path):
    prepare(tmp_path / "run", RECIPE, STORE, True)
    (tmp_path / "run" / "checkpoints").mkdir()
    changed = {**RECIPE, "train": {**RECIPE["train"], "log_every": 7, "device": "cuda"}}
    assert prepare(tmp_path / "run", changed, {**STORE, "path": "elsewhere"}, True) == "resumed"


def test_what_a_run_that_goes_on_does_otherwise_is_listed(tmp_path):
    prepare(tmp_path / "run", RECIPE, STORE, True)
    assert changed_keys(tmp_path / "run", RECIPE) == {}
    now = {**RECIPE, "train": {**RECIPE["train"], "log_every": 7, "micro_batch": 4}}
    assert changed_keys(tmp_path / "run", now) == {
        "train.log_every": (1, 7),
        "train.micro_batch": (None, 4),
    }


@pytest.mark.parametrize(("batch", "goes"), [(128, True), (None, False)])
def test_another_number_of_processes_may_go_on_unless_it_widens_the_contrasts(
    batch, goes, tmp_path
):
    began = {
        **RECIPE,
        "train": {**RECIPE["train"], "devices": 3, "micro_batch": 8},
        "samples": {"unit": "regions"},
        "objectives": {"matching": {"batch": batch}},
    }
    prepare(tmp_path / "run", began, STORE, True)
    (tmp_path / "run" / "checkpoints").mkdir()
    now = {**began, "train": {**began["train"], "devices": 2}}
    if goes:
        assert prepare(tmp_path / "run", now, STORE, True) == "resumed"
        assert changed_keys(tmp_path / "run", now) == {"train.devices": (3, 2)}
        return
    with pytest.raises(TrainingError, match=r"Found train\.devices = 2; expected 3, as the run be"):
        prepare(tmp_path / "run", now, STORE, True)


@pytest.mark.parametrize(
    ("recipe", "store", "message"),
    [
        (
            {**RECIPE, "optim": {"peak_lr": 2e-3}},
            STORE,
            r"another recipe.*Found optim.peak_lr = 0.002; expected 0.001",
        ),
        (
            {**RECIPE, "train": {**RECIPE["train"], "steps": 6}},
            STORE,
            "Found train.steps = 6; expected 5",
        ),
        (
            RECIPE,
            {**STORE, "fingerprint": "beef"},
            "another store.*Found fingerprint = beef; expected f00d",
        ),
    ],
)
def test_another_run_is_refused_with_the_key(tmp_path, recipe, store, message):
    prepare(tmp_path / "run", RECIPE, STORE, True)
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(TrainingError, match=message):
        prepare(tmp_path / "run", recipe, store, True)


def test_folders_that_are_no_run_and_runs_that_must_be_new(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(TrainingError, match=r"not a run\. Found notes.txt"):
        prepare(tmp_path, RECIPE, STORE, True)
    assert not (tmp_path / "recipe.json").exists()
    with pytest.raises(TrainingError, match="a file stands where"):
        prepare(tmp_path / "notes.txt", RECIPE, STORE, True)
    prepare(tmp_path / "run", RECIPE, STORE, False)
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(TrainingError, match="the run exists already"):
        prepare(tmp_path / "run", RECIPE, STORE, False)


def test_every_start_is_noted(tmp_path):
    begin(tmp_path, RECIPE, STORE, "new")
    begin(tmp_path, RECIPE, STORE, "resumed", place=["device cpu"])
    starts = read_json(tmp_path / "versions.json")
    assert [start["how"] for start in starts] == ["new", "resumed"]
    assert {"python", "torch", "lightning"} <= set(starts[0]["versions"])
    assert starts[1]["place"] == ["device cpu"]


def test_git_state_outside_the_source_tree_is_none(tmp_path):
    assert git_state(tmp_path) is None


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "recipe.json").write_text("{")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(TrainingError, match=r"recipe.json: the file of the run cannot be read"):
        prepare(tmp_path, RECIPE, STORE, True)
