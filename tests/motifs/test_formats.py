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

BRACKETED = ">MA0001.1\tAGL3\nA  [ 0 3 79 ]\nC  [ 94 75 4 ]\nG  [ 1 0 3 ]\nT  [ 2 19 11 ]\n"
TABLE = [[0, 94, 1, 2], [3, 75, 0, 19], [79, 4, 3, 11]]
MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF M1 first
letter-probability matrix: alength= 4 w= 2 nsites= 20 E= 0
 0.5 0.5 0 0
 0 0 0.25 0.75
URL http://example.org

MOTIF M2
letter-probability matrix: alength= 4 w= 1
 1 0 0 0
"""
TRANSFAC = """VV  made up
XX
//
AC M00001
XX
ID V$MYOD_01
NA MyoD
P0      A      C      G      T
01      1      2      2      0      S
02      2      1      2      0      R
XX
//
"""


def write(tmp_path, text, name="x.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


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


def test_numbers_that_touch_are_read_by_their_width(tmp_path):
    rows = [
        "A  [ 88.235      0      0595.588 ]",
        "C  [    250      0   1000      0 ]",
        "G  [ 80.882   1000      0404.412 ]",
        "T  [580.882      0      0      0 ]",
    ]
    (motif,) = read_motifs(write(tmp_path, ">MA1153.1\tSmad4\n" + "\n".join(rows) + "\n"))
    assert motif.matrix[:, 0].tolist() == [88.235, 0, 0, 595.588]
    assert motif.matrix[3].tolist() == [595.588, 0, 404.412, 0]


def test_a_four_by_four_table_is_read_the_way_its_sums_say(tmp_path):
    by_base = ">M1\n8 1 1 0\n1 8 1 0\n1 1 8 0\n0 0 0 10\n"
    by_position = ">M1\n.5 .5 0 0\n.9 .1 0 0\n.2 .2 .6 0\n0 0 0 1\n"
    assert read_motifs(write(tmp_path, by_base))[0].matrix[0].tolist() == [8, 1, 1, 0]
    assert read_motifs(write(tmp_path, by_position))[0].matrix[0].tolist() == [0.5, 0.5, 0, 0]


def test_meme_keeps_frequencies_and_their_sites(tmp_path):
    first, second = read_motifs(write(tmp_path, MEME))
    assert (first.id, first.name, first.is_counts, first.sites) == ("M1", "first", False, 20)
    assert first.matrix.tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.25, 0.75]]
    assert (second.id, second.name, second.sites) == ("M2", "M2", None)


@pytest.mark.parametrize("line", ["ALPHABET= ACGT", "ALPHABET=ACGT", 'ALPHABET "DNA" DNA-LIKE'])
def test_meme_knows_its_alphabet_lines(tmp_path, line):
    assert len(read_motifs(write(tmp_path, MEME.replace("ALPHABET= ACGT", line)))) == 2


def test_transfac_reads_with_and_without_record_ends(tmp_path):
    (motif,) = read_motifs(write(tmp_path, TRANSFAC))
    assert (motif.id, motif.name) == ("M00001", "MyoD")
    assert motif.matrix.tolist() == [[1, 2, 2, 0], [2, 1, 2, 0]]
    loose = (
        "AC M1\nXX\nID x\nPO\tA\tC\tG\tT\n01\t1\t0\t0\t4\nXX\nAC M2\nID"
        " y\nPO\tA\tC\tG\tT\n01\t0\t3\t0\t0\nXX\n"
    )
    assert [(m.id, m.name) for m in read_motifs(write(tmp_path, loose))] == [
        ("M1", "x"),
        ("M2", "y"),
    ]


def consensus(path, **how):
    return [motif.consensus for motif in read_motifs(path, **how)]


# Positions G, A, T, C with equal sums in both directions: by base they would read C, T, A, G.
FOUR = ["0.1 0.1 0.7 0.1", "0.7 0.1 0.1 0.1", "0.1 0.1 0.1 0.7", "0.1 0.7 0.1 0.1"]


@pytest.mark.parametrize(
    "text",
    [
        ">GATC\tx(y)/z\t6.5\t0\n" + "\n".join(FOUR),
        "Pos\tA\tC\tG\tT\n" + "\n".join(f"{i} {row}" for i, row in enumerate(FOUR, 1)),
        "A C G T\n" + "\n".join(FOUR),
        "\n".join(f"{i} {row}" for i, row in enumerate(FOUR, 1)),
        ">x\nG\t.7 .1 .1 .1\nA .1 .7 .1 .1\nT .1 .1 .7 .1\nC .1 .1 .1 .7\n",
        ">x\n" + "\n".join(FOUR) + "\n>y\n" + "\n".join(FOUR[:3]),
        ">x\n.1 .7 .1 .1\n.1 .1 .1 .7\n.7 .1 .1 .1\n.1 .1 .7 .1\n>y\n.1\n.7\n.1\n.1\n",
    ],
    ids=["HOMER", "CIS-BP", "columns", "numbered", "letters", "beside three", "beside one"],
)
def test_four_positions_are_read_the_way_the_file_says(tmp_path, text):
    first = read_motifs(write(tmp_path, text))[0]
    assert first.width == 4
    assert first.consensus == "GATC"


def test_four_positions_of_which_nothing_says_what_they_are_are_refused(tmp_path):
    path = write(tmp_path, ">x\n" + "\n".join(FOUR) + "\n")
    with pytest.raises(
        InputError, match=r"motif x may be read by base or by position.*Pos A C G T"
    ):
        read_motifs(path)
    assert consensus(path, format="pfm") == ["GATC"]
    assert consensus(path, format="jaspar") == ["CTAG"]
    same = ">x\n.7 .1 .1 .1\n.1 .7 .1 .1\n.1 .1 .7 .1\n.1 .1 .1 .7\n"
    assert consensus(write(tmp_path, same)) == ["ACGT"]  # one motif in both readings


def test_column_letters_give_the_order(tmp_path):
    path = write(tmp_path, "Pos\tT\tG\tC\tA\n1\t1\t0\t0\t0\n2\t0\t0\t0\t1\n", "M1_2.00.txt")
    (motif,) = read_motifs(path)
    assert (motif.id, motif.consensus) == ("M1_2.00", "TA")
    with pytest.raises(InputError, match="RNA and protein"):
        read_motifs(write(tmp_path, "Pos\tA\tC\tG\tU\n1\t1\t0\t0\t0\n"))


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


# As MEME 5.5 and STREME 5.5 write their text output, shortened.
MEME_TEXT = """********************************************************************************
MEME - Motif discovery tool
********************************************************************************
MEME version 5.5.5 (Release date: Thu Sep 14 08:48:04 2023 +1000)

