"""Writing a store: whole or absent, one at a time, also on a full disk."""

import subprocess
import sys

import numpy as np
import pytest

from epilm.atomic import atomic_folder
from epilm.errors import EpilmError, InputError, StoreError
from epilm.store.making.writer import allocate, write_store
from toy_raw import make
from toy_store import toy_regions


def test_an_existing_folder_is_not_touched(raw, tmp_path):
    store = make(raw, tmp_path / "s")
    before = (store.path / "store.json").read_bytes()
    with pytest.raises(EpilmError, match=r"exists already.*--overwrite"):
        make(raw, tmp_path / "s", overlaps="keep")
    assert (store.path / "store.json").read_bytes() == before
    with pytest.raises(InputError, match="no such peak file"):
        make(raw, tmp_path / "s", peaks=tmp_path / "no", overwrite=True)
    assert (store.path / "store.json").read_bytes() == before
    again = make(raw, tmp_path / "s", overlaps="keep", overwrite=True)
    assert again.fingerprint != store.fingerprint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


def test_two_builds_into_one_folder_at_once_meet_at_the_lock(raw, tmp_path):
    with (
        atomic_folder(tmp_path / "s"),
        pytest.raises(EpilmError, match="another process is writing this folder"),
    ):
        make(raw, tmp_path / "s")


def test_a_full_disk_is_one_message_and_leaves_nothing(raw, tmp_path):
    """A limit on file sizes is what a test without root can do; the error takes the same way."""
    out = tmp_path / "out"
    code = f"""
import resource, sys
from pathlib import Path
from epilm.store.making.build import build
from epilm.errors import EpilmError
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
try:
    build(genome={str(raw / "g.fa")!r}, peaks={str(raw / "peaks")!r}, out={str(out / "s")!r})
except EpilmError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{out / 's'}: cannot write: a file may not grow that large here" in done.stdout
    assert list(out.iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MB, where the machine allows to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_really_full_disk_says_so_before_any_damage(raw, tiny_disk):
    (tiny_disk / "filler").write_bytes(bytes(1_020_000))
    with pytest.raises(EpilmError, match="the disk is full; nothing was left half-written"):
        make(raw, tiny_disk / "s")
    assert [p.name for p in tiny_disk.iterdir()] == ["filler"]


def parts(**change):
    regions = toy_regions((3,))
    given = {
        "genome": {"chr1": np.zeros(2000, np.uint8)},
        "regions": regions,
        "accessible": np.ones((3, 2), bool),
        "cell_types": ["a", "b"],
    }
    return {**given, **change}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell_types": ["a", "a"]}, "a cell type has the name of another. Found a"),
        ({"cell_types": []}, "there is no cell type"),
        ({"accessible": np.ones((2, 2), bool)}, "accessible has another shape"),
        ({"counts": np.ones((3, 3))}, "counts has another shape"),
        ({"factors": np.ones((3, 2)), "motifs": [{"id": "m"}]}, "factors has another shape"),
        (
            {
                "factors": np.ones((3, 1)),
                "motifs": [{"id": "m"}],
                "more_factors": {"sum": np.ones((3, 2))},
            },
            "sum has another shape than regions x motifs",
        ),
        (
            {"more_factors": {"sum": np.ones((3, 0))}},
            "further factor matrices need a first one. Found sum",
        ),
        ({"regions": toy_regions((3,))[::-1]}, "not sorted"),
        ({"regions": toy_regions((3,))[:0]}, "no region is left"),
        ({"genome": {"chr1": np.zeros(100, np.uint8)}}, "a region lies outside its chromosome"),
    ],
)
def test_parts_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, change, message):
    with pytest.raises(StoreError, match=message):
        write_store(tmp_path / "s", **parts(**change))
    assert list(tmp_path.iterdir()) == []


def test_empty_arrays_can_be_written(tmp_path):
    allocate(tmp_path / "a.npy", np.dtype(np.int8), (0, 3))
    assert np.load(tmp_path / "a.npy").shape == (0, 3)
    with pytest.raises(FileExistsError):
        allocate(tmp_path / "a.npy", np.int8, (2,))


def test_a_second_write_needs_overwrite(tmp_path):
    write_store(tmp_path / "s", **parts())
    with pytest.raises(EpilmError, match="exists already"):
        write_store(tmp_path / "s", **parts())
    write_store(tmp_path / "s", **parts(), overwrite=True)
