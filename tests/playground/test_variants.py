"""Simulated variants stand in the simulated genome."""

import pytest


def test_vcf_reads_with_pysam_and_its_references_are_the_genome(tiny):
    pysam = pytest.importorskip("pysam")
    from pyfaidx import Fasta

    genome = Fasta(str(tiny / "genome.fa"), sequence_always_upper=True)
    effects = set()
    with pysam.VariantFile(str(tiny / "variants.vcf.gz")) as handle:
        for record in handle:
            assert str(genome[record.chrom][record.pos - 1]) == record.ref
            assert record.alts[0] != record.ref
            effects.add(record.info["EFFECT"])
            assert ("CAUSAL" in record.info) == (
                record.info["EFFECT"] not in ("neutral", "spares_motif")
            )
            if record.info["EFFECT"] == "breaks_motif":
                assert record.info["DELTA"] < -1
    assert effects == {
        "breaks_motif",
        "spares_motif",
        "donor",
        "acceptor",
        "tata",
        "initiator",
        "neutral",
    }
