"""`epilm score-variants VCF`: what each variant does to a model's word."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from epilm.sharding.spread import Spread
from epilm.variants.variant_choices import Against, Ranking, VariantReading


@dataclass(frozen=True)
class Running(Spread):
    """Which part is scored, and where."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""


def score_variants(
    variants: Path,
    *,
    model: Path | None = None,
    genome: list[Path] | None = None,
    out: Path,
    store: Path | None = None,
    cell: str | None = None,
    motifs: Path | None = None,
    reading: Annotated[VariantReading, Parameter(name="*")] = VariantReading(),  # noqa: B008
    ranking: Annotated[Ranking, Parameter(name="*")] = Ranking(),  # noqa: B008
    against: Annotated[Against, Parameter(name="*")] = Against(),  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),
    json: bool = False,
) -> None:
    """Score every ALT of a VCF, BCF or table: SNV, MNV, insertion, deletion, delins.

    A stopped run goes on where it was: the same command again. With --shard i/N and a name that is
    no table's, --out is the folder of the parts, which epilm merge joins.

    Examples:
    epilm score-variants cohort.vcf.gz --model run --genome hg19.fa --out scored.vcf.gz
    epilm score-variants snps.tsv --model promoter --genome hg19.fa --window 300 --out scored.tsv
    epilm score-variants cohort.bcf --model binding --store dream.store --cell liver \\
        --out scored.tsv.gz
    epilm score-variants mpra.tsv --model run --genome hg19.fa --motifs jaspar.txt \\
        --truth effect --group element --out scored.tsv
    epilm score-variants cohort.vcf.gz --model splice --genome hg19.fa --genes genes.gtf \\
        --out spliced.vcf.gz
    epilm score-variants cohort.bcf --model run --genome hg19.fa --shard 1/8 --out parts

    Parameters
    ----------
    variants
        VCF, BCF, or a table with chrom, pos (1-based), ref, alt.
    model
        Pre-trained run (log-odds of hidden k-mers, distance of embeddings, motif sites), or
        fine-tuned run (difference of logits; splice sites gained and lost).
    genome
        FASTA or .2bit files of the variants; not with --store, which holds one.
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

    from epilm.cli.told import summary_of, text_of
    from epilm.errors import UsageError
    from epilm.sharding.spread import spread_out
    from epilm.variants.score import names_scores
    from epilm.variants.score import score_variants as run

    truth = None
    if against.truth and running.shard is not None and not names_scores(out):
        raise UsageError(
            "a part is compared with nothing",
            where="--truth",
            do="Leave it out, or name a table (--out scored.tsv).",
        )
    if against.truth:
        from epilm.variants.judging import judge, read_truth

        truth = read_truth(variants, against.truth, against.group)
    elif against.group is not None or against.tss is not None:
        raise UsageError("--group and --tss are of a comparison", do="Give --truth.")
    named = {
        "store": store,
        "cell": cell,
        "motifs": motifs,
        **asdict(reading),
        "conservation": against.conservation,
        **asdict(ranking),
        "device": running.device,
    }
    done = spread_out(run, (variants, model, genome), out, named, running)
    judged = None if truth is None else judge(done, truth, tss=against.tss)
    if judged is not None and judged.rows:
        from epilm.cli.typed import command_words, said_of
        from epilm.variants.kept_judgement import keep_judgement

        given: dict[str, object] = {"model": model, "genome": genome}
        given |= {"store": store, "cell": cell, "motifs": motifs}
        given |= {"reading": reading, "ranking": ranking, "against": against}
        given |= {"shard": running.shard, "out": out}
        command = command_words("score-variants", [variants], given)
        assert truth is not None
        keep_judgement(
            out,
            judged,
            done,
            truth,
            table=variants,
            model=model,
            motifs=motifs,
            reading=said_of(reading) | {"store": store, "cell": cell},
            command=command,
        )
    if json:
        said = summary_of(done, out)
        print(writer.dumps(said | ({"truth": judged.as_dicts()} if judged else {}), indent=2))
    else:
        print(text_of(done, out))
        if judged is not None:
            print(judged.text() or "nothing to compare: of no column three variants are known")
