"""`epilm simulate-cohort`: people with variants of a file, ill by a liability."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from epilm.cohorts.risk_choices import Illness, Population


def simulate_cohort(
    out: Path,
    *,
    variants: Path,
    illness: Annotated[Illness, Parameter(name="*")] = Illness(),  # noqa: B008 - frozen
    population: Annotated[Population, Parameter(name="*")] = Population(),  # noqa: B008
    like: str | None = None,
    format: Literal["vcf", "plink"] = "vcf",
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write simulated people: genotypes, phenotypes, and the truth about them.

    Examples:
    epilm simulate-cohort hscr --variants world/variants.vcf.gz --like hscr_ret
    epilm simulate-cohort cohort --variants world/variants.vcf.gz --effect DELTA \\
        --effect-by FACTOR --heritability 0.5 --cases 400 --controls 400

    Parameters
    ----------
    out
        Folder to make.
    variants
        VCF, BCF or table whose variants the people have: of `epilm simulate`, or real ones.
    like
        Set of the paper whose numbers of people are taken: hscr_ret or hscr_ret_long.
    format
        vcf (phased, genotypes.vcf.gz) or plink (genotypes.bed, .bim, .fam).
    seed
        The same file, options and seed give the same people.
    overwrite
        Replace an existing folder.
    """
    import json
    import sys

    from epilm.cohorts.simulate_cohort import simulate_cohort as run

    folder = run(
        out,
        variants,
        illness=illness,
        population=population,
        like=like,
        format=format,
        seed=seed,
        overwrite=overwrite,
    )
    for note in json.loads((folder / "cohort.json").read_text(encoding="utf-8"))["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(f"simulated cohort in {folder}")
