"""Several networks that answer together: the mean of their logits.

It is a network like any other, saved and opened as one. Axes: B rows, F outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Networks of one shape, each with weights of its own.

    The mean of logits is, of probabilities, the geometric mean brought back to a sum of one; of
    numbers the mean.

    Parameters
    ----------
    members : sequence of nn.Module
        What reads windows and gives logits, (B, F) or (B, bases, F).
    scales : sequence of float, optional
        What each one's logits are multiplied by before: one over its temperature; 1 where not
        given.

    Examples
    --------
    >>> both = Ensemble([nn.Identity(), nn.Identity()], scales=[1.0, 0.5])
    >>> both(torch.tensor([[4.0, 0.0]])).tolist()
    [[3.0, 0.0]]
    """

    def __init__(self, members: Sequence[nn.Module], scales: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.scales = tuple(scales or (1.0,) * len(members))

    def forward(self, windows: Any) -> Tensor:
        """Logits of windows."""
        return self.mean(lambda member: member(windows))

    def mean(self, logits: Callable[[nn.Module], Tensor]) -> Tensor:
        """The mean over members of what a function gives of each, float32."""
        pairs = zip(self.members, self.scales, strict=True)
        return torch.stack([logits(member).float() * scale for member, scale in pairs]).mean(0)


def first_of(network: nn.Module) -> nn.Module:
    """A network that all members are like: the first one, or itself where it is no ensemble."""
    return network.members[0] if isinstance(network, Ensemble) else network
