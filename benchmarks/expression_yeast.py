"""Expression of yeast's genes in two conditions: writes the table and prints the commands.

    python -m benchmarks.expression_yeast DATA OUT RUN [RUN ...]

DATA holds sacCer3.2bit, annotation/TSS.RossiYEP.bed.gz and tss_stripe_seq/TSR.CONDITION.bed.gz
(STRIPE-seq's start regions with counts per million); each RUN is a pre-training of
`benchmarks.few_labels`, which has seen neither the chromosomes of the test nor those of valid. The
level of a gene is the sum of the start regions on its strand that come within 100 bp of its start;
a gene without one has 0. The folders of OUT are one page: epilm report --results OUT/*.
"""

import argparse
import csv
import gzip
from pathlib import Path

import numpy as np

from benchmarks.few_labels import TEST, VALID

CONDITIONS = ("WT", "diamide")
NEAR = 100  # bp
COMMAND = """\
epilm finetune expression --data {out}/yeast.tsv --tss {data}/annotation/TSS.RossiYEP.bed.gz \\
      --genome {data}/sacCer3.2bit --upstream 256 --downstream 128 --test {test} --valid {valid} \\
      --checkpoint {model} --epochs 12 --patience 3 --lr {rate} --batch-size 32 \\
      --seed {seed} --out {out}/{name}"""


def main() -> None:
    """Write OUT/yeast.tsv and print the commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+")
    at = parser.parse_args()
    at.out.mkdir(parents=True, exist_ok=True)
    starts = lines(at.data / "annotation" / "TSS.RossiYEP.bed.gz")
    levels = [levels_of(starts, at.data / "tss_stripe_seq" / f"TSR.{c}.bed.gz") for c in CONDITIONS]
    with (at.out / "yeast.tsv").open("w") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(["gene", *CONDITIONS])
        for row, columns in enumerate(zip(*levels, strict=True)):
            writer.writerow([starts[row][3], *(f"{level:.2f}" for level in columns)])
    named = {"data": at.data, "out": at.out, "test": " ".join(TEST), "valid": " ".join(VALID)}
    for seed, run in enumerate(at.runs):
        arms = (
            ("cnn", "cnn", "2e-3"),
            ("lab", run, "1e-3"),
            ("random", f"{run} --init random", "1e-3"),
        )
        for name, model, rate in arms:
            told = {"model": model, "rate": rate, "seed": seed, "name": f"{name}{seed}"}
            print(COMMAND.format(**named, **told))


def lines(path: Path) -> list[list[str]]:
    """Cells of a BED file."""
    with gzip.open(path, "rt") as handle:
        return [line.rstrip("\n").split("\t") for line in handle]


def levels_of(starts: list[list[str]], path: Path) -> np.ndarray:
    """Counts per million of each gene, (N,)."""
    out = np.zeros(len(starts))
    places: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
    for chrom, start, end, _, level, strand, *_ in lines(path):
        places.setdefault((chrom, strand), []).append((int(start), int(end), float(level)))
    for row, (chrom, start, _, _, _, strand, *_) in enumerate(starts):
        here = np.array(places.get((chrom, strand), [(0, -NEAR, 0.0)]))
        at = int(start)
        near = (here[:, 0] <= at + NEAR) & (here[:, 1] > at - NEAR)
        out[row] = here[near, 2].sum()
    return out


if __name__ == "__main__":
    main()
