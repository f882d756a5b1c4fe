"""How the text of each format becomes a matrix: layouts, alphabets, columns."""

import pytest

from epilm.errors import InputError
from epilm.motifs.formats import read_motifs

from .motif_files import MEME, TRANSFAC, write


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
