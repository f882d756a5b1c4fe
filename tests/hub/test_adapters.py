"""An adapter on disk: its base refused by name where it is another, its sum where it says other."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

from epilm.errors import CheckpointError
from epilm.finetuning.finetuned import load_finetuned
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from toy_lora import SPEC, learned


@pytest.fixture
def base(tmp_path):
    """A pre-trained model; not all of its positions were learned."""
    save_model(tmp_path / "base", build_model(SPEC, seed=3), SPEC, {"holdout_chroms": ["chr9"]})
    return tmp_path / "base"


def test_a_base_that_changed_or_is_gone_is_refused_by_name(base, tmp_path, monkeypatch):
    learned(base, tmp_path / "ft", epochs=1)
    # Moved together, and opened from elsewhere.
    shutil.copytree(tmp_path, tmp_path.parent / "moved", dirs_exist_ok=True)
    whole = tmp_path / "kept"
    base.rename(whole)
    with pytest.raises(
        CheckpointError,
        match=r"the base of the adapter is not there. Found nothing .*base.*Put",
    ):
        load_finetuned(tmp_path / "ft")
    monkeypatch.chdir(tmp_path.parent / "moved")
    assert load_finetuned("ft").about["merged"]["rank"] == 2
    whole.rename(base)
    other = build_model(SPEC, seed=4)
    save_model(base, other, SPEC, overwrite=True)
    with pytest.raises(
        CheckpointError, match=r"base .*base: the base of the adapter has changed. Found weights of"
    ):
        load_finetuned(tmp_path / "ft")


def test_a_sum_that_says_something_else_is_refused(base, tmp_path):
    learned(base, tmp_path / "ft", epochs=1)
    path = tmp_path / "ft" / "model" / "model.safetensors"
    kept = load_file(path)
    kept["encoder.blocks.1.down.lora_b"][:8] += 1.0
    save_file(kept, path)  # as another program would write it: without checksums
    with pytest.raises(CheckpointError, match="the merged model does not say what the adapted one"):
        load_finetuned(tmp_path / "ft")
