"""CTCF learned in one cell line and asked of five: writes the inputs, prints the command.

    python -m benchmarks.ctcf_lines DATA OUT

DATA as in benchmarks/binding_sites.py. Each line is a set of its own: the rows that K562 teaches
and chooses on (chr20), and the line's own test rows (chr22), so that one `epilm compare` has all
five. 101 bp at the summit, negatives of the same G+C, one to one.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.binding_sites import CUT
from epilm.tasks.base import LabelledSequences
from epilm.tasks.tfbs import load

TAUGHT = "K562"
LINES = (TAUGHT, "HepG2", "A549", "HeLa-S3", "H1-hESC")
GENOME = ("hg19.chr20.2bit", "hg19.chr22_partial.fa.gz")
COMMAND = """\
epilm compare --manifest {out}/lines.tsv {genome} \\
      --models lab=RUN1 lab=RUN2 lab=RUN3 --ensemble --baselines kmer,cnn,random --both-strands \\
      --lr 1e-3 --epochs 4 --seeds 1 --out {out}/compared"""


def main() -> None:
    """Write everything below OUT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    at = parser.parse_args()
    at.out.mkdir(parents=True, exist_ok=True)
    genome = [at.data / "reference" / name for name in GENOME]
    rows = {}
    for line in LINES:
        peaks = at.data / "encode_dream_chip" / f"{line}.CTCF.conservative.narrowPeak.gz"
        rows[line] = load(peaks, genome=genome, negatives="gc")
    for line in LINES:
        texts = [*texts_of(rows[TAUGHT], ("train", "valid")), *texts_of(rows[line], ("test",))]
        head = "chrom\tstart\tend\tlabel\tsplit"
        (at.out / f"{line}.tsv").write_text("\n".join((head, *texts)) + "\n")
    manifest = [f"{line}\tsequences\t{line}.tsv" for line in LINES]
    (at.out / "lines.tsv").write_text("\n".join(("name\ttask\tdata", *manifest)) + "\n")
    print(COMMAND.format(out=at.out, genome=" ".join(f"--genome {path}" for path in genome)))


def texts_of(rows: LabelledSequences, parts: tuple[str, ...]) -> list[str]:
    """Lines of a table: the rows of some parts."""
    split = part_of(rows.chrom, rows.start)
    return [
        f"{rows.chrom[n]}\t{rows.start[n]}\t{rows.ends[n]}\t{rows.labels[n]}\t{split[n]}"
        for n in np.flatnonzero(np.isin(split, parts))
    ]


def part_of(chrom: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Part of each row: chr20 up to CUT teaches, the rest of it chooses, chr22 tests.

    Examples
    --------
    >>> part_of(np.array(["chr20", "chr20", "chr22", "chr1"]), np.array([5, CUT, 5, 5])).tolist()
    ['train', 'valid', 'test', '']
    """
    parts = [chrom == "chr22", (chrom == "chr20") & (start >= CUT), chrom == "chr20"]
    return np.select(parts, ["test", "valid", "train"], "")


if __name__ == "__main__":
    main()
