"""One process is the identity; which one it is, the launcher says (two: test_step)."""

import pytest
import torch

from epilm.errors import TrainingError
from epilm.training.ranks import (
    Ranks,
    check_processes,
    launched,
    process_rank,
    processes_started,
)

CPU = torch.device("cpu")


def test_alone_nothing_is_changed():
    ranks, rows = Ranks(), torch.arange(6.0).view(3, 2)
    assert ranks.first
    assert ranks.gather(rows, [3]) is rows
    total = rows.clone()
    ranks.sum_([total])
    assert torch.equal(total, rows)
    assert (ranks.any(True, CPU), ranks.any(False, CPU)) == (True, False)
    assert ranks.from_first(7, CPU) == 7
    ranks.wait()
    assert ranks.share(5) == slice(0, 5)


def test_shares_are_side_by_side_and_all_there_is():
    rows = list(range(12))
    shares = [rows[Ranks(rank, 3).share(12)] for rank in range(3)]
    assert shares == [rows[:4], rows[4:8], rows[8:]]
    assert [Ranks(rank, 3).first for rank in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("said", "rank"),
    [
        ({}, 0),
        ({"RANK": "3", "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "LOCAL_RANK": "1"}, 3),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "LOCAL_RANK": "1"}, 5),
        ({"SLURM_PROCID": "5", "LOCAL_RANK": "1"}, 1),  # a shell of SLURM, no job of several
        ({"RANK": "x"}, 0),
    ],
)
def test_the_launcher_says_which_process_this_is(monkeypatch, said, rank):
    for name in ("RANK", "SLURM_PROCID", "SLURM_NTASKS", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert process_rank() == rank


STEP = {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "1"}


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ({}, 1),
        ({"RANK": "1", "WORLD_SIZE": "3"}, 3),
        ({"WORLD_SIZE": "3"}, 1),
        (STEP, 4),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 1),  # the script of a job, outside of srun
        (STEP | {"SLURM_JOB_NAME": "bash"}, 1),  # a person's shell: no launcher for Lightning
        (STEP | {"RANK": "0", "WORLD_SIZE": "2"}, 2),
    ],
)
def test_how_many_processes_the_launcher_started(monkeypatch, said, count):
    for name in ("RANK", "WORLD_SIZE", "SLURM_JOB_NAME", *STEP):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert launched() == count


def test_another_number_of_processes_than_the_recipes_is_refused(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert processes_started() is None
    monkeypatch.setenv("RANK", "0")
    assert processes_started() == 4
    check_processes(None, 2)
    check_processes(4, 4)
    with pytest.raises(
        TrainingError, match=r"train\.devices: the launcher started.*Found 4; expected 2. Set"
    ):
        check_processes(4, 2)
