"""Variants as a file has them: every spelling of a table, every line that is none."""

import gzip

import pytest

from epilm.errors import InputError, UsageError
from epilm.variants.variant_files import read_variants


def table(path, *lines):
    text = "\n".join("\t".join(line.split()) for line in lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["v.tsv", "v.tsv.gz", "v.txt"])
def test_a_row_gives_an_allele_an_alt_in_the_files_order(tmp_path, name):
    path = table(
        tmp_path / name, "alt RSID position chr reference", "c,gt rs1 10 chr2 a", "- . 1 chr1 T"
    )
    file = read_variants(path)
    assert (file.records, file.contigs) == (2, {})
    said = [(a.record, a.number, a.chrom, a.start, a.ref, a.alt, a.name) for a in file.alleles]
    assert said == [
        (0, 0, "chr2", 9, "A", "C", "rs1"),
        (0, 1, "chr2", 9, "A", "GT", "rs1"),
        (1, 0, "chr1", 0, "T", "-", "."),
    ]
    assert file.alleles[2].where == f"{path}, line 3"


def test_a_vcf_says_the_same_as_the_table_made_of_it(tmp_path):
    pytest.importorskip("pysam")
    path = tmp_path / "v.vcf"
    path.write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=chr2,length=500>\n"
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "chr2\t10\trs1\ta\tC,GT\t.\t.\t.\nchr2\t7\t.\tT\t.\t.\t.\t.\n"
    )
    file = read_variants(path)
    rows = table(tmp_path / "v.tsv", "chrom pos id ref alt", "chr2 10 rs1 a C,GT", "chr2 7 . T .")
    for one, other in zip(file.alleles, read_variants(rows).alleles, strict=True):
        same = ("record", "number", "chrom", "start", "ref", "alt", "name")
        assert [getattr(one, key) for key in same] == [getattr(other, key) for key in same]
    assert file.contigs == {"chr2": 500}
    assert file.alleles[2].where == f"{path}, record 2 (chr2:7)"
    for packed in (tmp_path / "v.vcf.gz",):  # of plain gzip, which htslib alone cannot wind back
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert [a.start for a in read_variants(packed).alleles] == [9, 9, 6]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["chrom pos ref"], "the table has no column alt.*Found chrom, pos, ref"),
        (["chrom pos ref alt", "chr1 0 A C"], "line 2: the line is no variant. Found chr1"),
        (["chrom pos ref alt", "chr1 5 A C", "chr1 5"], "line 3: the line is no variant"),
        (["chrom pos ref alt", "chr1 5.5 A C"], "line 2: .*a whole number, 1-based"),
        (["chrom pos ref alt"], "there are no variants in it"),
    ],
)
def test_a_line_that_is_no_variant_is_named(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        read_variants(table(tmp_path / "v.tsv", *lines))


def test_a_file_that_is_not_there_is_cut_or_of_an_unknown_name(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_variants(tmp_path / "none.tsv")
    with pytest.raises(UsageError, match=r"told by the name.*Found v.bed; expected .vcf, .vcf.gz"):
        read_variants(tmp_path / "v.bed")
    whole = table(tmp_path / "v.tsv.gz", "chrom pos ref alt", *["chr1 5 A C"] * 500)
    (tmp_path / "cut.tsv.gz").write_bytes(whole.read_bytes()[:60])
    with pytest.raises(InputError, match="the file cannot be read"):
        read_variants(tmp_path / "cut.tsv.gz")
