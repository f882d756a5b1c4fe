"""A simulated cohort: people with variants of a file, ill where their liability is high enough.

Genotypes in Hardy-Weinberg proportions, variants independent of each other; liability is the sum of
effects (heritability h2) and the rest normal; above the threshold of the prevalence one is ill, and
cases and controls are collected as a study would. All that is written says that it is simulated.
The same file, options and seed give the same people. Axes: N people, V variants, A ancestries.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from epilm.atomic import atomic_folder, write_json
from epilm.cohorts.cohort_files import Cohort, write_cohort
from epilm.cohorts.designs import load_design
from epilm.cohorts.frequencies import AlleleSite, read_sites
from epilm.cohorts.risk_choices import Illness, Population
from epilm.errors import UsageError

Floats = NDArray[np.float64]
Say = Callable[[str], None]
DRAWN = 2048  # families drawn at a time
LEAST_CASES = 1e-5  # prevalence below which nobody is found in reasonable time
FREQUENCIES = (0.01, 0.5)  # between which a frequency that no file says is drawn, evenly in logs
ABOUT = (
    "SIMULATED cohort: no person in it exists. Genotypes in Hardy-Weinberg proportions, variants"
    " independent of each other; ill is whose liability is above a threshold."
)


def simulate_cohort(
    out: str | Path,
    variants: str | Path,
    *,
    illness: Illness | None = None,
    population: Population | None = None,
    like: str | None = None,
    format: Literal["vcf", "plink"] = "vcf",
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write a simulated cohort: genotypes, phenotypes, and the truth about them.

    Parameters
    ----------
    out : path
        Folder to make: genotypes.vcf.gz (phased) or genotypes.bed/.bim/.fam, phenotypes.tsv,
        truth_variants.tsv, truth_people.tsv, cohort.json.
    variants : path
        VCF, BCF or table (chrom, pos, ref, alt; af): those of `epilm simulate`, or real ones.
        Frequencies are INFO AF or the column af, drawn where there are none.
    illness : Illness, optional
    population : Population, optional
    like : str, optional
        Set of the paper whose numbers of cases and controls are taken.
    format : {"vcf", "plink"}
    seed : int
    overwrite : bool

    Returns
    -------
    Path

    Raises
    ------
    InputError, UsageError

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "v.tsv").write_text("chrom\\tpos\\tref\\talt\\nchr1\\t5\\tA\\tG\\n")
    >>> people = Population(cases=20, controls=30)
    >>> made = simulate_cohort(folder / "c", folder / "v.tsv", population=people)
    >>> sorted(p.name for p in made.iterdir())[:3]
    ['cohort.json', 'genotypes.vcf.gz', 'phenotypes.tsv']
    """
    illness, population = illness or Illness(), population or Population()
    if like is not None:
        design = load_design(like)
        population = replace(
            population,
            cases=population.cases if population.cases is not None else design.cases,
            controls=population.controls if population.controls is not None else design.controls,
        )
    _check(illness, population, like, seed)
    if format == "plink":
        from epilm.cohorts.genotypes import bed_reader_module

        bed_reader_module()
    sites, notes = read_sites(variants, illness)
    cohort = draw_cohort(sites, illness, population, seed)
    with atomic_folder(out, overwrite=overwrite) as folder:
        write_cohort(folder, cohort, format, population, seed)
        about = {
            "simulated": True,
            "about": ABOUT,
            "variants": str(variants),
            "like": like,
            "illness": asdict(illness),
            "population": asdict(population),
            "seed": seed,
            "used": len(cohort.sites),
            "notes": [*notes, *cohort.notes],
        }
        write_json(folder / "cohort.json", about)
    return Path(out)


def _check(illness: Illness, population: Population, like: str | None, seed: int) -> None:
    def refuse(option: str, value: Any, expected: str) -> None:
        raise UsageError("impossible value", where=option, found=value, expected=expected)

    for option, n in (("--cases", population.cases), ("--controls", population.controls)):
        if n is None:
            raise UsageError(
                "how many people is not said" + (f" by the paper for {like}" if like else ""),
                where=option,
                do="Give --cases and --controls, or --like hscr_ret.",
            )
        if n < 1:
            refuse(option, n, "at least 1")
    if not 0 <= illness.heritability < 1:
        refuse("--heritability", illness.heritability, "0 to less than 1")
    if not LEAST_CASES <= illness.prevalence <= 0.9:
        refuse("--prevalence", illness.prevalence, f"{LEAST_CASES} to 0.9")
    if not 0 < illness.causal <= 1:
        refuse("--causal", illness.causal, "above 0, at most 1")
    if illness.effect_by is not None and illness.effect is None:
        raise UsageError("--effect-by weighs effects that a file gives", do="Give --effect too.")
    if population.family_size < 1:
        refuse("--family-size", population.family_size, "at least 1")
    if population.ancestries < 1:
        refuse("--ancestries", population.ancestries, "at least 1")
    if not 0 < population.fst < 0.5:
        refuse("--fst", population.fst, "above 0, below 0.5")
    if not 0 <= population.missing < 1:
        refuse("--missing", population.missing, "0 to less than 1")
    if seed < 0:
        refuse("--seed", seed, "at least 0")


