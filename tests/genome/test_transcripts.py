"""SpliceAI's table, GTF and GFF3: coordinates by hand, one gene in all three forms, what is
refused, the counts of the real table.
"""

import gzip

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.genome.transcripts import Transcripts, read_transcripts, with_paralogs

TABLE = "A\t0\tchr1\t+\t101\t200\t120,150,\t131,181,\n"


def gtf(feature, start, end, strand="+", kind="protein_coding", gene="G1", name="T1", tags=()):
    about = f'gene_id "{gene}"; transcript_id "{name}"; gene_type "{kind}"; gene_name "{gene}n";'
    about += "".join(f' tag "{tag}";' for tag in tags)
    return f"chr1\tX\t{feature}\t{start}\t{end}\t.\t{strand}\t.\t{about}\n"


EXONS = ((101, 120), (131, 150), (181, 200))


def written(folder, text, name="a.gtf"):
    path = folder / name
    path.write_text(text)
    return path


def shown(read):
    return [
        (r.gene, r.chrom, r.strand, r.start, r.end, r.left.tolist(), r.right.tolist())
        for r in read.rows
    ]


def test_one_gene_reads_the_same_from_table_gtf_and_gff3(tmp_path):
    table = read_transcripts(written(tmp_path, TABLE.replace("A\t", "G1n\t"), "a.txt"))
    lines = "".join(gtf("exon", *exon) for exon in EXONS)
    gff = "##gff-version 3\nchr1\tX\tgene\t101\t200\t.\t+\t.\tID=G1;Name=G1n\n"
    gff += "chr1\tX\tmRNA\t101\t200\t.\t+\t.\tID=T1;Parent=G1\n"
    gff += "".join(f"chr1\tX\texon\t{a}\t{b}\t.\t+\t.\tID=e{a};Parent=T1\n" for a, b in EXONS)
    gff += "##FASTA\n>chr1\nACGT\n"
    expected = [("G1n", "chr1", "+", 100, 200, [119, 149], [130, 180])]
    assert shown(table) == expected
    assert shown(read_transcripts(written(tmp_path, lines))) == expected
    assert shown(read_transcripts(written(tmp_path, gff, "a.gff3"))) == expected


def test_strands_say_which_sites_are_donors(tmp_path):
    forward = read_transcripts(written(tmp_path, TABLE)).rows[0]
    turned = read_transcripts(written(tmp_path, TABLE.replace("\t+\t", "\t-\t"))).rows[0]
    assert forward.donors.tolist() == turned.acceptors.tolist() == [119, 149]
    assert forward.acceptors.tolist() == turned.donors.tolist() == [130, 180]
    assert (forward.paralog, turned.line) == (False, 1)


def test_crlf_gzip_and_missing_last_commas_are_the_same_table(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(TABLE.replace("150,\t", "150\t").replace("\n", "\r\n").encode()))
    assert shown(read_transcripts(path)) == shown(read_transcripts(written(tmp_path, TABLE)))


def test_the_main_transcript_is_tagged_or_the_longest_and_the_union_has_all(tmp_path):
    other = ((101, 120), (161, 200))
    long = "".join(gtf("exon", *exon) for exon in EXONS)
    short = "".join(gtf("exon", *exon, name="T2") for exon in other)
    assert read_transcripts(written(tmp_path, short + long)).rows[0].right.tolist() == [160]
    long = "".join(gtf("exon", *exon) for exon in (*EXONS, (301, 340)))
    one = read_transcripts(written(tmp_path, short + long)).rows[0]
    assert one.right.tolist() == [130, 180, 300]
    tagged = "".join(gtf("exon", *e, name="T2", tags=("basic", "MANE_Select")) for e in other)
    tagged += long.replace('"protein_coding";', '"protein_coding"; tag "appris_principal_1";')
    assert read_transcripts(written(tmp_path, tagged)).rows[0].right.tolist() == [160]
    every = read_transcripts(written(tmp_path, short + long), transcripts="union").rows[0]
    assert (every.start, every.end) == (100, 340)
    assert (every.left.tolist(), every.right.tolist()) == (
        [119, 149, 199],
        [130, 160, 180, 300],
    )


def test_genes_of_no_protein_and_genes_without_introns_are_left_out_and_counted(tmp_path):
    lines = "".join(gtf("exon", *exon) for exon in EXONS)
    lines += "".join(gtf("exon", *e, kind="lincRNA", gene="G2", name="T2") for e in EXONS)
    lines += gtf("exon", 500, 600, gene="G3", name="T3")
    read = read_transcripts(written(tmp_path, lines))
    assert [row.gene for row in read.rows] == ["G1n"]
    assert read.notes == [
        "1 genes that code for no protein left out",
        "1 genes without an intron left out",
    ]
    assert len(read_transcripts(written(tmp_path, lines), coding=False)) == 2


