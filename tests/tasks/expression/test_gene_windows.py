"""Which start belongs to which row, which bases lie around it, and what must not be parted."""

import numpy as np
import pytest

from epilm.errors import EpilmError
from epilm.genome.start_sites import StartSite
from epilm.tasks.expression.expression_options import ExpressionOptions, check_window
from epilm.tasks.expression.gene_table import GeneTable
from epilm.tasks.expression.gene_windows import gene_rows, matched, read_families
from epilm.tasks.splits import split_rows
from toy_expression import write_expression

GENOME = ">chr1\nAAAACCCCGGGGTTTTNNNNNNNNACGTACGTAC\n"
BED = """chr1\t4\t5\tA\t1\t+
chr1\t8\t9\tB\t1\t-
chr1\t11\t12\tB\t1\t-
chr1\t1\t2\tEDGE\t1\t+
chr1\t20\t21\tGAP\t1\t+
chr9\t20\t21\tFAR\t1\t+
chr1\t28\t29\tOTHER\t1\t+
"""
LEVELS = "gene\tx\ty\nA\t1\t2\nB\t2\t\nb2\t1\t1\nEDGE\t3\t3\nGAP\t1\t1\nFAR\t1\t1\nLOST\t5\t5\n"


@pytest.fixture
def files(tmp_path):
    for name, text in (("g.fa", GENOME), ("t.bed", BED), ("e.tsv", LEVELS)):
        (tmp_path / name).write_text(text)
    return tmp_path


def rows_of(files, **options):
    window = {"upstream": 2, "downstream": 3}
    spec = ExpressionOptions(tss=files / "t.bed", **(window | options))
    return gene_rows(files / "e.tsv", spec, files / "g.fa")


def test_windows_read_along_the_gene_and_what_has_none_is_counted(files):
    rows = rows_of(files)
    # A at 4: bases 2 to 6 forward. B, most upstream at 11 on the minus strand: bases 9 to 13.
    assert [rows.text(n) for n in range(2)] == ["AACCC", "AACCC"]
    assert rows.start.tolist() == [2, 9]
    assert rows.origin.tolist() == ["A chr1:4+ (e.tsv:2)", "B chr1:11- (e.tsv:3)"]
    np.testing.assert_allclose(rows.labels, np.log1p([[1, 2], [2, np.nan]]), rtol=1e-6)
    assert rows.label_names == ("x", "y")
    assert rows.notes == (
        "x, y: ln(1 + x) of the table's numbers",
        "5 of 7 genes of the table have a start (5 exactly)",
        "1 genes with a start have no row in the table",
        "of a gene the most upstream start, 5 rows",
        "1 starts on a chromosome the genome lacks left out",
        "1 starts whose window reaches over the end of the chromosome left out",
        "1 starts whose window holds N alone left out",
    )


def test_each_start_is_a_row_and_those_of_a_gene_stay_together(files):
    rows = rows_of(files, starts="each", upstream=1, downstream=2)
    assert rows.start.tolist() == [3, 7, 10, 0]  # the last of EDGE, whose window is inside now
    assert rows.text(1) == "CCG"  # of CGG, bases 7 to 9, the other strand
    assert rows.family[0] == -1
    assert rows.family[1] == rows.family[2] >= 0
    wider = rows_of(files, starts="each")  # base 6 is in two windows
    assert len(set(wider.family.tolist())) == 1
    assert rows_of(files, starts="main").start.tolist() == [2, 6]  # of BED the first line


def site(*names, chrom="chr1", at=5, bases=9):
    return StartSite(names, chrom, at, "+", 3, bases, 1)


def test_names_are_matched_exactly_then_without_version_then_in_another_case():
    genes = ["ENSG1.4", "ENSG2.1", "ctcf", "TWICE", "ENSG2.7", "alone"]
    table = GeneTable("e.tsv", genes, genes, ("a",), np.zeros((6, 1), np.float32), [])
    sites = [
        site("ENSG1.9", "A"),
        site("ENSG2.1"),
        site("G3", "CTCF"),
        site("T1", "TWICE"),
        site("T2", "TWICE", at=900),
    ]
    rows, notes = matched(table, sites)
    assert rows == {0: [0], 1: [1], 2: [2]}
    assert notes == [
        "3 of 6 genes of the table have a start (1 exactly, 1 without the version of their id, 1"
        " in another case)",
        "1 genes whose name lies at several places left out",
    ]
    with pytest.raises(
        EpilmError,
        match=r"no gene of the table has a start. Found names such as"
        r" ENSG1.4, ENSG2.1, ctcf and 3 more; expected names such as X or Y",
    ):
        matched(table, [site("X", "Y")])


def test_a_family_that_is_tested_is_not_learned(tmp_path):
    files = write_expression(tmp_path)
    (tmp_path / "families.tsv").write_text("# gene\tfamily\nENSG001.7\tF\nENSG201\tF\nENSG202\tH\n")
    spec = ExpressionOptions(
        tss=files["tss"], upstream=20, downstream=20, families=tmp_path / "families.tsv"
    )
    rows = gene_rows(files["data"], spec, files["genome"])
    assert len(rows) == 36
    assert (rows.family >= 0).sum() == 2
    split = split_rows(rows, how="chromosome", test=["chr3"], valid=["chr2"])
    assert split.counts() == {"train": [11, 11], "valid": [12, 12], "test": [12, 12]}
    assert "1 rows of families that are in a later split were left out" in split.notes
    assert not any(origin.startswith("ENSG001") for origin in split.origin)
    # Windows that overlap may not be parted by a random split either.
    wide = gene_rows(files["data"], ExpressionOptions(tss=files["tss"]), files["genome"])
    assert len({*wide.family.tolist()}) == 3  # one a chromosome


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upstream": -1}, "--upstream: impossible value. Found -1; expected at least 0"),
        (
            {"upstream": 0, "downstream": 0},
            "--upstream: impossible value. Found 0; expected a base",
        ),
        (
            {"starts": "frist"},
            "--starts: unknown rule of starts. Found 'frist'. Did you mean first",
        ),
    ],
)
def test_each_impossible_window_has_one_message(options, message):
    with pytest.raises(EpilmError, match=message):
        check_window(ExpressionOptions(**options))


def test_what_is_missing_is_named(files, tmp_path):
    with pytest.raises(
        EpilmError, match="levels alone have no bases.*where the genes begin.*--tss"
    ):
        gene_rows(files / "e.tsv", ExpressionOptions(), files / "g.fa")
    with pytest.raises(EpilmError, match="levels alone have no bases.*Pass --genome"):
        gene_rows(files / "e.tsv", ExpressionOptions(tss=files / "t.bed"), None)
    (tmp_path / "f.tsv").write_text("A\n")
    with pytest.raises(EpilmError, match="line 1: the line names no family. Found 'A'"):
        read_families(tmp_path / "f.tsv")
