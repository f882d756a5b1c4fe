"""SpliceAI's dilated network: one answer for each base of a block, from the bases around it.

Residual units of two convolutions each; their reach grows by dilation until it is the context. The
published code pads every layer and crops at the end; here a layer gives what it can give without
padding, which is the same function of the bases for less work (a window is context + block wide,
and only the block is answered). Axes: B windows, W bases, C channels.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.errors import InputError, UsageError
from epilm.models.baselines import BASES, base_channels
from epilm.nn.altered import Altered, added, convolved, every


class Units(NamedTuple):
    """Four residual units of one kind.

    Attributes
    ----------
    width, dilation : int
        Of their convolutions.
    """

    width: int
    dilation: int


_U80, _U400, _U2K, _U10K = Units(11, 1), Units(11, 4), Units(21, 10), Units(41, 25)
# 256 is GeneBERT's and no preset of SpliceAI: four units more, of width 23, fit it exactly.
PRESETS: dict[int, tuple[Units, ...]] = {
    80: (_U80,),
    256: (_U80, Units(23, 1)),
    400: (_U80, _U400),
    2000: (_U80, _U400, _U2K),
    10000: (_U80, _U400, _U2K, _U10K),
}
PER_GROUP = 4


def context_of(groups: Sequence[Units]) -> int:
    """Count the bases beside the answered one that a network sees, both sides together.

    CL = 2 * sum over units of dilation * (width - 1) (protocols 8.2).

    Examples
    --------
    >>> [context_of(groups) for groups in PRESETS.values()]
    [80, 256, 400, 2000, 10000]
    """
    return sum(2 * PER_GROUP * units.dilation * (units.width - 1) for units in groups)


class ResidualUnit(nn.Module):
    """Twice norm, ReLU, convolution; the input, cropped to what is left, is added.

    Parameters
    ----------
    channels, width, dilation : int

    Examples
    --------
    >>> ResidualUnit(2, 11, 1)(torch.zeros(1, 2, 50)).shape
    torch.Size([1, 2, 30])
    """

    def __init__(self, channels: int, width: int, dilation: int) -> None:
        super().__init__()
        # Keras' eps; its momentum of .99 needs thousands of steps, and short runs are scored too.
        self.norm1 = nn.BatchNorm1d(channels, eps=1e-3)
        self.conv1 = nn.Conv1d(channels, channels, width, dilation=dilation)
        self.norm2 = nn.BatchNorm1d(channels, eps=1e-3)
        self.conv2 = nn.Conv1d(channels, channels, width, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, W) to (B, C, W - 2 dilation (width - 1))."""
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        out: Tensor = y + cropped(x, y.shape[-1])
        return out

    def altered(self, x: Altered, step: int = 1) -> Altered:
        """Send copies through, of which every `step`-th position is known and wanted."""
        apart = self.conv1.dilation[0] // step
        y = convolved(x.each(lambda z: F.relu(self.norm1(z))), self.conv1, apart)
        y = convolved(y.each(lambda z: F.relu(self.norm2(z))), self.conv2, apart)
        return added(y, x, (x.whole.shape[2] - y.whole.shape[2]) // 2)


def residual_units(group: nn.Module) -> list[ResidualUnit]:
    """List the units of a group, in order."""
    return [unit for unit in group.children() if isinstance(unit, ResidualUnit)]


def cropped(x: Tensor, width: int) -> Tensor:
    """The middle of the last axis.

    Examples
    --------
    >>> cropped(torch.arange(6)[None], 2).tolist()
    [[2, 3]]
    """
    start = (x.shape[-1] - width) // 2
    return x[..., start : start + width]


class DilatedCNN(nn.Module):
    """The network of the SpliceAI paper.

    Parameters
    ----------
    outputs : int
    context : int
        Bases seen beside the answered one, half on either side: a key of PRESETS.
    channels : int

    Raises
    ------
    UsageError
        If there is no network of this context.

    Notes
    -----
    Norms learn from the bases of a window that lie inside the reach of its block; the published
    code also counts what lies beside it. Answers of a learned network are equal to its.

    References
    ----------
    Jaganathan K et al. Cell 2019; 176:535, figure S1 and Illumina's training code (protocols 8.2).

    Examples
    --------
    >>> model = DilatedCNN(3, 80).eval()
    >>> codes = torch.randint(0, 5, (2, 100), dtype=torch.uint8)
    >>> ids = torch.zeros(2, 1, dtype=torch.int64)
    >>> model(Windows(ids, ids == 0, codes=codes)).shape
    torch.Size([2, 20, 3])
    """

    def __init__(self, outputs: int = 3, context: int = 400, channels: int = 32) -> None:
        super().__init__()
        if context not in PRESETS:
            raise UsageError(
                "the dilated network has no such context",
                where="--context",
                found=context,
                expected=f"one of {', '.join(map(str, PRESETS))}",
                do="Choose one of these, or a model with a trunk.",
            )
        self.context = context
        self.stem = nn.Conv1d(BASES, channels, 1)
        self.skips = nn.ModuleList([nn.Conv1d(channels, channels, 1)])
        self.groups = nn.ModuleList()
        for units in PRESETS[context]:
            self.groups.append(
                nn.Sequential(*(ResidualUnit(channels, *units) for _ in range(PER_GROUP)))
            )
            self.skips.append(nn.Conv1d(channels, channels, 1))
        self.out = nn.Conv1d(channels, outputs, 1)

    def start_at(self, shares: Tensor) -> None:
        """Let the answers begin at the shares (C,) of the classes: sites are one base in thousands,
        and the first hundreds of steps would be spent on saying so.
        """
        assert self.out.bias is not None
        with torch.no_grad():
            self.out.bias.copy_(shares.log())

    def forward(self, windows: Windows) -> Tensor:
        """Answer each base of windows but the context / 2 at either end.

        Parameters
        ----------
        windows : Windows
            With `codes` (B, W), W above the context; N is zero in all four channels.

        Returns
        -------
        float (B, W - context, outputs)
            Logits.

        Raises
        ------
        InputError
            If a window is not wider than the context.
        """
        assert windows.codes is not None, "a reader that gives bases"
        block = self._block(windows.codes)
        x = self.stem(base_channels(windows.codes, self.stem.weight.dtype))  # (B, C, W)
        total = self.skips[0](cropped(x, block))
        for group, skip in zip(self.groups, list(self.skips)[1:], strict=True):
            x = group(x)
            total = total + skip(cropped(x, block))
        logits: Tensor = self.out(total).transpose(1, 2)  # (B, block, outputs)
        return logits

    def _block(self, codes: Tensor) -> int:
        """Bases of windows that are answered."""
        block = codes.shape[1] - self.context
        if block < 1:
            raise InputError(
                "the window holds no base to answer",
                found=f"{codes.shape[1]} bp",
                expected=f"more than the context of {self.context} bp",
            )
        return block

    @property
    def reach(self) -> int:
        """Bases on either side of a change whose answers it changes."""
        return self.context // 2

    def answer_altered(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """Answer copies of a window of which each has other bases (N, m) from `start` (N,) on:
        (N, block, outputs); see `models.local_answers`.

        Cheapest for a block of one base. Of what a dilated layer says, that base sees every d-th
        position alone, and no other is computed.
        """
        assert windows.codes is not None, "a reader that gives bases"
        block = self._block(windows.codes)
        kind = self.stem.weight.dtype
        of = torch.zeros_like(start)
        x = Altered(base_channels(windows.codes, kind), start, base_channels(bases, kind), of)
        x = convolved(x, self.stem)
        skips = [(x, self.skips[0])]
        apart = 1  # bases between the positions that are kept
        for group, skip, step in zip(self.groups, list(self.skips)[1:], self._steps(block)):
            x, apart = every(x, step // apart), step
            for unit in residual_units(group):
                x = unit.altered(x, step)
            skips.append((x, skip))
        # What is answered, where it differs: as far as the last group's stretch goes.
        start, length = x.start, x.values.shape[2]
        whole, values = x.whole.new_zeros(()), x.values.new_zeros(())
        for seen, skip in skips:
            middle = (seen.whole.shape[2] - block) // 2
            whole = whole + skip(seen.whole[..., middle : middle + block])
            values = values + skip(seen.read(start + middle, length))
        answers = Altered(whole, start, values, of).each(self.out).laid_out()
        return answers.transpose(1, 2)  # (N, block, outputs)

    def _steps(self, block: int) -> list[int]:
        """Every how many bases a group's input must be known: 1 where neighbours are answered."""
        steps: list[int] = []
        for group in reversed(list(self.groups)):
            (dilation,) = residual_units(group)[0].conv1.dilation
            steps.insert(0, math.gcd(dilation, *steps[:1]) if block == 1 else 1)
        return steps


def widths(context: int, block: int) -> list[int]:
    """Bases that are left after each group of units, from the window to the block.

    Examples
    --------
    >>> widths(10000, 5000)
    [15000, 14920, 14600, 13000, 5000]
    """
    reach = [2 * PER_GROUP * u.dilation * (u.width - 1) for u in PRESETS[context]]
    left = [block + context]
    for each in reach:
        left.append(left[-1] - each)
    assert all(a > b for a, b in pairwise(left))
    return left
