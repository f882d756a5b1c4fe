"""A simulated cohort, and its files: genotypes (VCF or PLINK), phenotypes, the truth.

Axes: N people, V variants.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epilm.cohorts.columns import Floats
from epilm.cohorts.frequencies import AlleleSite
from epilm.cohorts.risk_choices import Population

VCF_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")


@dataclass(frozen=True)
class Cohort:
    """Simulated people.

    Attributes
    ----------
    sites : list of AlleleSite, length V
        With frequencies and with effects on liability (sd units an ALT copy).
    copies : int8 (N, V, 2)
        ALT on either haplotype.
    labels : int64 (N,)
    liability, genetic : float64 (N,)
        In standard deviations of the population's liability.
    family, ancestry : int64 (N,)
    notes : list of str
    """

    sites: list[AlleleSite]
    copies: NDArray[np.int8]
    labels: NDArray[np.int64]
    liability: Floats
    genetic: Floats
    family: NDArray[np.int64]
    ancestry: NDArray[np.int64]
    notes: list[str]


def write_cohort(
    folder: Path,
    cohort: Cohort,
    format: Literal["vcf", "plink"],
    population: Population,
    seed: int,
) -> None:
    """Write all files of a cohort into a folder that is there."""
    n = len(cohort.labels)
    names = [f"sim_{number:06d}" for number in range(1, n + 1)]
    lost = np.random.default_rng([seed, 4]).random(cohort.copies.shape[:2]) < population.missing
    if format == "vcf":
        _write_vcf(folder / "genotypes.vcf.gz", cohort, names, lost)
    else:
        _write_plink(folder / "genotypes.bed", cohort, names, lost)
    lines = ["sample\tphenotype\tfamily\tancestry"]
    truth = ["sample\tliability\tgenetic"]
    for i, name in enumerate(names):
        word = "case" if cohort.labels[i] else "control"
        lines.append(f"{name}\t{word}\tfam_{cohort.family[i]}\tpop_{cohort.ancestry[i]}")
        truth.append(f"{name}\t{cohort.liability[i]:.6f}\t{cohort.genetic[i]:.6f}")
    (folder / "phenotypes.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "truth_people.tsv").write_text("\n".join(truth) + "\n", encoding="utf-8")
    rows = ["chrom\tpos\tref\talt\taf\teffect\tgroup"]
    rows += [
        f"{s.chrom}\t{s.start + 1}\t{s.ref}\t{s.alt}\t{s.frequency:.6f}\t{s.effect:.6f}"
        f"\t{s.group or '.'}"
        for s in cohort.sites
    ]
    (folder / "truth_variants.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _write_vcf(path: Path, cohort: Cohort, names: Sequence[str], lost: NDArray[np.bool_]) -> None:
    from Bio import bgzf

    words = np.array(["0|0", "0|1", "1|0", "1|1", "./."], object)
    head = [
        "##fileformat=VCFv4.2",
        "##source=epilm simulate-cohort (simulated people: none of them exists)",
        *(f"##contig=<ID={c}>" for c in dict.fromkeys(site.chrom for site in cohort.sites)),
        '##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency people were drawn with">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype, simulated">',
        "\t".join([*VCF_COLUMNS, *names]),
    ]
    with bgzf.open(str(path), "wb") as file:
        file.write(("\n".join(head) + "\n").encode())
        for v, site in enumerate(cohort.sites):
            kind = 2 * cohort.copies[:, v, 0] + cohort.copies[:, v, 1]
            kind = np.where(lost[:, v], 4, kind)
            first = [site.chrom, str(site.start + 1), site.name, site.ref, site.alt, ".", "PASS"]
            line = "\t".join([*first, f"AF={site.frequency:.6g}", "GT", *words[kind]])
            file.write((line + "\n").encode())


def _write_plink(path: Path, cohort: Cohort, names: Sequence[str], lost: NDArray[np.bool_]) -> None:
    from epilm.cohorts.genotypes import bed_reader_module

    dosages = cohort.copies.sum(2, dtype=np.int8).astype(np.float32)
    dosages[lost] = np.nan
    sites = cohort.sites
    twice = Counter(site.name for site in sites)
    bed_reader_module().to_bed(
        str(path),
        dosages,
        properties={
            "fid": [f"fam_{number}" for number in cohort.family],
            "iid": list(names),
            "pheno": [str(label + 1) for label in cohort.labels],
            "chromosome": [site.chrom for site in sites],
            "sid": [
                s.name
                if twice[s.name] == 1 and s.name != "."
                else f"{s.chrom}:{s.start + 1}:{s.ref}:{s.alt}"
                for s in sites
            ],
            "bp_position": [site.start + 1 for site in sites],
            "allele_1": [site.alt for site in sites],
            "allele_2": [site.ref for site in sites],
        },
    )
