"""A command beside this process: its output, its failure, its end when this process leaves by an error."""

import time

import pytest

from epilm.errors import EpilmError
from epilm.experiments.beside import Beside


def test_a_command_that_fails_is_told_with_its_last_line_and_its_log(tmp_path):
    log = tmp_path / "log"
    with (
        Beside(["ablate", "no_such_thing", "--out", str(tmp_path / "out")], log) as beside,
        pytest.raises(EpilmError, match=r"beside this one failed.*no_such_thing") as told,
    ):
        beside.wait()
    assert str(log) in str(told.value)
    assert log.read_text().strip().splitlines()[-1] in str(told.value)


def test_it_ends_with_what_started_it(tmp_path):
    words = ["ablate", "playground_ebert", "--out", str(tmp_path / "out"), "--size", "full"]  # minutes
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Beside(words, tmp_path / "log") as beside:
        raise KeyboardInterrupt
    assert time.monotonic() - started < 60
    with pytest.raises(EpilmError, match="code -15"):
        beside.wait()


def test_its_time_is_its_own_and_not_that_of_waiting_for_it(tmp_path):
    with Beside(["ls", "recipes"], tmp_path / "log") as beside:
        taken = beside.wait()
        time.sleep(0.3)
        assert beside.wait() == taken
