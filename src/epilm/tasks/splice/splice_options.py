"""What the task of splice sites can be told, verb by verb."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from epilm.errors import UsageError, nearest
from epilm.genome.transcripts import Feature, Which
from epilm.training.learning import Learning, Rule, check_learning, refuse_broken

HERE = {"data": True}  # where the data are: their own digest is in the run
Flank = Literal["n", "real"]
Paralogs = Literal["train", "everywhere", "nowhere"]
SPLICEAI_TEST = ("chr1", "chr3", "chr5", "chr7", "chr9")


@dataclass(frozen=True)
class TranscriptOptions:
    """Which transcripts are read, and how."""

    genome: Any = field(default=None, metadata=HERE | {"type": list[Path]})
    """FASTA, .2bit or a store; repeat it for several files."""
    transcripts: Which = field(default="one", metadata=HERE)
    """Of GTF and GFF3: one, the gene's main transcript (MANE Select, Ensembl canonical, APPRIS
    principal, else the most exonic bases), or union, the sites of all of them."""
    feature: Feature = field(default="exon", metadata=HERE)
    """Of GTF and GFF3: which lines are exons; CDS where there are no others."""
    genes: Literal["coding", "all"] = field(default="coding", metadata=HERE)
    """Of GTF and GFF3: those that code for proteins, where the file says which do, or all."""
    paralogs: Paralogs = field(default="train", metadata=HERE)
    """Where genes with a paralog may be: in train alone (SpliceAI's: a copy of a gene that was
    learned proves nothing), everywhere, or nowhere."""
    paralog_genes: Any = field(default=None, metadata=HERE | {"type": Path})
    """List of genes with a paralog, one a line, where the file does not say (GTF, GFF3)."""
    valid: tuple[str, ...] = field(default=(), metadata=HERE)
    """Chromosomes or regions (chr20:9000000-11095000) of the valid part; a tenth of the genes of
    train, overlapping ones together, where not given."""
    test: tuple[str, ...] = field(default=(), metadata=HERE)
    """Chromosomes or regions of the test part; SpliceAI's chr1, 3, 5, 7 and 9 where not given."""
    data_seed: int = field(default=0, metadata=HERE)
    """Of the valid genes; kept apart from the seed of training."""


@dataclass(frozen=True)
class SpliceOptions(TranscriptOptions, Learning):
    """All that fine-tuning on splice sites can be told. Defaults are SpliceAI's (protocols 8.1)."""

    context: int = 400
    """Bases that are seen beside each answered one, half on either side: any even number of a
    trunk; 80, 256, 400, 2000 or 10000 of the dilated CNN."""
    block: int = 5000
    """Bases that are answered at once; the last block of a transcript is filled up."""
    flank: Flank = "n"
    """What stands beside a transcript: n, nothing is known there (SpliceAI's), or real, the bases
    of the genome."""
    site_weight: float = 1.0
    """How much the loss of a splice site counts, where that of any other base counts 1."""
    epochs: int = 10
    """Passes over the training rows; the epoch that is best on the valid part is kept."""
    lr: float = 1e-3
    """Peak learning rate."""
    batch_size: int = 18
    """Rows (blocks) of a step."""
    decay: Literal["linear", "cosine", "constant", "halving"] = "halving"
    """How the rate falls after that: halving stays for six tenths and then halves each tenth."""
    warmup: float = 0.0
    """Share of all steps in which the rate rises; from 1 on, steps."""
    weight_decay: float = 0.0
    """Of AdamW."""
    both_strands: bool = field(default=False, metadata={"fixed": True})
    """Not of this task: a transcript lies on one strand."""
    beside: tuple[str, ...] = field(default=("dinucleotide", "sitematrix"), metadata=HERE)
    """Baselines that are fitted on the same rows and scored beside the model (epilm ls
    baselines)."""


@dataclass(frozen=True)
class SplicePredictOptions:
    """Where splice sites are predicted, and how they are written."""

    genome: Any = field(default=None, metadata={"type": list[Path]})
    """FASTA, .2bit or a store; repeat it for several files."""
    chroms: tuple[str, ...] = ()
    """Chromosomes, or parts of them (chr20:9000000-11095000), both strands; all of the genome where
    neither they nor transcripts are given."""
    threshold: float = 0.1
    """Sites of at least this probability are written."""
    tracks: str | None = None
    """Also write bigWigs of every base from 0.001 on: TRACKS.acceptor.plus.bw, .donor.plus.bw,
    .acceptor.minus.bw, .donor.minus.bw; of chromosomes alone."""
    flank: Flank | None = None
    """What stands beside a transcript, as in training where not given."""
    transcripts: Which = "one"
    """Of GTF and GFF3: one or union, as in epilm finetune splice."""
    feature: Feature = "exon"
    """Of GTF and GFF3: which lines are exons."""
    genes: Literal["coding", "all"] = "coding"
    """Of GTF and GFF3: those that code for proteins, or all."""
    block: int | None = None
    """Bases that are answered at once; four contexts, and no less than in training, where not
    given."""


@dataclass(frozen=True)
class SpliceEvaluateOptions(TranscriptOptions):
    """Which transcripts are scored."""

    split: Literal["none", "chromosome"] = "none"
    """none scores all transcripts given; chromosome those of --test (SpliceAI's where not given)
    alone, by the rule of --paralogs."""
    flank: Flank | None = None
    """What stands beside a transcript, as in training where not given."""


def check_splice(options: SpliceOptions) -> None:
    """Refuse impossible values, by their option's name.

    Raises
    ------
    UsageError
    """
    if options.both_strands:
        raise UsageError(
            "a transcript lies on one strand",
            where="--both-strands",
            do="Leave it out: the other strand has no splice sites of it.",
        )
    check_learning(options)
    rules: tuple[Rule, ...] = (
        (
            options.context < 0 or options.context % 2 > 0,
            "context",
            options.context,
            "an even number, half on either side",
        ),
        (options.block < 1, "block", options.block, "at least 1"),
        (not options.site_weight > 0, "site_weight", options.site_weight, "above 0"),
    )
    refuse_broken(options, rules)
    check_words(options)


def check_words(options: Any) -> None:
    """Refuse words that no rule knows.

    Raises
    ------
    UsageError
    """
    for name, known in (
        ("flank", get_args(Flank)),
        ("paralogs", get_args(Paralogs)),
        ("genes", ("coding", "all")),
    ):
        value = getattr(options, name, None)
        if value is not None and value not in known:
            raise UsageError(
                "unknown value",
                where=f"--{name}",
                found=repr(value),
                do=nearest(value, known),
            )
