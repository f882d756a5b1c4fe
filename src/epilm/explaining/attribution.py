"""What each base is worth to an output: by gradients through soft k-mers, or by hiding bases.

Gradient x input and integrated gradients have the mean over the four bases taken off, which alone
says how a base differs from its alternatives. Integrated gradients start from bases that are all
equally likely; what their sum misses of the difference of the two outputs is told.
Axes: N windows, W bases, n explained bases, M steps.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.explaining.frames import Frame
from epilm.explaining.mutagenesis import Codes, Score, Values, at_base
from epilm.explaining.soft import one_hot, soft_bases, turned
from epilm.explaining.subject import Subject
from epilm.tasks.shuffle import dinucleotide_shuffle

STEPS = 32
OCCLUDED = 9  # bp hidden at a time
COPIES = 8  # shuffled copies that hidden bases are taken from


class Attribution(NamedTuple):
    """What the bases of a window are worth.

    Attributes
    ----------
    worth : float64 (4, n)
        Of each base at each explained place; NaN at N. Mean over the four 0 but of DeepLIFT, where
        it is what the base adds beside the references.
    scores : float64 (n,)
        Of the base that stands there.
    output, baseline : float
        The model's word on the window, and on bases that are all equally likely (of DeepLIFT: on
        the references, the mean).
    total : float
        Sum of the scores of the whole window: integrated gradients and DeepLIFT promise output -
        baseline.
    """

    worth: Values
    scores: Values
    output: float
    baseline: float
    total: float

    @property
    def error(self) -> float:
        """By how much the sum misses what it promises."""
        return abs(self.total - (self.output - self.baseline))


def gradients(subject: Subject, frame: Frame) -> Attribution:
    """Attribute by gradient x input.

    Raises
    ------
    UsageError
        If no gradients reach the bases of the network, or the output is not of one sequence.
    """
    return _attributed(subject, frame, np.ones(1))


def integrated_gradients(subject: Subject, frame: Frame, steps: int = STEPS) -> Attribution:
    """Attribute by the mean gradient between bases that are all equally likely and the window.

    Parameters
    ----------
    steps : int
        M places on the way, at their middles.

    References
    ----------
    Sundararajan, Taly, Yan, Axiomatic attribution for deep networks, ICML 2017.
    """
    return _attributed(subject, frame, (np.arange(steps) + 0.5) / steps)


def _attributed(subject: Subject, frame: Frame, places: NDArray[np.float64]) -> Attribution:
    codes = frame.codes
    hot = one_hot(codes)  # (W, 4)
    even = torch.full_like(hot, 0.25) * (hot.sum(-1, keepdim=True) > 0)
    total = torch.zeros_like(hot, dtype=torch.float64)
    batch = max(1, min(subject.batch, 16))
    for first in range(0, len(places), batch):
        share = torch.from_numpy(places[first : first + batch]).float()[:, None, None]
        mixed = even + share * (hot - even)  # (N, W, 4)
        total += _gradient(subject, frame, mixed).double().sum(0).cpu() / len(places)
    ends = soft_output(subject, frame, torch.stack([hot, even])).tolist()
    mean = (total - total.mean(-1, keepdim=True)).numpy().T  # (4, W)
    mean[:, codes > 3] = np.nan
    scores = at_base(mean, codes)
    part = slice(frame.first, frame.last)
    return Attribution(mean[:, part], scores[part], ends[0], ends[1], float(np.nansum(scores)))


def soft_output(subject: Subject, frame: Frame, probabilities: Tensor) -> Tensor:
    """Give the output on base probabilities (N, W, 4) of one window, float64 (N,)."""
    with torch.no_grad():
        return _soft(subject, frame, probabilities.to(subject.place.device)).double().cpu()


def _gradient(subject: Subject, frame: Frame, probabilities: Tensor) -> Tensor:
    leaf = probabilities.to(subject.place.device).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(_soft(subject, frame, leaf).sum(), leaf)
    return gradient


def _soft(subject: Subject, frame: Frame, probabilities: Tensor) -> Tensor:
    """Mean over the strands that the model reads, (N,)."""
    n = len(probabilities)
    same = np.repeat(frame.codes[None], n, 0)
    out = []
    for reverse in subject.strands(frame):
        with torch.no_grad():
            windows = subject.windows(same, frame, reverse).to(subject.place.device)
        read = turned(probabilities) if reverse else probabilities
        with soft_bases(subject, windows, read):
            out.append(subject.logits(windows)[:, subject.output])
    return torch.stack(out).mean(0)


def occlusion(
    score: Score,
    frame: Frame,
    width: int = OCCLUDED,
    fill: str = "shuffled",
    copies: int = COPIES,
    seed: int = 0,
) -> Values:
    """Give each base the mean loss over all stretches of `width` bases that hide it.

    Parameters
    ----------
    score : function, uint8 (N, W) to float64 (N,)
    frame : Frame
    width : int
        Bases hidden at a time.
    fill : {"shuffled", "n"}
        What stands in their place: what stands there in dinucleotide-shuffled copies of the window
        (the mean over them), or N. Many models have never seen an N.
    copies : int
        Shuffled copies.
    seed : int

    Returns
    -------
    float64 (n,)
        Above 0 where the bases hold the output up; NaN at N.

    Examples
    --------
    >>> frame = Frame("c", 0, np.array([2, 0, 0], np.uint8), np.zeros(0, np.uint8), 0, 3)
    >>> occlusion(lambda codes: (codes == 2).sum(1).astype(float), frame, 1, "n").tolist()
    [1.0, 0.0, 0.0]
    """
    codes = frame.codes
    width = min(width, len(codes))
    begins = np.arange(max(frame.first - width + 1, 0), min(frame.last, len(codes) - width + 1))
    others = [np.full_like(codes, 4)] if fill == "n" else shuffled_copies(codes, copies, seed)
    whole = score(codes[None])[0]
    loss = np.zeros(len(begins))
    for other in others:
        windows = np.repeat(codes[None], len(begins), 0)
        at = begins[:, None] + np.arange(width)
        rows = np.arange(len(begins))[:, None]
        windows[rows, at] = np.where(codes[at] < 4, other[at], 4)
        loss += (whole - score(windows)) / len(others)
    total, count = np.zeros(len(codes)), np.zeros(len(codes))
    for begin, value in zip(begins, loss):
        total[begin : begin + width] += value
        count[begin : begin + width] += 1
    scores = np.where((count > 0) & (codes < 4), total / np.maximum(count, 1), np.nan)
    return scores[frame.first : frame.last]


def shuffled_copies(codes: Codes, copies: int, seed: int) -> list[Codes]:
    """Shuffle a window, its dinucleotides kept; each copy by its own random numbers."""
    return [
        dinucleotide_shuffle(codes, np.random.default_rng([seed, copy])) for copy in range(copies)
    ]
