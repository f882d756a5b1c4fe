"""`epilm score-variants VCF`: what each variant does to a model's word."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from epilm.variants.variant_choices import Against, Ranking, Running, VariantReading


def score_variants(
    variants: Path,
    *,
    model: Path | None = None,
    genome: Path | None = None,
    out: Path,
    store: Path | None = None,
    cell: str | None = None,
    motifs: Path | None = None,
    reading: Annotated[VariantReading, Parameter(name="*")] = VariantReading(),  # noqa: B008 - frozen
    ranking: Annotated[Ranking, Parameter(name="*")] = Ranking(),  # noqa: B008
    against: Annotated[Against, Parameter(name="*")] = Against(),  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # noqa: B008
    json: bool = False,
) -> None:
    """Score every ALT of a VCF, BCF or table: SNV, MNV, insertion, deletion, delins.

    A stopped run goes on where it was: the same command again.

    Examples:
    epilm score-variants cohort.vcf.gz --model run --genome hg19.fa --out scored.vcf.gz
    epilm score-variants snps.tsv --model promoter --genome hg19.fa --window 300 --out scored.tsv
    epilm score-variants cohort.bcf --model binding --store dream.store --cell liver \\
        --out scored.tsv.gz
    epilm score-variants mpra.tsv --model run --genome hg19.fa --motifs jaspar.txt \\
        --truth effect --group element --out scored.tsv
    epilm score-variants cohort.vcf.gz --model splice --genome hg19.fa --genes genes.gtf \\
        --out spliced.vcf.gz

    Parameters
    ----------
    variants
        VCF, BCF, or a table with chrom, pos (1-based), ref, alt.
    model
        Pre-trained run (log-odds of hidden k-mers, distance of embeddings, motif sites), or
        fine-tuned run (difference of logits; splice sites gained and lost).
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
    json
        Print a summary as JSON.
    """
    import json as writer
    from dataclasses import asdict

    from epilm.errors import UsageError
    from epilm.variants.score import score_variants as run

    truth = None
    if against.truth:
        from epilm.variants.judging import judge, read_truth

        truth = read_truth(variants, against.truth, against.group)
    elif against.group is not None or against.tss is not None:
        raise UsageError("--group and --tss are of a comparison", do="Give --truth.")
    done = run(
        variants,
        model,
        genome,
        out,
        store=store,
        cell=cell,
        motifs=motifs,
        **asdict(reading),
        conservation=against.conservation,
        **asdict(ranking),
        **asdict(running),
    )
    judged = None if truth is None else judge(done, truth, tss=against.tss)
    if json:
        said = {"alleles": len(done)} | done.counts() | {"out": str(out)}
        print(writer.dumps(said | ({"truth": judged.as_dicts()} if judged else {}), indent=2))
    else:
        print(f"{done.text()}\n{out}")
        if judged is not None:
            print(judged.text())
