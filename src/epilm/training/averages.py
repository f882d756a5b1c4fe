"""A moving average of the weights while they are learned: what is judged, kept and used in place of
the weights of the last step.

Rows that a small model has begun to learn by heart pull its weights to and fro; the average of the
last steps does not follow (Polyak and Juditsky 1992). At the start it follows closely, so that
it does not remember where the weights began. Needs torch only.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from epilm.errors import CheckpointError
from epilm.training.state import model_tensors


class AveragedWeights:
    """An exponential moving average of what a model learns, and of its saved buffers.

    Parameters
    ----------
    model : nn.Module
        On its device. What does not learn is not kept twice.
    decay : float
        Share of the average that stays at each step; after n steps at most (1 + n) / (10 + n).

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> nn.init.zeros_(model.weight).tolist()
    [[0.0]]
    >>> averages = AveragedWeights(model, 0.9)
    >>> for value in (11.0, 1.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     averages.add()
    >>> with averages.in_place():  # 2/11 of 0 and 9/11 of 11; then 3/12 of that and 9/12 of 1
    ...     print(model.weight.tolist())
    [[3.0]]
    >>> model.weight.tolist()
    [[1.0]]
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
        resting = {name for name, _ in model.named_parameters()} - learned
        # Views: what is written into them is in the model.
        self.now = {
            name: value
            for name, value in model_tensors(model).items()
            if value.is_floating_point() and name not in resting
        }
        self.averages = {name: value.clone() for name, value in self.now.items()}
        self.decay, self.steps = decay, 0

    def add(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        into = get_ema_multi_avg_fn(decay)
        into(list(self.averages.values()), list(self.now.values()), self.steps)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the averages, and then its own weights again."""
        own = {name: value.clone() for name, value in self.now.items()}
        self._give(self.averages)
        try:
            yield
        finally:
            self._give(own)

    def _give(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.now.items():
                value.copy_(tensors[name])

    def tensors(self) -> dict[str, Tensor]:
        """The averages by name, and how many steps are in them, to be saved."""
        return {**self.averages, _STEPS: torch.tensor(self.steps)}

    def load(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Take back what `tensors` gave.

        Raises
        ------
        CheckpointError
            If it is of another model.
        """
        if set(tensors) != {*self.averages, _STEPS}:
            raise CheckpointError("the averages are of another model", where=where)
        self.steps = int(tensors[_STEPS])
        for name, value in self.averages.items():
            value.copy_(tensors[name])


_STEPS = "steps of the average"
