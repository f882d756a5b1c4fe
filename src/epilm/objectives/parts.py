"""What several objectives share: checks of what the model made, and of what it reads."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epilm.errors import TrainingError
from epilm.objectives.objective import Misfit


def need(value: Tensor | None, objective: str, name: str) -> Tensor:
    """Return `value`, or say which objective misses which output.

    Raises
    ------
    TrainingError
        If `value` is None.
    """
    if value is None:
        raise TrainingError(
            f"objective {objective} is on, but the model (or the batch) gave no {name}",
            do=(
                f"Build the model with the stream and head that {objective} needs, or set"
                f" objectives.{objective}.weight to 0."
            ),
        )
    return value


def without_factors(objective: str, model: Any) -> Iterator[Misfit]:
    """Refuse a model that does not read the factor matrix."""
    if "factors" not in model.streams:
        yield Misfit(
            f"objectives.{objective}.weight",
            "the objective needs the factors stream",
            found=f"streams {list(model.streams)}",
            do="Add factors to model.streams, or set the weight to 0.",
        )
