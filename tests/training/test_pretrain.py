"""The loop around a toy: killed, stopped, shared by two processes, and the same weights each time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_toys import ToyModel, make_batch, toy_objectives

from epilm.training.device import choose_place
from epilm.training.log import read_metrics
from epilm.training.pretrain import Data, run_pretrain
from epilm.training.spec import OptimSpec, TrainSpec
from epilm.training.state import states, step_of

PROGRAM = Path(__file__).with_name("run_toy.py")


def start(out: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(out), *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until a line of that step is written."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "metrics.jsonl").is_file() and any(r["step"] >= step for r in read_metrics(out)):
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} never came: {process.communicate()}")


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(states(out / "checkpoints")[-1] / "model.safetensors")


def losses(out: Path, split: str = "train") -> list[float]:
    return [row["loss"] for row in read_metrics(out) if row["split"] == split]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An uninterrupted run of 14 steps, with dropout."""
    out = tmp_path_factory.mktemp("toy") / "whole"
    assert finish(start(out, 14, 1, 0.2)) == "completed 14\n"
    return out


def test_it_learns_and_says_each_step_once(whole):
    rows = read_metrics(whole)
    assert [row["step"] for row in rows if row["split"] == "train"] == list(range(1, 15))
    assert [row["step"] for row in rows if row["split"] == "valid"] == [0, 5, 10, 14]
    assert losses(whole)[-1] < losses(whole)[0]
    valid = [row for row in rows if row["split"] == "valid"][-1]
    assert valid["matching/recall@1_chance"] == pytest.approx(1 / 16)
    assert {"lr", "tokens_per_second", "samples_per_second", "memory_gb", "seconds"} <= set(rows[1])


def test_a_killed_run_goes_on_to_the_same_bits(whole, tmp_path):
    out = tmp_path / "killed"
    process = start(out, 14, 1, 0.2, 0.1)
    wait_for_step(out, 6, process)  # states stand at 4 and, at the end, 8
    process.kill()
    process.wait()
    assert step_of(states(out / "checkpoints")[-1]) < 14
    assert finish(start(out, 14, 1, 0.2)) == "completed 14\n"
    expected, found = last_weights(whole), last_weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert losses(out) == losses(whole)
    assert losses(out, "valid") == losses(whole, "valid")


def test_ctrl_c_saves_the_step_it_came_in(whole, tmp_path):
    out = tmp_path / "stopped"
    process = start(out, 14, 1, 0.2, 0.2)
    wait_for_step(out, 2, process)
    process.send_signal(signal.SIGINT)
    text = finish(process)
    assert text.startswith("stopped ")
    step = int(text.split()[1])
    assert [step_of(path) for path in states(out / "checkpoints")][-1] == step < 14
    assert finish(start(out, 14, 1, 0.2)) == "completed 14\n"
    expected, found = last_weights(whole), last_weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_two_processes_equal_one(whole, tmp_path):
    out = tmp_path / "two"
    finish(start(out, 14, 2, 0.2))
    np.testing.assert_allclose(losses(out), losses(whole), rtol=1e-5)
    np.testing.assert_allclose(losses(out, "valid"), losses(whole, "valid"), rtol=1e-5)
    expected, found = last_weights(whole), last_weights(out)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
    tokens = [row["tokens_per_second"] / row["samples_per_second"] for row in read_metrics(out)[1:2]]
    assert tokens == pytest.approx([36.0])  # 3 regions of 12 tokens: counted over both processes


def run_here(out: Path, make=make_batch, steps: int = 3, **train: object):
    out.mkdir()
    spec = TrainSpec(
        steps=steps, batch_size=8, micro_batch=4, device="cpu", precision="fp32", log_every=1,
        checkpoint_every=1, **train,
    )  # fmt: skip
    data = Data(lambda device: make, lambda step: np.arange(8) + 8 * step)
    return run_pretrain(
        ToyModel(), data, toy_objectives(8), OptimSpec(peak_lr=1e-2, warmup_steps=1), spec, out,
        choose_place("cpu", "fp32"),
    )  # fmt: skip


def test_the_callers_random_generator_is_left_alone(tmp_path):
    before = torch.get_rng_state()
    assert run_here(tmp_path / "run").completed
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bad_loss_stops_the_run_and_keeps_what_was_saved(tmp_path):
    from epilm.errors import TrainingError

    def bad(rows, step):
        batch = make_batch(rows, step)
        if step == 2:
            batch.factors.fill_(float("inf"))
        return batch

    with pytest.raises(TrainingError, match="step 2: the loss is not finite"):
        run_here(tmp_path / "run", bad)
    assert [step_of(path) for path in states(tmp_path / "run" / "checkpoints")] == [1, 2]


def test_old_states_go(tmp_path):
    run_here(tmp_path / "run", steps=5, keep_checkpoints=3)
    assert [step_of(path) for path in states(tmp_path / "run" / "checkpoints")] == [3, 4, 5]