********************************************************************************
TRAINING SET
********************************************************************************
PRIMARY SEQUENCES= x.fa
ALPHABET= ACGT
Letter frequencies in dataset:
A 0.25 C 0.25 G 0.25 T 0.25

********************************************************************************
MOTIF CA MEME-1\twidth =   2  sites =  20  llr = 30  E-value = 1.2e-003
********************************************************************************
--------------------------------------------------------------------------------
\tMotif CA MEME-1 Description
--------------------------------------------------------------------------------
Simplified        A  :a
pos.-specific     C  a:
--------------------------------------------------------------------------------

\tMotif CA MEME-1 in BLOCKS format
BL   MOTIF CA width=2 seqs=20
s1                       (   45) CA  1
//

log-odds matrix: alength= 4 w= 2 n= 100 bayes= 5 E= 1.2e-003
  -400    178   -400   -400
   178   -400   -400   -400
--------------------------------------------------------------------------------
letter-probability matrix: alength= 4 w= 2 nsites= 20 E= 1.2e-003
 0.000000  1.000000  0.000000  0.000000
 0.900000  0.100000  0.000000  0.000000
--------------------------------------------------------------------------------

SUMMARY OF MOTIFS
SEQUENCE NAME            COMBINED P-VALUE  MOTIF DIAGRAM
"""
STREME_TEXT = """********************************************************************************
STREME - Sensitive, Thorough, Rapid, Enriched Motif Elicitation
********************************************************************************
MEME version 5.5.5 (Release date: Thu Sep 14 08:48:04 2023 +1000)

ALPHABET= ACGT
strands: + -

MOTIF 1-CA STREME-1
letter-probability matrix: alength= 4 w= 2 nsites= 20 E= 1e-3
 0 1 0 0
 0.9 0.1 0 0

********************************************************************************
COMMAND:\tstreme --p x.fa
"""


@pytest.mark.parametrize(
    ("text", "id", "name"),
    [(MEME_TEXT, "CA", "MEME-1"), (STREME_TEXT, "1-CA", "STREME-1")],
    ids=["MEME", "STREME"],
)
def test_the_text_output_of_the_meme_suite(tmp_path, text, id, name):
    (motif,) = read_motifs(write(tmp_path, text))
    assert (motif.id, motif.name, motif.sites) == (id, name, 20)
    assert motif.matrix.tolist() == [[0, 1, 0, 0], [0.9, 0.1, 0, 0]]


def test_transfac_rows_may_be_separated_by_tabs(tmp_path):
    text = "AC\tM1\nXX\nID\tx\nP0\tA\tC\tG\tT\n1\t41\t0\t0\t1\n2\t0\t40\t2\t0\nXX\n//\n"
    (motif,) = read_motifs(write(tmp_path, text))
    assert motif.matrix.tolist() == [[41, 0, 0, 1], [0, 40, 2, 0]]


def test_homer_header_gives_the_name(tmp_path):
    text = ">ASTTCCTCTT\tELF1(ETS)/Jurkat-ChIP\t6.2\t-100\n0.5\t0.1\t0.3\t0.1\n0.1\t0.7\t0.1\t0.1\n"
    (motif,) = read_motifs(write(tmp_path, text, "a.motif"))
    assert (motif.name, motif.is_counts, motif.width) == ("ELF1", False, 2)


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
