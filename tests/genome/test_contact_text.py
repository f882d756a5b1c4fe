"""Contact maps from text, and what is wrong with some."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.contact_maps import read_contacts

from .contact_files import CENTRES, DENSE, write


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


def test_a_start_off_the_grid_and_an_unknown_chromosome_are_named(tmp_path):
    path = write(tmp_path, "three")
    with pytest.raises(InputError, match="does not start on the grid") as error:
        read_contacts(path, resolution=150)
    assert "start 100" in str(error.value)
    with pytest.raises(InputError, match="no such chromosome"):
        read_contacts(path).submatrix("7", CENTRES)
