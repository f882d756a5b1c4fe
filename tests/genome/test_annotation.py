"""Start sites from three formats."""

import pytest

from epilm.errors import InputError
from epilm.genome.annotation import read_gtf, read_tss

GTF = (
    "#!genome\n"
    'chr1\tx\tgene\t101\t200\t.\t+\t.\tgene_id "G1"; gene_name "A";\n'
    'chr1\tx\ttranscript\t101\t200\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; gene_name "A";\n'
    'chr1\tx\ttranscript\t301\t400\t.\t-\t.\tgene_id "G2"; transcript_id "T2";\n'
)
PRED = (
    "{bin}T1\tchr1\t+\t100\t200\t120\t180\t1\t100,\t200,\t0\tA\tcmpl\tcmpl\t0,\n"
    "{bin}T2\tchr1\t-\t300\t400\t320\t380\t1\t300,\t400,\t0\tG2\tcmpl\tcmpl\t0,\n"
)


@pytest.mark.parametrize("how", ["gtf", "pred", "pred+bin", "bed"])
def test_the_same_two_sites_from_every_format(tmp_path, how):
    text = {
        "gtf": GTF,
        "pred": PRED.format(bin=""),
        "pred+bin": "#bin\tname\n" + PRED.format(bin="585\t"),
        "bed": "chr1\t100\t101\tA_1\t1\t+\nchr1\t399\t400\tG2_1\t1\t-\n",
    }[how]
    (tmp_path / "a").write_text(text)
    table = read_tss(tmp_path / "a")
    assert table[["chrom", "start", "end", "strand"]].values.tolist() == [
        ["chr1", 100, 101, "+"],
        ["chr1", 399, 400, "-"],
    ]
    assert table["gene"].tolist() == ["A", "G2"]


def test_the_thick_part_of_a_wide_epd_record_begins_at_the_site(tmp_path):
    (tmp_path / "a.bed").write_text(
        "chr1\t51\t111\tA_1\t900\t+\t100\t111\nchr1\t90\t150\tB_1\t900\t-\t90\t101\n"
    )
    assert read_tss(tmp_path / "a.bed")["start"].tolist() == [100, 100]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["the file is empty"]),
        ("#x\n", ["holds no record"]),
        ("chr1\t5\t6\n", ["line 1", "wrong format", "six columns"]),
        ("chr1\t5\t6\ta\t1\t.\n", ["line 1", "has no strand"]),
        ("chr1\t5\t6\ta\t1\t+\nchr1\t9\t9\ta\t1\t+\n", ["line 2", "holds no base"]),
        ("chr1\t5\t6\ta\t1\t+\nchr1\t9\n", ["line 2", "cut short", "2 columns"]),
        (GTF.replace("transcript\t", "exon\t"), ["holds no transcript"]),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, words):
    (tmp_path / "a").write_text(text)
    with pytest.raises(InputError) as error:
        read_tss(tmp_path / "a")
    for word in words:
        assert word in str(error.value)


BED12 = (
    "chr1\t1000\t4000\tNM_1\t0\t+\t2000\t3000\t0\t1\t3000,\t0,\n"
    "chr1\t1100\t4010\tNM_2\t0\t-\t2010\t3005\t0\t1\t2910,\t0,\n"
    "chr1\t5000\t5060\tNR_3\t0\t-\t5060\t5060\t0\t1\t60,\t0,\n"
)


def test_a_gene_model_begins_where_transcription_does_not_where_translation_does(tmp_path):
    (tmp_path / "genes.bed").write_text(BED12)
    table = read_tss(tmp_path / "genes.bed")
    assert table["start"].tolist() == [1000, 4009, 5059]
    for width in (8, 9):  # the same without blocks
        cut = ["\t".join(line.split("\t")[:width]) for line in BED12.splitlines()]
        (tmp_path / "cut.bed").write_text("\n".join(cut) + "\n")
        assert read_tss(tmp_path / "cut.bed")["start"].tolist() == [1000, 4009, 5059]


