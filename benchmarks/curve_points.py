"""The cost curves: what is varied, what is held still, what is timed, and which exponent is
expected and why.

A curve has `prepare(x, folder)`, run in a process of its own (files), and `start(x, folder)`, run
in the process that is measured: it gives the call to time. What `start` allocates counts as memory
of the point (a model and its optimiser).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from training_step import SPACING, Steps, invented_store

Work = Callable[[], Any]


@dataclass(frozen=True)
class Curve:
    """One quantity varied, all others still.

    Attributes
    ----------
    key, title, axis : str
    values, quick : tuple of int
        At least four points each.
    prepare, start : callable
    expected : (float, float) or None for a bound
        Exponents of time and memory by how the work is done; None: no single one.
    setup, why : str
        What is held still; why the exponents are what they are.
    """

    key: str
    title: str
    axis: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    prepare: Callable[[int, Path], None]
    start: Callable[[int, Path], Work]
    expected: tuple[float | None, float | None]
    setup: str
    why: str


# ---- epilm build, from raw files


def write_raw(folder: Path, *, genome_bp: int, regions: int, cells: int, motifs: int = 0) -> None:
    """Random bases in four chromosomes, peak files that hold nine regions of ten, random motifs in
    JASPAR's format.
    """
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)
    each, width = genome_bp // 4, 500
    per_chrom = regions // 4
    step = each // (per_chrom + 1)
    assert step >= SPACING or not regions, "the regions do not fit the genome"
    rows = []
    with open(folder / "genome.fa", "wb") as handle:
        for c in range(4):
            text = letters[rng.integers(0, 4, each, dtype=np.uint8)].tobytes()
            lines = b"\n".join(text[a : a + 60_000] for a in range(0, each, 60_000))
            handle.write(f">chr{c + 1}\n".encode() + lines + b"\n")
            rows += [
                f"chr{c + 1}\t{a}\t{a + width}\n"
                for a in range(step // 2, step // 2 + per_chrom * step - 1, step)
            ]
    (folder / "peaks").mkdir()
    for cell in range(cells):
        held = [row for i, row in enumerate(rows) if (i + cell) % 10]
        (folder / "peaks" / f"type{cell}.bed").write_text("".join(held))
    if motifs:
        with open(folder / "motifs.jaspar", "w", encoding="ascii") as handle:
            for m in range(motifs):
                counts = np.round(100 * rng.dirichlet((0.25,) * 4, size=8 + m % 13)).astype(int).T
                handle.write(f">MA{m:04d}.1\tF{m}\n")
                handle.write(
                    "".join(
                        f"{b}  [ {' '.join(map(str, row))} ]\n" for b, row in zip("ACGT", counts)
                    )
                )


def building(folder: Path, with_motifs: bool) -> Work:
    """`epilm build` of those files, one thread; its compiled loops are warm."""
    from epilm.store.making.build import build

    more = {"motifs": folder / "motifs.jaspar"} if with_motifs else {}
    return lambda: build(
        genome=folder / "genome.fa",
        peaks=folder / "peaks",
        out=folder / "store",
        threads=1,
        overwrite=True,
        **more,
    )


# ---- a training step, and a batch alone

WINDOWS = 4


def ebert(folder: Path, size: str, window_bp: int, samples: int, *keys: str) -> Steps:
    """EBERT on the invented store: every step `samples` windows, in one micro-batch."""
    tokens = 8 * -(-(window_bp // 7 + 2) // 8)
    keys = (
        f"samples.window_bp={window_bp}",
        f"model.max_tokens={tokens}",
        f"model.encoder.max_positions={max(tokens, 512)}",
        f"train.batch_size={samples}",
        f"train.micro_batch={samples}",
        "samples.holdout_chroms=[]",
        *keys,
    )
    return Steps("ebert_base", size, folder / "store", keys)


def genebert(folder: Path, regions: int, samples: int = 8, tokens: int = 66) -> Steps:
    """GeneBERT at size tiny with its native tower, a contrast of all samples of the step in one
    micro-batch.
    """
    keys = (
        f"samples.regions={regions}",
        f"train.batch_size={samples}",
        f"train.micro_batch={samples}",
        f"model.max_tokens={tokens}",
        f"objectives.matching.batch={samples}",
        "samples.holdout_chroms=[]",
    )
    return Steps("genebert_native", "tiny", folder / "store", keys)


SHAPES = {  # layers, hidden, heads, ffn
    1: (2, 128, 2, 512),
    2: (4, 256, 4, 1024),
    3: (6, 384, 6, 1536),
    4: (8, 512, 8, 2048),
    5: (12, 768, 12, 3072),
}


def of_shape(number: int, folder: Path) -> Steps:
    """EBERT of one of `SHAPES`; the last is base."""
    names = ("layers", "hidden", "heads", "ffn")
    keys = [
        f"model.encoder.{name}={value}" for name, value in zip(names, SHAPES[number], strict=True)
    ]
    return ebert(folder, "base", 1000, 4, *keys)


def in_blocks(number: int) -> int:
    """Weights in the encoder's blocks: what every token is multiplied with."""
    layers, hidden, _, ffn = SHAPES[number]
    return layers * hidden * (4 * hidden + 2 * ffn)


