"""What `epilm explain` can be told, and which of it belongs to which method.

Imports nothing heavy: `epilm explain --help` reads it.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from epilm.errors import UsageError, nearest

Method = Literal[
    "ism",
    "deletions",
    "mutations",
    "gradients",
    "integrated",
    "deeplift",
    "occlusion",
    "attention",
    "rollout",
    "inputs",
]
# Options that only some methods read.
OF_METHODS: dict[str, tuple[str, ...]] = {
    "longest": ("deletions", "mutations"),
    "steps": ("integrated",),
    "hidden": ("occlusion",),
    "fill": ("occlusion",),
    "copies": ("occlusion", "deeplift"),
    "against": ("attention", "rollout"),
}


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `epilm explain`."""

    regions: Path | None = None
    """BED or narrowPeak of what is explained; with --genome or --store."""
    gene: list[str] | None = None
    """Or genes of --genes by name or id, or places such as chr20:1000-2000; may be repeated."""
    genes: Path | None = None
    """GTF, GFF3, genePred or BED that --gene is looked up in."""
    flank: int = 0
    """Bases on either side of a --gene, or of a variant."""
    fasta: Path | None = None
    """Or sequences that bring their bases."""
    variants: Path | None = None
    """Or variants (VCF, BCF, or a table with chrom, pos, ref, alt): both haplotypes of each, with
    --flank bases on either side [25]."""
    method: Method = "ism"
    """ism: all substitutions. deletions: of 1 to --longest bases. mutations: both. gradients:
    gradient x input. integrated: integrated gradients. deeplift: DeepLIFT beside shuffled copies.
    occlusion: hidden stretches. attention, rollout: where attention goes (not attribution).
    inputs: states, signals and motif scores, each put out in turn; of a pre-trained GeneBERT with
    --store: regions and factors of its matching."""
    output: str | None = None
    """Class, factor, llr or site_NAME that is explained, where the model has several. Of splice
    sites acceptor, donor, donor@1200 (0-based) or donor@+3 (from the region's middle)."""
    genome: list[Path] | None = None
    """FASTA, .2bit or a store that the regions lie on; repeat it for several files."""
    store: Path | None = None
    """Store whose tracks the model reads."""
    cell: str | None = None
    """Cell type of those tracks."""
    window: int | None = None
    """Bases the model reads around each region; the region's own where not given."""
    longest: int | None = None
    """Longest deletion in bp, 1 to 10. [10]"""
    steps: int | None = None
    """Places between even bases and the sequence. [32]"""
    hidden: int | None = None
    """Bases hidden at a time. [9]"""
    fill: Literal["shuffled", "n"] | None = None
    """What hides them: bases of shuffled copies, or N. [shuffled]"""
    copies: int | None = None
    """Shuffled copies. [8; of deeplift 20]"""
    null: int = 0
    """Explain so many shuffled copies of each region too: stretches that stand out against them
    (seqlets) are called at a false discovery rate of 5 % and joined to patterns."""
    against: Path | None = None
    """With attention: other regions (or, with --fasta, sequences). Stretches of high attention that
    the explained ones hold more often (q < 0.005) become motifs, as DNABERT-viz has them."""
    motifs: str | None = None
    """Motif file or jaspar:2018 that patterns are named by (TOMTOM, q < 0.05); needs memelite."""
    score: Path | None = None
    """Folder of epilm simulate: score every method against the planted sites."""
    factor: str | None = None
    """With --score: the factor whose sites count; all bound sites where not given."""
    pictures: int = 12
    """Regions that are drawn."""
    both_strands: bool | None = None
    """The mean over both strands; as in training where not given."""
    batch_size: int = 64
    """Windows of a forward pass."""
    seed: int = 0
    """Of shuffled copies."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    overwrite: bool = False
    """Replace the folder --out."""


def options_of(named: dict[str, Any]) -> ExplainOptions:
    """Make options of names, and refuse those that say nothing to the method.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> options_of({"method": "integrated", "steps": 8}).steps
    8
    >>> options_of({"method": "ism", "steps": 8})
    Traceback (most recent call last):
    epilm.errors.UsageError: --steps: the method does not read it. Found --method ism; expected
        --method integrated.
    """
    known = {field.name for field in fields(ExplainOptions)}
    for name in named:
        if name not in known:
            raise UsageError(
                "no such option",
                where="explain",
                found="--" + name.replace("_", "-"),
                do=nearest(name, known),
            )
    options = ExplainOptions(**named)
    methods = Method.__args__  # type: ignore[attr-defined]
    if options.method not in methods:
        raise UsageError(
            "no such method",
            where="--method",
            found=options.method,
            do=nearest(options.method, methods),
        )
    for name, of in OF_METHODS.items():
        if getattr(options, name) is not None and options.method not in of:
            raise UsageError(
                "the method does not read it",
                where=f"--{name}",
                found=f"--method {options.method}",
                expected=" or ".join(f"--method {method}" for method in of),
            )
    for name, low, high in (
        ("longest", 1, 10),
        ("steps", 1, 10_000),
        ("hidden", 1, 10_000),
        ("copies", 1, 1_000),
        ("null", 0, 1_000),
        ("pictures", 0, 1_000),
        ("seed", 0, 2**31),
    ):
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise UsageError(
                "impossible value",
                where=f"--{name}",
                found=value,
                expected=f"{low} to {high}",
            )
    return options
