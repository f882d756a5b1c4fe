"""`epilm risk GENOTYPES`: who is ill, by a model's word on their variants."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from epilm.cohorts.risk_choices import CohortReading, Judging


def risk(
    genotypes: Path,
    *,
    phenotypes: Path,
    genome: list[Path] | None = None,
    model: Path | None = None,
    regions: Path | None = None,
    out: Path,
    reading: Annotated[CohortReading, Parameter(name="*")] = CohortReading(),  # noqa: B008 - frozen
    judging: Annotated[Judging, Parameter(name="*")] = Judging(),  # noqa: B008
    like: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Predict disease from individual genotypes, beside a constant, covariates and a polygenic
    score.

    Examples:
    epilm risk cohort.vcf.gz --phenotypes people.tsv --genome hg19.fa --model run --out risk
    epilm risk cohort.bed --phenotypes people.tsv --genome hg19.fa --model promoter-run \\
        --window 300 --regions genes.bed --group-by family --covariates age sex --out risk
    epilm risk phased.bcf --phenotypes people.tsv --genome hg19.fa --model run --regions ret.bed \\
        --features haplotypes --prevalence 0.01 --like hscr_ret --out risk

    Parameters
    ----------
    genotypes
        VCF, BCF, or PLINK .bed with .bim and .fam beside it.
    phenotypes
        Table with sample, phenotype (case and control, 1 and 0, or PLINK's 2 and 1), and columns
        for --covariates and --group-by.
    genome
        FASTA or .2bit of the variants, repeated for several files; not with --store.
    model
        Pre-trained run (vectors) or fine-tuned run (logits).
    regions
        BED; variants are summed over regions of one name. All variants where not given.
    out
        Folder for risk.json, scores.tsv, folds.tsv, predictions.tsv and report.html.
    like
        Set of the paper to stand beside: hscr_ret or hscr_ret_long.
    device
        Where the model computes.
    overwrite
        Replace an existing folder.
    json
        Print the result as JSON.
    """
    import json as writer

    from epilm.cohorts.risk import risk as run

    result = run(
        genotypes,
        phenotypes,
        genome,
        model,
        regions,
        out,
        reading=reading,
        judging=judging,
        like=like,
        overwrite=overwrite,
        device=device,
    )
    print(writer.dumps(result.as_json(), indent=2) if json else f"{result.text()}\n{out}")
