"""A step that failed is kept whole, or the message says why not."""

import pytest
import torch

from epilm.batch import Sequences, Windows
from epilm.errors import DamagedError, EpilmError
from epilm.training.failed_step import bundle_of, keep_failed, load_failed, named_tensors

IDS = torch.tensor([[2, 5, 3]])
DNA = Sequences(IDS, IDS * 0, IDS > 0, most=3, full=True)


def test_a_bundle_is_its_tensors_by_name_and_back():
    windows = Windows(IDS, IDS > 0, states=IDS + 1)
    named = named_tensors((windows, IDS))
    assert sorted(named) == ["0.ids", "0.mask", "0.states", "1"]
    below = {name[2:]: tensor for name, tensor in named.items() if name.startswith("0.")}
    again = bundle_of(Windows, below)
    assert again.signals is None
    assert torch.equal(again.states, windows.states)


def test_processes_keep_their_own_and_the_last_failure_stands(tmp_path):
    for step in (3, 4):
        for rank in (0, 1):
            keep_failed(tmp_path, {"step": step, "rank": rank}, [DNA] * (rank + 1), rank)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed_step", "failed_step-1"]
    kept = load_failed(tmp_path / "failed_step-1")
    assert kept.about == {"step": 4, "rank": 1, "batches": 2}
    assert torch.equal(kept.batches[1]["ids"], IDS)


def test_what_cannot_be_kept_does_not_hide_why_the_run_ended(tmp_path):
    (tmp_path / "file").touch()
    said = keep_failed(tmp_path / "file", {"step": 3}, [DNA])
    assert said.startswith("What the step read could not be kept: ")
    assert "cannot write" in said


def test_none_and_a_damaged_one_are_refused(tmp_path):
    with pytest.raises(EpilmError, match="no failed step can be read here"):
        load_failed(tmp_path)
    keep_failed(tmp_path, {"step": 3}, [DNA])
    file = tmp_path / "failed_step" / "batch_0000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedError):
        load_failed(tmp_path / "failed_step")
