"""What a binding task can be told, as plain values (protocols 5.4, 5.8, 6.1)."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from epilm.errors import UsageError
from epilm.tasks.binding.dream.challenge import find_pair
from epilm.training.learning import Learning, check_learning, refuse_broken


@dataclass(frozen=True)
class BindingSpec(Learning):
    """How a binding model learns. Defaults are the paper's for TF binding."""

    epochs: int = 15
    """Passes; a pass is all positives once."""
    lr: float = 1e-4
    """Peak learning rate."""
    shortcut_lr_multiplier: float = 1.0
    """Of the head's rate, for the weights of --shortcut: they are few, and may learn before the
    layers remember."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Of AdamW."""
    eps: float = 1e-5
    """Of AdamW."""
    batch_size: int = 320
    """Rows of a step."""
    negatives: int = field(default=10, metadata={"option": "negatives-per-positive"})
    """Unbound bins for each bound one, drawn anew every epoch."""
    positives_per_epoch: int | None = None
    """For small machines: the epochs walk through all positives by so many."""
    even_factors: bool = False
    """Of several factors: as many of these positives for one as for the other, a rare factor's come
    again sooner. Else they are drawn from all that any factor binds, and a rare one gets few."""
    valid_negatives: int | None = 100_000
    """Unbound bins scored after every epoch, the same ones."""
    train_chroms: tuple[str, ...] = field(default=(), metadata={"option": "train"})
    """Chromosomes or regions to learn from; all that are neither valid nor test where not given."""
    valid_chroms: tuple[str, ...] = field(default=("chr11",), metadata={"option": "valid"})
    """Chromosomes or regions (chr20:9000000-11095000) that choose the best epoch."""
    test_chroms: tuple[str, ...] = field(
        default=("chr1", "chr8", "chr21"), metadata={"option": "test"}
    )
    """Chromosomes or regions of the test, never read."""
    train_cells: tuple[str, ...] = ()
    """Cell types to learn from; all of the labels but the test ones where not given."""
    valid_cells: tuple[str, ...] = ()
    """Cell types that choose the best epoch; those of training where not given."""
    test_cells: tuple[str, ...] = ()
    """Cell types to leave alone."""
    window_bp: int = 1000
    """Bases read around a bin."""
    jitter: int = 0
    """In learning alone, the window of a row is moved by up to so many bases to either side, by
    others in every epoch."""
    signals: tuple[str, ...] = ()
    """Signals of the store that make EBERT+: accessibility, mappability, or NAME:POOL:TRANSFORM.
    Also motif:FACTOR, the score of its motif along the sequence; motifs is that of every factor."""
    shortcut: Literal["motifs", "signals", "none"] = "motifs"
    """Which signals' best values, over the window and over the bin, also go straight to the
    output: those of motifs, all (of tracks their means too), or none."""
    shortcut_start: Literal["zero", "fitted"] = "zero"
    """Its weights begin at 0; fitted: at a logistic regression on what it reads, of motifs by the
    factor's own, and the layers begin by saying nothing."""
    patience: int = 3
    """Stop after so many epochs without a better valid score; 0 never."""
    metric: Literal["auprc_dg", "ap", "auroc"] = "auprc_dg"
    """What decides which epoch is the best."""
    conv_channels: tuple[int, ...] = (128, 128)
    """Channels of the convolutions."""
    kernel: int = 5
    """Tokens of a convolution."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """Of convolutions and dense layers."""
    pool: Literal["max", "mean", "attention", "bin", "max+bin"] = "max"
    """Over the tokens of a window; bin is the maximum over the bin and 20 bp around it, max+bin
    both maxima side by side."""
    dense: int = 128
    """Width of the first dense layer."""


# Where the data are: labels, store and weights have their own fingerprints in a run.
PLACE = {"data": True}


@dataclass(frozen=True)
class BindingOptions(BindingSpec):
    """All that `epilm finetune binding` can be told."""

    store: Any = field(default=None, metadata=PLACE | {"type": Path})
    """Genome and tracks of the cell types."""
    factor: tuple[str, ...] = field(default=(), metadata=PLACE)
    """Which factors of the data; several are learned at once."""
    pair: str | None = field(default=None, metadata=PLACE)
    """One of the challenge's thirteen (epilm ls pairs), e.g. CTCF:PC-3: its factor, its cell types
    and chromosomes of training, validation and test."""
    regions: Any = field(default=None, metadata=PLACE | {"type": Path})
    """Region file, or BED of regions: only bins in it. Also where bins are laid over when labels
    are made from peaks."""
    blacklist: Any = field(default=None, metadata=PLACE | {"type": Path})
    """BED of regions; bins that touch it are left out."""
    rule: Literal["challenge", "bin_half"] | None = field(default=None, metadata=PLACE)
    """How labels are made from peaks. challenge (where not given): a bin is bound that shares at
    least half of itself, or of a peak, with it; bin_half: more than half of itself. A label file
    has its labels."""
    without_peaks: Literal["unknown", "unbound"] | None = field(default=None, metadata=PLACE)
    """Bins of a chromosome on which a cell type has no peak at all, as chr1, chr8 and chr21 of the
    challenge's peak files. unknown (where not given): neither learned from nor scored; unbound."""
    other_assembly: bool = field(default=False, metadata=PLACE)
    """The store is of another genome than the pre-training's, and that is meant."""
    motifs: Any = field(default=None, metadata=PLACE | {"type": str})
    """Motif file or jaspar:2018, where the signals name motifs; the store's own where not given."""


