"""Layers over copies of sequences of which each is altered in a few bases, at those bases alone.

A convolution gives the same as before wherever it does not reach the change. So a sequence goes
through a layer once, and of each copy only the stretch that the change reaches; what a copy
says elsewhere is what its sequence says. Nothing is left out: this is the layer's own arithmetic,
its padding included, in another order of copies.
Axes: B sequences, N copies, C channels, W positions, m of a stretch, k width of a filter.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Altered(NamedTuple):
    """What a layer says of B sequences, and of N copies of them.

    Attributes
    ----------
    whole : float (B, C, W)
        Of the sequences.
    start : int64 (N,)
        First position at which each copy may differ. A stretch may hang out at either end; what
        hangs out counts for nothing.
    values : float (N, C, m)
        Of the copies from there on.
    of : int64 (N,)
        Whose copies they are.

    Examples
    --------
    >>> start, of = torch.tensor([1, 4]), torch.tensor([0, 0])
    >>> copies = Altered(torch.zeros(1, 1, 5), start, torch.ones(2, 1, 1), of)
    >>> copies.laid_out()[:, 0].tolist()
    [[0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    whole: Tensor
    start: Tensor
    values: Tensor
    of: Tensor

    @property
    def end(self) -> Tensor:
        """Behind the last position at which each copy may differ, (N,)."""
        return self.start + self.values.shape[2]

    def read(self, begin: Tensor, length: int, beyond: float = 0.0) -> Tensor:
        """Read copies from `begin` (N,) on: (N, C, length), `beyond` outside of the sequence."""
        width = self.whole.shape[2]
        copies, channels, m = self.values.shape
        low, high = self._around(begin, length)
        near = self.whole[..., low:high].transpose(1, 2)  # (B, high - low, C)
        rows = torch.cat(
            [
                near.reshape(-1, channels),
                self.values.transpose(1, 2).reshape(-1, channels),
                self.whole.new_full((1, channels), beyond),
            ]
        )
        at = begin[:, None] + torch.arange(length, device=begin.device)  # (N, length)
        own = at - self.start[:, None]
        of_copy = m * torch.arange(copies, device=begin.device) + near.shape[:2].numel()
        of_whole = (high - low) * self.of - low
        inside = (own >= 0) & (own < m)
        row = torch.where(inside, of_copy[:, None] + own, of_whole[:, None] + at)
        row = torch.where((at >= 0) & (at < width), row, len(rows) - 1)
        return rows.index_select(0, row.flatten()).unflatten(0, row.shape).transpose(1, 2)

    def _around(self, begin: Tensor, length: int) -> tuple[int, int]:
        """The stretch of the sequences that all of what is read lies in."""
        width = self.whole.shape[2]
        if not len(begin):
            return 0, 0
        low = min(max(int(begin.min()), 0), width)
        return low, max(min(int(begin.max()) + length, width), low)

    def each(self, function: Callable[[Tensor], Tensor]) -> "Altered":
        """Apply what looks at one position at a time, (N, C, W) to (N, D, W)."""
        return Altered(function(self.whole), self.start, function(self.values), self.of)

    def laid_out(self) -> Tensor:
        """Every copy at full length, (N, C, W)."""
        return self.read(torch.zeros_like(self.start), self.whole.shape[2])

    def largest(self) -> Tensor:
        """The largest value of each copy, (N, C)."""
        width = self.whole.shape[2]
        first, last = self.start.clamp(0, width), self.end.clamp(0, width)
        here = self.read(self.start, self.values.shape[2], -torch.inf).amax(2)
        for number, whole in enumerate(self.whole):
            mine = (self.of == number).nonzero()[:, 0]
            if len(mine):
                beside = _largest_beside(whole, first[mine], last[mine])
                here[mine] = torch.maximum(here[mine], beside)
        return here


def _largest_beside(whole: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """The largest values (N, C) of a sequence (C, W) before `first` and from `last` (N,) on."""
    least = whole.new_full((len(whole), 1), -torch.inf)

    def so_far(stretch: Tensor, start: int) -> Tensor:
        """Of the first `start` positions, and of one more each: only there copies differ."""
        known = torch.cat([least, stretch[:, :start]], 1).amax(1, keepdim=True)
        return torch.cat([known, stretch[:, start:]], 1).cummax(1).values

    low, high = int(first.min()), int(last.max())
    before = so_far(whole[:, : int(first.max())], low)[:, first - low]
    turned = whole[:, int(last.min()) :].flip(1)
    behind = so_far(turned, whole.shape[1] - high)[:, high - last]
    return torch.maximum(before, behind).T


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
    >>> start, of = torch.tensor([0]), torch.tensor([0])
    >>> copy = Altered(torch.zeros(1, 1, 6), start, torch.ones(1, 1, 1), of)
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

    whole = through(altered.whole, padding)
    reach = (k - 1) * step
    begin, length = _within(altered.start - reach + padding, altered.end + padding, whole.shape[2])
    seen = altered.read(begin - padding, length + reach)
    return Altered(whole, begin, through(seen, 0), altered.of)


def pooled(altered: Altered, size: int, ceil_mode: bool = False) -> Altered:
    """Keep the largest of every `size` positions; `ceil_mode`: also of what is left at the end.

    Examples
    --------
    >>> start, of = torch.tensor([4]), torch.tensor([0])
    >>> copy = Altered(torch.zeros(1, 1, 5), start, torch.ones(1, 1, 1), of)
    >>> pooled(copy, 2, True).laid_out().tolist(), pooled(copy, 2).laid_out().tolist()
    ([[[0.0, 0.0, 1.0]]], [[[0.0, 0.0]]])
    """
    whole = F.max_pool1d(altered.whole, size, ceil_mode=ceil_mode)
    first = altered.start.div(size, rounding_mode="floor")
    last = (altered.end - 1).div(size, rounding_mode="floor") + 1
    begin, length = _within(first, last, whole.shape[2])
    seen = altered.read(begin * size, length * size, -torch.inf)
    return Altered(whole, begin, F.max_pool1d(seen, size), altered.of)


def every(altered: Altered, step: int) -> Altered:
    """Keep positions 0, step, 2 step, ..."""
    if step == 1:
        return altered
    whole = altered.whole[..., ::step]
    first = (altered.start + step - 1).div(step, rounding_mode="floor")
    last = (altered.end - 1).div(step, rounding_mode="floor") + 1
    begin, length = _within(first, last, whole.shape[2])
    seen = altered.read(begin * step, (length - 1) * step + 1)
    return Altered(whole, begin, seen[..., ::step], altered.of)


def added(one: Altered, other: Altered, crop: int) -> Altered:
    """Add to `one` the middle of `other`, which is `crop` positions longer at either end.

    `one` was computed from `other`, so its stretches hold all that differs.
    """
    width = one.whole.shape[2]
    whole = one.whole + other.whole[..., crop : crop + width]
    values = one.values + other.read(one.start + crop, one.values.shape[2])
    return Altered(whole, one.start, values, one.of)


def _within(first: Tensor, last: Tensor, width: int) -> tuple[Tensor, int]:
    """One length for all stretches [first, last) within `width` positions, and where each begins.

    A stretch that is shorter is made longer by positions at which nothing differs.
    """
    first, last = first.clamp(0, width), last.clamp(0, width)
    length = max(int((last - first).max()), 1)
    return torch.minimum(first, torch.full_like(first, width - length)), length
