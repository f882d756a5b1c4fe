"""Contact maps by look-up, and start sites."""

import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from epilm.errors import InputError
from epilm.genome.contact_maps import read_contacts

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


def test_the_ends_say_how_wide_the_bins_are(tmp_path):
    path = tmp_path / "dump.txt"
    path.write_text(
        "chr1\t0\t1000\tchr1\t2000\t3000\t7\nchr1\t0\t1000\tchr1\t0\t1000\t9\n"
        "chr1\t2000\t3000\tchr1\t4000\t4100\t5\n"  # the last bin is cut to its chromosome
        "chr1\t0\t1000\tchr2\t0\t1000\t9\n"
    )
    contacts = read_contacts(path)
    assert contacts.resolution == 1000
    bins = np.array([0, 1000, 2000, 4050])
    assert contacts.submatrix("chr1", bins).tolist() == [
        [9, 0, 7, 0],
        [0, 0, 0, 0],
        [7, 0, 0, 5],
        [0, 0, 5, 0],
    ]
    assert contacts.notes == (f"{path}: 1 contacts between two chromosomes: left out",)
    with pytest.raises(InputError, match=r"another width. Found 1000 bp; expected 2000 bp"):
        read_contacts(path, 2000)
    assert read_contacts(path, 2000, finer=True).resolution == 1000
    path.write_text("chr1\t0\t400\tchr1\t0\t400\t9\n")  # one short chromosome
    assert read_contacts(path).resolution == 400
    assert read_contacts(path, 1000).resolution == 1000


def test_the_name_of_a_file_says_how_wide_its_bins_are_where_the_starts_allow_it(tmp_path):
    text = "0\t2000\t7\n2000\t4000\t9\n"
    for name, width in [("chr1_1kb.txt", 1000), ("chr1_5kb.txt", 2000), ("chr1.txt", 2000)]:
        (tmp_path / name).write_text(text)
        assert read_contacts(tmp_path / name).resolution == width
        assert read_contacts(tmp_path / name, 500).resolution == 500
    (tmp_path / "chr1_1kb.txt").write_text("3000\t3000\t7\n")
    assert read_contacts(tmp_path / "chr1_1kb.txt").chroms["chr1"].keys.tolist() == [15]
    (tmp_path / "chr1.txt").write_text("3000\t3000\t7\n")
    assert read_contacts(tmp_path / "chr1.txt", 1000, finer=True).resolution == 1000


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


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("chr1.tsv", "", ["the file is empty"]),
        ("chr1.tsv", "#only\n", ["holds no contact", "header, comment or blank lines only"]),
        ("chr1.tsv", "1 2 3\n", ["wrong format", "1 columns"]),
        ("chr1.tsv", "0\t100\t5\n#\n0\tz\t2\n", ["line 3", "not a number", "0 z 2"]),
        ("chr1.tsv", "0\t100\t5\n0\t200\t-2\n", ["line 2", "negative or not a number", "0 200 -2"]),
        ("chr1.tsv", "0\t100\t5\n0\t100\n", ["line 2", "not a number"]),
        ("chr1.tsv", "0\t100\t5\n100\t0\t6\n", ["two counts", "bins 0 and 1"]),
        ("map.tsv", "0\t100\t5\n", ["do not say the chromosome", "chrom='chr20'"]),
        ("chr1.tsv", "bin1\tbin2\tcount\n", ["holds no contact"]),
        ("chr1.tsv", "0\t1000\t1_000\n", ["line 1", "not a number", "1_000"]),
        ("chr1.tsv", "0\t1e400\t3\n", ["line 1", "not a number", "1e400"]),
        ("chr1.tsv", "0\t1e30\t3\n", ["line 1", "not a number", "1e30"]),
        ("chr1.tsv", "1\t1\t10\n1\t2\t5\n2\t3\t4\n", ["no places in base pairs", "_abs.bed"]),
        ("chr1_1kb.txt", "1\t1\t10\n1\t2\t5\n", ["no places in base pairs", "_abs.bed"]),
        ("chr1.tsv", "501\t1501\t3\n501\t2501\t3\n", ["grid", "501", "501 past a multiple"]),
        ("chr1.tsv", "5000\t5000\t3\n", ["inside one bin", "5000", "--contacts-resolution"]),
        ("t.txt", "chr1\t0\t1000\tchr2\t0\t1000\t3\n", ["no contact inside", "1 between two"]),
        ("t.txt", "chr1\t0\t9\tchr1\t5\t5\t3\n", ["line 1", "holds no base", "chr1:5-5"]),
        (
            "t.txt",
            "chr1\t0\t1000\tchr1\t0\t1000\t3\nchr1\t1000\t1400\tchr1\t2000\t3000\t3\n",
            ["line 2", "different widths", "chr1:1000-1400", "restriction fragments"],
        ),
        (
            "t.txt",
            "chr1\t1\t1001\tchr1\t1001\t2001\t3\n",
            ["line 1", "grid", "chr1:1-1001", "subtract 1"],
        ),
        (
            "a.pairs",
            "## pairs format v1.0\n#columns: readID chr1 pos1 chr2 pos2 strand1 strand2\n"
            "r1\tchr1\t10\tchr1\t90\t+\t-\n",
            ["read pairs", "cooler cload pairs"],
        ),
        ("a.txt", "r1\tchr1\t10\tchr1\t90\t+\t-\n", ["read pairs", "cooler cload pairs"]),
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
