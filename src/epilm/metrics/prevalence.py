"""From a sample with many cases to a population with few: probabilities, predictive values, R2.

A cohort of cases and controls has as many cases as were collected; in the population a disease is
rarer. Sensitivity and specificity stay, what a positive answer is worth does not. Numpy and scipy.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm


class Values(NamedTuple):
    """What an answer is worth in the population; NaN where it is never given.

    Attributes
    ----------
    ppv : float
        Share of the ill among those called ill.
    npv : float
        Share of the well among those called well.
    """

    ppv: float
    npv: float


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> Values:
    """Give the predictive values in a population.

    Parameters
    ----------
    sensitivity, specificity : float
        Shares of cases and of controls that are called rightly.
    prevalence : float
        Share of the ill in the population.

    Examples
    --------
    Of 1,000 people 10 are ill; 9 of them and 99 of the 990 others are called ill: 9 of 108.

    >>> said = predictive_values(0.9, 0.9, 0.01)
    >>> round(said.ppv, 6) == round(9 / 108, 6), round(said.npv, 6) == round(891 / 892, 6)
    (True, True)
    """
    called = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    spared = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    ppv = called[0] / sum(called) if sum(called) > 0 else float("nan")
    npv = spared[1] / sum(spared) if sum(spared) > 0 else float("nan")
    return Values(ppv, npv)


def at_prevalence(
    probabilities: ArrayLike, learned: ArrayLike, prevalence: float
) -> NDArray[np.float64]:
    """Turn probabilities learned where a share of people was ill into those of a population.

    Parameters
    ----------
    probabilities : float (N,)
    learned : float or (N,)
        Share of the ill among the people it was learned from.
    prevalence : float

    Examples
    --------
    >>> at_prevalence([0.5, 0.9], 0.5, 0.1).round(6).tolist()
    [0.1, 0.5]
    """
    p, share = np.asarray(probabilities, np.float64), np.asarray(learned, np.float64)
    ill = p * prevalence / share
    well = (1 - p) * (1 - prevalence) / (1 - share)
    return ill / (ill + well)


def liability_r2(labels: ArrayLike, scores: ArrayLike, prevalence: float) -> float:
    """Give the share of the variance of liability that a score accounts for.

    Parameters
    ----------
    labels : int (N,)
        1 case, 0 control, in whatever proportion they were collected.
    scores : float (N,)
    prevalence : float
        Share of the ill in the population; a liability above a threshold makes ill.

    Returns
    -------
    float
        0 to 1; NaN where one class is absent, 0 where the score does not vary or points the wrong
        way.

    References
    ----------
    Lee SH, Goddard ME, Wray NR, Visscher PM. A better coefficient of determination for genetic
    profile analysis. Genet Epidemiol 2012; 36: 214. Equation 15.

    Examples
    --------
    A population as it is (no class collected more often), prevalence one half: K (1 - K) / z2 is
    pi / 2.

    >>> labels, scores = [0, 0, 1, 1], [0.0, 1.0, 1.0, 2.0]
    >>> round(liability_r2(labels, scores, 0.5) / (0.5 * np.pi / 2), 6)
    1.0
    """
    truth, said = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    share = float(truth.mean())
    if not 0 < share < 1:
        return float("nan")
    if said.std() <= 1e-12 * (1 + np.abs(said).max()):
        return 0.0
    r = float(np.corrcoef(truth, said)[0, 1])
    if r <= 0:
        return 0.0
    threshold = float(norm.isf(prevalence))
    height = float(norm.pdf(threshold))
    mean = height / prevalence  # liability of the ill
    variance = prevalence * (1 - prevalence)
    c = variance / height**2 * variance / (share * (1 - share))
    shift = mean * (share - prevalence) / (1 - prevalence)
    theta = shift * (shift - threshold)
    return r**2 * c / (1 + r**2 * theta * c)
