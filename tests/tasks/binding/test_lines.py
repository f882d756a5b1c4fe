"""Lines of any kind: read right, or refused with one message; never another exception."""

import contextlib
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.tasks.binding import read_bins, read_labels
from epilm.tasks.binding.dream.submission import read_submission
from epilm.tasks.binding.dream.write import decimals, digits, lines
from epilm.tasks.binding.lines import first_line, iter_lines

words = st.sampled_from(
    [
        "chr1",
        "chr2",
        "0",
        "50",
        "200",
        "250",
        "-1",
        "1e3",
        "B",
        "U",
        "A",
        "0.5",
        "nan",
        "",
        " ",
        "9" * 12,
        "é",
    ]
)
text = st.lists(st.lists(words, min_size=1, max_size=6).map("\t".join), max_size=6).map("\n".join)


@settings(max_examples=120)
@given(
    st.one_of(text, st.binary(max_size=60)),
    st.booleans(),
    st.sampled_from(["", "chr\tstart\tstop\tA\n"]),
)
def test_any_text_is_read_or_refused(tmp_path_factory, content, packed, header):
    data = header.encode() + (content if isinstance(content, bytes) else content.encode())
    path = tmp_path_factory.mktemp("any") / "x.tab"
    path.write_bytes(gzip.compress(data) if packed else data)
    for read in (read_labels, read_submission, read_bins):
        with contextlib.suppress(InputError):
            read(path)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_numbers_written_are_those_read(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("n") / "n.tab"
    small = [v % 10**9 for v in values]
    path.write_bytes(lines([digits(small), decimals(np.array(values, np.float64))]))
    block = next(iter_lines(path, "numbers"))
    assert block.integers(0).tolist() == small
    assert block.floats(1).tolist() == values


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
@pytest.mark.parametrize("size", [3, 7, 1000])
def test_line_ends_and_blank_lines_at_the_end_do_not_matter(tmp_path, end, last, size):
    path = tmp_path / "a.tab"
    rows = ["chr1\t0\t200", "chr1\t50\t250", "chr1\t100\t300"]
    path.write_bytes((end.join(rows) + last.replace("\n", end)).encode())
    found = [
        (b.first + i, b.line(i)) for b in iter_lines(path, "bins", size=size) for i in range(len(b))
    ]
    assert found == list(enumerate(rows, 1))


@pytest.mark.parametrize("size", [3, 7, 1000])
def test_a_blank_line_within_is_named_by_its_number(tmp_path, size):
    path = tmp_path / "a.tab"
    path.write_text("chr1\t0\t200\n\n\nchr1\t50\t250\n")
    with pytest.raises(
        InputError, match=r"line 2: the line is blank. Expected 3 tab-separated columns"
    ):
        list(iter_lines(path, "bins", size=size))


@pytest.mark.parametrize("read", [read_labels, read_submission, read_bins])
def test_blank_lines_alone_are_refused(tmp_path, read):
    path = tmp_path / "a.tab"
    path.write_text("\n\r\n")
    with pytest.raises(InputError, match=r"the file holds no line. Found blank lines only"):
        read(path)


@pytest.mark.parametrize("text", ["a\tb\n1\n", "a\tb", "a\tb\r\n1\t2\t3\r\n"])
def test_the_first_line_is_read_whatever_follows(tmp_path, text):
    path = tmp_path / "a.tab"
    path.write_text(text, newline="")
    assert (first_line(path, "lines").line(0), first_line(path, "lines").columns) == ("a\tb", 2)
