"""Files of scores: what stands in them, by hand, and the same bytes again."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from epilm.variants.haplotypes import Change
from epilm.variants.score_writers import Columns, write_scores
from epilm.variants.variant_files import Allele

ALLELES = [
    Allele(0, 0, "chr1", 9, "AC", "A", "rs1", ""),
    Allele(0, 1, "chr1", 9, "AC", "<DEL>", "rs1", ""),
    Allele(1, 0, "chr2", 4, "G", "T", ".", ""),
]
CHANGES = [Change("chr1", 10, "C", ""), None, Change("chr2", 4, "G", "T")]
REASONS = ["", "symbolic", ""]
COLUMNS = Columns(
    {
        "a b_delta": np.array([0.25, np.nan, 1 / 3]),
        "why": np.array([1.0, np.nan, 0.0]),
    },
    {"a b_delta": "ALT less REF", "why": "what it hits"},
    {"why": ("the site", "the gap;")},
)
SIZES = {"chr1": 100, "chr2": 50}


def write(out, source=Path("v.tsv")):
    write_scores(out, source, ALLELES, CHANGES, REASONS, COLUMNS, SIZES)
    return out


def test_a_table_has_a_row_an_alt_and_a_point_where_nothing_was_scored(tmp_path):
    rows = write(tmp_path / "o.tsv").read_text().splitlines()
    assert rows == [
        "chrom\tpos\tid\tref\talt\tnorm_pos\tnorm_ref\tnorm_alt\treason\ta b_delta\twhy",
        "chr1\t10\trs1\tAC\tA\t11\tC\t-\t.\t0.25\tthe gap;",
        "chr1\t10\trs1\tAC\t<DEL>\t.\t.\t.\tsymbolic\t.\t.",
        "chr2\t5\t.\tG\tT\t5\tG\tT\t.\t0.33333333\tthe site",
    ]


def test_packed_it_is_the_same_table_and_the_same_bytes_whatever_its_name(tmp_path):
    plain = write(tmp_path / "o.tsv").read_bytes()
    one, other = write(tmp_path / "a.tsv.gz"), write(tmp_path / "b.tsv.gz")
    assert gzip.decompress(one.read_bytes()) == plain
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["o.vcf", "o.vcf.gz", "o.bcf"])
def test_a_vcf_has_a_record_a_variant_with_a_value_an_alt(tmp_path, name):
    pysam = pytest.importorskip("pysam")
    with pysam.VariantFile(str(write(tmp_path / name, tmp_path / "v.tsv"))) as file:
        assert [file.header.contigs[chrom].length for chrom in SIZES] == [100, 50]
        first, second = file
    assert (first.pos, first.ref, first.alts, first.id) == (10, "AC", ("A", "<DEL>"), "rs1")
    assert first.info["EPILM_a_b_delta"] == (0.25, None)
    assert first.info["EPILM_why"] == ("the_gap_", None)
    assert first.info["EPILM_REASON"] == (None, "symbolic")
    assert second.info["EPILM_a_b_delta"][0] == pytest.approx(1 / 3, rel=1e-5)
    assert "EPILM_REASON" not in second.info


def test_in_the_users_own_vcf_everything_else_stays(tmp_path):
    pysam = pytest.importorskip("pysam")
    source = tmp_path / "v.vcf"
    source.write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=100>\n##contig=<ID=chr2,length=50>\n"
        '##INFO=<ID=AC,Number=A,Type=Integer,Description="count">\n'
        '##INFO=<ID=EPILM_why,Number=1,Type=Integer,Description="of an earlier run">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "chr1\t10\trs1\tAC\tA,<DEL>\t7\t.\tAC=1,2\nchr2\t5\t.\tG\tT\t.\t.\tAC=3\n"
    )
    with pysam.VariantFile(str(write(tmp_path / "o.vcf", source))) as file:
        first, second = file
    assert (first.qual, first.info["AC"], second.info["AC"]) == (7, (1, 2), (3,))
    assert second.info["EPILM_why"] == ("the_site",)
