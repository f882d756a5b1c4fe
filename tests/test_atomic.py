"""Whole or absent, also when the writer dies, the disk is full, or two write at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from epilm.atomic import atomic_file, atomic_folder, locked
from epilm.errors import EpilmError


def test_an_exception_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        1 / 0
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(EpilmError, match="exists already"), atomic_folder(tmp_path / "out"):
        pytest.fail("the body must not run")


def test_overwrite_replaces_only_on_success(tmp_path):
    out = tmp_path / "out"
    for text in ("old", "new"):
        with atomic_folder(out, overwrite=True) as folder:
            (folder / "a").write_text(text)
    with pytest.raises(KeyError), atomic_folder(out, overwrite=True) as folder:
        (folder / "a").write_text("never")
        raise KeyError
    assert (out / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_file_keeps_its_old_content_when_the_writer_fails(tmp_path):
    name = tmp_path / "a.json"
    name.write_text("old")
    with pytest.raises(ValueError), atomic_file(name) as temporary:
        temporary.write_text("new")
        raise ValueError
    assert name.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


DIE = """
import os, signal, sys
from epilm.atomic import atomic_folder
with atomic_folder(sys.argv[1]) as folder:
    (folder / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path):
    out = tmp_path / "out"
    subprocess.run([sys.executable, "-c", DIE, str(out)], check=False)
    assert not out.exists()
    with atomic_folder(out) as folder:
        (folder / "a").write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


HOLD = (
    "import sys, time; from epilm.atomic import locked\nwith locked(sys.argv[1]): print('held',"
    " flush=True); time.sleep(60)"
)


def test_a_second_process_is_told_and_a_killed_one_frees_the_lock(tmp_path):
    path = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(EpilmError, match="another process is writing"), locked(path):
            pytest.fail("the lock was given twice")
        os.kill(holder.pid, signal.SIGKILL)
    for _ in range(100):
        try:
            with locked(path):
                return
        except EpilmError:
            time.sleep(0.05)
    pytest.fail("the lock outlived its process")


FILL = """
import resource, signal, sys
from epilm.atomic import atomic_folder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_folder(sys.argv[1]) as folder:
        with open(folder / "big", "wb") as handle:
            handle.write(b"0" * 100_000)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_write_the_system_refuses_is_one_clear_error(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("EpilmError")
    assert "cannot write" in done.stdout
    assert list(Path(tmp_path).iterdir()) == []
