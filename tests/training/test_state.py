"""A state is whole or not there, keeps what the next step needs, and is never a pickle."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from epilm.errors import CheckpointError, DamagedError
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec
from epilm.training.state import (
    clean_leftovers,
    load_state,
    newest_intact,
    save_state,
    states,
    step_of,
)
from toy_training import ToyModel


def trained():
    model = ToyModel()
    optimiser = Optimiser(model, OptimSpec())
    sum(weight.square().sum() for weight in model.parameters()).backward()
    optimiser.step(1e-2)
    return model, optimiser


def test_weights_optimiser_and_generator_come_back(tmp_path):
    model, optimiser = trained()
    folder = save_state(tmp_path, 7, model, optimiser, {"seconds": 3.5}, keep=2)
    expected = torch.rand(3)
    other = ToyModel(seed=9)
    fresh = Optimiser(other, OptimSpec())
    assert load_state(folder, other, fresh) == {"seconds": 3.5}
    assert torch.equal(torch.rand(3), expected)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
    assert {k: v.tolist() for k, v in fresh.tensors().items()} == {
        k: v.tolist() for k, v in optimiser.tensors().items()
    }
    assert sorted(path.suffix for path in folder.iterdir()) == [".json"] + [".safetensors"] * 3


def test_only_the_newest_are_kept(tmp_path):
    model, optimiser = trained()
    for step in (5, 10, 15):
        save_state(tmp_path, step, model, optimiser, {}, keep=2)
    assert [step_of(path) for path in states(tmp_path)] == [10, 15]


def test_a_state_cut_short_is_passed_over(tmp_path):
    model, optimiser = trained()
    for step in (5, 10):
        save_state(tmp_path, step, model, optimiser, {}, keep=5)
    file = tmp_path / "step_00000010" / "optimiser.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    assert [step_of(path) for path in states(tmp_path)] == [5]
    (tmp_path / "step_00000005" / "state.json").unlink()
    assert states(tmp_path) == []


def test_leftovers_of_a_killed_process_go(tmp_path):
    (tmp_path / ".step_00000005.abc").mkdir()
    (tmp_path / ".step_00000005.abc" / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".step_00000005.lock").touch()
    (tmp_path / ".step_00000003.gone").mkdir()  # killed while it was removed
    assert clean_leftovers(tmp_path) == 3
    assert list(tmp_path.iterdir()) == []


def test_damage_and_foreign_models_are_named(tmp_path):
    model, optimiser = trained()
    folder = save_state(tmp_path, 1, model, optimiser, {}, keep=1)
    other = ToyModel()
    other.extra = torch.nn.Linear(2, 2)
    with pytest.raises(
        CheckpointError, match=r"another model.*2 missing \['extra.bias', 'extra.weight'\]"
    ):
        load_state(folder, other, Optimiser(other, OptimSpec()))
    table = json.loads((folder / "state.json").read_text())
    del table["crc32"]
    (folder / "state.json").write_text(json.dumps(table | {"format": 99}))
    with pytest.raises(CheckpointError, match=r"unknown format\. Found 99; expected 1"):
        load_state(folder, model, optimiser)
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(DamagedError, match=r"the weights cannot be read.*take an earlier one"):
        load_state(folder, model, optimiser)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "optimiser.safetensors", "generators.safetensors", "state.json"],
)
def test_one_flipped_bit_anywhere_and_the_state_before_is_taken(tmp_path, name):
    model, optimiser = trained()
    for step in (5, 10):
        save_state(tmp_path, step, model, optimiser, {"seconds": 41.5}, keep=5)
    assert newest_intact(tmp_path) == (tmp_path / "step_00000010", [])
    file = tmp_path / "step_00000010" / name
    content = bytearray(file.read_bytes())
    content[content.index(b"41.5") if name == "state.json" else -1] ^= 1
    file.write_bytes(content)
    folder, said = newest_intact(tmp_path)
    assert folder == tmp_path / "step_00000005"
    assert len(said) == 1
    assert said[0].startswith(f"warning: passed over a damaged state. {file}: the file is damaged")
    before = [weight.detach().clone() for weight in model.parameters()]
    with pytest.raises(DamagedError):
        load_state(tmp_path / "step_00000010", model, optimiser)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    # The run goes on from step 5: what it writes is not taken for older than the damaged one.
    save_state(tmp_path, 7, model, optimiser, {}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000007"]


def test_a_run_whose_states_are_all_damaged_does_not_begin_anew_unasked(tmp_path):
    assert newest_intact(tmp_path) == (None, [])
    model, optimiser = trained()
    folder = save_state(tmp_path, 5, model, optimiser, {}, keep=1)
    (folder / "state.json").unlink()
    with pytest.raises(DamagedError, match=r"no state of the run is intact. Found 1 damaged"):
        newest_intact(tmp_path)


def test_a_state_without_checksums_is_taken(tmp_path):
    model, optimiser = trained()
    folder = save_state(tmp_path, 5, model, optimiser, {"seconds": 1.0}, keep=1)
    for path in folder.glob("*.safetensors"):
        save_file({n: t.clone() for n, t in load_file(path).items()}, path)
    table = json.loads((folder / "state.json").read_text())
    del table["crc32"]
    table["files"] = {name: (folder / name).stat().st_size for name in table["files"]}
    (folder / "state.json").write_text(json.dumps(table))
    assert newest_intact(tmp_path) == (folder, [])
    assert load_state(folder, model, optimiser) == {"seconds": 1.0}
