"""EBERT from the command line: killed and gone on with it ends with the same bits; two processes
are one.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import epilm
from epilm.training.log import read_metrics
from epilm.training.state import states, step_of
from forked import Command
from toy_tracks import toy_track_store

STEPS = 12
SWITCHES = (
    f"train.steps={STEPS}",
    "train.batch_size=16",
    "train.micro_batch=4",
    "train.checkpoint_every=3",
    "train.validate_every=6",
    "train.validate_samples=24",
    "train.log_every=1",
    "train.precision=fp32",
    "model.encoder.dropout=0.2",
    "model.k=5",
    "model.stride=5",
    "samples.window_bp=300",
    "samples.holdout_chroms=[chr3]",
    "samples.holdout_cells=[typeC]",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    # About 100 windows in training, 6 steps an epoch: the runs below go through two.
    return toy_track_store(
        tmp_path_factory.mktemp("store"), chroms={"chr1": 7_000, "chr2": 4_000, "chr3": 3_000}
    ).path


def words(store: Path, out: Path, *more: str) -> list[str]:
    switches = [word for switch in (*SWITCHES, *more) for word in ("--set", switch)]
    kind = ["pretrain", "ebert_tiny", "--device", "cpu"]
    return [*kind, "--store", str(store), "--out", str(out), *switches]


def start(store: Path, out: Path, *more: str) -> Command:
    return Command(words(store, out, *more))


def finish(command: Command) -> str:
    assert command.wait(240) == 0, command.said()
    return command.said()


def final_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def lines(out: Path) -> list[tuple[int, str, float]]:
    return [(row["step"], row["split"], row["loss"]) for row in read_metrics(out)]


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    finish(start(store, out))
    return out


def test_the_run_knows_its_states_and_embeds(whole):
    loaded = epilm.load(whole)
    assert loaded.spec.states == len(loaded.extra["state_names"]) == 5
    assert loaded.extra["holdout_cells"] == ["typeC"]
    recipe = json.loads((whole / "recipe.json").read_text())
    assert (
        recipe["objectives"]["masked_kmers"]["weight"]
        == recipe["objectives"]["masked_states"]["weight"]
        == 0.5
    )
    assert loaded.embed(["ACGTAGGATCCTAGCTAGCTAACGT"]).shape == (1, 64)


@pytest.mark.twin  # the same loop as in test_resume
def test_killed_at_a_random_step_a_run_ends_bit_identical(store, whole, tmp_path):
    out = tmp_path / "run"
    process = start(store, out)
    step = random.randrange(3, STEPS - 4)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "metrics.jsonl").is_file() and any(
            row["step"] >= step for row in read_metrics(out)
        ):
            break
        time.sleep(0.002)
    time.sleep(random.random() * 0.02)  # somewhere inside the next step, or the writing of a state
    process.send_signal(signal.SIGKILL)
    process.wait(120)
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    assert not (out / "summary.json").exists()
    kept = step_of(states(out / "checkpoints")[-1]) if states(out / "checkpoints") else 0
    said = finish(start(store, out))  # killed before the first state was whole, it begins again
    assert (f"going on from step {kept} of {STEPS}" in said) == (kept > 0)
    expected, found = final_weights(whole), final_weights(out)
    assert expected.keys() == found.keys()
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert different == [], f"killed after step {step}, resumed from {kept}"
    assert lines(out) == lines(whole)


@pytest.mark.twin  # the same loop as in test_resume
def test_two_processes_give_the_losses_and_weights_of_one(store, whole, tmp_path):
    out = tmp_path / "two"
    # It starts its second process with its own command line: no fork has one.
    command = [sys.executable, "-m", "epilm", *words(store, out, "train.devices=2")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=240)
    one, two = lines(whole), lines(out)
    assert [line[:2] for line in one] == [line[:2] for line in two]
    np.testing.assert_allclose([line[2] for line in two], [line[2] for line in one], rtol=1e-5)
    expected, found = final_weights(whole), final_weights(out)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=2e-4, msg=name)
