"""What a language model must beat: k-mer counts, and the motif known beforehand.

Each baseline is `fit(train, valid, seed) -> Fitted` with `Fitted.probabilities(rows)`, so that
they stand in one table with the models. Choices (k, strength of the penalty) are
made on the valid rows, never on test. Needs scikit-learn; motifs need `epilm.motifs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from epilm.metrics.curves import ap, auroc
from epilm.motifs.formats import read_collection
from epilm.motifs.matrix import best_of_sequences
from epilm.motifs.names import motifs_of
from epilm.tasks.base import LabelledSequences

Floats = NDArray[np.float64]


class Fitted(Protocol):
    """A baseline that has learned."""

    chosen: dict[str, Any]

    def probabilities(self, rows: LabelledSequences) -> Floats:
        """Give (N, C) probabilities."""


def kmer_counts(
    codes: NDArray[np.uint8], lengths: NDArray[np.int64], k: int, both_strands: bool = False
) -> NDArray[np.float32]:
    """Count the k-mers of each row.

    Parameters
    ----------
    codes : uint8 (N, W), lengths : int64 (N,)
    k : int
        1 to 8.
    both_strands : bool
        Count a k-mer and its reverse complement as one (the columns of the larger
        of the two stay 0, so that shapes do not depend on it).

    Returns
    -------
    float32 (N, 4**k)
        K-mers with N or padding are not counted; column number is the k-mer in
        base 4 with A C G T = 0 1 2 3.

    Examples
    --------
    >>> kmer_counts(np.array([[0, 1, 0, 1, 4]], np.uint8), np.array([4]), 2)[0, [1, 4]].tolist()
    [2.0, 1.0]
    """
    rows, width = codes.shape
    if width < k:
        return np.zeros((rows, 4**k), np.float32)
    number = np.zeros((rows, width - k + 1), np.int64)
    known = np.ones(number.shape, bool)
    for offset in range(k):
        base = codes[:, offset : offset + number.shape[1]]
        number = number * 4 + np.minimum(base, 3)
        known &= base < 4
    known &= np.arange(number.shape[1]) <= (lengths[:, None] - k)
    if both_strands:
        number = canonical(k)[number]
    flat = (np.arange(rows)[:, None] * 4**k + number)[known]
    return np.bincount(flat, minlength=rows * 4**k).reshape(rows, 4**k).astype(np.float32)


def canonical(k: int) -> NDArray[np.int64]:
    """Map each k-mer number to the smaller of it and its reverse complement.

    Examples
    --------
    >>> canonical(1).tolist()
    [0, 1, 1, 0]
    """
    number, rest = np.zeros(4**k, np.int64), np.arange(4**k)
    for _ in range(k):
        number = number * 4 + (3 - rest % 4)
        rest = rest // 4
    return np.minimum(number, np.arange(4**k))


@dataclass
class KmerModel:
    """Logistic regression on k-mer counts."""

    k: int
    both_strands: bool
    scaler: Any
    model: Any
    chosen: dict[str, Any] = field(default_factory=dict)

    def probabilities(self, rows: LabelledSequences) -> Floats:
        """Give (N, C) probabilities."""
        counts = kmer_counts(rows.codes, rows.lengths, self.k, self.both_strands)
        return np.asarray(self.model.predict_proba(self.scaler.transform(counts)), np.float64)


def fit_kmer(
    train: LabelledSequences,
    valid: LabelledSequences,
    *,
    ks: Sequence[int] = (3, 4, 5, 6),
    both_strands: bool | None = None,
    penalties: Sequence[float] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    seed: int = 0,
) -> KmerModel:
    """Fit k-mer logistic regression; k, strands and penalty are chosen by AP on the valid rows.

    Parameters
    ----------
    train, valid : LabelledSequences
    ks : sequence of int
    both_strands : bool, optional
        Count a k-mer and its reverse complement together; None tries both ways.
    penalties : sequence of float
        scikit-learn's C (smaller = stronger penalty) on standardised counts.
    seed : int
        Not used by the solver; part of the contract.

    Returns
    -------
    KmerModel
        `chosen` says k, strands, C and the AP on valid.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    best: KmerModel | None = None
    top = -np.inf
    for k in ks:
        for strands in (False, True) if both_strands is None else (both_strands,):
            counts = kmer_counts(train.codes, train.lengths, k, strands)
            # Rare k-mers would be blown up by a division by their tiny deviation.
            scaler = (StandardScaler() if k <= 4 else MaxAbsScaler()).fit(counts)
            learn = scaler.transform(counts)
            for penalty in penalties:
                strength = penalty if k <= 4 else penalty * 100
                model = LogisticRegression(C=strength, max_iter=500, tol=1e-3).fit(
                    learn, train.labels
                )
                fitted = KmerModel(k, strands, scaler, model)
                score = _choose_by(valid.labels, fitted.probabilities(valid))
                if score > top + 1e-9:
                    top, best = score, fitted
                    best.chosen = {
                        "k": k,
                        "both_strands": strands,
                        "C": strength,
                        "valid_ap": score,
                    }
    assert best is not None
    return best


