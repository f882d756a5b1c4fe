"""How well the model does on samples it never learns from, beside what chance would give.

Every sample of the pool is compared with every other for retrieval. Masks are those
of step 0, so two validations differ by the weights alone. Needs torch only.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from epilm.device import Place
from epilm.objectives.combine import combine
from epilm.objectives.combine import weights as weights_of
from epilm.objectives.table import OBJECTIVES, ObjectivesSpec, counted
from epilm.pretraining.step import Figures, Maker, hidden_counts, shares_of
from epilm.training.watch import mean_cosine

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
    means = [objective.name for objective in counted()]
    hidden = torch.zeros(len(means), dtype=torch.int64)
    weights = weights_of(objectives)
    asked = {name: objective for name, objective in OBJECTIVES.items() if weights.get(name, 0) > 0}
    gathered = {
        name: objective.gather(objectives)
        for name, objective in asked.items()
        if objective.gather is not None
    }
    pooled = [name for name, objective in OBJECTIVES.items() if objective.pooled]
    embeddings: list[Tensor] = []
    try:
        for at in range(0, len(rows), micro):
            part = rows[at : at + micro]
            batch = make(part, 0)
            with place.autocast():
                outputs = model(batch)
                # Contrasts are over the whole pool, below.
                _, values = combine(outputs, batch, objectives, skip=pooled)
            counts = hidden_counts(batch)
            hidden = hidden + counts.cpu()
            # What is hidden is counted on the way, and divided by in the end.
            figures.add(values, shares_of(batch, torch.ones_like(counts), len(part) / len(rows)))
            for keeper in gathered.values():
                keeper.add(outputs, batch)
            if outputs.seq_embedding is not None:
                embeddings.append(outputs.seq_embedding.float())
    finally:
        model.train(training)
    out = {key: float(value) for key, value in figures.values.items()}
    warnings: list[str] = []
    for name, count in zip(means, hidden.tolist(), strict=True):
        mine = [key for key in out if key.startswith(f"{name}/")]
        out |= {key: out[key] / count if count else float("nan") for key in mine}
        if mine and not count:
            warnings.append(
                f"{name}: nothing is hidden in any of the {len(rows)} held-out samples"
                f"{', no state of theirs is known' if name == 'masked_states' else ''}: it has no"
                " score, and the loss is that of the other objectives"
            )
    out["loss"] = sum(
        weights[key.removesuffix("/loss")] * value
        for key, value in out.items()
        if key.endswith("/loss") and math.isfinite(value)
    )
    for name, keeper in gathered.items():
        scores, said = keeper.scores()
        out |= {f"{name}/{key}": value for key, value in scores.items()}
        if name in pooled and "loss" in scores:
            out["loss"] += weights[name] * scores["loss"]
        warnings += said
    if embeddings and (cosine := mean_cosine(torch.cat(embeddings))) > COLLAPSED:
        warnings.append(f"sequence embeddings are nearly equal (mean cosine {cosine:.4f})")
    return out | {"samples": float(len(rows))}, warnings
