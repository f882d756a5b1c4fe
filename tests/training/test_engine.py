"""Work of one process: who asked it to end, and where signals go (several: tests/flows)."""

import os
import signal

import pytest
import torch

from epilm.errors import AskedToStop, TrainingError, UsageError
from epilm.training.engine import Team, machines, say_tasks_a_machine, together

CPU = torch.device("cpu")


def test_a_team_of_one_does_everything_itself():
    team = Team()
    assert team.first_does(lambda: [1, None]) == [1, None]
    error = TrainingError("no")
    assert team.alike(error) is error
    team.stop_if_asked()
    with team.listening():
        assert team.asked() == 0
    assert together(lambda team: team.ranks.world, CPU) == 1


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGUSR1, AskedToStop)],
)
def test_a_signal_ends_work_where_it_looks_and_saves_first(number, raised):
    done, before = [], signal.getsignal(number)

    def work(team):
        with team.listening():
            os.kill(os.getpid(), number)
            done.append("a step")
            team.stop_if_asked(lambda: done.append("saved"))
            done.append("another")

    with pytest.raises(KeyboardInterrupt) as caught:
        together(work, CPU)
    assert caught.type is raised
    assert done == ["a step", "saved"]
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(("said", "tasks"), [("2", "2"), ("4(x2)", "4")])
def test_tasks_of_srun_are_counted_a_machine(said, tasks, monkeypatch):
    """As SLURM 22.05 says it of `srun --ntasks 2`: Lightning ends with a traceback otherwise."""
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", said)
    # Set and removed, so that what the function sets goes with the test.
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "9")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    monkeypatch.delenv("RANK", raising=False)
    say_tasks_a_machine()
    assert os.environ["SLURM_NTASKS_PER_NODE"] == tasks


def test_machines_with_different_numbers_of_tasks_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "2,1")
    for name in ("RANK", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=r"different numbers of tasks.*Found 2,1.*--nodes and"):
        say_tasks_a_machine()


def test_machines_are_those_of_the_step(monkeypatch):
    """A step of srun may have fewer machines than its job."""
    for name, value in (("PROCID", "0"), ("NNODES", "2"), ("STEP_NUM_NODES", "1")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.delenv("GROUP_WORLD_SIZE", raising=False)
    assert machines() == 1