def check_binding(spec: BindingSpec) -> None:
    """Refuse impossible values, by their option's name.

    Raises
    ------
    UsageError
    """
    check_learning(spec)
    cap = spec.positives_per_epoch
    refuse_broken(
        spec,
        (
            (
                spec.label_smoothing != 0,
                "label_smoothing",
                spec.label_smoothing,
                "0: labels of several factors are not smoothed",
            ),
            (spec.jitter < 0, "jitter", spec.jitter, "at least 0"),
            (spec.negatives < 1, "negatives", spec.negatives, "at least 1"),
            (cap is not None and cap < 1, "positives_per_epoch", cap, "at least 1"),
            (
                spec.even_factors and cap is None,
                "even_factors",
                spec.even_factors,
                "with --positives-per-epoch, which it divides",
            ),
            (
                not spec.shortcut_lr_multiplier > 0,
                "shortcut_lr_multiplier",
                spec.shortcut_lr_multiplier,
                "above 0",
            ),
            (
                spec.metric not in ("auprc_dg", "ap", "auroc"),
                "metric",
                spec.metric,
                "auprc_dg, ap or auroc",
            ),
            (
                spec.shortcut not in ("motifs", "signals", "none"),
                "shortcut",
                spec.shortcut,
                "motifs, signals or none",
            ),
            (
                spec.shortcut_start not in ("zero", "fitted"),
                "shortcut_start",
                spec.shortcut_start,
                "zero or fitted",
            ),
        ),
    )


def with_pair(options: BindingOptions) -> BindingOptions:
    """Put what one of the challenge's pairs says into its options.

    Raises
    ------
    UsageError
        If the pair is unknown, or another option says the same.

    Examples
    --------
    >>> with_pair(BindingOptions(pair="CTCF:PC-3")).test_cells
    ('PC-3',)
    """
    if options.pair is None:
        return options
    given = BindingOptions()
    clash = [
        option
        for field_name, option in (
            ("factor", "--factor"),
            ("test_cells", "--test-cells"),
            ("test_chroms", "--test"),
            ("train_cells", "--train-cells"),
            ("train_chroms", "--train"),
            ("valid_chroms", "--valid"),
        )
        if getattr(options, field_name) != getattr(given, field_name)
    ]
    if clash:
        raise UsageError(
            "--pair says it already",
            found=", ".join(clash),
            do="Leave these out, or --pair.",
        )
    known = find_pair(options.pair)
    return replace(
        options,
        factor=(known.factor,),
        train_cells=known.train_cells,
        test_cells=(known.cell,),
        valid_chroms=known.valid_chroms,
        test_chroms=known.test_chroms,
    )
