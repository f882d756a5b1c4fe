"""HDF5 files that the library would go on in for ever, or that claim too much, are refused by a
process beside this one; whole files are read as they are.
"""

import os
import signal
import struct

import h5py
import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome import hdf5_walk
from epilm.genome.hdf5_walk import check_hdf5, walk


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_walk, "SECONDS", 0)  # one, as the limit is of whole seconds
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/numbers"] = np.arange(6.0)
        file["texts"] = np.array(["one", "two"], object)
        file["group"].attrs["word"] = "three"
    return tmp_path / "a.h5"


def changed(path, at, kind, value):
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + kind, content, at, value)
    path.write_bytes(content)


def test_a_whole_file_is_walked(path):
    check_hdf5(path)
    assert walk(path) == {"claimed": 6 * 8 + 2 * 8, "sides": [], "circle": ""}  # a text: 8 bytes


def test_texts_whose_length_wraps_around_are_refused_and_the_next_file_is_not(path):
    """The library steps by the length, rounded up, and its head: by nothing."""
    whole = path.read_bytes()
    heap = whole.index(b"GCOL")
    changed(path, heap + 16 + 8, "Q", 2**64 - 16)
    with pytest.raises(InputError) as refusal:
        check_hdf5(path)
    assert "a.h5: the HDF5 file leads its library astray" in str(refusal.value)
    path.write_bytes(whole)
    check_hdf5(path)


def test_a_walker_that_dies_is_told_by_its_signal_and_one_that_was_ended_is_started_anew(
    path, monkeypatch
):
    check_hdf5(path)
    hdf5_walk._walker.kill()
    hdf5_walk._walker.wait()
    check_hdf5(path)
    monkeypatch.setattr(hdf5_walk, "_ask", lambda path: signal.SIGSEGV)
    with pytest.raises(InputError, match="a process that read its tables died of SIGSEGV"):
        check_hdf5(path)


def test_a_tree_of_names_that_is_its_own_neighbour_is_refused(path):
    whole = path.read_bytes()
    tree = whole.index(b"TREE")
    changed(path, tree + 16, "Q", tree)
    with pytest.raises(InputError, match="no end of its tables"):
        check_hdf5(path)


def test_a_group_that_holds_itself_is_refused(path):
    with h5py.File(path, "a") as file:
        file["group/again"] = file["group"]
    with pytest.raises(InputError, match="a group of the HDF5 file holds itself") as refusal:
        check_hdf5(path)
    assert "Found /group/again" in str(refusal.value).replace("\n    ", " ")


def test_a_link_to_nothing_and_a_file_that_is_none_are_left_to_their_reader(path):
    with h5py.File(path, "a") as file:
        file["lost"] = h5py.SoftLink("/nowhere")
        file["far"] = h5py.ExternalLink("nowhere.h5", "/")
    check_hdf5(path)
    path.write_bytes(b"no HDF5")
    check_hdf5(path)


def test_chunks_that_were_never_written_are_counted(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("X", (10**6, 10**6), np.float32, chunks=(1000, 1000))
    with pytest.raises(InputError, match="unpacks to far more than measured data would"):
        check_hdf5(path)


def test_a_forked_process_asks_a_walker_of_its_own(path):
    check_hdf5(path)
    child = os.fork()
    if not child:
        check_hdf5(path)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    check_hdf5(path)