CURVES: tuple[Curve, ...] = (
    Curve(
        "build_genome",
        "build: genome size",
        "Mb",
        (8, 16, 32, 64, 128),
        (1, 2, 3, 4),
        lambda x, f: write_raw(f, genome_bp=x * 1_000_000, regions=1000, cells=2),
        lambda x, f: building(f, False),
        (1.0, 1.0),
        "4 chromosomes, 1,000 regions of 500 bp, 2 cell types, no motifs, 1 thread",
        "every base is read, translated and written once; memory is the longest chromosome, a"
        " quarter of the genome here",
    ),
    Curve(
        "build_regions",
        "build: regions",
        "thousand regions",
        (4, 8, 16, 32, 64),
        (1, 2, 3, 4),
        lambda x, f: write_raw(f, genome_bp=x * 1_000_000, regions=1000 * x, cells=3, motifs=64),
        lambda x, f: building(f, True),
        (1.0, 1.0),
        "64 motifs, 3 cell types, a genome of 1 kb a region, 1 thread",
        "peaks are sorted and joined (R log R, with a small factor) and each region is scanned"
        " once",
    ),
    Curve(
        "build_motifs",
        "build: motifs",
        "motifs",
        (36, 72, 145, 290, 579),
        (4, 8, 12, 16),
        lambda x, f: write_raw(f, genome_bp=12_000_000, regions=12_000, cells=2, motifs=x),
        lambda x, f: building(f, True),
        (1.0, None),
        "12,000 regions of 500 bp, 2 cell types, a genome of 12 Mb, 1 thread",
        "scanning is positions x motif columns; what does not depend on motifs (the genome, the"
        " peaks) is the fixed part; memory is a block of rows of the float32 matrix and the tables"
        " of the motifs",
    ),
    Curve(
        "build_cells",
        "build: cell types",
        "cell types",
        (4, 8, 16, 32, 64),
        (2, 4, 6, 8),
        lambda x, f: write_raw(f, genome_bp=8_000_000, regions=8000, cells=x),
        lambda x, f: building(f, False),
        (1.0, 1.0),
        "8,000 regions in 9 of 10 peak files, a genome of 8 Mb, no motifs, 1 thread",
        "one peak file a cell type: lines are parsed once, and all of them are held until they are"
        " joined",
    ),
    Curve(
        "batch_genome",
        "batch: genome size",
        "Mb",
        (16, 32, 64, 128, 256),
        (1, 2, 3, 4),
        lambda x, f: invented_store(f / "store", genome_bp=x * 1_000_000, cells=4),
        lambda x, f: ebert(f, "tiny", 1000, 64).batch,
        (0.0, 0.0),
        "64 windows of 1 kb with states, 4 cell types, memory-mapped store, 1 thread",
        "rows are drawn by a permutation computed point by point and read from memory maps: no list"
        " of samples, no pass over the store",
    ),
    Curve(
        "batch_cells",
        "batch: cell types",
        "cell types",
        (8, 32, 128, 512),
        (2, 4, 6, 8),
        lambda x, f: invented_store(f / "store", genome_bp=4_000_000, cells=x),
        lambda x, f: ebert(f, "tiny", 1000, 64).batch,
        (0.0, 0.0),
        "64 windows of 1 kb with states, a genome of 4 Mb, memory-mapped store, 1 thread",
        "a sample is (window, cell type), both from one number; a cell type more is a row more in"
        " the map",
    ),
    Curve(
        "step_window",
        "EBERT step: window",
        "bp",
        (500, 1000, 2000, 4000, 8000),
        (120, 240, 360, 480),
        lambda x, f: invented_store(f / "store", genome_bp=2_000_000),
        lambda x, f: ebert(f, "small", x, WINDOWS).step,
        (None, None),
        f"{WINDOWS} windows, small encoder (4 x 128), 7-mers one beside the other, dropout 0.1, 1"
        " thread",
        "matrix products grow with the tokens, attention with their square (as many operations as"
        " the products at 6 hidden widths of tokens, 5.4 kb here): rising from 1 towards 2. So does"
        " memory: torch's attention on a CPU that keeps no scores takes no dropout, so the scores"
        " of every layer are kept; the fixed part is the model",
    ),
    Curve(
        "step_window_plain",
        "the same, no dropout",
        "bp",
        (500, 1000, 2000, 4000, 8000),
        (120, 240, 360, 480),
        lambda x, f: invented_store(f / "store", genome_bp=2_000_000),
        lambda x, f: ebert(f, "small", x, WINDOWS, "model.encoder.dropout=0").step,
        (None, 1.0),
        f"{WINDOWS} windows, small encoder (4 x 128), 7-mers one beside the other, 1 thread",
        "without dropout attention keeps no scores: memory is linear in the window above the model,"
        " and time turns to the square later, because the scores stay in the cache",
    ),
    Curve(
        "step_size",
        "EBERT step: model size",
        "weights in the blocks (million)",
        (1, 2, 3, 4, 5),
        (1, 2, 3),
        lambda x, f: invented_store(f / "store", genome_bp=2_000_000),
        lambda x, f: of_shape(x, f).step,
        (1.0, None),
        "4 windows of 1 kb (576 tokens), 2 x 128 to 12 x 768, vocabulary 16,389, 1 thread",
        "6 operations a weight and token; below 1 as small products reach a smaller share of the"
        " chip's rate and the tables of words and scores grow with the width alone; memory is 16"
        " bytes a weight (weights, gradients, two moments) and activations",
    ),
    Curve(
        "step_regions",
        "GeneBERT step: regions",
        "regions a sample",
        (2, 4, 8, 16, 32),
        (1, 2, 3, 4),
        lambda x, f: invented_store(f / "store", regions=1600, factors=96),
        lambda x, f: genebert(f, x).step,
        (1.0, 1.0),
        "8 samples, tiny, 66 tokens a region, 96 motifs, native tower, 1 thread",
        "each region is a sequence of its own for the encoder and a row of the tower: linear, no"
        " square; the fixed part is the optimiser and Python's overhead",
    ),
    Curve(
        "step_motifs",
        "GeneBERT step: motifs",
        "motifs",
        (72, 145, 290, 579, 1158),
        (8, 16, 24, 32),
        lambda x, f: invented_store(f / "store", regions=800, factors=x),
        lambda x, f: genebert(f, 10, tokens=18).step,
        (1.0, 1.0),
        "8 samples of 10 regions, tiny, 18 tokens a region, native tower, 1 thread",
        "only the tower reads motifs, in windows of one size: linear in its own work, above the"
        " encoder's fixed part",
    ),
)
