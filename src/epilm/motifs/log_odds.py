"""A motif's log-odds scores. Needs numpy alone, unlike `pwm`: a run that reads motifs from a store
has no numba.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.errors import InputError
from epilm.motifs.motif import Motif

Floats = NDArray[np.float64]

UNIFORM: NDArray[np.float64] = np.full(4, 0.25)
"""A quarter each; A, C, G, T."""


def log_odds(
    motif: Motif | ArrayLike, background: ArrayLike = UNIFORM, pseudocount: float = 1.0
) -> Floats:
    """Log-odds scores of a motif, natural logarithm, MOODS' form.

    ``s_b = ln((c_b + pseudocount * bg_b) / (sum c + pseudocount) / bg_b)`` in each column.
    Frequencies whose number of sites is known (MEME's nsites) count as that many sites; other
    frequencies enter as they are, which shrinks the scores (a one-hot column gives 0.9163 instead
    of 1.3788 for 100 counts).

    Parameters
    ----------
    motif : Motif or array, shape (W, 4)
        Counts or frequencies; bases A, C, G, T.
    background : array, shape (4,)
        Probabilities of A, C, G, T, all positive, sum 1.
    pseudocount : float
        At least 0, spread over the bases by the background.

    Returns
    -------
    float64 array, shape (W, 4)
        Nats; -inf for an impossible base when `pseudocount` is 0.

    Raises
    ------
    InputError
        If the background is no distribution over four bases, or the pseudocount is negative.

    References
    ----------
    Korhonen et al. 2009, "MOODS: fast search for position weight matrix matches in DNA sequences".

    Examples
    --------
    >>> log_odds([[1, 0, 0, 0]]).round(4)
    array([[ 0.9163, -0.6931, -0.6931, -0.6931]])
    >>> log_odds([[100, 0, 0, 0]]).round(4)
    array([[ 1.3788, -4.6151, -4.6151, -4.6151]])
    """
    bg = check_background(background)
    if not pseudocount >= 0:
        raise InputError("a pseudocount must be at least 0", found=pseudocount)
    if isinstance(motif, Motif):
        counts = motif.matrix * (motif.sites if motif.sites and not motif.is_counts else 1.0)
    else:
        counts = np.asarray(motif, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True) + pseudocount
    with np.errstate(divide="ignore"):
        return np.asarray(np.log((counts + pseudocount * bg) / total / bg))


def check_background(background: ArrayLike) -> Floats:
    """Return four positive probabilities, or say what is wrong with them.

    Examples
    --------
    >>> check_background([0.3, 0.2, 0.2, 0.3]).tolist()
    [0.3, 0.2, 0.2, 0.3]
    """
    bg = np.asarray(background, dtype=np.float64)
    if bg.shape != (4,) or not np.isfinite(bg).all() or (bg <= 0).any() or abs(bg.sum() - 1) > 1e-6:
        raise InputError(
            "a background needs four positive probabilities of A, C, G, T with sum 1",
            found=np.array2string(bg, threshold=8),
        )
    return bg
