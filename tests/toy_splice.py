"""An invented genome with genes whose sites stand at GTAAG and TTTCAG, and a short run on them."""

from pathlib import Path

import numpy as np

from epilm.finetuning.finetune import finetune
from epilm.genome.transcripts import read_transcripts

LETTERS = np.frombuffer(b"ACGTN", np.uint8)
DONOR, ACCEPTOR = [2, 3, 0, 0, 2], [3, 3, 3, 1, 0, 2]  # GTAAG behind, TTTCAG before


class Genome:
    """Chromosomes as codes."""

    def __init__(self, chroms):
        self.chroms = chroms
        self.sizes = {name: len(codes) for name, codes in chroms.items()}

    def codes(self, chrom):
        return self.chroms[chrom]


def reverse(codes):
    return np.array([3, 2, 1, 0, 4], np.uint8)[codes[::-1]]


def spliced(rng, exons=4, exon=12, intron=16):
    """A transcript of few GT and AG but those of its sites, and its last and first bases."""
    codes = rng.choice([0, 1, 3], (exons * exon + (exons - 1) * intron)).astype(np.uint8)
    ends, starts = [], []
    for n in range(exons - 1):
        end = (n + 1) * exon + n * intron  # first base of the intron
        codes[end : end + len(DONOR)] = DONOR
        codes[end + intron - len(ACCEPTOR) : end + intron] = ACCEPTOR
        ends.append(end - 1)
        starts.append(end + intron)
    return codes, ends, starts


def world(chroms=("chr1", "chr2", "chr4"), genes=6, gap=20, seed=0):
    """A genome and the lines of SpliceAI's table: genes in turn on either strand, every third with
    a paralog.
    """
    rng = np.random.default_rng(seed)
    lines, sequences = [], {}
    for chrom in chroms:
        pieces, at = [], 0
        for n in range(genes):
            pieces.append(rng.choice([0, 1, 3], gap).astype(np.uint8))
            at += gap
            codes, ends, starts = spliced(rng)
            strand, last = "+-"[n % 2], len(codes) - 1
            left, right = ends, starts
            if strand == "-":
                codes = reverse(codes)
                left, right = sorted(last - s for s in starts), sorted(last - e for e in ends)
            columns = (
                f"{chrom}g{n}",
                int(n % 3 == 2),
                chrom,
                strand,
                at + 1,
                at + len(codes),
                "".join(f"{at + b + 1}," for b in left),
                "".join(f"{at + b + 1}," for b in right),
            )
            lines.append("\t".join(map(str, columns)))
            pieces.append(codes)
            at += len(codes)
        pieces.append(rng.choice([0, 1, 3], gap).astype(np.uint8))
        sequences[chrom] = np.concatenate(pieces)
    return Genome(sequences), lines


def write(folder, **how):
    """genome.fa and genes.txt in a folder."""
    genome, lines = world(**how)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "genome.fa", "w") as out:
        for name, codes in genome.chroms.items():
            out.write(f">{name}\n{LETTERS[codes].tobytes().decode()}\n")
    (folder / "genes.txt").write_text("\n".join(lines) + "\n")
    return folder / "genome.fa", folder / "genes.txt"


def transcripts(folder, **how):
    """Genome and transcripts as Python has them."""
    _, table = write(folder, **how)
    return world(**how)[0], read_transcripts(table)


SHORT = {
    "context": 80,
    "block": 50,
    "epochs": 2,
    "batch_size": 4,
    "device": "cpu",
    "precision": "fp32",
    "test": ("chr1",),
    "beside": (),
}


def short_run(folder, out=None, checkpoint="dilated", **options):
    """A few steps of a small model, and what it said."""
    genome, table = write(folder)
    lines = []
    result = finetune(
        "splice",
        table,
        out,
        checkpoint=checkpoint,
        size="tiny",
        say=lines.append,
        **({"genome": genome} | SHORT | options),
    )
    return result, lines
