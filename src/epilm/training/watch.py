"""Stop on what cannot get better, and say what looks wrong.

A non-finite loss stops the run with the step, the objective, the learning rate and
the rows; a collapsed embedding or a constant prediction is a warning line.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.errors import TrainingError


def check_finite(
    total: Tensor,
    norm: Tensor,
    micros: Sequence[tuple[Sequence[int], Mapping[str, Tensor]]],
    *,
    step: int,
    lr: float,
    keep: Callable[[], str] | None = None,
) -> None:
    """Stop before the weights are moved by a loss or a gradient that is no number.

    Parameters
    ----------
    total : 0-d tensor
        The step's loss, over all devices.
    norm : 0-d tensor
        Its gradient's length.
    micros : sequence of (rows, values)
        For each micro-batch its rows and its named losses ("objective/loss").
    step, lr : int, float
        For the message.
    keep : callable, optional
        Keeps what the step read; gives a sentence that says where.

    Raises
    ------
    TrainingError
        If one of them is not finite.

    Examples
    --------
    >>> bad = {"matching/loss": torch.tensor(float("nan")), "masked_kmers/loss": torch.tensor(2.0)}
    >>> check_finite(torch.tensor(float("nan")), torch.tensor(1.0), [([3, 4], bad)], step=7, lr=0.1)
    Traceback (most recent call last):
    epilm.errors.TrainingError: step 7: the loss is not finite. Found matching nan in rows 3, 4 (lr
        0.1). The weights were not moved; lower optim.peak_lr, raise optim.warmup_steps, or look at
        these rows. The run goes on from its last checkpoint.
    """
    good = torch.isfinite(torch.stack([total.detach().float(), norm.detach().float()]))
    if bool(good.all()):
        return
    culprits = []
    for rows, values in micros:
        names = [
            f"{key.removesuffix('/loss')} {float(value.detach()):g}"
            for key, value in values.items()
            if key.endswith("/loss") and not bool(torch.isfinite(value).all())
        ]
        if names:
            shown = ", ".join(str(int(row)) for row in rows[:8]) + (
                ", ..." if len(rows) > 8 else ""
            )
            culprits.append(f"{', '.join(names)} in rows {shown}")
    if not culprits:
        what = (
            "in another process"
            if not bool(good[0])
            else f"gradient norm {float(norm):g}, losses finite"
        )
        culprits = [what]
    raise TrainingError(
        "the loss is not finite" if not bool(good[0]) else "the gradient is not finite",
        where=f"step {step}",
        found=f"{'; '.join(culprits[:3])} (lr {lr:g})",
        do=(
            "The weights were not moved; lower optim.peak_lr, raise optim.warmup_steps, or look at"
            " these rows. The run goes on from its last checkpoint."
            + (f" {keep()}" if keep is not None else "")
        ),
    )


@torch.no_grad()
def mean_cosine(embeddings: Tensor) -> float:
    """Mean cosine between different samples: near 1 where the encoder says the same of everything.

    Parameters
    ----------
    embeddings : float (B, D)

    Examples
    --------
    >>> mean_cosine(torch.ones(4, 3)), mean_cosine(torch.eye(3))
    (1.0, 0.0)
    """
    n = len(embeddings)
    if n < 2:
        return float("nan")
    unit = F.normalize(embeddings.cpu().double(), dim=-1)
    total = unit.sum(0).square().sum() - unit.square().sum()
    return round(float(total) / (n * (n - 1)), 9)
