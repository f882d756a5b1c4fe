"""A disk that is full, or takes no file that large, is one message that says how much was wanted.

Where a small file system can be mounted (in a name space of our own, nothing else sees it) the disk
is truly full; the limit on the size of a file works everywhere.
"""

import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from forked import Command, limit_files, list_all, mount_small
from toy_store import toy_store

SPEC = ModelSpec(
    name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"), next_segment="none"
)
PRETRAIN = [
    *("pretrain", "genebert_native", "--size", "tiny", "--device", "cpu"),
    *("--set", "train.steps=2", "--set", "train.checkpoint_every=1"),
    *("--set", "train.validate_samples=0"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(120, 90, 60), factors=24).path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("m") / "model", build_model(SPEC, seed=0), SPEC)


def labelled_table(path: Path) -> Path:
    """Write forty sequences of two classes, some of them for validation and test."""
    parts = ["train", "train", "valid", "test"]
    rows = [
        f"{('ACGT' * 8)[n % 4 :][:28]}{'AC'[n % 2] * 4}\t{n % 2}\t{parts[n // 2 % 4]}"
        for n in range(40)
    ]
    path.write_text("sequence\tlabel\tsplit\n" + "\n".join(rows) + "\n")
    return path


def words(what: str, store: Path, model: Path, out: Path) -> list[str]:
    if what == "pretrain":
        return [*PRETRAIN, "--store", str(store), "--out", str(out)]
    if what == "finetune":
        table = labelled_table(store.parent / "rows.tsv")
        given = ["--data", str(table), "--checkpoint", str(model), "--out", str(out)]
        return ["finetune", "sequences", *given, "--epochs", "1", "--device", "cpu"]
    return ["export", str(model), "--out", str(out)]


@pytest.mark.parametrize("what", ["pretrain", "finetune", "export"])
def test_a_file_that_may_not_grow_that_large_is_one_message(what, store, model, tmp_path):
    command = Command(words(what, store, model, tmp_path / "out"), partial(limit_files, 200_000))
    assert command.wait(240) == 1
    assert "Traceback" not in command.said()
    last = command.said().strip().splitlines()[-1]
    assert "a file may not grow that large here; nothing was left half-written" in last
    assert "B, which it takes. Raise the limit" in last
    assert list(tmp_path.rglob("*.safetensors")) == []


@pytest.fixture(scope="module")
def mounts() -> None:
    able = shutil.which("unshare") and subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    )
    if not able or able.returncode:
        pytest.skip("no small file system can be mounted here")


@pytest.mark.parametrize("what", ["pretrain", "finetune", "export"])
@pytest.mark.usefixtures("mounts")
def test_a_full_disk_is_one_message(what, store, model, tmp_path):
    command = Command(
        words(what, store, model, tmp_path / "out"),
        partial(mount_small, str(tmp_path), "1m"),
        partial(list_all, str(tmp_path)),
    )
    assert command.wait(240) == 1
    assert "Traceback" not in command.said()
    last = command.said().strip().splitlines()[-1]
    assert "the disk is full; nothing was left half-written. Found " in last
    assert " free; expected " in last
    assert ", which it takes. Free some space" in last
    # The best weights of a fine-tuning may have fitted, whole: the next start takes them up.
    left = [name for name in command.wrote().splitlines() if name.endswith(".safetensors")]
    assert left in ([], ["best_0001.safetensors"] if what == "finetune" else [])
    assert ".half-" not in command.wrote()
