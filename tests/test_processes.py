"""A command beside this process: its output, its failure, its end when this process leaves by an
error.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from epilm.errors import EpilmError
from epilm.processes import Beside, same_modules


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
    words = [
        "ablate",
        "playground_ebert",
        "--out",
        str(tmp_path / "out"),
        "--size",
        "full",
    ]  # minutes
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Beside(words, tmp_path / "log") as beside:
        raise KeyboardInterrupt
    assert time.monotonic() - started < 60
    with pytest.raises(EpilmError, match="code -15"):
        beside.wait()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for a process in /proc")
def test_it_ends_with_what_started_it_even_where_that_is_killed(tmp_path):
    words = [
        "ablate",
        "playground_ebert",
        "--out",
        str(tmp_path / "out"),
        "--size",
        "full",
    ]  # minutes
    script = (
        "import sys, time; from pathlib import Path; from epilm.processes import Beside\n"
        f"beside = Beside({words!r}, Path({str(tmp_path / 'log')!r}))\n"
        "print(beside._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=same_modules()
    ) as parent:
        stat = Path(f"/proc/{int(parent.stdout.readline())}/stat")
        time.sleep(1)
        assert stat.exists()
        parent.kill()
    until = time.monotonic() + 60
    while stat.exists() and ") Z " not in stat.read_text() and time.monotonic() < until:
        time.sleep(0.1)
    assert not stat.exists() or ") Z " in stat.read_text()


def test_its_time_is_its_own_and_not_that_of_waiting_for_it(tmp_path):
    with Beside(["ls", "recipes"], tmp_path / "log") as beside:
        taken = beside.wait()
        time.sleep(0.3)
        assert beside.wait() == taken
