"""Contact maps by look-up, and start sites."""

import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from epilm.errors import InputError
from epilm.genome.contacts import read_contacts

ROWS = [(0, 0, 8), (0, 100, 2), (100, 200, 4), (200, 200, 6)]
DENSE = np.array([[8, 2, 0], [2, 0, 4], [0, 4, 6]], np.float32)
CENTRES = np.array([50, 150, 250])


def write(folder, how):
    text = {
        "three": "#bin1\tbin2\tcount\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in ROWS),
        "header": "bin1\tbin2\tcount\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in ROWS),
        "four": "".join(f"chr7\t{a}\t{b}\t{c}\n" for a, b, c in ROWS) + "chr8\t0\t300\t5\n",
        "seven": (
            "".join(f"chr7\t{a}\t{a + 100}\tchr7\t{b}\t{b + 100}\t{c}\n" for a, b, c in ROWS)
            + "chr7\t0\t100\tchr8\t0\t100\t9\n"
        ),
        "both-triangles": "".join(f"{a}\t{b}\t{c}\n" for a, b, c in ROWS) + "100\t0\t2\n",
    }
    path = folder / "map.chr7_part.tsv.gz"
    path.write_bytes(gzip.compress(text[how].encode()))
    return path


@pytest.mark.parametrize("how", ["three", "header", "four", "seven", "both-triangles"])
def test_text_maps_of_every_layout(tmp_path, how):
    contacts = read_contacts(write(tmp_path, how))
    assert contacts.resolution == 100
    assert (contacts.submatrix("chr7", CENTRES) == DENSE).all()
    assert (
        contacts.submatrix("chr7", np.array([250, 0, 999, 0]))
        == [[6, 0, 0, 0], [0, 8, 0, 8], [0, 0, 0, 0], [0, 8, 0, 8]]
    ).all()


def test_many_region_sets_at_once_and_the_forms(tmp_path):
    contacts = read_contacts(write(tmp_path, "three"))
    both = contacts.submatrix("chr7", np.stack([CENTRES, CENTRES[::-1]]))
    assert (both == np.stack([DENSE, DENSE[::-1, ::-1]])).all()
    assert np.allclose(contacts.submatrix("chr7", CENTRES, "log1p"), np.log1p(DENSE))
    # Means at distance 0, 1, 2 over the three used bins: 14/3, 6/2, 0.
    observed = contacts.submatrix("chr7", CENTRES, "oe")
    assert np.allclose(observed, [[24 / 14, 2 / 3, 0], [2 / 3, 0, 4 / 3], [0, 4 / 3, 18 / 14]])
    with pytest.raises(ValueError, match="form must be"):
        contacts.submatrix("chr7", CENTRES, "ice")


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


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("chr1.tsv", "", ["the file is empty"]),
        ("chr1.tsv", "#only\n", ["wrong format"]),
        ("chr1.tsv", "1 2 3\n", ["wrong format", "1 columns"]),
        ("chr1.tsv", "0\t100\t5\n#\n0\tz\t2\n", ["line 3", "not a number", "0 z 2"]),
        ("chr1.tsv", "0\t100\t5\n0\t200\t-2\n", ["line 2", "negative or not a number", "0 200 -2"]),
        ("chr1.tsv", "0\t100\t5\n0\t100\n", ["line 2", "not a number"]),
        ("chr1.tsv", "0\t100\t5\n100\t0\t6\n", ["two counts", "bins 0 and 1"]),
        ("map.tsv", "0\t100\t5\n", ["do not say the chromosome", "chrom='chr20'"]),
        ("chr1.cool", "\x89HDF\r\n\x1a\n", ["cannot be read as a contact map"]),
    ],
)
def test_a_bad_map_is_named(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    if name.endswith("cool"):
        pytest.importorskip("cooler")
    with pytest.raises(InputError) as error:
        read_contacts(tmp_path / name)
    for word in [name, *words]:
        assert word in str(error.value)


def test_without_the_extra_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cooler", None)
    (tmp_path / "a.cool").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match="needs the package cooler") as error:
        read_contacts(tmp_path / "a.cool")
    assert "pip install 'epilm[hic]'" in str(error.value)


def test_a_start_off_the_grid_and_an_unknown_chromosome_are_named(tmp_path):
    path = write(tmp_path, "three")
    with pytest.raises(InputError, match="does not start on the grid") as error:
        read_contacts(path, resolution=150)
    assert "start 100" in str(error.value)
    with pytest.raises(InputError, match="no such chromosome"):
        read_contacts(path).submatrix("7", CENTRES)


def test_real_hic_counts_fall_with_distance(real_data):
    contacts = read_contacts(
        real_data / "hic_hg19" / "GM12878_Rao2014_replicate.chr20_0-11100000.25kb.tsv.gz"
    )
    assert contacts.resolution == 25_000
    assert sum(len(one.keys) for one in contacts.chroms.values()) == 92_400
    assert contacts.submatrix("chr20", np.array([60_000, 80_000]))[0].tolist() == [2021, 727]
    expected = contacts.chroms["chr20"].expected()
    assert expected[0] > 3 * expected[4] > 9 * expected[40] > 0