@dataclass
class VectorModel:
    """Logistic regression on standardised vectors: of motif scores, of a frozen model."""

    scaler: Any
    model: Any
    chosen: dict[str, Any] = field(default_factory=dict)

    def probabilities(self, vectors: NDArray[Any]) -> Floats:
        """Give (N, C) probabilities of vectors (N, D)."""
        return np.asarray(self.model.predict_proba(self.scaler.transform(vectors)), np.float64)


def fit_vectors(
    vectors: NDArray[Any],
    labels: NDArray[np.int64],
    valid_vectors: NDArray[Any],
    valid_labels: NDArray[np.int64],
) -> VectorModel:
    """Fit logistic regression on standardised vectors; the penalty is chosen on the valid rows.

    Parameters
    ----------
    vectors, valid_vectors : float (N, D), (V, D)
    labels, valid_labels : int64 (N,), (V,)

    Returns
    -------
    VectorModel
        `chosen` says C and the AP on valid (AUROC where there are more than two classes).

    Examples
    --------
    >>> x = np.array([[0.0], [0.1], [0.9], [1.0]])
    >>> y = np.array([0, 0, 1, 1])
    >>> made = fit_vectors(x, y, x, y)
    >>> made.chosen, made.probabilities(x).argmax(1).tolist()
    ({'C': 1.0, 'valid_ap': 1.0}, [0, 0, 1, 1])
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(vectors)
    learn, check = scaler.transform(vectors), scaler.transform(valid_vectors)
    top, best = -np.inf, None
    # From the weakest: with one motif the order of scores, and so AP, is the same for all, and a
    # strong one leaves them flat.
    for penalty in (1.0, 1e-1, 1e-2, 1e-3, 1e-4):
        model = LogisticRegression(C=penalty, max_iter=1000).fit(learn, labels)
        score = _choose_by(valid_labels, model.predict_proba(check))
        if score > top + 1e-9:
            top, best = score, VectorModel(scaler, model, {"C": penalty, "valid_ap": score})
    assert best is not None
    return best


@dataclass
class MotifModel:
    """Logistic regression on best motif scores: one motif, or all of them."""

    motifs: list[Any]
    model: VectorModel
    chosen: dict[str, Any] = field(default_factory=dict)

    def probabilities(self, rows: LabelledSequences) -> Floats:
        """Give (N, C) probabilities."""
        return self.model.probabilities(best_of_sequences(rows.codes, rows.lengths, self.motifs))


def fit_motif(
    train: LabelledSequences,
    valid: LabelledSequences,
    *,
    motifs: str | Path | Sequence[Any],
    factor: str | None = None,
    seed: int = 0,
) -> MotifModel:
    """Fit the best score of a factor's own motif, or of all motifs together.

    Parameters
    ----------
    train, valid : LabelledSequences
    motifs : path, "jaspar:2018", or sequence of Motif
    factor : str, optional
        Use only the motifs of this factor (`motifs_of`); None uses all.
    seed : int
        Part of the contract.

    Raises
    ------
    InputError
        If no motif has that name.
    """
    collection = read_collection(motifs)
    used = motifs_of(collection, factor) if factor else list(collection)
    scores, valid_scores = (
        best_of_sequences(rows.codes, rows.lengths, used) for rows in (train, valid)
    )
    model = fit_vectors(scores, train.labels, valid_scores, valid.labels)
    names = [f"{m.id} {m.name}" for m in used] if factor else f"all {len(used)}"
    return MotifModel(used, model, {"motifs": names, "valid_ap": model.chosen["valid_ap"]})


def _choose_by(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    if probabilities.shape[1] == 2:
        score = ap(labels, probabilities[:, 1])
    else:
        score = auroc(labels, probabilities)
    return -1.0 if np.isnan(score) else score
