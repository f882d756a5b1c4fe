"""How well the model does on samples it never learns from, beside what chance would give.

Every sample of the pool is compared with every other for retrieval. Masks are those
of step 0, so two validations differ by the weights alone. Needs torch only.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from epilm.batch import Batch
from epilm.device import Place
from epilm.objectives.combine import combine
from epilm.objectives.combine import weights as weights_of
from epilm.objectives.matching import matching_loss, retrieval_recall, temperature_of
from epilm.objectives.spec import ObjectivesSpec
from epilm.pretraining.step import BY_COUNT, Figures, Maker, hidden_counts, shares_of
from epilm.tokens.kmers import MASK
from epilm.tokens.masking import IGNORED
from epilm.tokens.states import N_SPECIAL_STATES
from epilm.training.watch import constant_prediction, mean_cosine

COLLAPSED = 0.999  # mean cosine between samples above which an embedding says nothing


def pick_rows(regions: np.ndarray, n: int, order: Sequence[int] | np.ndarray) -> np.ndarray:
    """Take the first n rows of an order of which no two share a region.

    Parameters
    ----------
    regions : int (N, R)
        Regions of each sample, -1 where there is none.
    n : int
    order : int (N,)

    Returns
    -------
    int64 (at most n,)

    Examples
    --------
    >>> pick_rows(np.array([[0, 1], [1, 2], [2, -1], [-1, -1]]), 3, [0, 1, 2, 3]).tolist()
    [0, 2, 3]
    """
    taken = np.zeros(int(regions.max(initial=0)) + 2, bool)  # the last place is for -1
    out: list[int] = []
    for row in order:
        if len(out) == n:
            break
        mine = regions[row]
        if not taken[mine].any():
            taken[mine] = True
            taken[-1] = False
            out.append(int(row))
    return np.array(out, dtype=np.int64)


@torch.no_grad()
def validate(
    model: nn.Module,
    make: Maker,
    rows: np.ndarray,
    objectives: ObjectivesSpec,
    micro: int,
    place: Place,
) -> tuple[dict[str, float], list[str]]:
    """Score the model on held-out samples, in one process.

    Parameters
    ----------
    model : Module
        Left in the mode it came in.
    make : callable
        (rows, step) to a Batch.
    rows : int64 (N,)
    objectives : ObjectivesSpec
    micro : int
        Samples of a forward pass.
    place : Place

    Returns
    -------
    values : dict
        Losses and metrics as in training, over all N samples; `<metric>_chance` beside
        them: the commonest pair label, k / N for recall, ln N for matching. Of the hidden k-mers
        10 % stand unchanged in their place, so that reading them off gets 10 % right: the chance of
        `masked_kmers/accuracy` is that of answering what stands there, and the commonest k-mer
        where [MASK] does. `masked_kmers/covered_accuracy` counts the positions under [MASK] alone.
    warnings : list of str
        What looks collapsed.
    """
    training = model.training
    model.eval()
    figures = Figures(steps=1, samples=len(rows), tokens=torch.zeros((), dtype=torch.int64))
    hidden = torch.zeros(len(BY_COUNT), dtype=torch.int64)
    states: list[Tensor] = []
    labels: dict[str, list[Tensor]] = {"masked_kmers": [], "next_segment": []}
    predicted: list[Tensor] = []
    shown: list[Tensor] = []
    right: list[Tensor] = []
    embeddings: dict[str, list[Tensor]] = {"seq": [], "matching": [], "contacts": []}
    temperature: Tensor | None = None
    try:
        for at in range(0, len(rows), micro):
            part = rows[at : at + micro]
            batch = make(part, 0)
            with place.autocast():
                outputs = model(batch)
                # Contrasts are over the whole pool, below.
                _, values = combine(outputs, batch, objectives, skip=("matching", "contacts"))
            counts = hidden_counts(batch)
            hidden = hidden + counts.cpu()
            # What is hidden is counted on the way, and divided by in the end.
            figures.add(values, shares_of(batch, torch.ones_like(counts), len(part) / len(rows)))
            temperature = outputs.log_temperature
            for key, value in (
                ("seq", outputs.seq_embedding),
                ("matching", outputs.region_embedding),
                ("contacts", outputs.contact_embedding),
            ):
                if value is not None:
                    embeddings[key].append(value.float())
            if outputs.masked_labels is not None and outputs.masked_logits is not None:
                labels["masked_kmers"].append(outputs.masked_labels)
                shown.append(_standing(batch))
                right.append(outputs.masked_logits.argmax(-1) == outputs.masked_labels)
            if outputs.state_labels is not None and outputs.state_logits is not None:
                states.append(_standing_states(batch))
            if outputs.pair_labels is not None and outputs.pair_logits is not None:
                labels["next_segment"].append(outputs.pair_labels)
                predicted.append(outputs.pair_logits.argmax(-1))
    finally:
        model.train(training)
    out = {key: float(value) for key, value in figures.values.items()}
    for name, count in zip(BY_COUNT, hidden.tolist(), strict=True):
        out |= {key: out[key] / max(count, 1) for key in out if key.startswith(f"{name}/")}
    weights = weights_of(objectives)
    out["loss"] = sum(
        weights[key.removesuffix("/loss")] * value
        for key, value in out.items()
        if key.endswith("/loss")
    )
    if labels["next_segment"] and weights["next_segment"] > 0:
        counts = torch.cat(labels["next_segment"]).bincount()
        out["next_segment/accuracy_chance"] = float(counts.max() / counts.sum())
    if shown and weights["masked_kmers"] > 0:
        out |= _masked(*(torch.cat(parts) for parts in (shown, labels["masked_kmers"], right)))
    if states and weights["masked_states"] > 0:
        out |= _states(torch.cat(states))
    warnings = []
    if predicted and weights["next_segment"] > 0 and constant_prediction(torch.cat(predicted)):
        warnings.append("next segment: every pair gets the same answer")
    if embeddings["seq"]:
        seq = torch.cat(embeddings["seq"])
        if (cosine := mean_cosine(seq)) > COLLAPSED:
            warnings.append(f"sequence embeddings are nearly equal (mean cosine {cosine:.4f})")
        for name in ("matching", "contacts"):
            if embeddings[name] and weights[name] > 0:
                out |= _contrast(
                    seq, torch.cat(embeddings[name]), name, objectives, temperature, out
                )
    return out | {"samples": float(len(rows))}, warnings


def _standing(batch: Batch) -> Tensor:
    """What stands where a k-mer was hidden, in the order of `Outputs.masked_labels`: int64 (M,)."""
    parts = [
        part for part in (batch.dna, batch.pairs) if part is not None and part.labels is not None
    ]
    return torch.cat([part.ids[part.labels != -100] for part in parts])


def _masked(shown: Tensor, truth: Tensor, right: Tensor) -> dict[str, float]:
    """Accuracy under [MASK], and what copying and guessing get; all (M,)."""
    if not truth.numel():
        return {}
    covered = shown == MASK
    copied = float((shown == truth).sum())
    guessed = float(truth[covered].bincount().max()) if covered.any() else 0.0
    out = {"masked_kmers/accuracy_chance": (copied + guessed) / truth.numel()}
    if covered.any():
        n = float(covered.sum())
        out["masked_kmers/covered_accuracy"] = float(right[covered].sum()) / n
        out["masked_kmers/covered_accuracy_chance"] = guessed / n
    return out


def _standing_states(batch: Batch) -> Tensor:
    """Truth, and the nearest state that stands, of every state to predict: int64 (M, 2); of two as
    near the left one.
    """
    assert batch.states is not None
    assert batch.state_labels is not None
    window, centre = (batch.state_labels != IGNORED).nonzero().unbind(1)
    at = torch.arange(batch.states.shape[1], device=centre.device)
    beside = batch.states[window]
    far = (at - centre[:, None]).abs().masked_fill(beside < N_SPECIAL_STATES, len(at))
    nearest = beside.gather(1, far.argmin(1, keepdim=True))[:, 0]
    return torch.stack([batch.state_labels[window, centre], nearest], 1)


def _states(found: Tensor) -> dict[str, float]:
    """Accuracy of naming the commonest state, and of naming the nearest one in sight."""
    if not len(found):
        return {}
    truth, nearest = found.unbind(1)
    return {
        "masked_states/accuracy_chance": float(truth.bincount().max()) / len(truth),
        "masked_states/accuracy_nearest": float((nearest == truth).float().mean()),
    }


def _contrast(
    seq: Tensor,
    other: Tensor,
    name: str,
    objectives: ObjectivesSpec,
    log_temperature: Tensor | None,
    before: Mapping[str, float],
) -> dict[str, float]:
    spec, n = objectives.matching, len(seq)
    temperature = temperature_of(log_temperature, spec)
    if name == "matching":
        loss = matching_loss(
            seq, other, form=spec.form, temperature=temperature, normalise=spec.normalise
        )
    else:
        loss = matching_loss(seq, other, temperature=temperature)
    recall = {
        f"{name}/{key}": float(value)
        for key, value in retrieval_recall(seq, other, (1, 10)).items()
    }
    chance = {f"{name}/recall@{k}_chance": min(k / n, 1.0) for k in (1, 10)}
    chance[f"{name}/loss_chance"] = math.log(n)
    weight = getattr(objectives, name).weight
    return {
        **recall,
        **chance,
        f"{name}/loss": float(loss),
        "loss": before["loss"] + weight * float(loss),
    }
