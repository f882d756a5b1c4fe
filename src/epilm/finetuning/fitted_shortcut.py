"""A shortcut that begins at a logistic regression: what the layers then learn is what it lacks.

Where labels are few a network remembers them before its shortcut, a handful of weights that begin
at 0, has come to what a regression on the same numbers finds at once. So these weights are fitted
first, each factor by its own motif and by the tracks, and the layers begin by saying nothing; of a
head that was kept (`kept_head`) what they say is one more number of the regression. What came of
it: docs/results.md, "With accessibility, an unseen line". Needs torch and numpy alone.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from epilm.batches.motif_signals import PREFIX, is_motif
from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.windows import Reading
from epilm.tasks.lesson import TaskLesson
from epilm.training.engine import Team

EPOCHS = 3  # whose rows are fitted on: unbound ones are drawn anew in each
_AT_ONCE = 512  # windows


def check_shortcut_start(network: Any, options: Any) -> None:
    """Refuse to fit a shortcut that the network has not.

    Raises
    ------
    UsageError
    """
    how = getattr(options, "shortcut_start", "zero")
    if how == "fitted" and getattr(network, "shortcut", None) is None:
        raise UsageError(
            "the model has no shortcut to fit",
            where="--shortcut-start",
            found=how,
            expected="zero",
            do="Give --signals motifs, or --signals with --shortcut signals.",
        )


def fit_shortcut(
    model: Finetuned, lesson: TaskLesson, reading: Reading, options: Any, team: Team
) -> str:
    """Fit the weights of the shortcut and the output's bias, and let the layers begin at nothing;
    where their head was kept, at so much of what they say.

    Parameters
    ----------
    model : Finetuned
        A `BindingModel` with a shortcut, on its device.
    lesson : TaskLesson
        The rows of its first epochs are fitted on.
    reading : Reading
    options : BindingOptions
    team : Team
        The first process fits, all take its weights.

    Returns
    -------
    str
        What was done, for people.
    """
    network: Any = model.network
    steps = [
        step for epoch in range(EPOCHS) for step in lesson.draw.steps(epoch, options.batch_size)
    ]
    rows = np.unique(np.concatenate(steps))
    names = [str(signal[0]) for signal in model.about["signals"]]

    kept = "head_kept" in model.about

    def fitted() -> list[list[float]]:
        inputs, said = _inputs(network, reading, rows, team.device, kept)
        labels = torch.from_numpy(lesson.examples.labels_of(rows))
        columns = [names[n] for n in (*network.short, *network.means)] * 2
        out = []
        for f, factor in enumerate(lesson.labels.names):
            met = {0, 1} <= set(labels[:, f].tolist())
            if kept and not met:  # nothing new is known of it
                out.append([0.0] * inputs.shape[1] + [1.0, 0.0])
                continue
            used = torch.cat([own_columns(columns, factor), torch.tensor([kept])])
            read = torch.cat([inputs, said[:, f : f + 1]], 1)
            out.append(regression(read, labels[:, f], used))
        return out

    found = torch.tensor(team.first_does(fitted))
    slopes, of_layers, bias = found[:, :-2], found[:, -2], found[:, -1]
    with torch.no_grad():
        network.shortcut.weight.copy_(slopes)
        network.out.bias.mul_(of_layers.to(network.out.bias)).add_(bias.to(network.out.bias))
        network.out.weight.mul_(of_layers.to(network.out.weight)[:, None])
    beside = ", beside what the kept head says" if kept else ""
    return f"the shortcut begins at a logistic regression{beside}, fitted on {len(rows):,} rows"


def _inputs(
    network: Any, reading: Reading, rows: NDArray[np.int64], device: Any, kept: bool
) -> tuple[Tensor, Tensor]:
    """What the shortcut reads of rows, (n, D), and what the layers say, (n, outputs), 0 where they
    are not asked: float64, on the CPU.
    """
    network.eval()
    straight, said = [], []
    with torch.inference_mode():
        for at in range(0, len(rows), _AT_ONCE):
            windows = reading.windows(rows[at : at + _AT_ONCE]).to(device)
            short = network.straight(windows)
            answers = torch.zeros(len(short), network.out.out_features)
            if kept:
                answers = network(windows) - network.shortcut(short.to(network.shortcut.weight))
            straight.append(short.double().cpu())
            said.append(answers.double().cpu())
    return torch.cat(straight).clone(), torch.cat(said).clone()


def own_columns(columns: list[str], factor: str) -> Tensor:
    """Which of the signals a factor is fitted by: tracks, and of motifs its own.

    Examples
    --------
    >>> own_columns(["accessibility", "motif:MAX", "motif:SRF"], "SRF").tolist()
    [True, False, True]
    """
    own = f"{PREFIX}{factor}"
    return torch.tensor([not is_motif(name) or name == own for name in columns])


def regression(inputs: Tensor, labels: Tensor, used: Tensor) -> list[float]:
    """Fit a logistic regression: its weights, 0 where a column is not used, and its intercept.

    Numbers are fitted in standard deviations, with half the sum of the squared weights as penalty.

    Parameters
    ----------
    inputs : float64 (n, D)
    labels : int8 (n,)
        1, 0, or below 0 where not known.
    used : bool (D,)

    Returns
    -------
    list of float
        D + 1; where a class is not met the weights are 0 and the intercept is the log-odds of one
        half row of it.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]], dtype=torch.float64)
    >>> first, second, bias = regression(x, torch.tensor([0, 0, 1, 1]), torch.tensor([True, False]))
    >>> first > 0, second, round(first * 1.5 + bias, 6)
    (True, 0.0, 0.0)
    """
    known = labels >= 0
    x, y = inputs[known][:, used], labels[known].double()
    bound, unbound = float(y.sum()), float(len(y) - y.sum())
    if min(bound, unbound) == 0:
        odds = max(bound, 0.5) / max(unbound, 0.5)
        return [0.0] * inputs.shape[1] + [float(np.log(odds))]
    mean, sd = x.mean(0), x.std(0).clamp(min=1e-6)
    scaled = (x - mean) / sd
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        lost = F.binary_cross_entropy_with_logits(scaled @ weights + bias, y, reduction="sum")
        loss = (lost + (weights**2).sum() / 2) / len(y)
        loss.backward()
        return loss

    optimiser.step(closure)
    slopes = (weights / sd).detach()
    out = torch.zeros(inputs.shape[1], dtype=torch.float64)
    out[used] = slopes
    return [*out.tolist(), float(bias.detach() - slopes @ mean)]
