"""Work of one process: who asked it to end, and where signals go (several: tests/flows)."""

import os
import signal

import pytest
import torch

from epilm.errors import AskedToStop, TrainingError
from epilm.training.engine import Team, together

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
