"""Peak files in and out; the first bad line is named."""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.peaks import read_peaks, write_bed, write_narrow_peak

LINE = "chr1\t10\t20\tp1\t5\t+\t1.5\t3\t-1\t4\n"


def test_narrow_peak_by_hand_with_headers_crlf_and_gzip(tmp_path):
    text = (
        "track type=narrowPeak name=x\n#comment\n"
        + LINE
        + "browser position chr1\n\nchr2\t0\t7\t.\t.\t.\t2\t-1\t-1\t-1\n"
    )
    for name, data in [
        ("a.narrowPeak", text.encode()),
        ("a.txt", text.replace("\n", "\r\n").encode()),
        ("a.gz", gzip.compress(text.encode())),
    ]:
        (tmp_path / name).write_bytes(data)
        table = read_peaks(tmp_path / name)
        assert table.attrs["format"] == "narrowPeak"
        assert table.index.tolist() == [3, 6]
        assert table.index.name == "line"
        assert table["summit"].tolist() == [14, -1]
        assert table["chrom"].tolist() == ["chr1", "chr2"]
        assert table["score"].isna().tolist() == [False, True]
        assert table["start"].dtype == table["end"].dtype == np.int64
        assert table["strand"].tolist() == ["+", "."]


@pytest.mark.parametrize(
    ("line", "columns", "ignored"),
    [
        ("chr1\t1\t5", [], []),
        ("chr1\t1\t5\tx", ["name"], []),
        ("chr1\t1\t5\tx\t7\t-", ["name", "score", "strand"], []),
        ("chr1\t1\t5\t18_Quiescent\t255,255,255", ["name"], ["score"]),
        ("chr1\t1\t5\tx\t7\tyes", ["name", "score"], ["strand"]),
        (
            "chr1\t1\t5\tx\t0\t+\t1\t5\t0\t1\t4,\t0,",
            ["name", "score", "strand"],
            ["7", "8", "9", "10", "11", "12"],
        ),
    ],
)
def test_bed_of_any_width_is_read_as_far_as_it_is_bed(tmp_path, line, columns, ignored):
    (tmp_path / "a.bed").write_text(line)  # no line end
    table = read_peaks(tmp_path / "a.bed")
    assert table.columns[3:].tolist() == columns
    assert table.attrs["ignored"] == ignored
    assert table.attrs["format"] == "bed"


def test_extra_columns_broad_peaks_and_a_given_format(tmp_path):
    (tmp_path / "a.relaxed.narrowPeak").write_text(LINE.strip() + "\t1\t2\n")
    assert read_peaks(tmp_path / "a.relaxed.narrowPeak")["summit"].tolist() == [14]
    (tmp_path / "a.broadPeak").write_text("chr1\t1\t5\tx\t7\t.\t1\t2\t3\n")
    assert read_peaks(tmp_path / "a.broadPeak").columns[-1] == "q"
    (tmp_path / "a.bed").write_text(LINE)
    assert "summit" in read_peaks(tmp_path / "a.bed")
    assert "summit" not in read_peaks(tmp_path / "a.bed", format="bed")
    with pytest.raises(ValueError, match="format must be"):
        read_peaks(tmp_path / "a.bed", format="gff")


def test_a_summit_on_the_end_as_spp_writes_it_is_the_last_base(tmp_path):
    (tmp_path / "a.narrowPeak").write_text("chr1\t10\t20\t.\t0\t.\t1\t-1\t-1\t10\n")
    table = read_peaks(tmp_path / "a.narrowPeak")
    assert table["summit"].tolist() == [19]
    assert table.attrs["summits_at_end"] == 1


