"""A small genome, its variants, and what scores them, for tests of variants."""

from dataclasses import replace

import numpy as np

from epilm.genome.sequence import decode
from epilm.models.model_spec import EncoderSpec, ModelSpec

SPEC = ModelSpec(
    name="dnabert",
    streams=("dna",),
    k=3,
    encoder=EncoderSpec(hidden=16, layers=2, heads=2, ffn=32, max_positions=64),
    max_tokens=64,
    next_segment="none",
    projection="none",
    projection_dim=16,
)


SITES = replace(SPEC, name="dbert", motif_sites=3)


CPU = {"device": "cpu", "say": lambda line: None}


def write_genome(path, **chroms):
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in chroms.items()))
    return path


def write_table(path, rows, header="chrom\tpos\tid\tref\talt"):
    path.write_text("\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n")
    return path


def some_variants(letters, count, seed=0, chrom="chr1"):
    """SNVs, deletions, insertions and delins inside a sequence, 1-based."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        at = int(rng.integers(80, len(letters) - 80))
        n = int(rng.integers(1, 5))
        ref = letters[at : at + (1 if i % 2 else n)]
        alt = decode(rng.integers(0, 4, 1 if i % 4 < 2 else n).astype(np.uint8))
        if alt != ref:
            rows.append([chrom, at + 1, f"v{i}", ref, alt])
    return rows


def kinds(world):
    folder = world["folder"]
    return {
        "pre-trained": {"model": folder / "model"},
        "sites": {"model": folder / "sites"},
        "fine-tuned": {"model": folder / "tuned", "window": 40},
        "motifs": {"motifs": folder / "m.jaspar", "window": 64},
    }


def by_row(done, names=None):
    """Scores of each allele, keyed by how it was written."""
    names = names or list(done.values)
    return {
        (a.chrom, a.start, a.ref, a.alt): [float(done.values[name][i]) for name in names]
        for i, a in enumerate(done.alleles)
    }
