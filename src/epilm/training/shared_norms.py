"""Batch norms of a network that several processes train: mean and variance are of all their rows.

Each process has a share of the rows of a step, and a norm over the share alone would be another
function. So a norm gathers mean, variance and count of every share, with gradients, and what it
says is what one process with all rows would say, to rounding. All processes go through the network
equally often for that (`SharedNorms.together`, `counts`). `torch.nn.SyncBatchNorm` is the same on
GPUs alone: it refuses tensors of a CPU. Needs torch only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from epilm.training.ranks import Ranks


class SharedNorms:
    """The batch norms of a network; with one process there is nothing to share, and they are left
    as they are.

    Parameters
    ----------
    network : nn.Module
    ranks : Ranks

    Examples
    --------
    >>> bool(SharedNorms(nn.Sequential(nn.BatchNorm1d(2)), Ranks()))
    False
    """

    def __init__(self, network: nn.Module, ranks: Ranks) -> None:
        modules = network.modules() if ranks.world > 1 else ()
        self.norms: list[Any] = [part for part in modules if isinstance(part, _BatchNorm)]
        self.ranks = ranks

    def __bool__(self) -> bool:
        return bool(self.norms)

    @contextmanager
    def together(self, counts: bool = True) -> Iterator[None]:
        """Let the norms be of all processes in a forward pass, which all of them go through.

        Parameters
        ----------
        counts : bool
            False: rows of this process go through for nothing, beside those of others.
        """
        for norm in self.norms:
            norm.forward = partial(self._normed, norm, counts)
        try:
            yield
        finally:
            for norm in self.norms:
                del norm.forward

    def _normed(self, norm: Any, counts: bool, x: Tensor) -> Tensor:
        """What `norm` says of x (B, C, ...), trained on all processes' rows."""
        if not norm.training:
            said: Tensor = type(norm).forward(norm, x)
            return said
        values, channels = x.float(), x.shape[1]
        axes = [0, *range(2, x.ndim)]
        n = values.new_tensor([values.numel() / channels if counts else 0.0])
        here = torch.cat([values.mean(axes), values.var(axes, correction=0), n])
        everywhere = self.ranks.gather(here[None], [1] * self.ranks.world)
        means, variances, sizes = everywhere.split([channels, channels, 1], 1)
        total = sizes.sum()
        mean = (sizes / total * means).sum(0)
        var = (sizes / total * (variances + (means - mean).square())).sum(0)
        if norm.track_running_stats:
            _follow(norm, mean.detach(), var.detach() * total / (total - 1).clamp(min=1.0))
        scale = (var + norm.eps).rsqrt() * (1.0 if norm.weight is None else norm.weight)
        shift = -mean * scale + (0.0 if norm.bias is None else norm.bias)
        across = [1, channels, *[1] * (x.ndim - 2)]
        return (values * scale.view(across) + shift.view(across)).to(x.dtype)


def _follow(norm: Any, mean: Tensor, var: Tensor) -> None:
    """Move a norm's running mean and variance, as torch does."""
    with torch.no_grad():
        norm.num_batches_tracked += 1
        pace = norm.momentum
        if pace is None:
            pace = 1.0 / float(norm.num_batches_tracked)
        norm.running_mean.mul_(1 - pace).add_(mean, alpha=pace)
        norm.running_var.mul_(1 - pace).add_(var, alpha=pace)
