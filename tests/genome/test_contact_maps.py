"""Contact maps by look-up, and start sites."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.contact_maps import read_contacts

from .contact_files import CENTRES, DENSE, write


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


def test_real_hic_counts_fall_with_distance(real_data):
    contacts = read_contacts(
        real_data / "hic_hg19" / "GM12878_Rao2014_replicate.chr20_0-11100000.25kb.tsv.gz"
    )
    assert contacts.resolution == 25_000
    assert sum(len(one.keys) for one in contacts.chroms.values()) == 92_400
    assert contacts.submatrix("chr20", np.array([60_000, 80_000]))[0].tolist() == [2021, 727]
    expected = contacts.chroms["chr20"].expected()
    assert expected[0] > 3 * expected[4] > 9 * expected[40] > 0
