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
        ("chr1\t5\t6\ta\t1\t+\nchr1\t9\n", ["line 2", "no BED record"]),
        (GTF.replace("transcript\t", "exon\t"), ["holds no transcript"]),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, words):
    (tmp_path / "a").write_text(text)
    with pytest.raises(InputError) as error:
        read_tss(tmp_path / "a")
    for word in words:
        assert word in str(error.value)


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
