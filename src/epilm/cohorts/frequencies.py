"""The variants a simulated cohort is drawn with: places, frequencies and effects of a file."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epilm.cohorts.risk_choices import Illness
from epilm.errors import InputError
from epilm.genome.limits import open_text
from epilm.variants.variant_files import kind_of, open_vcf


@dataclass(frozen=True)
class AlleleSite:
    """A variant of a cohort.

    Attributes
    ----------
    chrom : str
    start : int
        0-based.
    ref, alt, name : str
    frequency : float
        Of ALT; NaN where the file says none.
    effect : float
        As the file has it; 0 where it has none.
    group : str
        What its weight is drawn for; "" without.
    """

    chrom: str
    start: int
    ref: str
    alt: str
    name: str
    frequency: float
    effect: float
    group: str


def read_sites(path: str | Path, illness: Illness) -> tuple[list[AlleleSite], list[str]]:
    """Read the variants of a cohort with frequencies and effects.

    Returns
    -------
    list of AlleleSite
        In the file's order; alleles of other letters than A, C, G, T are left out.
    list of str
        What was left out.

    Raises
    ------
    InputError
        If the file cannot be read, or nothing in it has the effect asked for.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such file", where=str(path))
    rows = (
        _vcf_sites(path, illness)
        if kind_of(path, "variants") == "vcf"
        else _tsv_sites(path, illness)
    )
    sites, other = [], 0
    for site in rows:
        if site.ref and site.alt and not (set(site.ref) | set(site.alt)) - set("ACGT"):
            sites.append(site)
        else:
            other += 1
    if not sites:
        raise InputError("there are no variants in it that could be used", where=str(path))
    if illness.effect is not None and not any(site.effect for site in sites):
        raise InputError(
            "no variant has the effect asked for",
            where=str(path),
            found=f"{len(sites)} variants",
            expected=f"numbers in {illness.effect}",
        )
    notes = [f"{other:,} alleles of other letters than A, C, G, T left out"] if other else []
    return sites, notes


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _vcf_sites(path: Path, illness: Illness) -> Iterator[AlleleSite]:
    with open_vcf(path) as file:
        asked = (illness.effect, illness.effect_by)
        for key in (key for key in asked if key is not None):
            if key not in file.header.info:
                raise InputError(
                    "the VCF has no such INFO key",
                    where=str(path),
                    found=key,
                    expected=", ".join(file.header.info) or "one that its head names",
                )
        for record in file:
            for number, alt in enumerate(record.alts or ()):

                def info(
                    key: str | None, default: Any, record: Any = record, n: int = number
                ) -> Any:
                    if key is None or key not in record.info:
                        return default
                    value = record.info[key]
                    return value[n] if isinstance(value, tuple) and len(value) > n else value

                frequency = _number(info("AF" if "AF" in file.header.info else None, None))
                effect = np.nan_to_num(_number(info(illness.effect, 0.0)))
                group = str(info(illness.effect_by, ""))
                yield AlleleSite(
                    record.chrom,
                    record.start,
                    (record.ref or "").upper(),
                    alt.upper(),
                    record.id or ".",
                    frequency,
                    float(effect),
                    group,
                )


def _tsv_sites(path: Path, illness: Illness) -> Iterator[AlleleSite]:
    with open_text(path, path.suffix == ".gz") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(rows, [])
        lower = [name.strip().lower() for name in header]
        at: dict[str, int] = {}
        names = {"chrom": "chrom", "pos": "pos", "ref": "ref", "alt": "alt"}
        asked = {"effect": illness.effect, "group": illness.effect_by}
        for what, name in (names | {k: v for k, v in asked.items() if v is not None}).items():
            if name.lower() not in lower:
                raise InputError(
                    f"the table has no column {name}",
                    where=f"{path}, line 1",
                    found=", ".join(header[:10]) or "nothing",
                )
            at[what] = lower.index(name.lower())
        if "af" in lower:
            at["af"] = lower.index("af")
        for line, row in enumerate(rows, 2):
            if not row:
                continue
            try:
                start = int(row[at["pos"]]) - 1
                ref, alt = row[at["ref"]].upper(), row[at["alt"]].upper()
                chrom = row[at["chrom"]]
            except (IndexError, ValueError):
                raise InputError(
                    "the line is no variant",
                    where=f"{path}, line {line}",
                    found="\t".join(row)[:80],
                    expected="chrom, pos (a whole number, 1-based), ref, alt",
                ) from None
            effect = float(np.nan_to_num(_number(row[at["effect"]]))) if "effect" in at else 0.0
            frequency = _number(row[at["af"]]) if "af" in at else float("nan")
            group = row[at["group"]] if "group" in at else ""
            yield AlleleSite(chrom, start, ref, alt, ".", frequency, effect, group)
