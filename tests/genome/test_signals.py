"""Values base by base: what a file does not say is missing; pyBigWig and a plain loop are the
peers.
"""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.signals import open_signal, write_bigwig

from .track_lines import bedgraph

SIZES = {"chr1": 12, "chr2": 5}
RUNS = [("chr1", 2, 4, 1.5), ("chr1", 4, 5, 0.0), ("chr1", 9, 12, -2.0), ("chr2", 0, 5, 3.0)]
NAN = float("nan")
CHR1 = [NAN, NAN, 1.5, 1.5, 0.0, NAN, NAN, NAN, NAN, -2.0, -2.0, -2.0]


def files(folder: Path) -> list[Path]:
    write_bigwig(folder / "a.bw", SIZES, RUNS)
    lines = [f"{chrom} {start} {end} {value}" for chrom, start, end, value in RUNS]
    return [
        folder / "a.bw",
        bedgraph(folder, *lines),
        bedgraph(folder, "track type=bedGraph", "#c", *lines, name="b.txt.gz"),
    ]


def test_every_format_gives_the_same_bases(tmp_path):
    for path in files(tmp_path):
        signal = open_signal(path)
        assert signal.chroms == ("chr1", "chr2")
        assert signal.source == str(path)
        values = signal.read("chr1", 12)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, np.array(CHR1, np.float32))
        assert signal.read("chr2", 5).tolist() == [3.0] * 5
    assert open_signal(tmp_path / "a.bw").sizes == SIZES
    assert open_signal(tmp_path / "a.bedGraph").sizes is None


@pytest.mark.parametrize("block", [1, 3, 5, 12, 100])
def test_blocks_joined_are_the_whole(tmp_path, block):
    for path in files(tmp_path):
        pieces = list(open_signal(path).read_blocks("chr1", 12, block=block))
        assert [first for first, _ in pieces] == list(range(0, 12, block))
        np.testing.assert_array_equal(
            np.concatenate([piece for _, piece in pieces]), np.array(CHR1, np.float32)
        )


def test_a_window_is_what_the_whole_has_there(tmp_path):
    for path in files(tmp_path):
        signal = open_signal(path)
        for chrom, size in SIZES.items():
            whole = signal.read(chrom, size)
            for start in range(size):
                for end in range(start + 1, size + 1):
                    window = signal.read_window(chrom, start, end, size)
                    np.testing.assert_array_equal(window, whole[start:end])
        with pytest.raises(InputError, match="does not have the chromosome"):
            signal.read_window("chr7", 0, 3, 9)
        with pytest.raises(InputError, match="is longer than the genome's"):
            signal.read_window("chr1", 0, 3, 9)


def test_chromosomes_can_be_read_in_any_order_and_again(tmp_path):
    signal = open_signal(files(tmp_path)[1])
    assert signal.read("chr2", 5).tolist() == [3.0] * 5
    assert signal.read("chr1", 12)[2] == 1.5
    assert signal.read("chr2", 5).tolist() == [3.0] * 5


def test_a_chromosome_that_is_lacking_or_named_otherwise(tmp_path):
    for path in files(tmp_path):
        signal = open_signal(path)
        with pytest.raises(
            InputError, match=r"does not have the chromosome. Found chr1, chr2; expected chr7"
        ):
            signal.read("chr7", 5)
        with pytest.raises(
            InputError, match=r"named differently than in the genome. Found chr1; expected 1\."
        ):
            signal.read("1", 12)


def test_another_assembly_is_refused_and_a_first_part_can_be_cut(tmp_path):
    for path in files(tmp_path):
        signal = open_signal(path)
        with pytest.raises(
            InputError, match=r"longer than the genome's. Found chr1 of 12 bp; expected 4 bp"
        ):
            signal.read("chr1", 4)
        np.testing.assert_array_equal(
            signal.read("chr1", 4, past_end="cut"), np.array(CHR1[:4], np.float32)
        )
    with pytest.raises(
        InputError, match=r"shorter than the genome's. Found chr1 of 12 bp; expected 20 bp"
    ):
        open_signal(tmp_path / "a.bw").read("chr1", 20)
    longer = open_signal(tmp_path / "a.bedGraph").read("chr1", 20)  # a bedGraph says no length
    assert np.isnan(longer[12:]).all()


def test_the_mitochondrion_may_differ(tmp_path):
    write_bigwig(tmp_path / "m.bw", {"chrM": 8}, [("chrM", 0, 8, 1.0)])
    assert open_signal(tmp_path / "m.bw").read("chrM", 6).tolist() == [1.0] * 6
    assert np.isnan(open_signal(tmp_path / "m.bw").read("chrM", 10)[8:]).all()


def test_a_missing_value_is_missing(tmp_path):
    signal = open_signal(bedgraph(tmp_path, "chr1 0 2 NA", "chr1 2 3 1", "chr1 3 4 ."))
    np.testing.assert_array_equal(
        signal.read("chr1", 5), np.array([NAN, NAN, 1, NAN, NAN], np.float32)
    )


