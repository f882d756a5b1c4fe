"""What a store says of itself."""

import re

import pytest
import torch

from epilm.atomic import write_json
from epilm.errors import DamagedError, StoreError
from epilm.store.inspect import inspect, print_store
from epilm.tensor_files import save_tensors
from toy_store import toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("splits"), per_chrom=(20, 15), cells=3)


def test_inspect_counts_what_is_there(store, capsys):
    about = inspect(store.path, regions=4, verify=True)
    assert about["regions"] == 35
    assert [c["regions"] for c in about["chromosomes"]] == [20, 15]
    assert [c["accessible"] for c in about["cell_types"]] == [
        int(store.accessible(t).sum()) for t in range(3)
    ]
    assert sum(c["samples"] for c in about["cell_types"]) == about["samples"]
    assert (
        about["bytes"]
        == sum(p.stat().st_size for p in store.path.rglob("*") if p.is_file())
        - (store.path / "store.json").stat().st_size
    )
    print_store(about)
    text = capsys.readouterr().out
    assert "every file verified" in text
    assert "cell2" in text
    assert "35, " in text


def test_a_run_is_told_by_its_json_files_and_survives_half_a_line(tmp_path, capsys):
    (tmp_path / "recipe.json").write_text('{"model": {"k": 6}}')
    (tmp_path / "store.json").write_text('{"fingerprint": "abc"}')
    (tmp_path / "metrics.jsonl").write_text('{"step": 5, "loss": 2.5}\n{"step": 6, "lo')
    about = inspect(tmp_path)
    assert about["kind"] == "run"
    assert about["last_metrics"] == {"step": 5, "loss": 2.5}
    print_store(about)
    text = capsys.readouterr().out
    assert "recipe.model.k" in text
    assert "abc" in text


def test_verify_finds_a_flipped_bit_in_any_file_of_a_run_that_has_checksums(tmp_path):
    state = tmp_path / "checkpoints" / "step_00000003"
    state.mkdir(parents=True)
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    for name in ("model", "optimiser", "generators"):
        save_tensors(state / f"{name}.safetensors", {"a": torch.arange(300.0)})
    for name in ("spec.json", "state.json"):
        write_json(state / name, {"step": 3, "deep": {"list": [1, 2, 3]}}, checked=True)
    assert inspect(tmp_path, verify=True)["verified"] == {
        "files_compared": 5,
        "files_without_checksum": ["metrics.jsonl", "recipe.json"],
    }
    assert "verified" not in inspect(tmp_path)
    for path in sorted(state.iterdir()):
        whole = path.read_bytes()
        at = whole.index(b"3") if path.suffix == ".json" else len(whole) - 7
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DamagedError, match=re.escape(str(path))):
            inspect(tmp_path, verify=True)
        path.write_bytes(whole)


def test_a_checkpoint_is_told_by_its_spec(tmp_path):
    (tmp_path / "spec.json").write_text('{"spec": {"k": 6}}')
    assert inspect(tmp_path)["kind"] == "checkpoint"
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        inspect(tmp_path)
