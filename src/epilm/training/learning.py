"""How a fine-tuning learns, as plain values: what every task shares, and each may preset.

A task's options are a frozen dataclass that starts from `Learning`; the text under a field is what
the command line and the documentation say of it. Torch free.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from epilm.errors import UsageError
from epilm.training.optim_spec import OptimSpec

Rule = tuple[bool, str, Any, str]  # broken, field, value, expected


@dataclass(frozen=True)
class Learning:
    """How a model learns a task. Defaults are DNABERT's for promoter-core (protocols 1.5)."""

    epochs: int = 5
    """Passes over the training rows; the epoch that is best on the valid part is kept."""
    lr: float = 2e-4
    """Peak learning rate."""
    batch_size: int = 32
    """Rows of a step."""
    micro_batch: int | None = None
    """Rows of a forward pass; the step stays the same. The whole batch where not given."""
    warmup: float = 0.1
    """Share of all steps in which the rate rises; from 1 on, steps."""
    decay: Literal["linear", "cosine", "constant", "halving"] = "linear"
    """How the rate falls after that; halving stays for six tenths and then halves each tenth."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""
    eps: float = 1e-8
    """Of AdamW."""
    weight_decay: float = 0.01
    """Of AdamW."""
    clip: float = 1.0
    """Gradient norm; 0 is off."""
    dropout: float = 0.1
    """Of encoder and head."""
    freeze: str = "none"
    """none, embeddings, encoder, or layers:N for the lowest N."""
    lora: int = 0
    """Rank: the trunk rests, and beside each dense layer of its blocks a product of two matrices of
    this rank learns (LoRA); the run keeps these and the head. 0: none. Needs epilm[lora]."""
    lora_alpha: float | None = None
    """What is learned beside a layer counts so many times, divided by the rank; twice the rank
    where not given."""
    lora_layers: Literal["all", "attention"] = "all"
    """Dense layers of a block: all four, or the two of attention."""
    thaw_after: int = 0
    """What --freeze names, the whole encoder where it names nothing, rests for so many epochs and
    then learns; 0 never. Patience counts from there on."""
    layer_lr_decay: float = 1.0
    """Each layer of the encoder learns at so much of the rate of the one above it; the embeddings,
    below all, at the lowest."""
    head_lr_multiplier: float = 1.0
    """Of lr, for the weights outside of the encoder: they begin at random."""
    both_strands: bool = False
    """Learn from either strand and answer with the mean of both."""
    ema: float = 0.0
    """Judge and keep a moving average of the weights, of which so much stays at each step (0.99);
    0: the weights themselves."""
    patience: int = 0
    """Stop after so many epochs without a better valid score; 0 never."""
    tries: int = 2
    """2: where all that the model says of the valid part has collapsed, it learns once more from
    the same start, with a warm-up three times as long. 1: it does not."""
    label_smoothing: float = 0.0
    """Share of a label that is spread over the other classes; for classes alone."""
    threshold: Literal["half", "valid"] = "half"
    """Where the second of two classes begins: half, at a probability of 0.5; valid, there too
    unless MCC on the valid part is better elsewhere by more than its standard error. It is kept
    with the model; the probabilities stay as they are."""
    beside: tuple[str, ...] = field(default=(), metadata={"data": True})
    """Baselines that are fitted on the same rows and scored beside the model: gc, cpg, kmer,
    motif, motifs, states, of numbers mean, of pairs distance (epilm ls baselines)."""
    seed: int = 0
    """Of new weights, order, strands and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward pass."""


def option_name(spec: type, field: str) -> str:
    """Give the option of the command line that sets a field.

    Examples
    --------
    >>> option_name(Learning, "batch_size")
    '--batch-size'
    """
    named = {each.name: each.metadata.get("option", each.name) for each in fields(spec)}
    return "--" + named.get(field, field).replace("_", "-")


def refuse_broken(options: Any, rules: tuple[Rule, ...]) -> None:
    """Refuse the first value that breaks its rule, by the name of its option.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> refuse_broken(Learning(epochs=0), ((True, "epochs", 0, "at least 1"),))
    Traceback (most recent call last):
    epilm.errors.UsageError: --epochs: impossible value. Found 0; expected at least 1.
    """
    for broken, each, value, expected in rules:
        if broken:
            raise UsageError(
                "impossible value",
                where=option_name(type(options), each),
                found=value,
                expected=expected,
            )


def check_learning(spec: Learning) -> None:
    """Refuse impossible values, by their option's name.

    Raises
    ------
    UsageError
    """
    layers = spec.freeze.removeprefix("layers:")
    known_freeze = spec.freeze in ("none", "embeddings", "encoder") or (
        spec.freeze.startswith("layers:") and layers.isdigit()
    )
    micro = spec.micro_batch
    refuse_broken(
        spec,
        (
            (spec.epochs < 1, "epochs", spec.epochs, "at least 1"),
            (spec.batch_size < 1, "batch_size", spec.batch_size, "at least 1"),
            (micro is not None and micro < 1, "micro_batch", micro, "at least 1"),
            (not spec.lr > 0, "lr", spec.lr, "above 0"),
            (
                not spec.head_lr_multiplier > 0,
                "head_lr_multiplier",
                spec.head_lr_multiplier,
                "above 0",
            ),
            (
                spec.warmup < 0,
                "warmup",
                spec.warmup,
                "a share of the steps below 1, or steps",
            ),
            (not 0 <= spec.dropout < 1, "dropout", spec.dropout, "0 to below 1"),
            (
                not 0 <= spec.label_smoothing < 1,
                "label_smoothing",
                spec.label_smoothing,
                "0 to below 1",
            ),
            (spec.weight_decay < 0, "weight_decay", spec.weight_decay, "at least 0"),
            (not 0 <= spec.ema < 1, "ema", spec.ema, "0 to below 1"),
            (spec.patience < 0, "patience", spec.patience, "at least 0"),
            (
                not 0 <= spec.thaw_after < spec.epochs,
                "thaw_after",
                spec.thaw_after,
                f"0, or below the {spec.epochs} epochs",
            ),
            (
                not 0 < spec.layer_lr_decay <= 1,
                "layer_lr_decay",
                spec.layer_lr_decay,
                "above 0, at most 1",
            ),
            (
                spec.layer_lr_decay != 1 and spec.freeze == "encoder" and spec.thaw_after == 0,
                "layer_lr_decay",
                spec.layer_lr_decay,
                "1, since --freeze encoder lets no layer learn",
            ),
            (spec.tries not in (1, 2), "tries", spec.tries, "1 or 2"),
            (spec.lora < 0, "lora", spec.lora, "a rank, or 0"),
            (
                spec.lora > 0 and spec.freeze != "none",
                "freeze",
                spec.freeze,
                "none, since with --lora the whole trunk rests",
            ),
            (
                spec.lora > 0 and spec.thaw_after > 0,
                "thaw_after",
                spec.thaw_after,
                "0, since with --lora the whole trunk rests",
            ),
            (
                spec.lora_alpha is not None and not (spec.lora > 0 and spec.lora_alpha > 0),
                "lora_alpha",
                spec.lora_alpha,
                "above 0, beside a rank with --lora",
            ),
            (
                spec.lora_layers not in ("all", "attention"),
                "lora_layers",
                spec.lora_layers,
                "all or attention",
            ),
            (
                spec.lora_layers != "all" and spec.lora == 0,
                "lora_layers",
                spec.lora_layers,
                "all, where no rank is given with --lora",
            ),
            (not known_freeze, "freeze", spec.freeze, "none, embeddings, encoder, or layers:N"),
        ),
    )


def lora_alpha(spec: Learning) -> float:
    """How often what LoRA learns counts, times its rank.

    Examples
    --------
    >>> lora_alpha(Learning(lora=8)), lora_alpha(Learning(lora=8, lora_alpha=8.0))
    (16.0, 8.0)
    """
    return 2.0 * spec.lora if spec.lora_alpha is None else float(spec.lora_alpha)


def optim_of(spec: Learning, steps: int) -> OptimSpec:
    """Give the optimiser's values for a run of so many steps.

    Examples
    --------
    >>> [optim_of(Learning(warmup=each), 200).warmup_steps for each in (0.1, 50)]
    [20, 50]
    """
    warmup = spec.warmup * steps if spec.warmup < 1 else spec.warmup
    return OptimSpec(
        peak_lr=spec.lr,
        betas=spec.betas,
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        warmup_steps=int(warmup),
        decay=spec.decay,
        clip=spec.clip,
    )


# A step of Adam moves a weight by its rate, whatever the gradient: rate x steps is how far one can
# go. New filters begin about 0.1 from 0; what is pre-trained lies near its goal.
TOO_SHORT = {False: 0.05, True: 0.002}


def schedule_warnings(spec: Learning, steps: int, *, pretrained: bool = False) -> list[str]:
    """Say where a schedule leaves a model nothing to learn with.

    Parameters
    ----------
    steps : int
        Of the whole run.
    pretrained : bool
        Whether the encoder begins with learned weights.

    Examples
    --------
    A small CNN on CTCF's bins with the paper's rate and batch, on so few bins that there are some
    250 steps, had an auPRC of 0.019, the share of G and C alone; at ten times the rate 0.131, and
    in batches of 64 at thirty times the rate 0.294.

    >>> schedule_warnings(Learning(lr=1e-4, batch_size=320), 250)
    ['--lr 0.0001 over 250 steps moves a weight by at most 0.025: too little to learn anything from
    random weights. Raise --lr (2e-3 for small models) or --epochs, or lower --batch-size; --preset
    lab does so']
    >>> schedule_warnings(Learning(lr=1e-3, batch_size=320), 250)
    []
    >>> schedule_warnings(Learning(lr=3e-3, batch_size=64), 1250)
    []
    >>> schedule_warnings(Learning(warmup=25_000), 300)
    ['--warmup 25000 is not shorter than the run of 300 steps: the rate ends at 2.4e-06, its peak
    0.0002 is never reached']
    >>> schedule_warnings(Learning(), 300)
    []
    """
    warmup = optim_of(spec, steps).warmup_steps
    said = []
    if warmup >= steps > 1:
        reached = spec.lr * steps / warmup
        said.append(
            f"--warmup {spec.warmup:g} is not shorter than the run of {steps} steps: the rate ends"
            f" at {reached:.2g}, its peak {spec.lr:g} is never reached"
        )
    reach = spec.lr * max(spec.head_lr_multiplier, 1.0) * steps
    if reach < TOO_SHORT[pretrained]:
        start = "what was pre-trained" if pretrained else "random weights"
        said.append(
            f"--lr {spec.lr:g} over {steps:,} steps moves a weight by at most {reach:.2g}: too"
            f" little to learn anything from {start}. Raise --lr (2e-3 for small models) or"
            " --epochs, or lower --batch-size; --preset lab does so"
        )
    return said