def test_files_that_are_none_are_named(tmp_path):
    whole = files(tmp_path)[0].read_bytes()
    for n in (40, 100, len(whole) // 2):
        (tmp_path / "half.bw").write_bytes(whole[:n])
        with pytest.raises(
            InputError, match=rf"half.bw: the bigWig file cannot be read.*after {n} bytes"
        ):
            open_signal(tmp_path / "half.bw")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"chr1\t0\t1\t1\n" * 3000)[:60])
    with pytest.raises(InputError, match=r"a.gz: the gzip file is truncated"):
        open_signal(tmp_path / "a.gz")
    (tmp_path / "empty.bw").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.bw: the file is empty"):
        open_signal(tmp_path / "empty.bw")
    (tmp_path / "page.bw").write_bytes(b"<html>404</html>")
    with pytest.raises(InputError, match=r"page.bw: wrong format. Found a web page"):
        open_signal(tmp_path / "page.bw")


def test_written_in_arrays_or_one_by_one_without_missing_values(tmp_path):
    blocks = [
        ("chr1", np.array([2, 4, 6, 9]), np.array([4, 5, 8, 12]), np.array([1.5, 0, NAN, -2.0])),
        ("chr2", 0, 5, 3.0),
    ]
    write_bigwig(tmp_path / "a.bw", SIZES, blocks)
    write_bigwig(tmp_path / "b.bw", SIZES, [*RUNS[:2], ("chr1", 6, 8, NAN), *RUNS[2:]])
    assert (tmp_path / "a.bw").read_bytes() == (tmp_path / "b.bw").read_bytes()
    np.testing.assert_array_equal(
        open_signal(tmp_path / "a.bw").read("chr1", 12), np.array(CHR1, np.float32)
    )


def test_a_writer_that_fails_leaves_no_file(tmp_path):
    def broken():
        yield RUNS[0]
        raise RuntimeError("the model fell over")

    with pytest.raises(RuntimeError, match="the model fell over"):
        write_bigwig(tmp_path / "a.bw", SIZES, broken())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (
            [("chr1", 2, 4, 1.0), ("chr1", 3, 5, 1.0)],
            (
                "a.bw: the runs to write are not sorted, overlap or pass the end. Found chr1:3-5"
                " after base 4"
            ),
        ),
        (
            [("chr1", np.array([2, 0]), np.array([4, 1]), np.array([1.0, 1.0]))],
            "Found chr1:0-1 after base 4; expected ascending, disjoint runs within 12 bp",
        ),
        (
            [("chr2", 2, 6, 1.0)],
            "Found chr2:2-6 after base 0; expected ascending, disjoint runs within 5 bp",
        ),
        (
            [("chr7", 2, 6, 1.0)],
            (
                "the chromosome to write is not in the genome. Found chr7; expected each of chr1,"
                " chr2 in one block"
            ),
        ),
        (
            [("chr1", 2, 4, 1.0), ("chr2", 0, 1, 1.0), ("chr1", 6, 7, 1.0)],
            "the chromosome to write comes back. Found chr1",
        ),
        ([("chr1", 2, 4, NAN)], "a.bw: there is no value to write"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_no_file(tmp_path, runs, message):
    with pytest.raises(InputError) as caught:
        write_bigwig(tmp_path / "a.bw", SIZES, runs)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_chromosomes_may_come_in_any_order_of_blocks(tmp_path):
    write_bigwig(
        tmp_path / "a.bw",
        {"chr2": 9, "chr10": 9, "chr1": 9},
        [("chr10", 1, 2, 1.0), ("chr2", 3, 4, 2.0)],
    )
    assert np.nansum(open_signal(tmp_path / "a.bw").read("chr2", 9)) == 2.0
    assert np.nansum(open_signal(tmp_path / "a.bw").read("chr10", 9)) == 1.0


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(-3, 3)), min_size=1, max_size=30
    ),
    st.integers(1, 9),
)
@settings(max_examples=40)
def test_any_runs_against_a_plain_loop(steps, block):
    """Runs as (gap, length, value)."""
    runs, at = [], 0
    for gap, length, value in steps:
        runs.append((at + gap, at + gap + length, float(value)))
        at += gap + length
    expected = np.full(at + 3, np.nan, np.float32)
    for start, end, value in runs:
        expected[start:end] = value
    with tempfile.TemporaryDirectory() as folder:
        path = bedgraph(Path(folder), *(f"c {start} {end} {value}" for start, end, value in runs))
        write_bigwig(Path(folder) / "a.bw", {"c": at + 3}, [("c", *run) for run in runs])
        for signal in (open_signal(path), open_signal(Path(folder) / "a.bw")):
            pieces = [piece for _, piece in signal.read_blocks("c", at + 3, block=block)]
            np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_real_bigwigs_against_pybigwig(real_data):
    peer = pytest.importorskip("pyBigWig")
    for path in sorted((real_data / "signal_hg19").glob("*.bw")):
        signal, other = open_signal(path), peer.open(str(path))
        assert signal.sizes == other.chroms()
        begin, end = 15_000_000, 22_000_000  # where the values are
        values = signal.read("chr22", end, past_end="cut")
        np.testing.assert_array_equal(
            values[begin:end], other.values("chr22", begin, end, numpy=True)
        )
        assert np.isfinite(values).sum() == other.header()["nBasesCovered"]
