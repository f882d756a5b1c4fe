"""Layers over copies of one sequence of which each is altered in a few bases, at those bases alone.

A convolution gives the same as before wherever it does not reach the change. So the sequence goes
through a layer once, and of each copy only the stretch that the change reaches; what a copy
says elsewhere is what the sequence says. Nothing is left out: this is the layer's own arithmetic,
its padding included, in another order of copies.
Axes: N copies, C channels, W positions, m of a stretch, k width of a filter.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Altered(NamedTuple):
    """What a layer says of a sequence, and of N copies of it.

    Attributes
    ----------
    whole : float (C, W)
        Of the sequence.
    start : int64 (N,)
        First position at which each copy may differ. A stretch may hang out at either end; what
        hangs out counts for nothing.
    values : float (N, C, m)
        Of the copies from there on.

    Examples
    --------
    >>> whole = torch.zeros(1, 5)
    >>> Altered(whole, torch.tensor([1, 4]), torch.ones(2, 1, 1)).laid_out()[:, 0].tolist()
    [[0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    whole: Tensor
    start: Tensor
    values: Tensor

    @property
    def end(self) -> Tensor:
        """Behind the last position at which each copy may differ, (N,)."""
        return self.start + self.values.shape[2]

    def read(self, begin: Tensor, length: int, beyond: float = 0.0) -> Tensor:
        """Read copies from `begin` (N,) on: (N, C, length), `beyond` outside of the sequence."""
        channels, width = self.whole.shape
        copies, _, m = self.values.shape
        rows = torch.cat(
            [
                self.whole.T,
                self.values.transpose(1, 2).reshape(-1, channels),
                self.whole.new_full((1, channels), beyond),
            ]
        )
        at = begin[:, None] + torch.arange(length, device=begin.device)  # (N, length)
        inside = (at >= 0) & (at < width)
        own = at - self.start[:, None]
        of_copy = width + own + m * torch.arange(copies, device=begin.device)[:, None]
        row = torch.where((own >= 0) & (own < m), of_copy, at)
        row = torch.where(inside, row, len(rows) - 1)
        return rows.index_select(0, row.flatten()).unflatten(0, row.shape).transpose(1, 2)

    def each(self, function: Callable[[Tensor], Tensor]) -> "Altered":
        """Apply what looks at one position at a time, (N, C, W) to (N, D, W)."""
        return Altered(function(self.whole[None])[0], self.start, function(self.values))

    def laid_out(self) -> Tensor:
        """Every copy at full length, (N, C, W)."""
        return self.read(torch.zeros_like(self.start), self.whole.shape[1])

    def largest(self) -> Tensor:
        """The largest value of each copy, (N, C)."""
        width = self.whole.shape[1]
        least = self.whole.new_full((len(self.whole), 1), -torch.inf)
        before = torch.cat([least, self.whole.cummax(1).values], 1)  # of the first i positions
        behind = torch.cat([self.whole.flip(1).cummax(1).values.flip(1), least], 1)
        first, last = self.start.clamp(0, width), self.end.clamp(0, width)
        here = self.read(self.start, self.values.shape[2], -torch.inf).amax(2)
        return torch.maximum(here, torch.maximum(before[:, first].T, behind[:, last].T))


def convolved(altered: Altered, layer: nn.Conv1d, dilation: int | None = None) -> Altered:
    """Send copies through a convolution of stride 1 that is padded with zeros, if it is padded.

    Parameters
    ----------
    dilation : int, optional
        In place of the layer's: of what is given only every few positions are there.

    Examples
    --------
    >>> layer = nn.Conv1d(1, 1, 3, padding=1, bias=False)
    >>> _ = layer.weight.data.fill_(1.0)
    >>> copy = Altered(torch.zeros(1, 6), torch.tensor([0]), torch.ones(1, 1, 1))
    >>> with torch.no_grad():
    ...     convolved(copy, layer).laid_out().tolist()
    [[[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]]
    """
    assert layer.stride == (1,)
    assert layer.padding_mode == "zeros"
    assert not isinstance(layer.padding, str)
    (k,), (padding,), step = layer.kernel_size, layer.padding, dilation or layer.dilation[0]

    def through(x: Tensor, padding: int) -> Tensor:
        return F.conv1d(x, layer.weight, layer.bias, 1, padding, step, layer.groups)

    whole = through(altered.whole[None], padding)[0]
    reach = (k - 1) * step
    begin, length = _within(altered.start - reach + padding, altered.end + padding, whole.shape[1])
    seen = altered.read(begin - padding, length + reach)
    return Altered(whole, begin, through(seen, 0))


def pooled(altered: Altered, size: int, ceil_mode: bool = False) -> Altered:
    """Keep the largest of every `size` positions; `ceil_mode`: also of what is left at the end.

    Examples
    --------
    >>> copy = Altered(torch.zeros(1, 5), torch.tensor([4]), torch.ones(1, 1, 1))
    >>> pooled(copy, 2, True).laid_out().tolist(), pooled(copy, 2).laid_out().tolist()
    ([[[0.0, 0.0, 1.0]]], [[[0.0, 0.0]]])
    """
    whole = F.max_pool1d(altered.whole[None], size, ceil_mode=ceil_mode)[0]
    first = altered.start.div(size, rounding_mode="floor")
    last = (altered.end - 1).div(size, rounding_mode="floor") + 1
    begin, length = _within(first, last, whole.shape[1])
    seen = altered.read(begin * size, length * size, -torch.inf)
    return Altered(whole, begin, F.max_pool1d(seen, size))


def every(altered: Altered, step: int) -> Altered:
    """Keep positions 0, step, 2 step, ..."""
    if step == 1:
        return altered
    whole = altered.whole[:, ::step]
    first = (altered.start + step - 1).div(step, rounding_mode="floor")
    last = (altered.end - 1).div(step, rounding_mode="floor") + 1
    begin, length = _within(first, last, whole.shape[1])
    seen = altered.read(begin * step, (length - 1) * step + 1)
    return Altered(whole, begin, seen[..., ::step])


def added(one: Altered, other: Altered, crop: int) -> Altered:
    """Add to `one` the middle of `other`, which is `crop` positions longer at either end.

    `one` was computed from `other`, so its stretches hold all that differs.
    """
    width = one.whole.shape[1]
    whole = one.whole + other.whole[:, crop : crop + width]
    values = one.values + other.read(one.start + crop, one.values.shape[2])
    return Altered(whole, one.start, values)


def _within(first: Tensor, last: Tensor, width: int) -> tuple[Tensor, int]:
    """One length for all stretches [first, last) within `width` positions, and where each begins.

    A stretch that is shorter is made longer by positions at which nothing differs.
    """
    first, last = first.clamp(0, width), last.clamp(0, width)
    length = max(int((last - first).max()), 1)
    return torch.minimum(first, torch.full_like(first, width - length)), length
