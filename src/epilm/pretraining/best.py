"""Which validation was the best, and when to stop looking for a better one.

A pure function of the validations so far, kept inside every state: a run that was killed
decides as one that was not. Needs the standard library only; used by `loop`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from epilm.errors import RecipeError, nearest

NOT_SCORES = ("step", "split", "seconds", "samples")


@dataclass(frozen=True)
class Best:
    """The best validation so far.

    Attributes
    ----------
    score : str
        Name of the validation's figure that decides. Of a loss the least is best, of anything
        else the most.
    step : int or None
        Optimiser steps done at the best validation; None before the first.
    value : float or None
        The score there.
    since : int
        Validations after it, none of which was better.
    samples : int
        Held-out samples the score was taken over; scores over others are not compared.

    Examples
    --------
    >>> best = Best("loss")
    >>> for step, loss in ((100, 2.0), (200, 1.5), (300, 1.6)):
    ...     best = best.after(step, {"loss": loss, "samples": 64})
    >>> best.step, best.value, best.since, best.spent(1), best.spent(2)
    (200, 1.5, 1, True, False)
    """

    score: str = "loss"
    step: int | None = None
    value: float | None = None
    since: int = 0
    samples: int = 0

    @property
    def least_is_best(self) -> bool:
        """Whether the score is a loss."""
        return self.score.rpartition("/")[2] == "loss"

    def after(self, step: int, values: Mapping[str, Any]) -> "Best":
        """Take in one more validation.

        A score that is no finite number is not better than any. Equal is not better: the earlier
        one stays.

        Parameters
        ----------
        step : int
            Optimiser steps done.
        values : mapping
            Figures of the validation.
        """
        value, samples = values[self.score], int(values["samples"])
        if samples != self.samples:  # other samples: nothing to compare with
            return Best(self.score, samples=samples)._with(step, value)
        return self._with(step, value)

    def _with(self, step: int, value: float | None) -> "Best":
        if value is None or not math.isfinite(value):
            return replace(self, since=self.since + 1)
        least = self.least_is_best
        if self.value is None or (value < self.value if least else value > self.value):
            return replace(self, step=step, value=float(value), since=0)
        return replace(self, since=self.since + 1)

    def spent(self, patience: int | None) -> bool:
        """Whether so many validations in a row were no better."""
        return patience is not None and self.since >= patience

    def said(self) -> str:
        """Step and score in words.

        Examples
        --------
        >>> Best("loss", 200, 1.5).said()
        'step 200 (validation loss 1.5)'
        """
        return f"step {self.step} (validation {self.score} {self.value:.4g})"

    def to_json(self) -> dict[str, Any]:
        """Plain values, read back by `Best(**values)`."""
        return asdict(self)


def check_score(score: str, known: Iterable[str]) -> None:
    """Refuse a score that the validation does not give.

    Parameters
    ----------
    score : str
    known : iterable of str
        Names of a validation's figures.

    Raises
    ------
    RecipeError

    Examples
    --------
    >>> check_score("recall", ["loss", "motif_sites/recall", "samples"])
    Traceback (most recent call last):
    epilm.errors.RecipeError: train.best_by: the validation gives no such score. Found recall. Did
        you mean motif_sites/recall? Known: loss, motif_sites/recall.
    """
    scores = [name for name in known if name not in NOT_SCORES and not name.endswith("_chance")]
    if score not in scores:
        raise RecipeError(
            "the validation gives no such score",
            where="train.best_by",
            found=score,
            do=nearest(score, scores),
        )
