"""The loop that teaches a classifier: tokenised once, the best epoch kept, stopped on what is no
number.

Rows of a step are a function of (seed, epoch); rows of like length share a batch.
Used by `finetune`, and by whoever has a classifier and rows already.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.device import Place, batch_fits, choose_place
from epilm.errors import TrainingError, UsageError
from epilm.finetuning.classifier import Classifier, Inputs
from epilm.metrics.classification import score_table
from epilm.tasks.base import LabelledSequences
from epilm.training.heap import kept_heap
from epilm.training.log import plain
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec
from epilm.training.schedule import lr_at

Say = Callable[[str], None]


@dataclass(frozen=True)
class FinetuneSpec:
    """How a classifier learns. Defaults are DNABERT's for promoter-core (protocols 1.5)."""

    epochs: int = 5
    lr: float = 2e-4
    batch_size: int = 32
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.01
    dropout: float = 0.1
    clip: float = 1.0
    freeze: str = "none"  # none | embeddings | encoder | layers:N (the lowest N)
    both_strands: bool = False  # learn from either strand, answer with the mean of both
    patience: int = 0  # epochs without a better valid score before stopping; 0 = never
    label_smoothing: float = 0.0
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


def fit_classifier(
    classifier: Classifier,
    train: LabelledSequences,
    valid: LabelledSequences,
    settings: FinetuneSpec,
    *,
    metric: str = "ap",
    place: Place | None = None,
    say: Say = lambda line: None,
    log: Path | None = None,
) -> list[dict[str, Any]]:
    """Train a classifier in place; it is left with the weights of its best epoch.

    Parameters
    ----------
    classifier : Classifier
    train, valid : LabelledSequences
        With an empty `valid` the last weights stay.
    settings : FinetuneSpec
    metric : str
        The score of `score_table` that decides.
    place : Place, optional
    say : callable
    log : path, optional
        JSON lines: the loss each epoch, the scores on valid.

    Returns
    -------
    list of dict
        One row an epoch: epoch, step, loss, lr, seconds, and the scores on valid.

    Raises
    ------
    TrainingError
        If a loss or a gradient is not finite; says epoch, step and rows.
    """
    place = place or choose_place(settings.device, settings.precision)
    module = classifier.module.to(place.device)
    if classifier.fusion != "none" and not len(classifier.factor_sd):
        raw = classifier.scores(train)
        classifier.factor_mean, classifier.factor_sd = raw.mean(0), raw.std(0)
    inputs = classifier.inputs(train).to(place.device)
    checked = classifier.inputs(valid).to(place.device) if len(valid) else None
    if inputs.cropped:
        say(f"{inputs.cropped} sequences are longer than the model reads: their centre is used")
    labels = torch.from_numpy(train.labels).to(place.device)
    _freeze(classifier, settings.freeze)
    per_epoch = -(-len(train) // settings.batch_size)
    total = per_epoch * settings.epochs
    schedule = OptimSpec(
        peak_lr=settings.lr,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=settings.weight_decay,
        warmup_steps=int(settings.warmup * total),
    )
    optimiser = Optimiser(module, schedule)
    weights = optimiser.weights
    history: list[dict[str, Any]] = []
    best, best_state, waited, step = -np.inf, None, 0, 0
    gpus = [place.device.index or 0] if place.device.type == "cuda" else []
    # Dropout draws from torch's own generator: the caller's is given back as it was.
    with torch.random.fork_rng(devices=gpus), kept_heap(place.device):
        torch.manual_seed(settings.seed * 7919 + 17)
        for epoch in range(settings.epochs):
            module.train()
            started, losses = time.monotonic(), []
            for at, strand in _batches(inputs, settings, epoch):
                lr = lr_at(step, schedule, total)
                rows = torch.from_numpy(at).to(place.device)

                def backward(n: int, rows: Tensor = rows, strand: int = strand) -> Tensor:
                    optimiser.zero_grad()
                    with place.autocast():
                        logits = classifier.logits(inputs, rows[:n], strand)
                    found = F.cross_entropy(
                        logits.float(), labels[rows[:n]], label_smoothing=settings.label_smoothing
                    )
                    found.backward()
                    return found.detach()

                with batch_fits(
                    len(at),
                    backward,
                    option="--batch-size",
                    where=f"epoch {epoch + 1}, step {step + 1}",
                    device=place.device,
                ):
                    loss = backward(len(at))
                norm = nn.utils.clip_grad_norm_(
                    weights, settings.clip if settings.clip > 0 else float("inf")
                )
                if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
                    raise TrainingError(
                        "the loss or its gradient is not finite",
                        where=f"epoch {epoch + 1}, step {step + 1}",
                        found=(
                            f"loss {float(loss.detach()):g}, gradient norm {float(norm):g} in rows"
                            f" {', '.join(map(str, at[:8]))} (lr {lr:g})"
                        ),
                        do=(
                            "Lower --lr, raise --warmup, or look at these rows. Nothing was"
                            " written."
                        ),
                    )
                optimiser.step(lr)
                losses.append(loss.detach())
                step += 1
            row: dict[str, Any] = {
                "epoch": epoch + 1,
                "step": step,
                "loss": float(torch.stack(losses).mean()),
                "lr": lr,
                "seconds": time.monotonic() - started,
            }
            score = None
            if checked is not None:
                said = classifier.probabilities(
                    checked, settings.batch_size, autocast=place.autocast
                )
                row |= {
                    f"valid_{k}": v for k, v in score_table(valid.labels, said).items() if k != "n"
                }
                score = row[f"valid_{metric}"]
            history.append(row)
            if log is not None:
                with open(log, "a", encoding="utf-8") as handle:
                    handle.write(json.dumps(plain(row)) + "\n")
            shown = "" if score is None else f", valid {metric} {score:.4f}"
            say(
                f"epoch {epoch + 1}/{settings.epochs}: loss {row['loss']:.4f}{shown}"
                f" ({row['seconds']:.1f} s)"
            )
            if score is None or np.isnan(score):
                continue
            if score > best:
                best, waited = score, 0
                best_state = {n: t.detach().clone() for n, t in module.state_dict().items()}
            else:
                waited += 1
                if settings.patience and waited >= settings.patience:
                    say(f"stopped early: no better valid {metric} for {waited} epochs")
                    break
    if best_state is not None:
        module.load_state_dict(best_state)
    module.eval()
    return history


def _batches(
    inputs: Inputs, settings: FinetuneSpec, epoch: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Rows of each step, a function of (seed, epoch); rows of like length together."""
    generator = np.random.default_rng([settings.seed, 0xF17E, epoch])
    order = generator.permutation(len(inputs))
    size = settings.batch_size
    lengths = inputs.lengths.cpu().numpy()
    if lengths.min() != lengths.max():
        bucket = size * 50
        order = np.concatenate(
            [
                piece[np.argsort(lengths[piece], kind="stable")]
                for piece in (order[i : i + bucket] for i in range(0, len(order), bucket))
            ]
        )
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    for number in generator.permutation(len(batches)):
        strand = int(generator.integers(0, len(inputs.ids)))
        yield batches[number], strand


def _freeze(classifier: Classifier, what: str) -> None:
    for weight in classifier.module.parameters():
        weight.requires_grad_(True)
    if what == "none":
        return
    encoder: Any = getattr(classifier.module, "encoder", None)
    if encoder is None:
        raise UsageError(
            "the CNN has no encoder to freeze", found=f"freeze={what}", expected="none"
        )
    parts: list[nn.Module] = [encoder.words, encoder.positions, encoder.types, encoder.norm]
    if what == "encoder":
        parts = [encoder]
    elif what.startswith("layers:"):
        count = int(what.split(":")[1])
        if count > len(encoder.blocks):
            raise UsageError(
                "fewer layers than to be frozen",
                found=count,
                expected=f"at most {len(encoder.blocks)}",
            )
        parts += list(encoder.blocks[:count])
    for part in parts:
        for weight in part.parameters():
            weight.requires_grad_(False)


def check_settings(settings: FinetuneSpec) -> None:
    """Refuse impossible values, by their option's name."""
    rules: tuple[tuple[bool, str, Any, str], ...] = (
        (settings.epochs < 1, "epochs", settings.epochs, "at least 1"),
        (settings.batch_size < 1, "batch_size", settings.batch_size, "at least 1"),
        (not settings.lr > 0, "lr", settings.lr, "above 0"),
        (
            not 0 <= settings.warmup < 1,
            "warmup",
            settings.warmup,
            "a share of the steps, 0 to below 1",
        ),
        (not 0 <= settings.dropout < 1, "dropout", settings.dropout, "0 to below 1"),
        (settings.weight_decay < 0, "weight_decay", settings.weight_decay, "at least 0"),
    )
    for broken, key, found, expected in rules:
        if broken:
            raise UsageError(
                "impossible value",
                where=f"--{key.replace('_', '-')}",
                found=found,
                expected=expected,
            )
    layered = settings.freeze.startswith("layers:") and settings.freeze.split(":")[1].isdigit()
    if settings.freeze not in ("none", "embeddings", "encoder") and not layered:
        raise UsageError(
            "unknown freeze",
            found=settings.freeze,
            expected="none, embeddings, encoder, or layers:N",
        )
