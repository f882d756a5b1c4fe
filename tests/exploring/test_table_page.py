"""A table as a page: its fields read back, numbers known as such, what has no room is said."""

import gzip
import json
import re

import pytest

from epilm.errors import InputError
from epilm.exploring.table_page import explore_table

TEXT = "chrom\tscore\tname\nchr1\t0.5\t<b>a</b>\nchr2\t.\tb\nchrX\t-1e-3\tc\n"


def data_of(path):
    text = path.read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1]), text


def test_fields_are_read_back_as_they_are(tmp_path):
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(TEXT.encode()))
    made = explore_table(tmp_path / "a.tsv.gz", tmp_path / "a.html")
    data, text = data_of(tmp_path / "a.html")
    assert (made.rows, made.left_out, made.size) == (3, 0, len(text.encode()))
    assert data["names"] == ["chrom", "score", "name"]
    assert data["numeric"] == [False, True, False]
    assert data["rows"][0] == ["chr1", "0.5", "<b>a</b>"]
    assert "<b>a</b>" not in text
    assert "connect-src data:" in text


def test_rows_without_room_are_said(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb\n" + "".join(f"{i}\t{'x' * 90}\n" for i in range(3000)))
    made = explore_table(tmp_path / "a.tsv", tmp_path / "a.html", max_mb=0.2)
    data, _ = data_of(tmp_path / "a.html")
    assert made.rows + made.left_out == 3000
    assert made.size < 200_000
    assert f"the last {made.left_out:,} of 3,000 rows are left out" in data["notes"][0]
    assert f"{made.left_out:,} left out" in made.text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header line.*an empty file"),
        ("a b\n1 2\n", "no header line.*one column"),
        ("a\tb\n", "has no row"),
        ("a\tb\n1\n", "line 2: the line has another number of columns.*Found 1; expected 2"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        explore_table(tmp_path / "a.tsv", tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
    with pytest.raises(InputError, match="no such file"):
        explore_table(tmp_path / "b.tsv", tmp_path / "a.html")
