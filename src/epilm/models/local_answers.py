"""Networks in which a change of a few bases reaches a few positions: what they promise.

A network declares it by having both members; nothing else of the house knows which ones do. Who
scores many small changes of one window asks `answers_locally` (`explaining.subject`).
"""

from typing import Any, Protocol, TypeGuard

from torch import Tensor

from epilm.batch import Windows


class LocalAnswers(Protocol):
    """A network that answers copies of one window by what a change reaches in them."""

    @property
    def reach(self) -> int:
        """Bases on either side of a change that its convolutions see it from."""

    def answer_altered(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """Answer N copies of a window.

        Parameters
        ----------
        windows : Windows
            One, with `codes`.
        start : int64 (N,)
            Where each copy differs; it may lie before the window or behind it.
        bases : uint8 (N, m)
            What stands there, m bases from `start` on; what hangs out of the window is not read.

        Returns
        -------
        float
            What `forward` gives of the N windows written out, to the rounding of its sums.
        """


def answers_locally(network: Any) -> TypeGuard[LocalAnswers]:
    """Whether a network keeps this promise.

    Examples
    --------
    >>> from torch import nn
    >>> from epilm.models.baselines import SmallCNN
    >>> answers_locally(SmallCNN()), answers_locally(nn.Linear(2, 2))
    (True, False)
    """
    return hasattr(network, "answer_altered")
