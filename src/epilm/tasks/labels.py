"""What every kind of labels can do: what the loop, the scores and the pages ask of it.

Axes: B rows, W bases. The kinds themselves: `label_kinds`, and of bases `base_classes`.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from epilm.metrics.sites import SiteTally

Tables = dict[str, dict[str, Any]]  # output -> score -> value


class Labels(Protocol):
    """One kind of labels, with the names of its outputs.

    Attributes
    ----------
    kind : str
        Key of KINDS.
    names : tuple of str
        One an output.
    per_base : bool
        Whether a row has one answer a base, (B, W, outputs), in place of one: such answers are
        tallied block by block (`BaseClasses.tally`) and never held for all rows.
    """

    kind: str
    names: tuple[str, ...]
    per_base: bool

    def described(self) -> dict[str, Any]:
        """What a model folder keeps, for `labels_from`; JSON values."""

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the losses of the labels that are known."""

    def known(self, labels: NDArray[Any]) -> int:
        """How many labels count in the loss."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """What is told to people, from logits (B, outputs)."""

    def scores(self, labels: NDArray[Any], said: NDArray[Any]) -> Tables:
        """Tables of scores, each with `collapse`: words, or None where all is well."""

    def outlines(
        self, labels: NDArray[Any], said: NDArray[Any], chroms: NDArray[np.str_]
    ) -> dict[str, Any]:
        """What a page draws: `outputs`, name -> `metrics.outlines.outline`, and of classes their
        `confusion`; JSON values.
        """


class LabelsOfBases(Labels, Protocol):
    """Labels with `per_base` set, and what is done block by block.

    Attributes
    ----------
    temperature : float
        Logits are divided by it before they become probabilities.
    """

    temperature: float

    def tally(self) -> SiteTally:
        """What takes answers block by block and gives the tables."""

    def calibration_sample(
        self,
        logits: NDArray[np.float32],
        labels: NDArray[np.int8],
        rows: NDArray[np.int64],
        share: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
        """Draw from blocks what a temperature is fitted on."""

    def with_temperature(
        self, logits: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> "LabelsOfBases":
        """The same labels with the temperature of the least loss."""


def kind_and_names(labels: Labels) -> dict[str, Any]:
    """What `described` begins with."""
    return {"kind": labels.kind, "names": list(labels.names)}