def test_an_annotation_without_exons_is_refused_or_read_by_its_coding_parts(tmp_path):
    path = written(tmp_path, "".join(gtf("CDS", *exon) for exon in EXONS))
    with pytest.raises(InputError, match="no line of exon. Found 3 CDS.*--feature CDS"):
        read_transcripts(path)
    assert read_transcripts(path, feature="CDS").rows[0].left.tolist() == [119, 149]
    path = written(tmp_path, gtf("gene", 1, 9))
    with pytest.raises(InputError, match="no line of exon. Found 1 gene.*GENCODE"):
        read_transcripts(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty|no record"),
        ("#NAME\tPARALOG\n", "the file holds no record"),
        ("NAME\tPARALOG\tCHROM\tSTRAND\tS\tE\tL\tR\n" + TABLE, "line 1: wrong format.*no header"),
        (TABLE.replace("\t", " "), "1 columns.*separated by tabs"),
        (TABLE + "B\t0\tchr1\t+\t1\n", "line 2: the line has another number of columns"),
        (TABLE.replace("\t0\t", "\tno\t"), "paralog 'no'.*paralog 0 or 1"),
        (TABLE.replace("101", "1e2"), "the start is not a whole number. Found '1e2'"),
        (TABLE.replace("120", "12x"), "the exon end is not a whole number. Found '12x'"),
        (TABLE.replace("101", "300"), "the interval holds no base. Found 300-200"),
        (TABLE.replace("120", "90"), "outside of its transcript. Found exon end 90.*101 to 200"),
        ("A\t0\tchr1\t+\t101\t200\t,\t,\n", "no transcript has an intron.*1 genes without"),
    ],
)
def test_a_wrong_table_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        read_transcripts(written(tmp_path, text, "a.txt"))


def test_wrong_lines_of_an_annotation_and_unknown_words_are_refused(tmp_path):
    good = gtf("exon", 1, 9)
    for bad, message in (
        (good.replace("transcript_id", "other_id"), "the exon names no transcript"),
        (good.replace("\t+\t", "\t.\t"), "the exon has no strand"),
        ("chr1\tX\texon\t1\n", "4 columns; expected nine"),
    ):
        with pytest.raises(InputError, match=f"line 2: .*{message}"):
            read_transcripts(written(tmp_path, good + bad))
    path = written(tmp_path, TABLE)
    with pytest.raises(UsageError, match="--transcripts: unknown value. Found 'all'"):
        read_transcripts(path, transcripts="all")
    with pytest.raises(UsageError, match="--feature: unknown value. Found 'intron'"):
        read_transcripts(path, feature="intron")


def test_a_list_marks_genes_with_a_paralog(tmp_path):
    read = read_transcripts(written(tmp_path, TABLE + TABLE.replace("A\t", "B\t")))
    marked = with_paralogs(read, written(tmp_path, "B\n", "list.txt"))
    assert isinstance(marked, Transcripts)
    assert [row.paralog for row in marked.rows] == [False, True]
    with pytest.raises(InputError, match="none of the genes.*names such as A, B"):
        with_paralogs(read, written(tmp_path, "C\n", "list.txt"))


# -- the real table

TEST = ("chr1", "chr3", "chr5", "chr7", "chr9")


def counted(rows):
    """Genes, junctions, bases, blocks of 5,000."""
    lengths = np.array([row.end - row.start for row in rows])
    sites = {sum(len(getattr(row, side)) for row in rows) for side in ("donors", "acceptors")}
    return len(rows), sites, int(lengths.sum()), int((-(-lengths // 5000)).sum())


@pytest.fixture(scope="module")
def canonical(real_data):
    path = real_data / "annotation_hg19/whole_genome/spliceai_canonical_dataset.txt.gz"
    if not path.is_file():
        pytest.skip(f"no SpliceAI table at {path}")
    return read_transcripts(path).rows


def test_the_counts_of_the_whole_table_are_the_published_ones(canonical):
    if len(canonical) != 18_677:
        pytest.skip(f"the table here has {len(canonical)} of 18,677 genes (chr1, 2, 9, 17 lack)")
    train = [row for row in canonical if row.chrom not in TEST]
    test = [row for row in canonical if row.chrom in TEST]
    alone = [row for row in test if not row.paralog]
    assert sum(not row.paralog for row in canonical) == 5_698
    assert counted(train)[:3] == (13_384, {130_796}, 779_950_965)
    assert len(test) == 5_293
    assert counted(alone) == (1_652, {14_289}, 78_390_607, 16_505)


def test_the_counts_of_the_part_that_is_here_are_those_of_awk(canonical):
    """Counted once with awk from the table of 13,752 genes."""
    if len(canonical) != 13_752:
        pytest.skip(f"the table here has {len(canonical)} genes")
    genes, sites, bases, blocks = counted(canonical)
    assert (genes, bases, blocks) == (13_752, 857_709_528, 178_450)
    assert sites == {133_117}
    alone = [row for row in canonical if row.chrom in TEST and not row.paralog]
    assert counted(alone) == (811, {7_381}, 44_707_663, 9_341)


def test_introns_of_yeast_are_read_from_coding_parts(real_data):
    path = real_data / "more/yeast_sacCer3/annotation/SGD_R64.gff3.gz"
    if not path.is_file():
        pytest.skip(f"no yeast annotation at {path}")
    with pytest.raises(InputError, match="no line of exon.*--feature CDS"):
        read_transcripts(path)
    read = read_transcripts(path, feature="CDS", coding=False)
    assert 250 < sum(len(row.left) for row in read.rows) < 400
