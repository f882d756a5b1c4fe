"""The learning rate as a pure function of the step: nothing to save, nothing to restore.

Linear warm-up, then linear or cosine decay to zero at the last step, halving tenth by tenth, or
none (protocols 1.4, A18, 8.1).
"""

import math

import numpy as np

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

    SpliceAI's ten epochs, here of one step each: the rate halves after each epoch from the sixth.

    >>> spec = OptimSpec(peak_lr=1.0, warmup_steps=0, decay="halving")
    >>> [lr_at(step, spec, total=10) for step in range(10)]
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.25, 0.125, 0.0625]
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
        case "halving":
            # 10 * 0.7 is below 7 in floating point.
            return float(spec.peak_lr * 0.5 ** max(0, int(10 * done + 1e-9) - 5))
    raise RecipeError(
        "unknown decay",
        where="optim.decay",
        found=spec.decay,
        expected="linear, cosine, constant or halving",
    )


# Weights are drawn with this spread (BERT), and AdamW moves a weight by at most about the learning
# rate a step: below this sum of all rates nothing leaves its random start.
START_SPREAD = 0.02


def moves(spec: OptimSpec, total: int) -> float:
    """Sum the learning rates of a run: about the farthest that AdamW can move a weight.

    Examples
    --------
    >>> round(moves(OptimSpec(peak_lr=0.1, warmup_steps=0, decay="constant"), 30), 6)
    3.0
    """
    # Straight lines and a cosine: a thousand points are as good as all.
    at = np.linspace(0, total - 1, min(total, 1000)).round().astype(int)
    return float(np.mean([lr_at(int(step), spec, total) for step in at])) * total


def schedule_warnings(spec: OptimSpec, total: int) -> list[str]:
    """Say what of a schedule looks as if nothing could be learned.

    Parameters
    ----------
    spec : OptimSpec
    total : int
        Steps of the whole run.

    Returns
    -------
    list of str

    Examples
    --------
    >>> schedule_warnings(OptimSpec(peak_lr=1e-3, warmup_steps=100), 2000)
    []
    >>> for line in schedule_warnings(OptimSpec(peak_lr=1e-4, warmup_steps=500), 400):
    ...     print(line[:63])
    optim.warmup_steps 500 is not shorter than the run of 400 steps
    the learning rates of all 400 steps sum up to 0.016: AdamW move
    """
    out = []
    if spec.warmup_steps >= total:
        top = lr_at(total - 1, spec, total)
        out.append(
            f"optim.warmup_steps {spec.warmup_steps} is not shorter than the run of {total} steps:"
            f" the learning rate only rises, to {top:.3g} of {spec.peak_lr:g}. Set it to about a"
            f" tenth, {max(total // 10, 1)}"
        )
    # Muon turns a gradient into steps of another size: the sum says nothing there.
    if spec.name == "adamw" and (far := moves(spec, total)) < START_SPREAD:
        out.append(
            f"the learning rates of all {total} steps sum up to {far:.2g}: AdamW moves no weight"
            f" farther than about that, and weights start with a spread of {START_SPREAD:g}: too"
            " little to learn from. Raise train.steps or optim.peak_lr"
        )
    return out
