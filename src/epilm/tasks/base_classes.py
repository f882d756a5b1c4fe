"""Labels of bases: one of a few classes each, of which the first is that of nearly all.

They are scored and calibrated block by block and never held for all rows. Axes: B rows, W bases, C
classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from epilm.metrics.calibration import fit_temperature
from epilm.metrics.sites import SiteTally
from epilm.tasks.labels import Tables, kind_and_names
from epilm.tokens.random import uniform

_CALIBRATION = 0xDA  # beside the draws of training.epochs and tasks.lesson


class BaseClasses:
    """One of C classes a base, labels int8 (B, W), below 0 where not known; the first class is that
    of nearly all bases.

    Parameters
    ----------
    names : sequence of str
    temperature : float
        Logits are divided by it before they become probabilities.
    site_weight : float
        How much the loss of a base of any but the first class counts.

    Examples
    --------
    >>> sites = BaseClasses(("neither", "acceptor", "donor"))
    >>> logits = torch.zeros(1, 2, 3)
    >>> (
    ...     round(float(sites.loss(logits, torch.tensor([[1, -1]]))), 4),
    ...     sites.known(np.array([[1, -1]])),
    ... )
    (1.0986, 1)
    >>> warm = BaseClasses(("neither", "site"), temperature=2.0)
    >>> warm.probabilities(torch.tensor([[[0.0, 2.0]]]))[0, 0].numpy().round(4).tolist()
    [0.2689, 0.7311]
    """

    kind = "bases"
    per_base = True

    def __init__(
        self, names: Sequence[str], temperature: float = 1.0, site_weight: float = 1.0
    ) -> None:
        self.names = tuple(names)
        self.temperature, self.site_weight = float(temperature), float(site_weight)

    def described(self) -> dict[str, Any]:
        """See `Labels.described`."""
        return kind_and_names(self) | {
            "temperature": self.temperature,
            "site_weight": self.site_weight,
        }

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the cross-entropies of known bases, logits (B, W, C)."""
        weight = torch.full((len(self.names),), self.site_weight, device=logits.device)
        weight[0] = 1.0
        return F.cross_entropy(
            logits.flatten(0, -2),
            labels.flatten().long(),
            weight=weight.to(logits.dtype),
            ignore_index=-1,
            label_smoothing=smoothing,
            reduction="sum",
        )

    def known(self, labels: NDArray[np.int8]) -> int:
        """Bases that are not below 0."""
        return int((labels >= 0).sum())

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, W, C), double; those of a base sum to one."""
        return (logits.double() / self.temperature).softmax(-1)

    def scores(self, labels: NDArray[np.int8], said: NDArray[Any]) -> Tables:
        """One table a class but the first, and their mean: `metrics.sites`."""
        tally = self.tally()
        tally.add(labels, said)
        return tally.tables()

    def outlines(
        self, labels: NDArray[np.int8], said: NDArray[Any], chroms: NDArray[np.str_]
    ) -> dict[str, Any]:
        """`SiteTally.outlines`."""
        tally = self.tally()
        tally.add(labels, said, chroms.tolist())
        return tally.outlines()

    def tally(self) -> SiteTally:
        """What takes answers block by block and gives the tables."""
        return SiteTally(self.names)

    def calibration_sample(
        self,
        logits: NDArray[np.float32],
        labels: NDArray[np.int8],
        rows: NDArray[np.int64],
        share: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
        """Draw from blocks what a temperature is fitted on: all sites, and a share of the other
        bases with the weight of those that they stand for.

        Parameters
        ----------
        logits : float32 (n, W, C)
        labels : int8 (n, W)
        rows : int64 (n,)
            Numbers of the blocks: which bases are drawn is a function of them.
        share : float
            Above 0, at most 1.

        Returns
        -------
        logits (m, C), labels (m,), weights (m,)
        """
        drawn = uniform(_CALIBRATION, rows[:, None], np.arange(labels.shape[1])[None]) < share
        kept = (labels > 0) | ((labels == 0) & drawn)
        true = labels[kept].astype(np.int64)
        return logits[kept], true, np.where(true > 0, 1.0, 1 / share)

    def with_temperature(
        self, logits: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> "BaseClasses":
        """The same labels with the temperature of the least loss."""
        return BaseClasses(self.names, fit_temperature(logits, labels, weights), self.site_weight)
