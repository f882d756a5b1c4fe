"""A table of broken splice sites for `epilm score-variants TABLE --truth breaks`.

    python -m benchmarks.splice_breaks GENES GENOME CHROM OUT.tsv [--sites 200]

Of the genes of CHROM in a table, GTF or GFF3: so many annotated donors drawn at random, the G
behind each made A (1), and for each another GT inside the same intron, its G made A (0). The same
change of the same two letters: only what stands around can tell them apart.
"""

import argparse
from pathlib import Path

import numpy as np

from epilm.genome.transcripts import read_transcripts
from epilm.tasks.reference import open_reference


def main() -> None:
    """Draw, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("genes", type=Path)
    parser.add_argument("genome", type=Path)
    parser.add_argument("chrom")
    parser.add_argument("out", type=Path)
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    codes = open_reference(given.genome).codes(given.chrom)
    pairs = []
    for gene in read_transcripts(given.genes).rows:
        if (
            gene.chrom == given.chrom
            and len(gene.left) == len(gene.right)
            and gene.end <= len(codes)
        ):
            pairs += breaks_of(gene, codes, rng)
    drawn = rng.permutation(len(pairs))[: given.sites]
    rows = sorted((at, label, way) for n in drawn for at, label, way in pairs[n])
    with open(given.out, "w") as file:
        print("chrom", "pos", "ref", "alt", "breaks", sep="\t", file=file)
        for at, label, way in rows:
            ref, alt = ("G", "A") if way == "+" else ("C", "T")
            print(given.chrom, at + 1, ref, alt, label, sep="\t", file=file)
    print(f"{len(drawn)} broken donors of {len(pairs)}, and as many changes of other GTs")


def breaks_of(gene, codes, rng):
    """Pairs of (place of the G, label, strand): a donor, and a GT of the same intron beside it."""
    forward = gene.strand == "+"
    out = []
    for left, right in zip(gene.left + 1, gene.right, strict=True):  # [left, right): an intron
        intron = codes[left:right] if forward else (3 - codes[left:right][::-1].astype(int)) % 256
        gt = np.flatnonzero((intron[:-1] == 2) & (intron[1:] == 3))
        others = gt[gt > 0]
        if not len(gt) or gt[0] != 0 or not len(others):
            continue
        chosen = int(others[rng.integers(len(others))])
        spots = [(left + n if forward else right - 1 - n) for n in (0, chosen)]
        out.append([(spots[0], 1, gene.strand), (spots[1], 0, gene.strand)])
    return out


if __name__ == "__main__":
    main()
