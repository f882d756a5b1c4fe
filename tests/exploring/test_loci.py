"""Which places are shown, and what is refused."""

import pytest

from epilm.errors import InputError, UsageError
from epilm.exploring.loci import find_loci, kept_loci
from epilm.genome.genes import Gene, Genes

SIZES = {"chr2": 5000, "chr1": 9000}
GENES = Genes((Gene("CTCF", "G1", "chr1", 300, 800, "+", ((300, 800),)),), "genes.gtf")


def file(folder, name, text):
    path = folder / name
    path.write_text(text.replace(" ", "\t"))
    return path


def test_files_places_and_genes_in_the_order_given(tmp_path):
    bed = file(tmp_path, "a.bed", "chr2 100 200 peak\nchr2 4900 5000 .\n")
    tsv = file(tmp_path, "v.tsv", "chrom pos ref alt id\nchr1 11 A G,T rs1\nchr1 51 C A .\n")
    made = find_loci([bed, "CTCF", tsv, "chr1:1,000-2,000"], SIZES, genes=GENES, flank=50)
    assert [locus.name for locus in made.loci] == [
        "peak",
        "chr2:4900-5000",
        "CTCF",
        "rs1 A>G,T",
        "chr1:51 C>A",
        "chr1:1000-2000",
    ]
    assert [(x.first, x.last) for x in made.loci[:2]] == [(50, 250), (4850, 5000)]
    assert made.loci[3][1:4] == ("chr1", 10, 11)
    assert made.loci[0].origin.endswith("a.bed, line 1")


def test_views_that_overlap_or_touch_share_a_stretch_in_the_genomes_order():
    words = ["chr1:2000-2100", "chr1:100-200", "chr1:200-300", "chr2:1000-1010"]
    made = find_loci(words, SIZES, flank=0)
    assert [s[:3] for s in made.stretches] == [
        ("chr2", 1000, 1010),
        ("chr1", 100, 300),
        ("chr1", 2000, 2100),
    ]
    assert made.of == (2, 1, 1, 0)
    assert made.stretches[1].view == 100  # of its widest locus, not its own
    fewer = kept_loci(made, [1, 3])
    assert [s.chrom for s in fewer.stretches] == ["chr2", "chr1"]
    assert fewer.of == (1, 0)


def test_too_many_are_left_out_and_said():
    made = find_loci([f"chr1:{i}-{i + 1}" for i in range(9)], SIZES, most=4)
    assert len(made.loci) == 4
    assert "5 of 9 loci are left out" in made.notes[0]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ([], UsageError, "no locus is named"),
        (["chr1:8000-9001"], InputError, "ends past its chromosome.*at most 9000.*assembly"),
        (["1:10-20"], InputError, "named differently"),
        (["chr7:10-20"], InputError, "no chromosome of the file is in the genome"),
        (["chr1"], UsageError, "a whole chromosome is not a locus"),
        (["CTFC"], InputError, "no gene has this name.*The nearest: CTCF"),
        (["gone.bed"], InputError, "gone.bed: there is no such file"),
        (["chr1:20-10"], InputError, "ends before it starts"),
    ],
)
def test_what_is_no_locus_is_refused(words, error, message):
    with pytest.raises(error, match=message):
        find_loci(words, SIZES, genes=GENES)


def test_a_gene_needs_a_file_of_genes_and_a_locus_must_be_narrow():
    with pytest.raises(UsageError, match="names of genes need the file of genes.*--genes"):
        find_loci(["CTCF"], SIZES)
    with pytest.raises(InputError, match="too wide for a page"):
        find_loci(["chr1:0-2000000"], {"chr1": 3_000_000})
    with pytest.raises(UsageError, match="--flank: impossible value"):
        find_loci(["chr1:1-2"], SIZES, flank=-1)


def test_rows_of_a_bed_on_another_chromosome_or_past_the_end_are_named(tmp_path):
    bed = file(tmp_path, "a.bed", "chr1 1 5\nchr1 8990 9010\n")
    with pytest.raises(InputError, match="a.bed, line 2: the locus ends past"):
        find_loci([bed], SIZES)
    bed = file(tmp_path, "b.bed", "chr1 1 5\nchr9 1 5\n")
    with pytest.raises(InputError, match="not all chromosomes of the loci. Found chr9"):
        find_loci([bed], SIZES)
