"""Motif files: every layout reads, the copies of one collection agree, and each bad file says what
to do.
"""

import contextlib
import gzip
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.motifs.formats import Motif, read_motifs, write_jaspar

from .motif_files import MEME, TRANSFAC, write

BRACKETED = ">MA0001.1\tAGL3\nA  [ 0 3 79 ]\nC  [ 94 75 4 ]\nG  [ 1 0 3 ]\nT  [ 2 19 11 ]\n"
TABLE = [[0, 94, 1, 2], [3, 75, 0, 19], [79, 4, 3, 11]]


@pytest.mark.parametrize(
    "text",
    [
        BRACKETED,
        ">MA0001.1 AGL3\nA 0 3 79\nC 94 75 4\nG 1 0 3\nT 2 19 11\n",
        ">MA0001.1 AGL3\n0 3 79\n94 75 4\n1 0 3\n2 19 11\n",
        "# made\n>MA0001.1 AGL3\nT [2 19 11]\nG [1 0 3]\nC [94 75 4]\nA [0 3 79]\n\n",
        ">MA0001.1_AGL3\n0 94 1 2\n3 75 0 19\n79 4 3 11\n",
    ],
    ids=["bracketed", "letters", "bare", "rows in another order", "one position a row"],
)
def test_every_layout_gives_the_same_motif(tmp_path, text):
    (motif,) = read_motifs(write(tmp_path, text))
    assert (motif.id, motif.name, motif.is_counts, motif.width) == ("MA0001.1", "AGL3", True, 3)
    assert motif.matrix.tolist() == TABLE


def test_four_bare_rows_without_header_take_the_name_of_the_file(tmp_path):
    (motif,) = read_motifs(write(tmp_path, "0 3 79\n94 75 4\n1 0 3\n2 19 11\n", "MA0001.pfm"))
    assert motif.id == "MA0001"
    assert motif.matrix.tolist() == TABLE


def test_all_motifs_of_cis_bp_in_one_file(tmp_path):
    one = "TF\tT001\nTF Name\t{}\nGene\tE1\nMotif\t{}\nFamily\tbZIP\nSpecies\tHomo\n"
    rows = "Pos\tA\tC\tG\tT\n1\t0\t1\t0\t0\n2\t1\t0\t0\t0\n\n"
    text = one.format("FOS", "M1_2.00") + rows + one.format("JUN", "M2_2.00") + rows
    motifs = read_motifs(write(tmp_path, text))
    assert [(m.id, m.name, m.consensus) for m in motifs] == [
        ("M1_2.00", "FOS", "CA"),
        ("M2_2.00", "JUN", "CA"),
    ]


def test_a_folder_gives_the_motifs_of_its_files(tmp_path):
    folder = tmp_path / "pwms"
    folder.mkdir()
    with pytest.raises(InputError, match="the folder holds no motif file"):
        read_motifs(folder)
    write(folder, "Pos\tA\tC\tG\tT\n1\t0\t1\t0\t0\n", "M2.txt")
    write(folder, BRACKETED, "M1.jaspar")
    (folder / "._M1.jaspar").write_bytes(b"\0\5")
    assert [m.id for m in read_motifs(folder)] == ["MA0001.1", "M2"]
    write(folder, BRACKETED, "again.jaspar")
    with pytest.raises(InputError, match=r"pwms: two motifs have one id. Found MA0001\.1"):
        read_motifs(folder)
    write(folder, "Pos\tA\tC\tG\tT\n", "M0.txt")
    with pytest.raises(InputError, match=r"M0\.txt, line 1: motif M0 has no rows.*licence"):
        read_motifs(folder)
    write(folder, "chr1\t5\t9\n", "A.bed")
    with pytest.raises(InputError, match=r"A\.bed, line 1: this is no motif file.*take out"):
        read_motifs(folder)


def test_gzip_reads_like_plain(tmp_path):
    path = tmp_path / "x.jaspar.gz"
    path.write_bytes(gzip.compress(BRACKETED.encode()))
    assert read_motifs(path)[0].matrix.tolist() == TABLE


