"""A fine-tuning in several processes: what one process gives, with stops on the way; a lost one."""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import toy_splice
from epilm.cli import main
from epilm.tasks.binding import write_labels
from epilm.training.log import read_metrics
from epilm.training.state import damage_of, states
from toy_binding import toy_labels, toy_store
from toy_sequences import planted
from two_devices import start_ranks

# AdamW divides a gradient by its own size: an eps far above rounding, or weights whose gradient is
# rounding alone (biases of keys) would move at full rate.
ALIKE = "--eps 1e-3 --dropout 0 --device cpu --precision fp32"


def table(path: Path) -> Path:
    """22 rows to learn from, which steps of 7 leave one of; 8 and 6 to score."""
    rows, parts = planted(36, ragged=True), ["train"] * 22 + ["valid"] * 8 + ["test"] * 6
    lines = [f"{rows.text(n)}\t{n % 2}\t{part}" for n, part in enumerate(parts)]
    path.write_text("sequence\tlabel\tsplit\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Files of three tasks."""
    folder = tmp_path_factory.mktemp("world")
    table(folder / "rows.tsv")
    write_labels(folder / "TF.train.labels.tsv", toy_labels(toy_store(folder / "store")))
    toy_splice.write(folder / "splice")
    return folder


def words_of(task: str, world: Path, out: Path, *more: str) -> list[str]:
    [store] = [path for path in (world / "store").iterdir() if path.is_dir()]
    own = {
        "sequences": f"--data {world}/rows.tsv --checkpoint random --size tiny --k 3 --epochs 3"
        " --batch-size 7 --both-strands --beside gc --ema 0.9 --threshold valid",
        "binding": f"--data {world}/TF.train.labels.tsv --store {store} --factor TF"
        " --checkpoint ebert --size tiny --test-cells typeC --valid chr2:0-6000"
        " --test chr3 --window-bp 600 --conv-channels 8 8 --dense 8 --valid-negatives 40"
        " --positives-per-epoch 20 --batch-size 32 --epochs 1 --jitter 20",
        "splice": f"--data {world}/splice/genes.txt --genome {world}/splice/genome.fa"
        " --checkpoint dilated --context 80 --block 50 --test chr1 --epochs 1 --batch-size 5",
    }[task]
    return ["finetune", task, "--out", str(out), *own.split(), *ALIKE.split(), *more]


def watched(folder: str, last: int, number: int, rank: int) -> None:
    """Write down which rows each step has, and which of them are this process's; after `last` steps
    a signal: one that kills comes to every process, another to the last one alone.
    """
    from epilm.finetuning.teacher import Teacher
    from epilm.training.epochs import Epochs

    step, loss, notes, mine = Epochs._step, Teacher.loss, Path(folder) / f"{rank}.jsonl", []
    count = [0]

    def noting_loss(self, rows, *more):
        mine.extend(rows.tolist())
        return loss(self, rows, *more)

    def noting_step(self, rows, epoch, lr):
        mine.clear()
        total = step(self, rows, epoch, lr)
        with open(notes, "a", encoding="utf-8") as file:
            file.write(json.dumps([rows.tolist(), mine]) + "\n")
        count[0] += 1
        last_rank = rank == self.team.ranks.world - 1
        if count[0] == last and (last_rank or number == signal.SIGKILL):
            os.kill(os.getpid(), number)
        return total

    Teacher.loss, Epochs._step = noting_loss, noting_step


def leg(
    words: list[str], folder: Path, world: int, last: int = 0, number: int = 0
) -> tuple[list[int], list[list[int]]]:
    """One start in so many processes: exit codes, and each step's rows."""
    folder.mkdir()
    processes = start_ranks(words, world, partial(watched, str(folder), last, number))
    codes = [process.wait(240) for process in processes]
    assert (folder / "0.jsonl").is_file(), processes[0].said()
    notes = [
        [json.loads(line) for line in (folder / f"{rank}.jsonl").read_text().splitlines()]
        for rank in range(world)
    ]
    least = min(len(each) for each in notes)  # killed, one may have been behind the other
    for step in range(least):
        of_ranks = [each[step][1] for each in notes]
        assert [row for part in of_ranks for row in part] == notes[0][step][0]
        assert all(each[step][0] == notes[0][step][0] for each in notes)
    return codes, [rows for rows, _ in notes[0][:least]]


def assert_alike(out: Path, whole: Path, **close: float) -> None:
    """Files, log, scores and weights of two runs."""
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
    for mine, theirs in zip(read_metrics(out), read_metrics(whole), strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            if "second" not in key:
                assert mine[key] == pytest.approx(value, rel=1e-4, nan_ok=True), key
    kept, expected = (json.loads((run / "metrics.json").read_text()) for run in (out, whole))
    assert kept["best_epoch"] == expected["best_epoch"]
    assert kept["beside"] == expected["beside"]
    assert json.loads((out / "run.json").read_text()) == json.loads(
        (whole / "run.json").read_text()
    )
    weights, before = (load_file(run / "model" / "model.safetensors") for run in (out, whole))
    assert weights.keys() == before.keys()
    for name, value in before.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_stopped_on_three_and_killed_on_two_a_run_ends_on_one_as_if_never_stopped(world, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "run"
    codes, expected = leg(words_of("sequences", world, whole), tmp_path / "rows", 1)
    assert codes == [0]
    assert [len(rows) for rows in expected].count(1) == 3
    micro = ("--micro-batch", "2")
    words = words_of("sequences", world, out, *micro)
    codes, steps = leg(words, tmp_path / "rows3", 3, 6, signal.SIGUSR1)
    assert codes == [75, 75, 75]  # the signal came to the last one alone
    assert steps == expected[:6]  # the second of four steps of the second epoch
    words = words_of("sequences", world, out)
    codes, steps = leg(words, tmp_path / "rows2", 2, 3, signal.SIGKILL)
    assert codes == [-signal.SIGKILL] * 2
    assert steps == expected[6:9]
    codes, steps = leg(words, tmp_path / "rows1", 1)
    assert codes == [0]
    assert steps == expected[8:]
    assert_alike(out, whole)
    said = [np.loadtxt(run / "predictions.tsv", str, skiprows=1) for run in (out, whole)]
    assert (said[0][:, :-2] == said[1][:, :-2]).all()
    np.testing.assert_allclose(*(each[:, -2:].astype(float) for each in said), atol=1e-4)


@pytest.mark.parametrize("task", ["binding", "splice"])
def test_two_processes_give_what_one_gives(task, world, tmp_path):
    """Splice: answers to bases, batch norms, a temperature."""
    for name, count in (("one", 1), ("two", 2)):
        words = words_of(task, world, tmp_path / name)
        codes, steps = leg(words, tmp_path / f"rows-{name}", count)
        assert codes == [0] * count
        if count == 1:
            expected = steps
    assert steps == expected
    assert_alike(tmp_path / "two", tmp_path / "one")


def test_a_lost_process_is_named_and_the_last_state_is_whole(world, tmp_path):
    out = tmp_path / "run"
    words = words_of("sequences", world, out)
    words[words.index("--epochs") + 1] = "3000"
    processes = start_ranks(words, 2)
    until = time.monotonic() + 240
    while not (out / "metrics.jsonl").is_file() and time.monotonic() < until:
        assert [each.poll() for each in processes] == [None, None], processes[0].said()
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert processes[0].wait(60) == 1
    assert time.monotonic() - began < 60
    said = processes[0].said()
    assert "TrainingError: a process of the run is lost. Found process 1 of 2 (" in said
    assert [damage_of(state) for state in states(out / "checkpoints")].count(None) >= 1
    assert not (out / "metrics.json").exists()


def test_what_all_processes_meet_is_said_once(world, tmp_path):
    """Started by srun."""
    more = ("--lr", "1e30", "--clip", "0", "--warmup", "0")
    words = words_of("sequences", world, tmp_path / "run", *more)
    processes = start_ranks(words, 2, slurm=True)
    assert [each.wait(240) for each in processes] == [1, 1]
    assert "not finite" in processes[0].said()
    assert processes[1].said() == ""


def test_commands_of_one_process_are_refused_under_torchrun(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["predict", "run", "s.fa", "--executor", "local", "--out", "said.tsv"]) == 2
    said = capsys.readouterr().err
    assert "epilm predict: torchrun started this command in several processes" in said
    assert "Found 2; expected 1" in said
    assert main(["ls", "--help"]) == 0
