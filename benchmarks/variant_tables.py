"""Tables of variants whose effect is known, from the files as they are published: what
`epilm score-variants TABLE --truth ...` reads.

mpra.tsv, mpra.fa: saturation mutagenesis (Kircher 2019), every element a chromosome of its own, its
sequence rebuilt from the table. finemapped.tsv: variants fine-mapped for blood traits with a
posterior of 0.1 or more (1), and for each up to five of its region below 0.01 (0) that are as far
from a start site (within a factor of two). clinvar.tsv: pathogenic (1) against benign (0), likely
ones with them.

    python benchmarks/variant_tables.py DATA OUT

DATA holds variants_hg19/ and more/hg19/annotation/. Standard library and epilm's readers only.
"""

import argparse
import csv
import gzip
import math
import sys
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

ATTRIBUTES = ["chrom", "pos", "ref", "alt"]
SIGNIFICANT = 1e-5  # of the MPRA's p values, as its authors use it
LIKELY, UNLIKELY = 0.1, 0.01  # posteriors
CONTROLS = 5


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(1 << 30)
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            yield {name.lstrip("#"): value for name, value in row.items()}


def write(path: Path, columns: list[str], rows: list[list[object]]) -> None:
    with open(path, "w") as file:
        for row in [columns, *rows]:
            print(*row, sep="\t", file=file)
    print(f"{path.name}: {len(rows)} variants", file=sys.stderr)


def mpra(source: Path, out: Path) -> None:
    """Positions are those of the element; its sequence has N where nothing was measured."""
    elements: dict[str, dict[int, str]] = {}
    measured: list[dict[str, str]] = []
    for row in rows_of(source):
        if row["Pos"] == "NA":
            continue
        measured.append(row)
        elements.setdefault(row["Element"], {})[int(row["Pos"])] = row["Ref"]
    first = {name: min(bases) for name, bases in elements.items()}
    with open(out / "mpra.fa", "w") as file:
        for name, bases in elements.items():
            letters = (bases.get(at, "N") for at in range(first[name], max(bases) + 1))
            print(f">{name}", "".join(letters), sep="\n", file=file)
    write(
        out / "mpra.tsv",
        [*ATTRIBUTES, "effect", "significant", "element"],
        [
            [
                row["Element"],
                int(row["Pos"]) - first[row["Element"]] + 1,
                row["Ref"],
                row["Alt"],
                row["Coefficient"],
                int(float(row["pValue"]) < SIGNIFICANT),
                row["Element"],
            ]
            for row in measured
        ],
    )


def fine_mapped(source: Path, starts: Path, out: Path) -> None:
    """A variant of several traits counts with its largest posterior, once."""
    sites: dict[str, list[int]] = {}
    with gzip.open(starts, "rt") as file:
        for line in file:
            chrom, start = line.split("\t")[:2]
            sites.setdefault(chrom, []).append(int(start))
    for each in sites.values():
        each.sort()

    def distance(chrom: str, at: int) -> int:
        there = sites[chrom]
        place = bisect_left(there, at)
        return min(abs(site - at) for site in there[max(place - 1, 0) : place + 1])

    best: dict[tuple[str, int, str, str], tuple[float, str]] = {}
    for row in rows_of(source):
        key = (row["chrom"], int(row["start"]), row["ref"], row["alt"])
        best[key] = max(best.get(key, (0.0, "")), (float(row["posterior"]), row["region"]))
    chosen: dict[tuple[str, int, str, str], int] = {}
    controls = sorted(key for key, (posterior, _) in best.items() if posterior < UNLIKELY)
    for key in sorted(key for key, (posterior, _) in best.items() if posterior >= LIKELY):
        chosen[key] = 1
        far = distance(*key[:2])
        alike = [
            other
            for other in controls
            if other not in chosen
            and other[0] == key[0]
            and len(other[2]) == len(key[2])
            and len(other[3]) == len(key[3])
            and abs(math.log2((1 + distance(*other[:2])) / (1 + far))) <= 1
        ]
        # The nearest ones stand for the same region.
        alike.sort(key=lambda other: abs(other[1] - key[1]))
        chosen |= dict.fromkeys(alike[:CONTROLS], 0)
    rows = [
        [chrom, start + 1, ref, alt, label] for (chrom, start, ref, alt), label in chosen.items()
    ]
    write(out / "finemapped.tsv", [*ATTRIBUTES, "causal"], sorted(rows))


def clinvar(source: Path, out: Path) -> None:
    rows = []
    for row in rows_of(source):
        said = row["summary_clinvar_pathogenicity_label"]
        if said.startswith(("conflicting", "uncertain")):
            continue
        rows.append(
            [
                f"chr{row['chromosome']}",
                row["start"],
                row["reference"],
                row["alternative"],
                int("pathogenic" in said),
            ]
        )
    write(out / "clinvar.tsv", [*ATTRIBUTES, "pathogenic"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    variants = arguments.data / "variants_hg19"
    starts = arguments.data / "more/hg19/annotation/wgEncodeGencodeBasicV19.txStart.bed.gz"
    arguments.out.mkdir(parents=True, exist_ok=True)
    mpra(variants / "MPRA_saturation_mutagenesis.GRCh37.tsv.gz", arguments.out)
    fine_mapped(
        variants / "UKBB_blood_traits_finemapped_PP0.001.slices.tsv.gz", starts, arguments.out
    )
    clinvar(variants / "ClinVar.chr22_ADA2.tsv.gz", arguments.out)


if __name__ == "__main__":
    main()
