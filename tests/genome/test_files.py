"""Bytes of a file, plain or packed, or the one message that says why there are none."""

import bz2
import gzip
import lzma

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.files import (
    blocks_of_lines,
    check_file,
    data_lines,
    find_separators,
    first_bytes,
    read_chunks,
    read_text,
)

TEXT = b"".join(b"chr1\t%d\t%d\n" % (n, n + 5) for n in range(400))


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda b: b"".join(map(gzip.compress, (b[:99], b[99:])))]
)
def test_plain_packed_and_packed_in_members_read_alike_in_pieces_of_any_size(tmp_path, pack):
    path = tmp_path / "a.bed"  # told by its bytes, not by its name
    path.write_bytes(pack(TEXT))
    for size in (1, 7, 1 << 20):
        assert b"".join(read_chunks(path, "a table", size)) == TEXT
        blocks = list(blocks_of_lines(path, "a table", max(size, 5)))
        assert b"".join(blocks) == TEXT
        assert all(block.endswith(b"\n") for block in blocks)
    assert read_text(path, "a table") == TEXT
    assert first_bytes(path, 4) == b"chr1"


def test_line_ends_of_any_system_and_a_mark_at_the_beginning_are_read_away(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text(tmp_path / "a", "a list") == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty. Found 0 bytes; expected a table"),
        (gzip.compress(b"", mtime=0), "the gzip file holds nothing"),
        (gzip.compress(TEXT, mtime=0)[:-20], "the gzip file is truncated.*gzip -t"),
        (gzip.compress(TEXT, mtime=0)[:20] + b"\x00" * 60, "the gzip file is damaged|is truncated"),
        (bz2.compress(TEXT), "wrong format. Found bzip2; expected a table. Unpack it with bunzip2"),
        (lzma.compress(TEXT), "wrong format. Found xz"),
        (b"PK\x03\x04...", "wrong format. Found zip"),
        (
            gzip.compress(b"BAM\x01...", mtime=0),
            "Found BAM; expected a table. Call peaks on it first",
        ),
        (
            gzip.compress(b"\x26\xfc\x8f\x88", mtime=0),
            "Found bigWig, packed with gzip.*gunzip first",
        ),
        (b"<!DOCTYPE html>", "Found a web page.*The download probably failed"),
        (b"version https://git-lfs.github.com", "a git-lfs pointer.*git lfs pull"),
        (b"chr1\x00\t1\n", "Found binary data starting with"),
    ],
)
def test_what_is_no_text_is_told_what_it_is(tmp_path, content, message):
    (tmp_path / "a.bed").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_text(tmp_path / "a.bed", "a table")


def test_what_is_no_file_is_told_what_lies_there(tmp_path):
    for name in "abcdefgh":
        (tmp_path / f"{name}.bed").write_text("x")
    with pytest.raises(InputError, match=r"there is no such file.*holds a.bed.* and 2 more\."):
        check_file(tmp_path / "x.bed", "a table")
    with pytest.raises(InputError, match="this is a folder; *|this is a folder. Expected a table"):
        check_file(tmp_path, "a table")
    with pytest.raises(InputError, match="The folder .*gone does not exist either"):
        check_file(tmp_path / "gone" / "a", "a table")


def test_lines_that_are_no_data_are_left_out_and_the_others_keep_their_numbers():
    text = b"track name=a\n#x\nchr1\t1\n\nbrowser position\n  \ntracker\t2\nchr2\t3"
    assert data_lines(text)[0] == b"chr1\t1\ntracker\t2\nchr2\t3\n"
    assert data_lines(text)[1].tolist() == [3, 7, 8]
    assert data_lines(b"# a\n\n")[0] == b""
    assert data_lines(b"a\nb\n")[1].tolist() == [1, 2]


@pytest.mark.parametrize("spoil", [None, b"a\tb\n", b"a\tb\tc\td\n", b"abc\n"])
def test_separators_are_found_where_every_line_has_as_many(spoil):
    lines = [b"ab\t1\t\n", b"\tx\ty\n", b"1\t2\t3\n"]
    text = b"".join(lines if spoil is None else [lines[0], spoil, lines[2]])
    places = find_separators(text, 3, 2)
    if spoil is not None:
        assert places is None
        return
    expected = np.flatnonzero(np.frombuffer(text, np.uint8) == 9).reshape(3, 2)
    assert places.tolist() == expected.tolist()
    swapped = b"a\tb\tc\td\ne\n"  # as many in all, but not in each
    assert find_separators(swapped + b"f\tg\th\n", 3, 2) is None
