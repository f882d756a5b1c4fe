"""Next genome segment: does B follow A in the same cell type? (A5, A6).

Both forms, cross ([CLS] A [SEP] B [SEP] read together) and bi (two regions
encoded apart), end in two scores a pair; the head is the model's. Axes: P pairs.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.objectives.parts import need
from epilm.objectives.spec import NextSegmentSpec


def next_segment_loss(outputs: Outputs, batch: Batch, spec: NextSegmentSpec) -> dict[str, Tensor]:
    """Two-way cross-entropy and accuracy over the pairs.

    Parameters
    ----------
    outputs : Outputs
        With `pair_logits` float (P, 2) and `pair_labels` int64 (P,), 1 = B follows A.
    batch : Batch
        Not used.
    spec : NextSegmentSpec
        Not used here: form and negatives act where pairs are drawn.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "accuracy" detached. Without any pair the
        loss is 0.

    Raises
    ------
    TrainingError
        If the model made no pair scores.

    Examples
    --------
    >>> out = Outputs(pair_logits=torch.zeros(2, 2), pair_labels=torch.tensor([0, 1]))
    >>> round(float(next_segment_loss(out, None, NextSegmentSpec())["loss"]), 4)
    0.6931
    """
    logits = need(outputs.pair_logits, "next_segment", "pair_logits")
    labels = need(outputs.pair_labels, "next_segment", "pair_labels")
    count = max(labels.numel(), 1)
    total = F.cross_entropy(logits.float(), labels, reduction="sum")
    with torch.no_grad():
        right = (logits.argmax(-1) == labels).sum()
    return {"loss": total / count, "accuracy": right / count}
