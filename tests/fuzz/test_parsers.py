"""Every parser reads edited files or refuses them with an error of epilm, a few inputs each; and
what the long run (`tools/fuzz.py`) found stays mended.
"""

import gzip
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epilm.errors import EpilmError
from epilm.genome import hdf5_walk

from .parsers import LENGTHS, PARSERS, PIECES, drawn, mutate

EDIT = st.tuples(
    st.floats(0, 1, allow_nan=False),
    st.sampled_from(LENGTHS),
    st.integers(0, len(PIECES) + 3),
)
BY_NAME = {parser.name: parser for parser in PARSERS}
SLOW = {"counts: h5ad", "contacts: cool", "checkpoint: weights", "checkpoint: spec", "store.json"}
QUICK = [parser for parser in PARSERS if parser.name not in SLOW]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Whole files of each parser, made when they are asked for."""
    made = {}

    def of(parser):
        if parser.name not in made:
            made[parser.name] = tmp_path_factory.mktemp("whole")
            parser.make(made[parser.name])
        return made[parser.name]

    return of


def read_or_refuse(parser, path):
    """Anything but an error of epilm gets out, and fails the test."""
    with suppress(EpilmError):
        parser.read(path)


@pytest.mark.parametrize("parser", QUICK, ids=lambda parser: parser.name)
def test_edited_files_are_read_or_refused(parser, folder):
    path = folder(parser) / parser.file
    whole = path.read_bytes()

    @given(edits=st.lists(EDIT, min_size=1, max_size=4))
    @settings(max_examples=6, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: off
    def check(edits):
        path.write_bytes(mutate(whole, edits))
        read_or_refuse(parser, path)

    try:
        parser.read(path)  # the whole file is read, or nothing is shown
        check()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", sorted(SLOW))
def test_slow_parsers_with_one_edit(name, folder):
    parser = BY_NAME[name]
    path = folder(parser) / parser.file
    whole = path.read_bytes()
    parser.read(path)
    for number in (1, 2):
        path.write_bytes(mutate(whole, drawn(number)))
        read_or_refuse(parser, path)


# What `tools/fuzz.py` found, before it was mended: parser, bytes of the whole file, bytes instead.
FOUND = [
    ("FASTA, bgzip: .fai", b"chr1", b"ch\xff"),  # UnicodeDecodeError
    ("counts: mtx", b"3 1 5\n", b"3 1 5\xff\xff"),  # scipy died of a segmentation fault
    ("counts: mtx", b"3 1 5\n", b"3 1 5-"),
    ("store.json", b'"bytes"', b'"bites"'),  # KeyError
    ("store.json", b'"resolution"', b'"revolution"'),
    ("contacts: text", b"chr1", b"ch\xff"),
    ("narrowPeak, gzip", b"\t1.5\t2\t", b"\t1.5\tnan\t"),  # ValueError
    ("narrowPeak, gzip", b"\t50\n", b"\t" + b"9" * 30 + b"\n"),  # OverflowError
    ("PLINK .bim", b"chr1", b"ch\xff"),
    ("PLINK .fam", b"a a", b"\xff a"),
    ("counts: h5ad", b"HEAP", b"HEAQ"),  # RuntimeError of h5py
    ("counts: 10x .h5", b"HEAP", b"HEAQ"),
    ("list of peaks", b"chr2-0-7", b"chr2-0-7" + b"9" * 30),  # OverflowError
    ("contacts: cool", b"HEAP", b"HEAQ"),  # OSError of h5py
    ("ablation", b"bin_step: 100", b"bin_step: .inf"),  # OverflowError
    ("narrowPeak, gzip", b"\t50\n", b"\t1e2147483648\n"),  # pandas died of a segmentation fault
    ("bedGraph", b"\t1.5\n", b"\t1e2147483648\n"),
    ("labelled sequences", b"\t0\ttrain", b"\t" + b"9" * 20 + b"\ttrain"),  # OverflowError
    ("manifest", b"sets.tsv\tgc", b"9" * 400 + b"\tgc"),  # OSError
]


# Finds of which the edit says little: they are made again by their number.
NUMBERED = [
    ("counts: RDS, Seurat", 200685),
    ("contacts: cool", 200127),
    ("bedGraph", 1008110),  # pandas died of a segmentation fault
    ("bigWig", 1006710),  # aborted: memory for 2^41 chromosomes
    ("bigBed", 1000171),
    ("counts: 10x .h5", 1003428),  # no end: a tree of names whose node is its own neighbour
    ("contacts: cool", 1008337),  # no end: the length of a text wraps around
    ("contacts: cool", 1021444),  # HDF5 died of a segmentation fault
    ("counts: h5ad", 1021140),
    ("counts: h5ad", 1043523),  # scipy wrote past its memory: pointers 0 256 0 512 0, no values
    ("counts: 10x .h5", 1045467),
    ("counts: RDS", 1001176),  # MemoryError: 10^9 rows
    ("store.json", 1004988),  # OverflowError: a chromosome of 10^31 bases
]


@pytest.mark.parametrize(("name", "number"), NUMBERED)
def test_what_was_found_by_its_number_is_read_or_refused_now(name, number, folder, monkeypatch):
    monkeypatch.setattr(hdf5_walk, "SECONDS", 0)
    parser = BY_NAME[name]
    path = folder(parser) / parser.file
    whole = path.read_bytes()
    try:
        path.write_bytes(mutate(whole, drawn(number)))
        read_or_refuse(parser, path)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(("name", "old", "new"), FOUND)
def test_what_was_found_is_read_or_refused_now(name, old, new, folder):
    parser = BY_NAME[name]
    path = folder(parser) / parser.file
    whole = path.read_bytes()
    packed = whole[:2] == b"\x1f\x8b"
    plain = gzip.decompress(whole) if packed else whole
    assert old in plain
    edited = plain.replace(old, new, 1)
    try:
        path.write_bytes(gzip.compress(edited) if packed else edited)
        read_or_refuse(parser, path)
    finally:
        path.write_bytes(whole)
