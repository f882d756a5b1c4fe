"""Genes of four formats: the same gene gives the same place and exons."""

import gzip

import pytest

from epilm.errors import InputError
from epilm.genome.genes import read_genes

GTF = """#!genome hg19
chr1 x gene 11 60 . + . gene_id "G1.2"; gene_name "CTCF";
chr1 x transcript 11 60 . + . gene_id "G1.2"; transcript_id "T1"; gene_name "CTCF";
chr1 x exon 11 20 . + . gene_id "G1.2"; transcript_id "T1"; gene_name "CTCF";
chr1 x exon 41 60 . + . gene_id "G1.2"; transcript_id "T1"; gene_name "CTCF";
chr1 x exon 16 30 . + . gene_id "G1.2"; transcript_id "T2"; gene_name "CTCF";
chr2 x exon 1 9 . - . gene_id "G2"; gene_name "MYC";
"""
GFF3 = """##gff-version 3
chr1 x gene 11 60 . + . ID=gene:G1.2;Name=CTCF
chr1 x mRNA 11 60 . + . ID=T1;Parent=gene:G1.2
chr1 x exon 11 20 . + . Parent=T1,T2
chr1 x exon 41 60 . + . Parent=T1
chr1 x mRNA 11 60 . + . ID=T2;Parent=gene:G1.2
chr1 x exon 16 30 . + . Parent=T2
chr2 x pseudogene 1 9 . - . ID=G2;Name=MYC
##FASTA
>chr1
ACGT
"""
PRED = """T1 chr1 + 10 60 10 10 2 10,40, 20,60, 0 CTCF
T2 chr1 + 10 60 10 10 1 15, 30, 0 CTCF
T3 chr2 - 0 9 0 0 1 0, 9, 0 MYC
"""
BED = """chr1 10 60 CTCF 0 + 10 60 0 2 20,20 0,30
chr2 0 9 MYC 0 - 0 9 0 1 9 0
"""


def write(folder, text, name="genes.txt"):
    path = folder / name
    lines = [line.split(" ", 8 if ";" in line or "=" in line else -1) for line in text.splitlines()]
    raw = "".join("\t".join(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


@pytest.mark.parametrize("text", [GTF, GFF3, PRED, BED])
@pytest.mark.parametrize("name", ["genes.txt", "genes.gz"])
def test_every_format_gives_the_same_gene(tmp_path, text, name):
    genes = read_genes(write(tmp_path, text, name))
    gene = genes.find("ctcf")
    assert (gene.place, gene.strand) == ("chr1:10-60", "+")
    assert gene.exons == ((10, 30), (40, 60))
    assert genes.find("MYC").place == "chr2:0-9"
    assert [g.name for g in genes.within("chr1", 59, 70)] == ["CTCF"]
    assert genes.within("chr1", 60, 70) == []


def test_the_bin_column_of_ucsc_is_stepped_over(tmp_path):
    binned = "".join(f"585 {line}\n" for line in PRED.splitlines())
    assert read_genes(write(tmp_path, binned)).find("CTCF").exons == ((10, 30), (40, 60))


def test_a_name_that_is_not_there_and_one_that_lies_twice(tmp_path):
    twice = PRED + "T9 chr2 + 100 200 0 0 1 100, 200, 0 CTCF\n"
    genes = read_genes(write(tmp_path, twice))
    with pytest.raises(InputError, match="2 genes have this name.*chr1:10-60.*chr2:100-200"):
        genes.find("CTCF")
    with pytest.raises(InputError, match="no gene has this name.*The nearest: CTCF"):
        genes.find("CTFC")
    one = read_genes(write(tmp_path, GTF))
    assert one.find("G1").name == one.find("g1.2").name == "CTCF"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("# nothing\n", "holds no gene"),
        ("one two\n", "wrong format"),
        ("chr1 10 60 A\nchr1 60 60 B\n", "line 2: the line says no interval"),
        ("T1 chr1 + 10 60 10 10 2 10, 20,60, 0 A\n", "line 1: .*not as many starts as ends"),
        ("chr1 x exon 1 9 . + . transcript_id;\n", "names no gene|wrong format|holds no gene"),
    ],
)
def test_what_is_no_gene_is_one_message_with_the_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_genes(write(tmp_path, text))
