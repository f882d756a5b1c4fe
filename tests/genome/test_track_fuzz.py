"""Whatever the bytes of a track file are, it is read or refused with one message; nothing else gets
out.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pybigtools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.ideas import read_ideas_state
from epilm.genome.segmentation import read_states
from epilm.genome.signals import open_signal, write_bigwig
from epilm.genome.trackhub import read_trackdb

SIZES = {"chr1": 1000, "chr2": 500}
READERS = {
    "a.bed": (
        lambda path: read_states(path, SIZES),
        "chr1\t0\t200\t1_A\t0\t.\t0\t200\t1,2,3\nchr2\t200\t400\t2_B\t0\t.\t0\t0\t0\n",
    ),
    "a.state": (
        lambda path: read_ideas_state(path, SIZES),
        "#ID CHR POSst POSed A B PosClass\nx chr1 0 200 0 1 2\ny chr2 200 400 1 NA 0\n",
    ),
    "a.bedGraph": (
        lambda path: open_signal(path).read("chr1", 1000),
        "chr1\t0\t5\t1.5\nchr1\t7\t9\tNA\nchr2\t1\t3\t2\n",
    ),
    "trackDb.txt": (
        read_trackdb,
        "track a\ntype bigBed 9\nshortLabel E001 x\nbigDataUrl a.bb\n\ntrack b\nbigDataUrl b.bb\n",
    ),
}
PIECES = st.sampled_from(
    [
        "",
        "\t",
        "\n",
        " ",
        "0",
        "-",
        "9" * 30,
        "chr1",
        "é",
        "#",
        "\r\n",
        ",",
        ".",
        "nan",
        "1e3",
        "\x00",
        '"',
        "NA",
        "\\",
    ]
)


def refusal(read: Callable[[], object], otherwise: str) -> str:
    """The message of an InputError; `otherwise` if there is none. Any other exception gets out and
    fails the test.
    """
    try:
        read()
    except InputError as error:
        return str(error)
    return otherwise


@pytest.mark.parametrize("name", READERS)
@given(edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 12), PIECES), max_size=4))
@settings(max_examples=80)
def test_edited_text_is_read_or_refused(name, edits):
    read, text = READERS[name]
    for at, length, piece in edits:
        at = min(at, len(text))
        text = text[:at] + piece + text[at + length :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(text.encode())
        assert name in refusal(lambda: read(path), name)


@pytest.mark.parametrize("kind", ["bb", "bw"])
def test_binary_files_cut_anywhere_are_read_or_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "bb":
        rows = [("chr1", 200 * i, 200 * i + 200, f"{i}_S") for i in range(5)]
        pybigtools.open(str(path), "w").write(SIZES, iter(rows))
    else:
        write_bigwig(path, SIZES, [("chr1", i, i + 2, float(i)) for i in range(0, 900, 5)])
    use = (
        (lambda p: read_states(p, SIZES))
        if kind == "bb"
        else (lambda p: open_signal(p).read("chr1", 1000))
    )
    whole = path.read_bytes()
    for n in range(4, len(whole), 37):
        path.write_bytes(whole[:n])
        assert path.name in refusal(lambda: use(path), path.name)