def draw_cohort(
    sites: Sequence[AlleleSite], illness: Illness, population: Population, seed: int
) -> Cohort:
    """Draw people until there are as many cases and controls as asked.

    Parameters
    ----------
    sites : sequence of AlleleSite
    illness, population
    seed : int

    Returns
    -------
    Cohort
    """
    assert population.cases is not None
    assert population.controls is not None
    rng = np.random.default_rng([seed, 1])
    notes: list[str] = []
    chosen = _chosen(sites, population, rng, notes)
    frequency = _frequencies(chosen, rng, notes)
    effect = _effects(chosen, frequency, illness, rng, notes)
    by_ancestry = _ancestral(frequency, population, rng)
    # Mean over ancestries of the variance within one: what heritability is said of.
    variance = float((effect**2 * 2 * by_ancestry * (1 - by_ancestry)).sum(1).mean())
    if variance > 0:
        effect = effect * np.sqrt(illness.heritability / variance)
    centre = float((2 * by_ancestry.mean(0) * effect).sum())
    threshold = float(norm.isf(illness.prevalence))
    cases = _Collected(population.cases)
    controls = _Collected(population.controls)
    spare = _Collected(population.controls)  # of families without a case

    def one_batch(number: int) -> tuple[Any, Floats, Floats]:
        drawn = _families(by_ancestry, population.family_size, seed, number)
        genetic = (drawn.copies.sum(2, dtype=np.int16) @ effect) - centre
        return drawn, genetic, genetic + drawn.rest * np.sqrt(1 - illness.heritability)

    number = 0
    while not cases.full:
        drawn, genetic, liability = one_batch(number)
        ill = liability > threshold
        with_case = np.isin(drawn.family, drawn.family[ill])
        for rows, into in (
            (ill, cases),
            (~ill & with_case & (population.family_size > 1), controls),
            (~ill & ~with_case, spare),
        ):
            into.add(drawn, genetic, liability, np.flatnonzero(rows))
        number += 1
    while not spare.full and spare.n + controls.n < population.controls:
        drawn, genetic, liability = one_batch(number)
        spare.add(drawn, genetic, liability, np.flatnonzero(liability <= threshold))
        number += 1
    parts = [*cases.parts, *controls.parts, *spare.first(population.controls - controls.n)]
    copies = np.concatenate([part[0] for part in parts])
    rest = np.concatenate([np.stack(part[1:], 1) for part in parts])
    genetic, liability, family, ancestry = rest.T
    labels = (liability > threshold).astype(np.int64)
    order = np.random.default_rng([seed, 2]).permutation(len(labels))
    notes.append(
        f"{number * DRAWN * population.family_size:,} people drawn for {len(labels):,}; variance"
        f" of liability made by the variants {illness.heritability:g}"
    )
    _, families = np.unique(family[order], return_inverse=True)
    return Cohort(
        [
            replace(site, frequency=float(p), effect=float(b))
            for site, p, b in zip(chosen, frequency, effect)
        ],
        copies[order],
        labels[order],
        liability[order],
        genetic[order],
        families,
        ancestry[order].astype(np.int64),
        notes,
    )


def _chosen(
    sites: Sequence[AlleleSite], population: Population, rng: np.random.Generator, notes: list[str]
) -> list[AlleleSite]:
    """Variants of which no two touch, in order of place."""
    wanted = population.variants_used or len(sites)
    taken: dict[str, list[tuple[int, int]]] = {}
    out: list[AlleleSite] = []
    touching = 0
    for row in rng.permutation(len(sites)).tolist():
        if len(out) == wanted:
            break
        site = sites[row]
        start, end = site.start, site.start + len(site.ref)
        spans = taken.setdefault(site.chrom, [])
        if any(start < b and a < end for a, b in spans):
            touching += 1
            continue
        spans.append((start, end))
        out.append(site)
    if touching:
        notes.append(f"{touching:,} variants left out that change the bases of another")
    if population.variants_used is not None and len(out) < wanted:
        raise UsageError(
            "there are not as many variants",
            where="--variants-used",
            found=wanted,
            expected=f"at most {len(out)}",
        )
    chroms = {chrom: n for n, chrom in enumerate(dict.fromkeys(site.chrom for site in sites))}
    return sorted(out, key=lambda site: (chroms[site.chrom], site.start))


