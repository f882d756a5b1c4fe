"""Cross-validation over people: folds that keep families together, classifiers, what they say.

Every number that is learned (means, axes, weights, the strength of the penalty) comes from the
training people of a fold. The same people, columns and seed give the same probabilities.
Axes: N people, P columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.cohorts.columns import Floats, PeopleColumns, Rows
from epilm.errors import InputError, UsageError

Classifier = Literal["logistic", "mlp"]
INNER = 3  # folds in which the penalty is chosen
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C: smaller is stronger
DECAYS = (1e-2, 1.0, 10.0)  # scikit-learn's alpha of the MLP: larger is stronger
HIDDEN = 16
CONSTANT = "constant"


@dataclass(frozen=True)
class OutOfFold:
    """What a classifier says of people it did not learn from.

    Attributes
    ----------
    probabilities : float64 (N,)
        Of being a case.
    chosen : list of float
        Strength of the penalty in each fold; NaN where there is none.
    columns : int
        How many numbers of a person it read, in the last fold.
    """

    probabilities: Floats
    chosen: list[float]
    columns: int


def check_labels(labels: Rows, folds: int, where: str) -> None:
    """Refuse what cannot be cross-validated.

    Raises
    ------
    InputError
        If there is one class only, or a class has fewer people than there are folds.
    UsageError
        If there are fewer than two folds.
    """
    if folds < 2:
        raise UsageError("impossible value", where="--folds", found=folds, expected="at least 2")
    cases, controls = int(labels.sum()), int((1 - labels).sum())
    if not cases or not controls:
        raise InputError(
            "there is one class only",
            where=where,
            found=f"{cases} cases, {controls} controls with genotypes",
            expected="both",
        )
    if min(cases, controls) < folds:
        raise InputError(
            "a class has fewer people than there are folds",
            where=where,
            found=f"{cases} cases, {controls} controls, {folds} folds",
            do=f"Give --folds {min(cases, controls)} or fewer, or more people."
            if min(cases, controls) > 1
            else "Give more people.",
        )


def folds_of(
    labels: Rows, folds: int, seed: int, groups: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Deal people to folds with equal shares of cases, groups whole.

    Parameters
    ----------
    labels : int (N,)
    folds : int
    seed : int
    groups : sequence of str (N,), optional

    Returns
    -------
    int64 (N,)
        The fold in which a person is tested.

    Raises
    ------
    InputError
        If there are fewer groups than folds, or a fold would learn from one class.

    Examples
    --------
    >>> fold = folds_of(np.array([0, 0, 1, 1] * 3), 3, 0, list("aabbccddeeff"))
    >>> np.bincount(fold).tolist(), all(fold[0::2] == fold[1::2])
    ([4, 4, 4], True)
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    blank = np.zeros((len(labels), 1))
    out = np.full(len(labels), -1, np.int64)
    if groups is None:
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(blank, labels)
    else:
        names, numbers = np.unique(np.asarray(groups), return_inverse=True)
        if len(names) < folds:
            raise InputError(
                "there are fewer groups than folds",
                where="--group-by",
                found=f"{len(names)} groups, {folds} folds",
                do=f"Give --folds {len(names)}." if len(names) > 1 else "Group by another column.",
            )
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        parts = cut.split(blank, labels, numbers)
    for number, (_, test) in enumerate(parts):
        out[test] = number
    for number in range(folds):
        learned = labels[out != number]
        if len(np.unique(learned)) < 2 or not (out == number).any():
            raise InputError(
                "a fold would have nothing to learn from or to test on: the groups are too unlike",
                where=f"fold {number + 1} of {folds}",
                found=f"{int(learned.sum())} cases, {int((1 - learned).sum())} controls to learn"
                f" from, {int((out == number).sum())} people to test",
                do="Give fewer --folds, or group by another column.",
            )
    return out


def cross_validate(
    arms: Mapping[str, PeopleColumns | None],
    labels: Rows,
    fold: NDArray[np.int64],
    *,
    classifier: Classifier = "logistic",
    groups: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> dict[str, OutOfFold]:
    """Let each arm learn in every fold and say what it thinks of the others.

    Parameters
    ----------
    arms : mapping of str to PeopleColumns, or None for the share of cases alone
    labels, fold : int (N,)
    classifier : {"logistic", "mlp"}
        The strength of the penalty is chosen by log-loss in folds within the training people.
    groups : sequence of str (N,), optional
        Kept whole there too.
    seed : int
    say : callable, optional

    Returns
    -------
    dict of str to OutOfFold
    """
    out: dict[str, OutOfFold] = {}
    for name, columns in arms.items():
        probabilities = np.full(len(labels), np.nan)
        chosen: list[float] = []
        width = 0
        for number in range(int(fold.max()) + 1):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            table = np.zeros((len(labels), 0)) if columns is None else columns(train)
            width = table.shape[1]
            if not width:
                probabilities[test] = labels[train].mean()
                chosen.append(float("nan"))
                continue
            inside = None if groups is None else [groups[int(row)] for row in train]
            fitted, strength = fit(
                table[train], labels[train], classifier=classifier, groups=inside, seed=seed
            )
            probabilities[test] = fitted(table[test])
            chosen.append(strength)
        out[name] = OutOfFold(probabilities, chosen, width)
        if say is not None:
            say(f"{name}: {width:,} numbers of a person")
    return out


Says = Callable[[Floats], Floats]


def fit(
    table: Floats,
    labels: Rows,
    *,
    classifier: Classifier = "logistic",
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Says, float]:
    """Choose the strength of the penalty and learn from all training people.

    Parameters
    ----------
    table : float (N, P)
        Standardised.
    labels : int (N,)

    Returns
    -------
    function
        (n, P) to the probabilities (n,) of being a case.
    float
        C of the logistic regression, alpha of the MLP.
    """
    table, turn = _rotated(table)
    learn = _logistic if classifier == "logistic" else _mlp
    strengths = PENALTIES if classifier == "logistic" else DECAYS
    try:
        fold = folds_of(labels, INNER, seed, groups)
    except (InputError, ValueError):  # too few people or groups: without a choice
        fold = None
    best, least = strengths[len(strengths) // 2], np.inf
    for strength in strengths if fold is not None else ():
        loss = 0.0
        for number in range(INNER):
            said = learn(table[fold != number], labels[fold != number], strength, seed)
            loss += _log_loss(labels[fold == number], said(table[fold == number]))
        if loss < least:
            best, least = strength, loss
    said = learn(table, labels, best, seed)
    return (lambda rows: said(turn(rows))), best


def _rotated(table: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Where there are more columns than people: their coordinates in the span of these people.

    An L2 penalty does not see a rotation, and what is outside of the span has weight 0.
    """
    if table.shape[1] <= table.shape[0]:
        return table, lambda rows: rows
    _, size, axes = np.linalg.svd(table, full_matrices=False)
    axes = axes[size > 1e-10 * max(size.max(), 1e-300)]
    return table @ axes.T, lambda rows: rows @ axes.T


def _logistic(table: Floats, labels: Rows, strength: float, seed: int) -> Says:
    from sklearn.linear_model import LogisticRegression

    # Exact steps: the number of columns is at most that of people.
    model: Any = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200)
    model.fit(table, labels)
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1], np.float64)


def _mlp(table: Floats, labels: Rows, strength: float, seed: int) -> Says:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model: Any = MLPClassifier(
        (HIDDEN,), solver="lbfgs", alpha=strength, max_iter=60, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are limited on purpose
        model.fit(table, labels)
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1], np.float64)


def _log_loss(labels: Rows, probabilities: Floats) -> float:
    p = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return float(-np.where(labels == 1, np.log(p), np.log1p(-p)).sum())
