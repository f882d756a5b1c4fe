"""The learning rate as a pure function of the step: nothing to save, nothing to restore.

Linear warm-up, then linear or cosine decay to zero at the last step, or none
(protocols 1.4, A18).
"""

import math

from epilm.errors import RecipeError
from epilm.training.optim_spec import OptimSpec


def lr_at(step: int, spec: OptimSpec, total: int) -> float:
    """Give the learning rate of an optimiser step.

    Step 0 already moves the weights (1 / warmup_steps of the peak); the peak is reached
    with step warmup_steps - 1, and zero would be reached with step `total`.

    Parameters
    ----------
    step : int
        Counted from 0.
    spec : OptimSpec
        Reads `peak_lr`, `warmup_steps`, `decay`.
    total : int
        Steps of the whole run.

    Returns
    -------
    float

    Raises
    ------
    RecipeError
        If `decay` is unknown.

    Examples
    --------
    >>> spec = OptimSpec(peak_lr=1.0, warmup_steps=4, decay="linear")
    >>> [lr_at(step, spec, total=8) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < spec.warmup_steps:
        return spec.peak_lr * (step + 1) / spec.warmup_steps
    done = (step - spec.warmup_steps) / max(total - spec.warmup_steps, 1)
    done = min(max(done, 0.0), 1.0)
    match spec.decay:
        case "linear":
            return spec.peak_lr * (1.0 - done)
        case "cosine":
            return spec.peak_lr * 0.5 * (1.0 + math.cos(math.pi * done))
        case "constant":
            return spec.peak_lr
    raise RecipeError(
        "unknown decay",
        where="optim.decay",
        found=spec.decay,
        expected="linear, cosine or constant",
    )
