"""kill -9 in the middle of a pre-training, and the same command ends with the same bits."""

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

from epilm.training.log import read_metrics
from epilm.training.state import states, step_of
from forked import Command
from toy_store import toy_store

STEPS = 12
SWITCHES = (
    f"train.steps={STEPS}",
    "train.checkpoint_every=3",
    "train.validate_every=6",
    "train.log_every=1",
    "train.precision=fp32",
    "model.encoder.dropout=0.2",
    # A step is as small as it can be: what is proved is where it goes on.
    "model.encoder.hidden=32",
    "model.encoder.ffn=64",
    "model.encoder.heads=2",
    "model.k=4",
    "train.validate_samples=8",
    "samples.holdout_chroms=[chr3]",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    # 5 steps an epoch: the runs below go through three.
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(120, 90, 60), factors=24).path


def words(store: Path, out: Path, *more: str) -> list[str]:
    switches = [word for switch in (*SWITCHES, *more) for word in ("--set", switch)]
    kind = ["pretrain", "genebert_native", "--size", "tiny", "--device", "cpu"]
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


def signal_at(process: Command, out: Path, step: int, number: int) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "metrics.jsonl").is_file() and any(
            row["step"] >= step for row in read_metrics(out)
        ):
            break
        time.sleep(0.002)
    # Somewhere inside the next step, or inside the writing of a state.
    time.sleep(random.random() * 0.05)
    process.send_signal(number)
    process.wait(120)


def test_stopped_by_ctrl_c_then_killed_at_a_random_step_a_run_ends_bit_identical(
    store, whole, tmp_path
):
    out = tmp_path / "run"
    process = start(store, out)
    signal_at(process, out, 1, signal.SIGINT)
    assert process.returncode == 130
    assert "the same command goes on from there" in process.said()
    stopped = step_of(states(out / "checkpoints")[-1])
    assert 1 <= stopped < STEPS

    step = random.randrange(stopped, max(stopped + 1, STEPS - 5))
    process = start(store, out)
    signal_at(process, out, step + 1, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    assert not (out / "summary.json").exists()
    kept = step_of(states(out / "checkpoints")[-1])

    assert f"going on from step {kept} of {STEPS}" in finish(start(store, out))
    expected, found = final_weights(whole), final_weights(out)
    assert expected.keys() == found.keys()
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert different == [], (
        f"stopped after step {stopped}, killed after step {step}, resumed from {kept}"
    )
    assert lines(out) == lines(whole)


@pytest.mark.twin  # the same loop as above
def test_a_killed_run_ends_with_another_micro_batch(store, tmp_path):
    """As out of memory advises."""
    out = tmp_path / "run"
    process = start(store, out)
    signal_at(process, out, 4, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    kept = step_of(states(out / "checkpoints")[-1])
    said = finish(start(store, out, "train.micro_batch=2"))
    assert f"going on from step {kept} of {STEPS}" in said
    assert "train.micro_batch is 2, the run began with" in said
    assert [step for step, split, _ in lines(out) if split == "train"] == list(range(1, STEPS + 1))


EARLY = (
    "train.validate_every=2",
    "train.keep_checkpoints=1",
    "train.patience=3",
    # All of a pool of ten: never better than the first time.
    "train.best_by=matching/recall@10",
)


def told(out: Path) -> tuple[dict, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    summary = json.loads((out / "summary.json").read_text())
    weights = [load_file(out / name / "model.safetensors") for name in ("model", "best")]
    return {key: summary[key] for key in ("steps", "best")}, weights[0], weights[1]


def test_a_killed_run_keeps_the_same_best_and_ends_as_early(store, tmp_path):
    out, straight = tmp_path / "run", tmp_path / "straight"
    said = finish(start(store, straight, *EARLY))
    assert "ended at step 8, after 3 validations without a better one" in said
    process = start(store, out, *EARLY)
    signal_at(process, out, random.choice([2, 3, 4, 5]), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    finish(start(store, out, *EARLY))
    (about, last, best), (about_2, last_2, best_2) = told(straight), told(out)
    assert about == about_2
    assert about["best"]["step"] == 2 < about["steps"] == 8
    assert all(torch.equal(last[name], last_2[name]) for name in last)
    assert all(torch.equal(best[name], best_2[name]) for name in best)
    assert not torch.equal(last["encoder.words.weight"], best["encoder.words.weight"])
    assert lines(out) == lines(straight)


@pytest.mark.twin  # two processes make one step: tests/pretraining/test_step.py
def test_two_processes_give_the_losses_of_one(store, whole, tmp_path):
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
