"""Trees of bigWig and bigBed files that have a circle, or name what is not there, are refused
before anything follows them.
"""

import struct

import pybigtools
import pytest

from epilm.errors import InputError
from epilm.genome.segmentation import read_states
from epilm.genome.signals import open_signal, write_bigwig

SIZES = {f"chr{n}": 4000 for n in range(1, 9)}


@pytest.fixture
def bigwig(tmp_path):
    path = tmp_path / "a.bw"
    write_bigwig(path, SIZES, [(c, i, i + 2, float(i)) for c in SIZES for i in range(0, 3990, 3)])
    return path


def changed(path, at, kind, value):
    """Write a number into a file."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + kind, content, at, value)
    path.write_bytes(content)
    return path


def places(path):
    """Of the tree of chromosomes, and of the index."""
    chroms, _, index = struct.unpack("<3Q", path.read_bytes()[8:32])
    return chroms, index


def read(path):
    return open_signal(path).read("chr1", 4000)


def test_whole_files_are_read(bigwig, tmp_path):
    assert read(bigwig)[:4].tolist()[:2] == [0.0, 0.0]
    rows = [("chr1", 200 * i, 200 * i + 200, f"{i}_S") for i in range(5)]
    pybigtools.open(str(tmp_path / "a.bb"), "w").write(SIZES, iter(rows))
    assert read_states(tmp_path / "a.bb", SIZES).names


def test_an_index_with_a_circle_is_refused(bigwig):
    """Its root becomes an inner node whose only child it is itself."""
    _, index = places(bigwig)
    root = index + 48
    changed(bigwig, root, "B", 0)
    changed(bigwig, root + 2, "H", 1)
    changed(bigwig, root + 4 + 16, "Q", root)
    with pytest.raises(InputError, match=f"the index comes back to byte {root}: it has a circle"):
        read(bigwig)


def test_chromosomes_with_a_circle_are_refused(bigwig):
    chroms, _ = places(bigwig)
    (key,) = struct.unpack_from("<I", bigwig.read_bytes(), chroms + 8)
    root = chroms + 32
    changed(bigwig, root, "B", 0)
    changed(bigwig, root + 2, "H", 1)
    changed(bigwig, root + 4 + key, "Q", root)
    with pytest.raises(InputError, match="tree of chromosomes comes back to byte"):
        read(bigwig)


@pytest.mark.parametrize(
    ("where", "kind", "value", "said"),
    [
        (lambda c, i: 52, "I", 0xFFFFFFFF, "blocks that unpack to 4,294,967,295 bytes"),
        (lambda c, i: c + 8, "I", 0xFFFFFFFF, "no tree of chromosomes"),
        (lambda c, i: c, "I", 7, "no tree of chromosomes"),
        # The reader asked for room for all of them, and the process was aborted.
        (
            lambda c, i: c + 16,
            "Q",
            1 << 40,
            "1,099,511,627,776 chromosomes, of which",
        ),
        (lambda c, i: c + 32, "B", 2, "the tree of chromosomes has no node at"),
        (lambda c, i: i, "I", 7, "no index at"),
        (lambda c, i: i + 48 + 4 + 24, "Q", 10**12, "names a block past the end of the file"),
        (lambda c, i: i + 48 + 4 + 16, "Q", 2**64 - 8, "names a block past the end of the file"),
        (lambda c, i: i + 48 + 2, "H", 0xFFFF, "bytes at"),
    ],
)
def test_numbers_that_name_what_is_not_there(bigwig, where, kind, value, said):
    changed(bigwig, where(*places(bigwig)), kind, value)
    with pytest.raises(InputError, match=said):
        read(bigwig)


def test_a_tree_deeper_than_any_is_refused(bigwig):
    """The reader goes down by recursion: a million nodes of one child each end its process."""
    size, (chroms, _) = bigwig.stat().st_size, places(bigwig)
    (key,) = struct.unpack_from("<I", bigwig.read_bytes(), chroms + 8)
    node = 4 + key + 8
    chain = b"".join(
        struct.pack(f"<BBH{key}sQ", 0, 0, 1, b"", size + node * (n + 1)) for n in range(100_000)
    )
    bigwig.write_bytes(bigwig.read_bytes() + chain + b"\x01\x00\x00\x00")
    changed(bigwig, chroms + 32, "B", 0)
    changed(bigwig, chroms + 34, "H", 1)
    changed(bigwig, chroms + 36 + key, "Q", size)
    with pytest.raises(InputError, match="the tree of chromosomes has no node at"):
        read(bigwig)
