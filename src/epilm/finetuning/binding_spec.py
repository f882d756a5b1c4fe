"""How a binding model learns, as plain values (protocols 5.4, 5.8, 6.1)."""

from dataclasses import dataclass
from typing import Any, Literal

from epilm.errors import UsageError


@dataclass(frozen=True)
class BindingSpec:
    """How a binding model learns. Defaults are the paper's for TF binding (protocols 5.4, 5.8,
    6.1).
    """

    epochs: int = 15
    lr: float = 1e-4
    head_lr_multiplier: float = (
        1.0  # of what is not the encoder: new weights may take larger steps than trained ones
    )
    shortcut_lr_multiplier: float = (
        1.0  # of the shortcut, on top of the head's: it has few weights and may learn first
    )
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-5
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps; from 1 on, steps (the paper: 25 000)
    decay: Literal["linear", "cosine", "constant"] = "linear"
    clip: float = 1.0
    batch_size: int = 320
    micro_batch: int | None = None  # rows of a forward pass; the step is the same
    negatives: int = 10  # for each positive, drawn anew every epoch
    positives_per_epoch: int | None = (
        None  # for small machines: the epochs walk through all positives
    )
    valid_negatives: int | None = 100_000  # unbound bins that are scored after every epoch
    train_chroms: tuple[str, ...] = ()  # all that are neither validation nor test
    valid_chroms: tuple[str, ...] = ("chr11",)
    test_chroms: tuple[str, ...] = ("chr1", "chr8", "chr21")
    train_cells: tuple[str, ...] = ()  # all of the labels but the test ones
    valid_cells: tuple[str, ...] = ()  # those of training
    test_cells: tuple[str, ...] = ()
    window_bp: int = 1000
    signals: tuple[
        str, ...
    ] = ()  # NAME, NAME:POOL:TRANSFORM (they make EBERT+), motif:FACTOR, or motifs
    shortcut: Literal["motifs", "signals", "none"] = (
        "motifs"  # whose best values also go straight to the logits
    )
    patience: int = 3  # epochs without a better validation score; 0 = never stop early
    metric: Literal["auprc_dg", "ap", "auroc"] = "auprc_dg"
    conv_channels: tuple[int, ...] = (128, 128)
    kernel: int = 5
    activation: str = "relu"
    pool: str = "max"
    dense: int = 128
    dropout: float = 0.1
    freeze: str = "none"  # none | embeddings | encoder | layers:N
    strands: Literal["forward", "both"] = "forward"  # both: learn from either, answer with the mean
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


def check_settings(settings: BindingSpec) -> None:
    """Refuse impossible values, by their option's name.

    Raises
    ------
    UsageError
    """
    cap, layers = settings.positives_per_epoch, settings.freeze.removeprefix("layers:")
    rules: tuple[tuple[bool, str, Any, str], ...] = (
        (settings.epochs < 1, "epochs", settings.epochs, "at least 1"),
        (settings.batch_size < 1, "batch-size", settings.batch_size, "at least 1"),
        (
            settings.micro_batch is not None and settings.micro_batch < 1,
            "micro-batch",
            settings.micro_batch,
            "at least 1",
        ),
        (settings.negatives < 1, "negatives-per-positive", settings.negatives, "at least 1"),
        (cap is not None and cap < 1, "positives-per-epoch", cap, "at least 1"),
        (not settings.lr > 0, "lr", settings.lr, "above 0"),
        (
            not settings.head_lr_multiplier > 0,
            "head-lr-multiplier",
            settings.head_lr_multiplier,
            "above 0",
        ),
        (
            not settings.shortcut_lr_multiplier > 0,
            "shortcut-lr-multiplier",
            settings.shortcut_lr_multiplier,
            "above 0",
        ),
        (settings.warmup < 0, "warmup", settings.warmup, "a share of the steps below 1, or steps"),
        (not 0 <= settings.dropout < 1, "dropout", settings.dropout, "0 to below 1"),
        (settings.weight_decay < 0, "weight-decay", settings.weight_decay, "at least 0"),
        (settings.patience < 0, "patience", settings.patience, "at least 0"),
        (
            settings.metric not in ("auprc_dg", "ap", "auroc"),
            "metric",
            settings.metric,
            "auprc_dg, ap or auroc",
        ),
        (
            settings.shortcut not in ("motifs", "signals", "none"),
            "shortcut",
            settings.shortcut,
            "motifs, signals or none",
        ),
        (
            settings.strands not in ("forward", "both"),
            "strands",
            settings.strands,
            "forward or both",
        ),
        (
            settings.freeze not in ("none", "embeddings", "encoder")
            and not (settings.freeze.startswith("layers:") and layers.isdigit()),
            "freeze",
            settings.freeze,
            "none, embeddings, encoder, or layers:N",
        ),
    )
    for broken, key, found, expected in rules:
        if broken:
            raise UsageError("impossible value", where=f"--{key}", found=found, expected=expected)
