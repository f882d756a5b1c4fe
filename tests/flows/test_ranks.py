"""A pre-training in several processes: another number, a lost one, signals of a scheduler."""

import hashlib
import json
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from epilm.training.log import read_metrics
from epilm.training.state import damage_of, states, step_of
from forked import Command
from toy_store import toy_store
from two_devices import start_ranks

STEPS = 7
SWITCHES = (
    f"train.steps={STEPS}",
    "train.checkpoint_every=3",
    "train.log_every=1",
    "train.precision=fp32",
    # Five micro-batches: 2 and 3 for two processes; 1, 2 and 2; 1, 1, 1 and 2.
    "train.batch_size=10",
    "train.micro_batch=2",
    "objectives.matching.batch=10",
    "model.encoder.dropout=0.2",
    "model.encoder.hidden=32",
    "model.encoder.ffn=64",
    "model.encoder.heads=2",
    "model.k=4",
    "train.validate_samples=0",
    "samples.holdout_chroms=[chr3]",
    "samples.regions=3",
)


VALID = ("train.validate_samples=4", "train.validate_every=3")
CUT = (*VALID, "train.strategy=fsdp")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(60, 60, 30), factors=24).path


def words(store: Path, out: Path, world: int, *more: str) -> list[str]:
    switches = [
        word
        for switch in (*SWITCHES, f"train.devices={world}", *more)
        for word in ("--set", switch)
    ]
    kind = ["pretrain", "genebert_native", "--size", "tiny", "--device", "cpu"]
    return [*kind, "--store", str(store), "--out", str(out), *switches]


def watched(folder: str, last: int, rank: int) -> None:
    """Write down which samples each step has, and which of them are this process's; the process
    that counts `last` steps asks itself to stop, as a scheduler would.
    """
    from epilm.pretraining import step as module

    cut, out, count = module.cut, Path(folder) / f"{rank}.jsonl", [0]

    def noting(rows, group, micro, ranks):
        parts = cut(rows, group, micro, ranks)
        mine = [[int(row) for m in part for row in m.rows] for part in parts]
        with open(out, "a", encoding="utf-8") as file:
            file.write(json.dumps([rows.tolist(), mine]) + "\n")
        count[0] += 1
        if count[0] == last and rank == ranks.world - 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        return parts

    module.cut = noting


def leg(
    store: Path, out: Path, folder: Path, world: int, last: int, *more: str
) -> tuple[list[int], list[list[list]]]:
    """One start in so many processes: exit codes, and each step's rows as (all, of each rank)."""
    folder.mkdir()
    before = partial(watched, str(folder), last)
    processes = start_ranks(words(store, out, world, *more), world, before)
    codes = [process.wait(240) for process in processes]
    notes = [
        [json.loads(line) for line in (folder / f"{rank}.jsonl").read_text().splitlines()]
        for rank in range(world)
    ]
    assert len({len(each) for each in notes}) == 1
    return codes, [[step[0][0], [each[1] for each in step]] for step in zip(*notes, strict=True)]


def losses(out: Path) -> list[tuple[int, str, float]]:
    return [(row["step"], row["split"], row["loss"]) for row in read_metrics(out)]


def digest(rows: list[int]) -> str:
    return hashlib.sha256(np.asarray(rows, np.int64).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory) -> tuple[Path, list[list[list]]]:
    folder = tmp_path_factory.mktemp("whole")
    codes, steps = leg(store, folder / "run", folder / "rows", 1, 0, *VALID)
    assert codes == [0]
    return folder / "run", steps


def test_a_run_stopped_on_three_processes_goes_on_on_two_one_and_four(store, whole, tmp_path):
    out, steps = tmp_path / "run", []
    for world, last in ((3, 1), (2, 1), (1, 1), (4, 0)):
        if steps:  # a run may be moved
            out = out.rename(tmp_path / f"run{world}")
        codes, more = leg(store, out, tmp_path / f"rows{world}", world, last, *VALID)
        # The scheduler's signal reached one process, the last; the first speaks for all. It came in
        # the middle of a step, and the next one is the last.
        assert codes[0] == (75 if last else 0)
        assert len(more) == (last + 1 if last else STEPS - len(steps))
        steps += more
    straight, expected = whole
    assert [digest(rows) for rows, _ in steps] == [digest(rows) for rows, _ in expected]
    for rows, of_ranks in steps:
        dealt = [row for parts in zip(*of_ranks, strict=True) for part in parts for row in part]
        assert dealt == rows
    assert [len(of_ranks) for _, of_ranks in steps] == [3] * 2 + [2] * 2 + [1] * 2 + [4]
    one, several = losses(straight), losses(out)
    assert [line[:2] for line in several] == [line[:2] for line in one]
    np.testing.assert_allclose([line[2] for line in several], [line[2] for line in one], rtol=1e-5)
    weights, before = (load_file(each / "model" / "model.safetensors") for each in (out, straight))
    for name in weights:
        torch.testing.assert_close(weights[name], before[name], rtol=1e-3, atol=2e-4, msg=name)
    starts = json.loads((out / "versions.json").read_text())
    assert [start["changed"].get("train.devices") for start in starts] == [None, 2, 1, 4]


def wait_for_step(processes: list[Command], out: Path, step: int) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and all(each.poll() is None for each in processes):
        if (out / "metrics.jsonl").is_file() and any(
            row["step"] >= step for row in read_metrics(out)
        ):
            return
        time.sleep(0.005)
    raise AssertionError(processes[0].said())