BAD = {
    "zero column": (
        ">M1 x\nA [ 1 0 ]\nC [ 1 0 ]\nG [ 0 0 ]\nT [ 3 0 ]\n",
        "without any count.*column 2 of 2",
    ),
    "duplicate": (
        BRACKETED + BRACKETED,
        "two motifs have one id. Found MA0001.1 as motif 1 and motif 2",
    ),
    "rna": (
        BRACKETED.replace("T  [", "U  ["),
        "one row for each of A, C, G, T. Found rows A, C, G, U",
    ),
    "three rows": (BRACKETED[: BRACKETED.index("T  [")], "Found rows A, C, G. .*truncated"),
    "cut row": (BRACKETED[:-6], "not whole.*3, 3, 3, 2 numbers.*truncated"),
    "negative": (
        BRACKETED.replace("94", "-94"),
        r"x.txt, line 3, motif MA0001.1: .*at least 0. Found -94",
    ),
    "nan": (BRACKETED.replace("94", "nan"), "finite number of at least 0. Found nan"),
    "underscore": (BRACKETED.replace("94", "1_000"), "not a number. Found '1_000'"),
    "beyond numbers": (BRACKETED.replace("94", "1e400"), "finite number.*Found 1e400"),
    "meme no matrix within": (
        MEME.replace("MOTIF M2\n", "MOTIF M3\nMOTIF M2\n"),
        "line 16: motif M3 has no matrix",
    ),
    "word": (BRACKETED.replace("94", "many"), "not a number. Found 'many'"),
    "empty": ("", "the file is empty. Expected JASPAR"),
    "comments only": ("# nothing\n", "no motif in the file"),
    "other file": ("chr1\t5\t9\n", "x.txt, line 1: this is no motif file we know. Found chr1"),
    "header only": (">M1 x\n", "not whole"),
    "nameless": (">\n1 2\n", "a header without an id"),
    "protein": (MEME.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY"), "not over A, C, G, T"),
    "meme cut": (
        MEME[: MEME.index(" 0 0 0.25")],
        "motif M1 is not whole. Found 1 rows; expected w= 2 rows",
    ),
    "meme no matrix": (MEME + "\nMOTIF M3\n", "motif M3 has no matrix"),
    "meme counts": (MEME.replace("0.5 0.5 0 0", "5 5 0 0"), "must sum to 1.*sum 10"),
    "meme short row": (
        MEME.replace("0.5 0.5 0 0", "0.5 0.5 0"),
        "a row needs four probabilities. Found 3",
    ),
    "transfac cut": (TRANSFAC[: TRANSFAC.index("01 ")], "motif M00001 has no rows"),
    "transfac letters": (
        TRANSFAC.replace("G      T", "G      U"),
        "not over A, C, G, T.*P0 A C G T",
    ),
    "transfac gap": (
        TRANSFAC.replace("02   ", "03   "),
        "rows are not consecutive. Found row 03 after 1 rows",
    ),
    "transfac headless": (TRANSFAC.replace("P0 ", "XX "), "a row before its header"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_place_and_cure(tmp_path, case):
    text, message = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        read_motifs(path)
    assert str(path) in str(error.value)


def test_missing_truncated_and_binary_files_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="no such motif file"):
        read_motifs(tmp_path / "absent.jaspar")
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(BRACKETED.encode())[:-9])
    with pytest.raises(InputError, match=r"cut\.gz: the gzip file is truncated or damaged"):
        read_motifs(cut)
    binary = tmp_path / "x.bin"
    binary.write_bytes(b"\x00\x01\xff\xfe" * 9)
    with pytest.raises(InputError, match="not a text file"):
        read_motifs(binary)
    with pytest.raises(InputError, match="unknown motif format 'excel'"):
        read_motifs(write(tmp_path, BRACKETED), format="excel")


def test_a_jaspar_release_has_a_name():
    pytest.importorskip("pyjaspar")
    motifs = read_motifs("jaspar:2018")
    assert len(motifs) == len({m.id for m in motifs}) == 579
    assert (min(m.width for m in motifs), max(m.width for m in motifs)) == (6, 21)
    assert next(m for m in motifs if m.id == "MA0004.1").family == "PAS domain factors"
    with pytest.raises(InputError, match=r"JASPAR has no release 1999.*JASPAR2018"):
        read_motifs("jaspar:1999")
    with pytest.raises(InputError, match=r"not a JASPAR release. Found jaspar:x"):
        read_motifs("jaspar:x")
    with pytest.raises(InputError, match=r"no motif. Found tax group 'martians'"):
        read_motifs("jaspar:2018:martians")


def test_the_real_copies_of_jaspar_agree_motif_by_motif(real_data):
    folder = real_data / "motifs"
    counts = read_motifs(folder / "JASPAR2018_CORE_vertebrates_non-redundant.counts.jaspar.gz")
    transfac = read_motifs(folder / "JASPAR2018_CORE_vertebrates_non-redundant.transfac.gz")
    frequencies = read_motifs(folder / "JASPAR2018_vertebrates.frequencies.pfm.gz")
    assert len(counts) == len(transfac) == len(frequencies) == 579
    others = {m.id: m for m in transfac}, {m.id: m for m in frequencies}
    for motif in counts:
        same, rounded = (other[motif.id] for other in others)
        assert motif.name == same.name == rounded.name
        assert motif.is_counts
        assert not rounded.is_counts
        np.testing.assert_array_equal(motif.matrix, same.matrix)
        np.testing.assert_allclose(
            motif.matrix / motif.matrix.sum(axis=1, keepdims=True), rounded.matrix, atol=0.02
        )


def test_the_release_by_name_is_the_file(real_data):
    pytest.importorskip("pyjaspar")
    path = real_data / "motifs" / "JASPAR2018_CORE_vertebrates_non-redundant.counts.jaspar.gz"
    named = {m.id: m for m in read_motifs("jaspar:2018")}
    for motif in read_motifs(path):
        np.testing.assert_array_equal(motif.matrix, named[motif.id].matrix)


def test_hocomoco_in_meme_format(real_data):
    motifs = read_motifs(real_data / "motifs" / "HOCOMOCOv9.meme.gz")
    assert len(motifs) == 428
    assert (motifs[0].id, motifs[0].name, motifs[0].sites, motifs[0].width) == (
        "AHR_si",
        "AHR",
        154,
        9,
    )
    assert not any(m.is_counts for m in motifs)


def test_biopython_reads_the_same():
    motifs = pytest.importorskip("Bio.motifs")
    (peer,) = motifs.parse(io.StringIO(BRACKETED.replace("\t", " ")), "jaspar")
    assert [list(peer.counts[b]) for b in "ACGT"] == np.array(TABLE).T.tolist()


@settings(max_examples=40, deadline=None)
@given(
    columns=st.lists(
        st.lists(
            st.one_of(st.integers(0, 9999), st.floats(0, 1e4, width=32)), min_size=4, max_size=4
        ).filter(sum),
        min_size=1,
        max_size=12,
    ),
    name=st.text("ABCdef0123:()._-", min_size=1, max_size=8),
)
def test_what_is_written_reads_back_exactly(tmp_path_factory, columns, name):
    folder = tmp_path_factory.mktemp("motifs")
    matrix = np.array(columns, dtype=float)
    path = write_jaspar(
        [Motif("M1", name, matrix, True), Motif("M2", name, matrix + 1, True)], folder / "x.gz"
    )
    again = read_motifs(path)
    assert [(m.id, m.name) for m in again] == [("M1", name), ("M2", name)]
    np.testing.assert_array_equal(again[0].matrix, matrix)


FRAGMENTS = st.sampled_from(
    [
        ">",
        ">M1",
        "\t",
        "\n",
        "\n",
        " ",
        "A ",
        "C [",
        "]",
        "1",
        "2.5",
        "-1",
        "nan",
        "MOTIF M1",
        "MEME version 4",
        "letter-probability matrix: w= 2",
        "letter-probability matrix: w= x nsites= 1e",
        "P0 A C G T",
        "AC M1",
        "ID x",
        "01",
        "//",
        "XX",
        "ALPHABET= ACGT",
        "0 0 0 1",
        "#",
        "\r",
        "0595.588",
        "é",
        "1e999",
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    head=st.sampled_from(["", ">M1\n", "MEME version 4\nMOTIF M1\n", "AC M1\nP0 A C G T\n"]),
    text=st.one_of(st.text(max_size=60), st.lists(FRAGMENTS, max_size=25).map("".join)),
)
def test_any_text_is_read_or_refused_with_a_message(tmp_path_factory, head, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(head + text, encoding="utf-8")
    with contextlib.suppress(InputError):  # any other exception fails the test
        assert all(
            np.isfinite(m.matrix).all() and m.matrix.shape[1] == 4 for m in read_motifs(path)
        )
