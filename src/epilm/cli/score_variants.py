"""`epilm score-variants VCF`: what each variant does to a model's word."""

from pathlib import Path
from typing import Literal


def score_variants(
    variants: Path,
    *,
    model: Path | None = None,
    genome: Path | None = None,
    out: Path,
    store: Path | None = None,
    cell: str | None = None,
    motifs: Path | None = None,
    window: int | None = None,
    shifts: tuple[int, ...] = (0,),
    shard: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    json: bool = False,
) -> None:
    """Score every ALT of a VCF, BCF or table: SNV, MNV, insertion, deletion, delins.

    Examples:
    epilm score-variants cohort.vcf.gz --model run --genome hg19.fa --out scored.vcf.gz
    epilm score-variants snps.tsv --model promoter --genome hg19.fa --window 300 --out scored.tsv
    epilm score-variants cohort.bcf --model binding --store dream.store --cell liver \\
        --out scored.tsv.gz

    Parameters
    ----------
    variants
        VCF, BCF, or a table with chrom, pos (1-based), ref, alt.
    model
        Pre-trained run (log-odds of hidden k-mers, distance of embeddings), or fine-tuned run
        (difference of logits).
    genome
        FASTA or .2bit of the variants; not with --store, which holds one.
    out
        .tsv, .tsv.gz, .vcf, .vcf.gz or .bcf.
    store
        Store whose tracks a model of binding reads.
    cell
        Cell type of those tracks.
    motifs
        Add the difference of each motif's best log-odds at the allele.
    window
        Bases of both windows; the model's own where it has one.
    shifts
        Places of the variant off the window's middle, in bp; the mean counts.
    shard
        i/N: every N-th record from the i-th.
    device
        Where to compute.
    json
        Print a summary as JSON.
    """
    import json as writer

    from epilm.variants.score import score_variants as run

    done = run(
        variants,
        model,
        genome,
        out,
        store=store,
        cell=cell,
        motifs=motifs,
        window=window,
        shifts=shifts,
        shard=shard,
        device=device,
    )
    if json:
        print(writer.dumps({"alleles": len(done)} | done.counts() | {"out": str(out)}, indent=2))
    else:
        print(f"{done.text()}\n{out}")
