"""What several objectives share: the check that the model made what a loss needs."""

from torch import Tensor

from epilm.errors import TrainingError


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