def test_a_row_of_sixty_bases_is_epds_own_only_with_its_thick_part(tmp_path):
    (tmp_path / "a.bed").write_text(
        "chr1\t51\t111\tA_1\t900\t+\t100\t111\n"  # EPD's
        "chr1\t51\t111\tB\t900\t+\t80\t111\n"
        "chr1\t51\t112\tC\t900\t+\t101\t112\n"
    )
    assert read_tss(tmp_path / "a.bed")["start"].tolist() == [100, 51, 51]


def test_one_thick_base_of_a_cage_cluster_is_the_site(tmp_path):
    (tmp_path / "a.bed").write_text(
        "chr1\t564571\t564600\tp@x\t210\t+\t564586\t564587\t0,0,0\n"
        "chr1\t564571\t564600\tp@y\t210\t-\t564586\t564587\t0,0,0\n"
    )
    assert read_tss(tmp_path / "a.bed")["start"].tolist() == [564586, 564586]


@pytest.mark.parametrize("number", ["1_000", "1e400", "x", "-5", ""])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ["bed", "gtf", "pred", "pred+bin"])
def test_a_coordinate_that_is_no_number_is_named_in_every_format(tmp_path, kind, first, number):
    good, bad, line = {
        "bed": ("chr1\t5\t9\ta\t1\t+\n", f"chr1\t5\t{number}\ta\t1\t+\n", 1),
        "gtf": (
            GTF,
            GTF.replace(
                '\t200\t.\t+\t.\tgene_id "G1"; trans', f'\t{number}\t.\t+\t.\tgene_id "G1"; trans'
            ),
            4,
        ),
        "pred": (PRED.format(bin=""), PRED.format(bin="").replace("+\t100", f"+\t{number}"), 2),
        "pred+bin": (
            PRED.format(bin="585\t"),
            PRED.format(bin="585\t").replace("+\t100", f"+\t{number}"),
            2,
        ),
    }[kind]
    (tmp_path / "a").write_text(bad if first else good + bad)
    with pytest.raises(InputError, match="not a whole number") as error:
        read_tss(tmp_path / "a")
    assert repr(number) in str(error.value)
    where = {"bed": 1, "gtf": 3, "pred": 1, "pred+bin": 1}[kind]
    assert f"line {where + (0 if first else line)}" in str(error.value)


def test_gff3_is_told_from_gtf(tmp_path):
    (tmp_path / "a.gff3").write_text("chr1\tx\ttranscript\t1\t9\t.\t+\t.\tID=T1;Parent=G1\n")
    with pytest.raises(InputError, match=r"GFF3.*gffread"):
        read_tss(tmp_path / "a.gff3")


@pytest.mark.parametrize(("bad", "words"), [("x", "'x'"), ("1_0", "'1_0'")])
def test_a_gtf_table_names_the_line_of_a_wrong_number(tmp_path, bad, words):
    (tmp_path / "a.gtf").write_text(GTF.replace("\t301\t", f"\t{bad}\t"))
    with pytest.raises(InputError, match=f"line 4.*not a whole number.*{words}"):
        read_gtf(tmp_path / "a.gtf")


def test_a_gtf_as_a_table(tmp_path):
    (tmp_path / "a.gtf").write_text(GTF)
    table = read_gtf(tmp_path / "a.gtf")
    assert table["start"].tolist() == [100, 100, 300]
    assert table["transcript_id"].tolist()[1:] == ["T1", "T2"]


def test_real_start_sites(real_data):
    sites = read_tss(real_data / "promoters" / "EPDnew_human_TSS.hg19.bed")
    assert len(sites) == 281
    assert sites.iloc[0][["chrom", "start", "strand", "gene"]].tolist() == [
        "chr20",
        68312,
        "+",
        "DEFB125",
    ]
    genes = read_tss(real_data / "annotation_hg19" / "refGene.genePredExt.txt.gz")
    assert len(genes) == 590
    assert genes.iloc[0][["start", "gene"]].tolist() == [68312, "DEFB125"]
