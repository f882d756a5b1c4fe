"""Start sites of every format, by hand; the main transcript; nested and missing transcripts."""

import gzip

import pytest

from epilm.errors import InputError
from epilm.genome.start_sites import LAST, read_starts

GTF = """#!genome
chr1\tx\tgene\t101\t300\t.\t+\t.\tgene_id "ENSG1.4"; gene_name "A";
chr1\tx\ttranscript\t151\t300\t.\t+\t.\tgene_id "ENSG1.4"; transcript_id "T1"; tag "MANE_Select";
chr1\tx\texon\t151\t300\t.\t+\t.\tgene_id "ENSG1.4"; gene_name "A"; transcript_id "T1";
chr1\tx\ttranscript\t101\t300\t.\t+\t.\tgene_id "ENSG1.4"; gene_name "A"; transcript_id "T2";
chr2\tx\texon\t11\t20\t.\t-\t.\tgene_id "B"; transcript_id "T3";
chr2\tx\texon\t31\t40\t.\t-\t.\tgene_id "B"; transcript_id "T3";
"""
GFF = """##gff-version 3
chr1\tx\tgene\t101\t300\t.\t-\t.\tID=gene:G1;Name=A;gene_id=G1
chr1\tx\tmRNA\t101\t250\t.\t-\t.\tID=transcript:T1;Parent=gene:G1;tag=basic,Ensembl_canonical
chr1\tx\tmiRNA\t201\t220\t.\t-\t.\tID=transcript:M;Parent=transcript:T1
chr1\tx\texon\t101\t250\t.\t-\t.\tID=exon:1;Parent=transcript:T1
chr1\tx\tgene\t401\t500\t.\t+\t.\tID=YAL1;Name=YAL1;gene=PAU8
chr1\tx\tCDS\t401\t500\t.\t+\t0\tParent=YAL1_mRNA
##FASTA
>chr1
ACGT
"""


def write(folder, name, text):
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_transcripts_of_a_gtf_and_of_exons_alone(tmp_path):
    a, b, c = read_starts(write(tmp_path, "a.gtf.gz", GTF))
    assert a == (("ENSG1.4", "A"), "chr1", 150, "+", 0, 150, 3)
    assert (b.site, b.rank > 0, b.bases) == (100, True, 200)
    assert (c.names, c.site, c.strand, c.bases) == (("B",), 39, "-", 30)


def test_gff3_by_parents_and_a_gene_without_a_transcript(tmp_path):
    a, b = read_starts(write(tmp_path, "a.gff3", GFF))
    assert (a.names, a.site, a.rank) == (("G1", "A"), 249, 1)
    assert (b.names, b.site, b.rank) == (("YAL1", "PAU8"), 400, LAST)


def test_bed_has_sites_alone(tmp_path):
    text = "chr1\t99\t100\tA_1\t1\t+\nchr1\t89\t90\tY_RNA\t1\t-\n"
    a, b = read_starts(write(tmp_path, "a.bed", text))
    assert a == (("A_1", "A"), "chr1", 99, "+", LAST, 1, 1)
    assert b.names == ("Y_RNA", "Y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GTF + "chr1\tx\n", "line 8: the line is not one of GTF or GFF3. Found 2 columns"),
        ("chr1\tx\ttranscript\t9\t5\t.\t+\t.\tgene_id\n", "line 1: the interval holds no base"),
        ('chr1\tx\texon\t5\t9\t.\t+\t.\tgene_id "A"\n', "the file holds no start site"),
        ("chr1\t5\n", "line 1: wrong format"),
    ],
)
def test_each_wrong_file_has_one_message(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_starts(write(tmp_path, "a.gtf", text))
