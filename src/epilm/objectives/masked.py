"""Masked k-mers: predict the hidden tokens of passes 1 and 2 (protocols 1.3).

The model hands over scores of the masked positions alone, so the loss is a
plain cross-entropy over them. Axes: M masked positions, V vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.objectives.parts import need
from epilm.objectives.spec import MaskSpec
from epilm.tokens.masking import IGNORED


def masked_kmers_loss(outputs: Outputs, batch: Batch, spec: MaskSpec) -> dict[str, Tensor]:
    """Cross-entropy and accuracy over the masked tokens.

    Parameters
    ----------
    outputs : Outputs
        With `masked_logits` float (M, V) and `masked_labels` int64 (M,).
    batch : Batch
        Not used.
    spec : MaskSpec
        Not used here: rate and scheme act where tokens are masked.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "accuracy" and "tokens" detached.
        With no masked token the loss is 0 (and has a zero gradient).

    Raises
    ------
    TrainingError
        If the model made no masked-token scores.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 9.0], [9.0, 0.0]])
    >>> out = Outputs(masked_logits=logits, masked_labels=torch.tensor([1, 1]))
    >>> float(masked_kmers_loss(out, None, MaskSpec())["accuracy"])
    0.5
    """
    logits = need(outputs.masked_logits, "masked_kmers", "masked_logits")
    labels = need(outputs.masked_labels, "masked_kmers", "masked_labels")
    return scored_alone(logits, labels, "tokens")


def scored_alone(logits: Tensor, labels: Tensor, count: str) -> dict[str, Tensor]:
    """Mean cross-entropy and accuracy over M rows, and M under the name `count`; rows labelled -100
    are none.
    """
    total = F.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=IGNORED)
    with torch.no_grad():
        scored = (labels != IGNORED).sum()
        rows = scored.clamp(min=1)
        right = count_right(logits, labels)
    return {"loss": total / rows, "accuracy": right / rows, count: scored}


def count_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the rows whose highest score is that of their label; of equal scores the first one
    counts.

    On a CPU the place of a maximum over a large vocabulary costs 3 times (fp32) to 15 times (bf16)
    its value, so it is looked for only in rows whose label reaches the value. On a GPU it costs
    nothing, and choosing rows would wait for the device.

    Parameters
    ----------
    logits : float (M, V)
    labels : int64 (M,)
        -100 for a row that is not scored.

    Returns
    -------
    int64, 0-d

    Examples
    --------
    >>> count_right(
    ...     torch.tensor([[1.0, 2.0], [3.0, 3.0], [3.0, 3.0]]), torch.tensor([1, 0, 1])
    ... ).item()
    2
    """
    if logits.device.type != "cpu" or torch.compiler.is_compiling():
        return (logits.argmax(-1) == labels).sum()
    of_label = logits.gather(-1, labels.clamp(min=0)[:, None])[:, 0]
    reached = (labels != IGNORED) & (of_label >= logits.amax(-1))
    return (logits[reached].argmax(-1) == labels[reached]).sum()
