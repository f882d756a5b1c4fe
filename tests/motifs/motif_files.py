"""Motif files as text."""

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