def test_a_run_goes_on_whether_processes_have_all_weights_or_a_part(store, whole, tmp_path):
    """Stopped with parts on three, gone on with whole weights on two, killed with parts on two, and
    ended with parts on two: rows, losses, weights and states are those of one process.
    """
    out, steps = tmp_path / "run", []
    for world, more in ((3, CUT), (2, VALID)):
        codes, part = leg(store, out, tmp_path / f"rows{world}", world, 1, *more)
        assert codes[0] == 75
        steps += part
    processes = start_ranks(words(store, out, 2, *CUT), 2, slow_step)
    wait_for_step(processes, out, 5)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    kept = step_of(states(out / "checkpoints")[-1])
    assert 4 <= kept < STEPS
    codes, part = leg(store, out, tmp_path / "rows", 2, 0, *CUT)
    assert codes == [0, 0]
    straight, expected = whole
    expected = expected[:4] + expected[kept:]
    assert [digest(rows) for rows, _ in steps + part] == [digest(rows) for rows, _ in expected]
    one, several = losses(straight), losses(out)
    assert [line[:2] for line in several] == [line[:2] for line in one]
    assert "valid" in {line[1] for line in one}
    np.testing.assert_allclose([line[2] for line in several], [line[2] for line in one], rtol=1e-5)
    for name in ("model/model.safetensors", f"checkpoints/step_{STEPS:08d}"):
        mine, theirs = (each / name for each in (out, straight))
        files = [""] if mine.is_file() else ["model.safetensors", "optimiser.safetensors"]
        for file in files:
            got, want = (load_file(each / file) for each in (mine, theirs))
            assert got.keys() == want.keys()
            for key, value in want.items():
                torch.testing.assert_close(got[key], value, rtol=1e-3, atol=2e-4, msg=key)
    starts = json.loads((out / "versions.json").read_text())
    assert [start["changed"].get("train.strategy") for start in starts] == [
        None,
        "ddp",
        None,
        None,
    ]


def test_a_lost_process_ends_the_others_with_its_name_and_leaves_whole_states(store, tmp_path):
    """The first process lost: tests/training/test_lifeline.py."""
    out, lost = tmp_path / "run", 1
    processes = start_ranks(words(store, out, 2, "train.steps=2000", "train.log_every=2"), 2)
    wait_for_step(processes, out, 4)
    processes[lost].send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert processes[1 - lost].wait(60) == 1
    assert time.monotonic() - began < 60
    said = processes[1 - lost].said()
    assert f"TrainingError: a process of the run is lost. Found process {lost} of 2 (" in said
    assert "the same command goes on from the newest, also with fewer processes" in said
    assert [damage_of(state) for state in states(out / "checkpoints")] == [None]
    assert not (out / "summary.json").exists()


def slow_step(rank: int) -> None:
    """Each step takes a while: time to be killed after one of them."""
    from epilm.pretraining import step as module

    cut = module.cut

    def slowly(*given):
        time.sleep(0.5)
        return cut(*given)

    module.cut = slowly


def read_only(folder: str, rank: int) -> None:
    """All but the first process see a folder that nothing can be written into."""
    if rank == 0:
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000):  # CLONE_NEWNS, linux/sched.h
        raise OSError(ctypes.get_errno(), "unshare")
    for options in (
        ["--make-rprivate", "/"],
        ["--bind", folder, folder],
        ["-o", "remount,ro,bind", folder],
    ):
        subprocess.run(["mount", *options], check=True)
    try:
        (Path(folder) / "mine").touch()
    except OSError:
        return
    raise AssertionError("the folder can be written into")


def test_slurm_s_signal_saves_and_ends_all_tasks_and_the_first_alone_writes(
    store, tmp_path, monkeypatch
):
    """Lightning would write a checkpoint of its own inside of the handler, and requeue the job."""
    monkeypatch.chdir(tmp_path)
    own_mounts = os.geteuid() == 0 and not subprocess.run(["unshare", "-m", "true"]).returncode
    guards = [partial(read_only, str(tmp_path))] if own_mounts else []
    out = tmp_path / "run"
    more = ("train.steps=2000", "train.checkpoint_every=1000")
    tasks = start_ranks(words(store, out, 2, *more), 2, *guards, slurm=True)
    wait_for_step(tasks, out, 2)
    for task in tasks:  # srun passes it to every task
        task.send_signal(signal.SIGUSR1)
    assert [task.wait(240) for task in tasks] == [75, 0], tasks[1].said()
    assert "(exit code 75)" in tasks[0].said()
    (state,) = states(out / "checkpoints")
    assert damage_of(state) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert "scontrol" not in tasks[0].said() + tasks[1].said()
    if not guards:
        pytest.skip("who writes was not looked at: a mount name space of its own wants root")


def test_sigterm_saves_and_leaves_with_a_code_that_says_start_me_again(store, tmp_path):
    out, more = tmp_path / "run", ("train.steps=2000", "train.checkpoint_every=1000")
    process = Command(words(store, out, 1, *more))
    wait_for_step([process], out, 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    assert "stopped by a signal and saved; the same command goes on (exit code 75)" in (
        process.said()
    )
    (state,) = states(out / "checkpoints")
    assert damage_of(state) is None
    assert 3 <= step_of(state) < 2000
    again = Command(words(store, out, 1, *more))
    wait_for_step([again], out, step_of(state) + 1)
    assert f"going on from step {step_of(state)} of 2000" in again.said()
    again.send_signal(signal.SIGINT)
    assert again.wait(60) == 130
