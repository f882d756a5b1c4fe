"""Scores of rare sites among all bases: top-k accuracy and average precision, class by class.

With k the number of true sites of a class in the whole set, top-k accuracy is the share of true
ones among the k bases that score highest: precision and recall at once, whatever the threshold.
Rows come block by block (`SiteTally`): a float32 a base and class is kept, no more. Axes: n blocks,
W bases of a block, C classes, N bases in all. Numpy only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.metrics.curves import ap
from epilm.metrics.outlines import Outline, calibration_rows, outline

FRACTIONS = (0.5, 1.0, 2.0, 4.0)
CALIBRATION_BINS = 20


class TopK(NamedTuple):
    """Top-k accuracy at one multiple of the number of true sites.

    Attributes
    ----------
    accuracy : float
        hits / min(n, k); NaN where there is no true site.
    threshold : float
        Score of the last base that is counted.
    tied : int
        Bases of that very score, where some are counted and some are not; 0 elsewhere.
    """

    accuracy: float
    threshold: float
    tied: int


def top_k(labels: ArrayLike, scores: ArrayLike, fraction: float = 1.0) -> TopK:
    """Give the share of true sites among the bases of the highest scores.

    Parameters
    ----------
    labels : (N,)
        True at a site.
    scores : float (N,)
        Higher is surer.
    fraction : float
        Of k, the number of true sites: n = int(fraction * k) bases are looked at.

    Notes
    -----
    Of equal scores those that come first are counted first. SpliceAI's code leaves it to argsort.

    References
    ----------
    Jaganathan K et al. Cell 2019; 176:535 (protocols 8.3).

    Examples
    --------
    >>> y = [0, 1, 0, 0, 1, 0, 1, 0, 0, 1]
    >>> s = [0.9, 0.8, 0.1, 0.7, 0.6, 0.2, 0.5, 0.3, 0.05, 0.04]
    >>> [top_k(y, s, f).accuracy for f in (0.5, 1, 2, 4)]
    [0.5, 0.5, 0.75, 1.0]
    """
    true = np.asarray(labels, bool)
    value = np.asarray(scores)
    k = int(true.sum())
    n = min(int(fraction * k), len(true))
    if n == 0:
        return TopK(float("nan"), float("nan"), 0)
    cut = np.partition(value, len(value) - n)[len(value) - n]
    above, equal = value > cut, value == cut
    room = n - int(above.sum())
    counted = np.flatnonzero(equal)[:room]
    hits = int(true[above].sum()) + int(true[counted].sum())
    ties = int(equal.sum())
    return TopK(hits / min(n, k), float(cut), ties if ties > room else 0)


def site_table(labels: ArrayLike, scores: ArrayLike) -> dict[str, Any]:
    """Score one class of sites.

    Parameters
    ----------
    labels : (N,)
        True at a site.
    scores : float (N,)

    Returns
    -------
    dict
        n (bases), positives, negatives_per_positive, top_k, top_k_0.5, top_k_2, top_k_4, threshold
        and tied (both of top_k), ap, prevalence.

    Examples
    --------
    >>> table = site_table([1, 0, 0, 1], [0.9, 0.5, 0.2, 0.4])
    >>> table["top_k"], round(table["ap"], 4), table["negatives_per_positive"]
    (0.5, 0.8333, 1.0)
    """
    true = np.asarray(labels, bool)
    value = np.asarray(scores)
    positives = int(true.sum())
    at = {fraction: top_k(true, value, fraction) for fraction in FRACTIONS}
    out: dict[str, Any] = {
        "n": len(true),
        "positives": positives,
        "negatives_per_positive": (len(true) - positives) / positives if positives else None,
        "top_k": at[1.0].accuracy,
        "ap": float(ap(true.astype(np.int8), value)),
    }
    out |= {f"top_k_{f:g}": at[f].accuracy for f in FRACTIONS if f != 1}
    out |= {
        "threshold": at[1.0].threshold,
        "tied": at[1.0].tied,
        "prevalence": positives / len(true) if len(true) else float("nan"),
    }
    return out


class SiteTally:
    """Labels and scores of all bases, block by block, and the tables at the end.

    Parameters
    ----------
    names : sequence of str
        Of the C classes; the first is that of all other bases.

    Examples
    --------
    >>> tally = SiteTally(("neither", "acceptor", "donor"))
    >>> said = np.array([[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.3, 0.2, 0.5]]])
    >>> tally.add(np.array([[0, 1, 2]], np.int8), said)
    >>> tables = tally.tables()
    >>> [tables[name]["top_k"] for name in ("acceptor", "donor", "mean")]
    [1.0, 1.0, 1.0]
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._labels: list[NDArray[np.int8]] = []
        self._scores: list[list[NDArray[np.float32]]] = [[] for _ in self.names[1:]]
        self._loss = 0.0
        self._bins = np.zeros((3, CALIBRATION_BINS))  # bases, sum of probabilities, true sites
        self._confusion = np.zeros(len(self.names) ** 2, np.int64)
        self._chroms: list[tuple[str, int]] = []  # a block's chromosome, and its known bases

    def add(
        self, labels: NDArray[Any], said: NDArray[Any], chroms: Sequence[str] | None = None
    ) -> None:
        """Take blocks.

        Parameters
        ----------
        labels : int (n, W)
            Classes; below 0 where not known, and such bases are left out.
        said : float (n, W, C)
            Probabilities; float64, or bases near 0 and 1 would tie.
        chroms : sequence of str (n,), optional
            Where the blocks lie.
        """
        known = labels >= 0
        if chroms is not None:
            self._chroms += zip(map(str, chroms), known.sum(1).tolist(), strict=True)
        true = labels[known].astype(np.int8)
        probabilities = np.asarray(said, np.float64)[known]
        self._labels.append(true)
        for c, kept in enumerate(self._scores, 1):
            kept.append(log_odds(probabilities[:, c]))
        size = len(self.names)
        self._confusion += np.bincount(
            true.astype(np.int64) * size + probabilities.argmax(1), minlength=size * size
        )
        mine = np.take_along_axis(probabilities, true[:, None].astype(np.int64), 1)[:, 0]
        self._loss -= float(np.log(np.maximum(mine, 1e-300)).sum())
        site = 1 - probabilities[:, 0]
        at = np.clip((site * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)
        for row, weights in enumerate((None, site, true > 0)):
            self._bins[row] += np.bincount(at, weights, CALIBRATION_BINS)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Class -> scores, with `collapse`; and mean: of the classes, with nll (of a base, natural
        logarithm) and miscalibration: how far the number of sites that probabilities promise is
        from the true one, bin by bin of 0.05, as a share of the true sites.
        """
        true = np.concatenate(self._labels) if self._labels else np.zeros(0, np.int8)
        out = {}
        for c, (name, parts) in enumerate(zip(self.names[1:], self._scores, strict=True), 1):
            scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
            out[name] = site_table(true == c, scores) | {"collapse": flat(scores)}
        shared = ("top_k", "ap", "top_k_0.5", "top_k_2", "top_k_4")
        mean = {key: float(np.mean([table[key] for table in out.values()])) for key in shared}
        sites = sum(table["positives"] for table in out.values())
        _, said, right = self._bins
        out["mean"] = {
            "n": len(true),
            "positives": sites,
            "negatives_per_positive": (len(true) - sites) / sites if sites else None,
            **mean,
            "nll": self._loss / len(true) if len(true) else float("nan"),
            "miscalibration": float(np.abs(said - right).sum() / sites) if sites else float("nan"),
            "collapse": None,
        }
        return out

    def outlines(self) -> dict[str, Any]:
        """What a page draws (`metrics.outlines`): outputs, a class each but the first, ranked by
        log-odds; calibration of "a site of any class"; confusion by the likeliest class.
        """
        true = np.concatenate(self._labels) if self._labels else np.zeros(0, np.int8)
        chroms = np.repeat([name for name, _ in self._chroms], [n for _, n in self._chroms])
        outputs: dict[str, Outline] = {}
        for c, (name, parts) in enumerate(zip(self.names[1:], self._scores, strict=True), 1):
            scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
            named = chroms if len(chroms) == len(true) else None
            outputs[name] = outline(true == c, scores, named, probabilities=False)
        size = len(self.names)
        counts = self._confusion.reshape(size, size).tolist()
        return {
            "outputs": outputs,
            "calibration": {"any site": calibration_rows(*self._bins)},
            "confusion": {"names": list(self.names), "counts": counts},
        }


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn probabilities into log-odds: float32 keeps apart there what it would join near 1.

    Examples
    --------
    >>> log_odds(np.array([0.5, 1 - 1e-12])).round(2).tolist()
    [0.0, 27.6299991607666]
    """
    inside = np.clip(probability, 1e-300, 1 - 1e-16)
    return (np.log(inside) - np.log1p(-inside)).astype(np.float32)


def flat(scores: NDArray[np.float32], spread: float = 1e-2) -> str | None:
    """Name a model that says the same of every base; None where it does not.

    Examples
    --------
    >>> flat(np.zeros(20, np.float32))
    'flat scores: standard deviation 0 of the log-odds over 20 bases'
    """
    if len(scores) < 10:
        return None
    deviation = float(np.std(scores, dtype=np.float64))
    if deviation >= spread:
        return None
    return (
        f"flat scores: standard deviation {deviation:.2g} of the log-odds over {len(scores)} bases"
    )
