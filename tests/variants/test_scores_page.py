"""The page of scored variants: a table, a VCF, a folder; beside what is known where it is known."""

import csv

import pytest

from epilm.cli import main
from epilm.errors import InputError
from epilm.reporting import report
from epilm.variants.scored_files import count_reasons, is_scored

MOTIF = ">M1 x\nA [ 9 0 0 0 ]\nC [ 0 9 0 0 ]\nG [ 0 0 9 0 ]\nT [ 0 0 0 9 ]\n"


@pytest.fixture
def scored(tmp_path):
    """Six variants of a genome, one of which cannot be scored, compared with labels."""
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGTTGCA" * 50 + "\n")
    (tmp_path / "m.jaspar").write_text(MOTIF)
    lines = ["chrom\tpos\tref\talt\tcausal"]
    lines += [f"chr1\t{200 + at}\t{'ACGTTGCA'[(199 + at) % 8]}\tN\t0" for at in (1,)]
    for at, causal in ((1, 1), (2, 1), (4, 1), (5, 0), (6, 0), (7, 0)):
        ref = "ACGTTGCA"[(199 + at) % 8]
        alt = "G" if ref != "G" else "A"
        lines.append(f"chr1\t{200 + at}\t{ref}\t{alt}\t{causal}")
    (tmp_path / "v.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "out").mkdir()
    out = tmp_path / "out/scored.tsv"
    words = ["score-variants", tmp_path / "v.tsv", "--genome", tmp_path / "g.fa"]
    words += ["--motifs", tmp_path / "m.jaspar", "--out", out, "--truth", "causal"]
    assert main(list(map(str, words))) == 0
    return out


def test_a_table_has_its_page_with_the_comparison_and_the_numbers(scored):
    assert is_scored(scored)
    page = report(scored)
    assert page == scored.with_name("scored.html")
    text = page.read_text()
    for said in ("7 alleles", "Against what is known", "motif_x_delta", "baseline gc", "AUROC"):
        assert said in text
    with open(scored.with_name("scored.truth.tsv"), newline="") as lines:
        rows = {row["score"]: row for row in csv.DictReader(lines, delimiter="\t")}
    assert rows["motif_x_delta"]["n"] == "6"
    names = {path.name for path in scored.with_name("scored.numbers").iterdir()}
    assert {"motif_x_delta.histogram.tsv", "causal.all.tsv"} <= names
    with open(scored.with_name("scored.numbers") / "motif_x_delta.histogram.tsv") as lines:
        counts = [int(row["alleles"]) for row in csv.DictReader(lines, delimiter="\t")]
    assert sum(counts) == 6
    assert sum(count_reasons(scored).values()) == 1


def test_the_folder_that_holds_it_has_a_page_and_two_of_them_are_refused(scored):
    assert report(scored.parent) == scored.parent / "report.html"
    (scored.parent / "again.tsv").write_bytes(scored.read_bytes())
    with pytest.raises(InputError, match=r"several tables.*again\.tsv, scored\.tsv.*Name one"):
        report(scored.parent)


def test_any_other_table_is_refused(scored):
    with pytest.raises(InputError, match="no table of scored variants"):
        report(scored.with_name("scored.truth.tsv"))


def test_a_vcf_has_the_same_page(scored, tmp_path):
    pytest.importorskip("pysam")
    vcf = tmp_path / "scored.vcf"
    words = ["score-variants", tmp_path / "v.tsv", "--genome", tmp_path / "g.fa"]
    assert main(list(map(str, [*words, "--motifs", tmp_path / "m.jaspar", "--out", vcf]))) == 0
    text = report(vcf).read_text()
    assert "7 alleles" in text
    assert "motif_x_delta" in text
    assert count_reasons(vcf) == count_reasons(scored)
