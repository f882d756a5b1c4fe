"""Whole or absent, also when the writer dies, the disk is full, or two write at once."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from epilm.atomic import (
    atomic_file,
    atomic_folder,
    cannot_write,
    is_disk_full,
    locked,
    read_checked,
    write_json,
)
from epilm.errors import DamagedError, EpilmError


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


DIE_IN_A_FILE = """
import os, signal, sys
from epilm.atomic import atomic_file
with atomic_file(sys.argv[1]) as name:
    name.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_of_a_file_left_goes_and_what_is_in_use_stays(tmp_path):
    out, other = tmp_path / "a.tsv", tmp_path / ".a.tsv.notes"
    other.write_text("of somebody else")
    subprocess.run([sys.executable, "-c", DIE_IN_A_FILE, str(out)], check=False)
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_file(out) as first:
        first.write_text("first")
        with atomic_file(out) as second:  # as another process would: it leaves ours alone
            assert sorted(tmp_path.iterdir()) == sorted([other, first.parent, second.parent])
            second.write_text("second")
    assert out.read_text() == "first"
    assert sorted(tmp_path.iterdir()) == sorted([other, out])


@pytest.mark.parametrize("able", [True, False])
def test_a_folder_is_replaced_in_one_step_or_put_back(tmp_path, monkeypatch, able):
    """Killed between two renames nothing would stand there: the next writer puts it back."""
    out, rename = tmp_path / "out", os.replace
    if not able:
        monkeypatch.setattr("epilm.atomic._exchange", lambda new, old: False)
    with atomic_folder(out) as folder:
        (folder / "a").write_text("old")

    def killed(source, target):
        rename(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr("epilm.atomic.os.replace", killed)
    if able:
        with atomic_folder(out, overwrite=True) as folder:
            (folder / "a").write_text("new")
        assert (out / "a").read_text() == "new"
    else:
        with pytest.raises(KeyboardInterrupt), atomic_folder(out, overwrite=True) as folder:
            (folder / "a").write_text("new")
        assert not out.exists()
        monkeypatch.setattr("epilm.atomic.os.replace", rename)
        with pytest.raises(EpilmError, match="exists already"), atomic_folder(out):
            pytest.fail("the body must not run")
        assert (out / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


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


def test_one_that_waits_gets_its_turn(tmp_path):
    path, order = tmp_path / "run", []

    def second():
        with locked(path, wait=True):
            order.append("second")

    with locked(path):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


FILL = """
import resource, signal, sys
import torch
from epilm.atomic import atomic_folder
from epilm.tensor_files import save_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_folder(sys.argv[1], wants=100_000) as folder:
        {write}
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    "write",
    [
        'open(folder / "big", "wb").write(b"0" * 100_000)',
        'save_tensors(folder / "big", {"x": torch.zeros(25_000)})',
    ],
    ids=["bytes", "tensors"],
)
def test_a_write_the_system_refuses_is_one_clear_error(tmp_path, write):
    done = subprocess.run(
        [sys.executable, "-c", FILL.format(write=write), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("EpilmError")
    assert "a file may not grow that large here" in done.stdout
    assert "Expected 100.0 kB, which it takes" in done.stdout
    assert "ulimit -f" in done.stdout
    assert list(Path(tmp_path).iterdir()) == []


def test_a_full_disk_is_known_by_number_or_by_numpys_words():
    full = [OSError(errno.ENOSPC, "No space left on device"), OSError("25 requested and 2 written")]
    assert all(is_disk_full(error) for error in full)
    assert not is_disk_full(OSError("cannot identify image file"))
    text = str(cannot_write(full[0], "/nowhere/at/all/model", wants=1_320_000_000))
    assert text.startswith("/nowhere/at/all/model: the disk is full; nothing was left half-written")
    assert "free; expected 1.3 GB, which it takes. Free some space" in text
    assert "Found the quota used up" in str(cannot_write(OSError(errno.EDQUOT, ""), "/tmp/x"))


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_what_is_written_has_the_rights_that_the_umask_leaves(tmp_path, mask, file, folder):
    before = os.umask(mask)
    try:
        with atomic_folder(tmp_path / "out") as half:
            (half / "inner").mkdir()
            (half / "inner" / "private").touch(0o600)
        with atomic_file(tmp_path / "a.txt") as name:
            name.write_text("1")
    finally:
        os.umask(before)
    rights = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert rights == {"out": folder, "inner": folder, "private": file, "a.txt": file}


def test_damaged_json_is_told_from_a_table_of_other_order(tmp_path):
    name = tmp_path / "a.json"
    write_json(name, {"b": [1, 2.5], "a": {"x": None}}, checked=True)
    table = json.loads(name.read_text())
    name.write_text(json.dumps(table, sort_keys=True))
    assert read_checked(name) == {"b": [1, 2.5], "a": {"x": None}}
    name.write_text(json.dumps(table | {"b": [1, 2.4]}))
    with pytest.raises(DamagedError, match="damaged, or was changed by hand"):
        read_checked(name)
