"""Contact maps from .cool, .mcool and .hic, which need packages."""

import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from epilm.errors import InputError
from epilm.genome.contact_maps import read_contacts

from .contact_files import CENTRES, DENSE


def test_cool_and_mcool_give_the_same(tmp_path):
    cooler = pytest.importorskip("cooler")
    bins = pd.DataFrame(
        {
            "chrom": ["chr6"] * 2 + ["chr7"] * 3,
            "start": [0, 100, 0, 100, 200],
            "end": [100, 150, 100, 200, 300],
        }
    )
    pixels = pd.DataFrame(
        {"bin1_id": [0, 0, 2, 2, 3, 4], "bin2_id": [0, 3, 2, 3, 4, 4], "count": [7, 9, 8, 2, 4, 6]}
    )
    cooler.create_cooler(str(tmp_path / "a.cool"), bins, pixels)
    contacts = read_contacts(tmp_path / "a.cool")
    assert (contacts.submatrix("chr7", CENTRES) == DENSE).all()
    assert contacts.submatrix("chr6", CENTRES).tolist() == [[7, 0, 0], [0, 0, 0], [0, 0, 0]]
    cooler.zoomify_cooler(str(tmp_path / "a.cool"), str(tmp_path / "a.mcool"), [100, 200], 1000)
    assert (read_contacts(tmp_path / "a.mcool", 100).submatrix("chr7", CENTRES) == DENSE).all()
    for arguments, word in [
        ({}, "several resolutions"),
        ({"resolution": 50}, "does not hold this resolution"),
    ]:
        with pytest.raises(InputError, match=word) as error:
            read_contacts(tmp_path / "a.mcool", **arguments)
        assert "100, 200" in str(error.value)
    with pytest.raises(InputError, match="not balanced"):
        read_contacts(tmp_path / "a.cool", balanced=True)
    with pytest.raises(InputError, match="no such chromosome"):
        read_contacts(tmp_path / "a.cool", chrom="7")


def test_cool_files_that_are_no_one_map_are_refused(tmp_path):
    cooler = pytest.importorskip("cooler")
    bins = pd.DataFrame({"chrom": ["chr7"] * 3, "start": [0, 100, 150], "end": [100, 150, 300]})
    pixels = pd.DataFrame({"bin1_id": [0, 0], "bin2_id": [0, 1], "count": [7, 9]})
    cooler.create_cooler(str(tmp_path / "frag.cool"), bins, pixels)
    with pytest.raises(InputError, match=r"bins have no one width.*restriction fragments"):
        read_contacts(tmp_path / "frag.cool")
    even = pd.DataFrame({"chrom": ["chr7"] * 2, "start": [0, 100], "end": [100, 200]})
    cells = {"one": pixels, "two": pixels}
    cooler.create_scool(str(tmp_path / "a.scool"), even, cells)
    with pytest.raises(InputError, match=r"several maps of one resolution.*2 maps.*cooler merge"):
        read_contacts(tmp_path / "a.scool")
    (tmp_path / "frag.cool.gz").write_bytes(gzip.compress((tmp_path / "frag.cool").read_bytes()))
    with pytest.raises(InputError, match=r"packed with gzip.*gunzip frag\.cool\.gz"):
        read_contacts(tmp_path / "frag.cool.gz")


def test_a_hic_file_gives_what_the_same_text_gives(tmp_path):
    hictkpy = pytest.importorskip("hictkpy")
    path = tmp_path / "a.hic"
    writer = hictkpy.hic.FileWriter(str(path), {"chr7": 300, "chr8": 400}, [100, 200])
    rows = [(0, 0, 8), (0, 1, 2), (1, 2, 4), (2, 2, 6), (3, 6, 5), (0, 3, 9)]  # the last between
    writer.add_pixels(pd.DataFrame(rows, columns=["bin1_id", "bin2_id", "count"]))
    writer.finalize()
    contacts = read_contacts(path, 100)
    assert (contacts.submatrix("chr7", CENTRES) == DENSE).all()
    assert contacts.submatrix("chr8", np.array([0, 350])).tolist() == [[0, 5], [5, 0]]
    assert list(read_contacts(path, 100, chrom="chr8").chroms) == ["chr8"]
    joined = read_contacts(path, 200)
    assert joined.submatrix("chr7", np.array([0, 250])).tolist() == [[10, 4], [4, 6]]
    for how, words in [
        ({}, "several resolutions. Found 100, 200.*--contacts-resolution"),
        ({"resolution": 50}, "does not hold this resolution. Found 50; expected 100, 200"),
        ({"resolution": 100, "chrom": "chr9"}, "no such chromosome"),
        ({"resolution": 100, "balanced": True}, "balanced values are read of .cool"),
    ]:
        with pytest.raises(InputError, match=words):
            read_contacts(path, **how)
    data = path.read_bytes()
    for cut in (9, 60, len(data) // 2):
        (tmp_path / "cut.hic").write_bytes(data[:cut])
        with pytest.raises(InputError, match="cannot be read as a contact map"):
            read_contacts(tmp_path / "cut.hic", 100)


def test_without_hictkpy_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hictkpy", None)
    (tmp_path / "a.hic").write_bytes(b"HIC\0" + bytes(60))
    with pytest.raises(InputError, match=r"needs the package hictkpy.*epilm\[hic\]"):
        read_contacts(tmp_path / "a.hic")


def test_without_the_extra_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cooler", None)
    (tmp_path / "a.cool").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match="needs the package cooler") as error:
        read_contacts(tmp_path / "a.cool")
    assert "pip install 'epilm[hic]'" in str(error.value)