def _frequencies(sites: Sequence[AlleleSite], rng: np.random.Generator, notes: list[str]) -> Floats:
    given = np.array([site.frequency for site in sites])
    low, high = np.log(FREQUENCIES)
    drawn = np.exp(rng.uniform(low, high, len(sites)))
    usable = (given > 0) & (given < 1)
    if (~usable).any():
        notes.append(
            f"{int((~usable).sum()):,} of {len(sites):,} allele frequencies drawn between"
            f" {FREQUENCIES[0]} and {FREQUENCIES[1]}: the file has none"
        )
    return np.where(usable, given, drawn)


def _effects(
    sites: Sequence[AlleleSite],
    frequency: Floats,
    illness: Illness,
    rng: np.random.Generator,
    notes: list[str],
) -> Floats:
    """Effects before they are scaled to the heritability."""
    if illness.effect is None:
        causal = rng.permutation(len(sites))[: max(1, round(illness.causal * len(sites)))]
        effect = np.zeros(len(sites))
        effect[causal] = rng.standard_normal(len(causal))
        notes.append(f"effects of {len(causal):,} of {len(sites):,} variants drawn")
        return effect
    effect = np.array([site.effect for site in sites])
    if illness.effect_by is not None:
        groups = sorted({site.group for site in sites})
        weight = dict(zip(groups, rng.standard_normal(len(groups))))
        effect = effect * np.array([weight[site.group] for site in sites])
        notes.append(
            f"effects of {illness.effect} times a weight of each of {len(groups):,} groups"
        )
    return effect


def _ancestral(frequency: Floats, population: Population, rng: np.random.Generator) -> Floats:
    """Frequencies (A, V) of each ancestry: Balding and Nichols' beta around those given."""
    if population.ancestries == 1:
        return frequency[None]
    size = (1 - population.fst) / population.fst
    shape = (population.ancestries, len(frequency))
    drawn = rng.beta(frequency * size, (1 - frequency) * size, shape)
    return np.clip(drawn, 1e-4, 1 - 1e-4)


@dataclass(frozen=True)
class _Drawn:
    copies: NDArray[np.int8]  # (n, V, 2)
    rest: Floats  # (n,) what is not genetic, unscaled
    family: NDArray[np.int64]
    ancestry: NDArray[np.int64]


def _families(by_ancestry: Floats, size: int, seed: int, number: int) -> _Drawn:
    """A block of families, a pure function of (seed, number)."""
    rng = np.random.default_rng([seed, 3, number])
    ancestry = rng.integers(0, len(by_ancestry), DRAWN)
    p = by_ancestry[ancestry].astype(np.float32)  # (families, V)
    v = p.shape[1]
    if size == 1:
        copies = (rng.random((DRAWN, v, 2), np.float32) < p[:, :, None]).astype(np.int8)
    else:
        parents = rng.random((DRAWN, v, 2, 2), np.float32) < p[:, :, None, None]
        # Each child takes either copy of a parent, at each variant anew: they are independent.
        which = rng.integers(0, 2, (DRAWN, size, v, 2), np.int8)
        taken = np.where(which > 0, parents[:, None, :, :, 1], parents[:, None, :, :, 0])
        copies = taken.reshape(DRAWN * size, v, 2).astype(np.int8)
    family = np.repeat(np.arange(DRAWN) + number * DRAWN, size)
    rest = rng.standard_normal(DRAWN * size)
    return _Drawn(copies, rest, family, np.repeat(ancestry, size))


class _Collected:
    """People of one kind, until there are enough."""

    def __init__(self, most: int) -> None:
        self.most, self.n = most, 0
        self.parts: list[tuple[Any, ...]] = []

    @property
    def full(self) -> bool:
        return self.n >= self.most

    def add(self, drawn: _Drawn, genetic: Floats, liability: Floats, rows: Any) -> None:
        rows = rows[: self.most - self.n]
        if len(rows):
            self.n += len(rows)
            one = (drawn.copies, genetic, liability, drawn.family, drawn.ancestry)
            self.parts.append(tuple(each[rows] for each in one))

    def first(self, n: int) -> list[tuple[Any, ...]]:
        """Parts of the first n."""
        out, left = [], n
        for part in self.parts:
            if left > 0:
                out.append(tuple(each[:left] for each in part))
                left -= len(part[0])
        return out
