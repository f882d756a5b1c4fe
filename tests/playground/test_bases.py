"""The simulated genome is what was declared."""

import pandas as pd


def test_genome_has_the_declared_lengths_soft_masked_repeats_and_gaps(tiny):
    from pyfaidx import Fasta

    sizes = dict(
        line.split("\t") for line in (tiny / "chrom.sizes").read_text().split("\n") if line
    )
    before = (tiny / "genome.fa.fai").read_bytes()
    genome = Fasta(str(tiny / "genome.fa"))
    assert {name: str(len(genome[name])) for name in genome.keys()} == sizes  # noqa: SIM118
    text = str(genome["chr1"])
    assert set(text) == set("ACGTNacgt")
    assert text[:800] == "N" * 800
    assert (tiny / "genome.fa.fai").read_bytes() == before
    assert "simulated" in (tiny / "genome.fa").read_text().split("\n")[0]


def test_introns_are_gt_ag_on_the_strand_of_the_gene(tiny):
    from pyfaidx import Fasta

    genome = Fasta(str(tiny / "genome.fa"), sequence_always_upper=True)
    rows = pd.read_csv(tiny / "splice.tsv", sep="\t", header=None)
    introns = 0
    for _, _, chrom, strand, _, _, left, right in rows.itertuples(index=False):
        for end, start in zip(left.rstrip(",").split(","), right.rstrip(",").split(",")):
            intron = genome[chrom][int(end) : int(start) - 1]
            word = str(intron if strand == "+" else intron.reverse.complement)
            assert (word[:2], word[-2:]) == ("GT", "AG")
            introns += 1
    assert introns > 20
