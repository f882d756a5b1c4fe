"""Binding sites of ten factors, whole chr20 to chr22: writes the inputs, prints the commands.

python -m benchmarks.binding_sites DATA MOTIFS OUT

DATA holds reference/hg19.chr20.2bit, reference/hg19.chr22_partial.fa.gz, atac_blood/*.narrowPeak.gz
and encode_dream_chip/CELL.FACTOR.conservative.narrowPeak.gz; MOTIFS is JASPAR 2018 (vertebrates).
Pre-training may hold out whole chromosomes alone, and chr22 is the test: so the last 8 Mb of chr20,
the validation of fine-tuning too, are made a record of their own. Of four factors no motif is in
the collection that pre-training sees, nor any that is alike (cosine of at least 0.8).
"""

import argparse
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from epilm.genome.fasta import open_genome
from epilm.motifs.clusters import similarity
from epilm.motifs.formats import read_motifs, write_jaspar

CUT, END = 55_000_000, 63_025_520  # of chr20
LEFT_OUT = ("REST", "ZNF143", "YY1", "YY2", "TEAD1", "TEAD2", "TEAD3", "TEAD4")
SETS = (  # asked about and left out by turns: one that is stopped early has some of both
    *("K562.CTCF", "HepG2.REST", "GM12878.SPI1", "GM12878.ZNF143", "HepG2.HNF4A"),
    *("GM12878.YY1", "HepG2.FOXA1", "K562.TEAD4", "HepG2.CEBPB", "K562.MAX"),
)
COMMANDS = """\
epilm build --genome {out}/chr20cut.fa --peaks {out}/peaks --motifs {out}/reduced.jaspar \\
      --region-width 200 --assembly hg19 --out {out}/store
epilm pretrain dnabert_lab --size small --store {out}/store --out {out}/lab \\
      --set 'samples.holdout_chroms=[chr20valid]'
epilm compare --manifest {out}/sets.tsv --genome {data}/reference/hg19.chr20.2bit \\
      --genome {data}/reference/hg19.chr22_partial.fa.gz --motifs {motifs} --models lab={out}/lab \\
      --baselines kmer,motif,motifs,cnn,random --both-strands --lr 1e-3 --epochs 4 --seeds 3 \\
      --out {out}/compared"""


def main() -> None:
    """Write everything below OUT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "motifs", "out"):
        parser.add_argument(name, type=Path)
    at = parser.parse_args()
    at.out.mkdir(parents=True, exist_ok=True)
    print(write_collection(at.motifs, at.out / "reduced.jaspar"))
    write_genome(at.data / "reference" / "hg19.chr20.2bit", at.out / "chr20cut.fa")
    (at.out / "peaks").mkdir(exist_ok=True)
    for path in sorted((at.data / "atac_blood").glob("*.narrowPeak.gz")):
        with gzip.open(path, "rt") as old, gzip.open(at.out / "peaks" / path.name, "wt") as new:
            new.writelines(cut_peaks(old))
    write_sets(at.data / "encode_dream_chip", at.out / "sets.tsv")
    print(COMMANDS.format(out=at.out, data=at.data, motifs=at.motifs))


def write_collection(source: Path, path: Path) -> str:
    """Write the motifs without those of LEFT_OUT and their likes; say which were left out."""
    motifs = read_motifs(source)
    named = np.array([motif.name.upper() in LEFT_OUT for motif in motifs])
    gone = similarity(motifs)[:, named].max(1) >= 0.8
    write_jaspar([motif for motif, is_gone in zip(motifs, gone, strict=True) if not is_gone], path)
    names = [motif.name for motif, is_gone in zip(motifs, gone, strict=True) if is_gone]
    return f"left out {len(names)} of {len(motifs)} motifs: {', '.join(names)}"


def write_genome(source: Path, path: Path) -> None:
    """Write chr20 as two records, chr20 up to CUT and chr20valid from there."""
    genome = open_genome(source)
    letters = np.frombuffer(b"ACGTN", np.uint8)
    with path.open("wb") as file:
        for name, start, end in (("chr20", 0, CUT), ("chr20valid", CUT, END)):
            file.write(f">{name}\n".encode())
            for first in range(start, end, 1000):
                codes = genome.fetch("chr20", first, min(first + 1000, end))
                file.write(letters[codes].tobytes() + b"\n")


def cut_peaks(lines: Iterator[str]) -> Iterator[str]:
    """Give the peaks of chr20 their new record; one over CUT is left out."""
    for line in lines:
        chrom, first, last, *rest = line.split("\t")
        start, end = int(first), int(last)
        if chrom == "chr20" and end <= CUT:
            yield line
        elif chrom == "chr20" and start >= CUT:
            yield "\t".join(["chr20valid", str(start - CUT), str(end - CUT), *rest])


def write_sets(peaks: Path, path: Path) -> None:
    """Write the manifest: 101 bp at the summit, G+C matched negatives, one to one."""
    rows = ["name\ttask\tdata\tnegatives\tvalid\ttest\tfactor"]
    for name in SETS:
        data = (peaks / f"{name}.conservative.narrowPeak.gz").resolve()
        rows.append(f"{name}\ttfbs\t{data}\tgc\tchr20:{CUT}-{END}\tchr22\t{name.split('.')[1]}")
    path.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