def test_the_round_thousands_of_r_are_whole_numbers(tmp_path):
    (tmp_path / "a.bed").write_text("chr1\t1e+05\t100200\n")
    assert read_peaks(tmp_path / "a.bed")["start"].tolist() == [100_000]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["the file is empty", "0 bytes"]),
        ("#only\ntrack x\n", ["the file holds no peak"]),
        ("chr1\t10\t20\nchr1\t30\t30\n", ["line 2", "holds no base", "chr1:30-30", "start < end"]),
        ("chr1\t10\t20\nchr1\t40\t30\nchr1\t9\t8\n", ["line 2", "1 more line", "chr1:40-30"]),
        ("#h\nchr1\t-1\t20\n", ["line 2", "start is negative", "chr1:-1-20"]),
        (
            "chr1\t10\t20\nchr1\t1.5\t200000\n",
            ["line 2", "the start is not a whole number", "'1.5'", "digits in column 2"],
        ),
        ("chr1\t10\t20\nchr1\tten\t20\n", ["line 2", "the start is not a whole number", "'ten'"]),
        ("chr1\t10\t20\nchr1\t1\t\n", ["line 2", "the end is not a whole number", "''"]),
        ("chrom\tstart\tend\nchr1\t10\t20\n", ["line 1", "column header", "put # before it"]),
        ("chr1 10 20\n", ["line 1", "not separated by tabs", "sed"]),
        ("chr1\t10\n", ["line 1", "wrong format", "2 columns"]),
        ("hello\n", ["line 1", "wrong format", "1 column:"]),
        ("chr1\t10\t20\nchr1\t10\n", ["line 2", "cut short", "3 columns as in the first line"]),
        ("chr1\t10\t20\ta\nchr1\t10\t20\n", ["line 2", "cut short"]),
        ("chr1\t10\t20\nchr1\t10\t20\tx\n", ["line 2", "another number of columns"]),
        (
            "chr1\t10\t20\ta\nchr1\t10\t20\tx\ty\nchr1\t10\t20\n",
            ["line 2", "another number of columns"],
        ),
        ("\t10\t20\n", ["line 1", "the chromosome has no name"]),
        ("chr1\t1\t99999999999999999999\n", ["line 1", "no position on a chromosome"]),
        (
            "chr1\t10\t20\tp\t5\t+\t1\t3\t-1\t11\n",
            ["line 1", "the summit is outside its peak", "offset 11"],
        ),
        (
            LINE + "chr1\t10\t20\tp\t5\t+\thigh\t3\t-1\t1\n",
            ["line 2", "the signal is not a number", "'high'"],
        ),
        (LINE + "chr1\t10\t20\tp\t5\t*\t1\t3\t-1\t1\n", ["line 2", "not a strand", "'*'"]),
        (
            LINE + "chr1\t10\t20\tp\t5\t+\t1\t3\t-1\t1.5\n",
            ["line 2", "the summit offset is not a whole number"],
        ),
        ("BAM\x01xx", ["wrong format", "BAM", "macs3"]),
        ("\x00\x01\x02", ["wrong format", "binary data"]),
    ],
)
def test_a_bad_peak_file_is_named_by_line_with_the_cure(tmp_path, text, words):
    path = tmp_path / "a.bed"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_peaks(path)
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_a_truncated_gzip_and_a_missing_file_are_named(tmp_path):
    data = gzip.compress("".join(f"chr1\t{i * 7919 % 99991}\t99999\n" for i in range(999)).encode())
    (tmp_path / "a.bed.gz").write_bytes(data[:-20])
    with pytest.raises(InputError, match="truncated"):
        read_peaks(tmp_path / "a.bed.gz")
    with pytest.raises(InputError, match="there is no such file"):
        read_peaks(tmp_path / "b.bed")
    with pytest.raises(InputError, match="this is a folder"):
        read_peaks(tmp_path)


NAMES = st.text(
    alphabet=st.characters(
        blacklist_characters="\t\n\r\x00", blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]
    ),
    min_size=1,
    max_size=8,
)
PEAK = st.tuples(
    st.sampled_from(["chr1", "chrX", "2", "NA", "track_1"]),
    st.integers(0, 10**9),
    st.integers(1, 10**6),
    NAMES,
    st.integers(0, 1000),
    st.sampled_from("+-."),
    st.floats(0, 1e6, allow_nan=False),
    st.integers(-1, 10**6),
)


def table_of(peaks):
    table = pd.DataFrame(
        peaks, columns=["chrom", "start", "width", "name", "score", "strand", "signal", "offset"]
    )
    table["end"] = table["start"] + table["width"]
    offset = np.minimum(table["offset"], table["width"] - 1)
    table["summit"] = np.where(offset < 0, -1, table["start"] + offset)
    return table


@settings(max_examples=80, deadline=None)
@given(st.lists(PEAK, min_size=1, max_size=8), st.booleans())
def test_a_narrow_peak_file_written_and_read_is_the_same(peaks, packed):
    table = table_of(peaks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.narrowPeak.gz" if packed else "a.narrowPeak")
        write_narrow_peak(path, table)
        back = read_peaks(path)
    for column in ("chrom", "start", "end", "name", "strand", "summit"):
        assert back[column].tolist() == table[column].tolist()
    assert np.allclose(back["signal"], table["signal"], rtol=1e-12)
    assert back["score"].tolist() == table["score"].tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(PEAK, min_size=1, max_size=8), st.integers(3, 6))
def test_a_bed_file_written_and_read_is_the_same(peaks, width):
    columns = ["chrom", "start", "end", "name", "score", "strand"][:width]
    table = table_of(peaks)[columns]
    with tempfile.TemporaryDirectory() as folder:
        write_bed(Path(folder) / "a.bed", table)
        back = read_peaks(Path(folder) / "a.bed")
    assert back.columns.tolist() == columns
    assert (
        back.astype(str).values.tolist()
        == table.astype(back.dtypes.to_dict()).astype(str).values.tolist()
    )


def test_two_hundred_thousand_peaks_are_all_read(tmp_path):
    n = 200_000
    start = np.arange(n) * 600
    table = pd.DataFrame(
        {
            "chrom": "chr1",
            "start": start,
            "end": start + 500,
            "summit": start + 250,
            "name": [f"p{i}" for i in range(n)],
        }
    )
    write_narrow_peak(tmp_path / "a.narrowPeak", table)
    assert len(read_peaks(tmp_path / "a.narrowPeak")) == n


def test_every_real_peak_file_is_read_whole(real_data):
    files = sorted(real_data.rglob("*.narrowPeak.gz"))
    files += sorted((real_data / "atac_brain_hg19").glob("*.bed.gz"))
    assert len(files) > 150
    for path in files:
        table = read_peaks(path)
        assert len(table) == len(gzip.decompress(path.read_bytes()).splitlines()), path.name
        assert ("summit" in table) == ("narrowPeak" in path.name)
    blood = read_peaks(real_data / "atac_blood_hg19" / "B.narrowPeak.gz")
    assert blood.iloc[0][["chrom", "start", "end", "summit"]].tolist() == [
        "chr20",
        189624,
        189946,
        189792,
    ]
