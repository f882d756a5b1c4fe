"""Pieces of work in processes of their own: all answers come, and a process that dies loses one."""

import os
import signal
from dataclasses import dataclass

import pytest

from epilm.trials.side_by_side import LOST, side_by_side


@dataclass
class Toy:
    """Answers twice; ends its own process at one of the pieces."""

    deadly: int = -1

    def work(self, number, piece):
        yield number, piece
        if piece == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        yield number, os.getpid()


def test_all_pieces_are_answered_and_one_that_kills_its_process_is_said():
    pieces = [(f"p{n}", n) for n in range(4)]
    answers: dict = {name: [] for name, _ in pieces}
    for name, answer in side_by_side(Toy(deadly=1), pieces, jobs=2):
        answers[name].append(answer)
    assert all(got[-1] is None for got in answers.values())
    for name, n in pieces:
        assert answers[name][0] == (name, n)
    assert answers["p1"][1][0] == LOST
    assert "SIGKILL" in answers["p1"][1][1]
    pids = {answers[name][1][1] for name, n in pieces if n != 1}
    assert os.getpid() not in pids


def test_processes_end_when_the_caller_stops():
    pieces = [(n, n) for n in range(5)]
    answers = side_by_side(Toy(), pieces, jobs=2)
    pid = next(a[1] for _, a in answers if a is not None and a[1] > 5)
    answers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
