"""What rules without a model reach on a set's own splits: what a score must be above to count.

Two rules. A Markov chain of each class (which short words follow each other) sees how sequences
were made. The training row that shares most long words with a row says what memory reaches: copies,
and negatives that are made of a positive in the other split. Classes of two; numpy only.
Axes: n rows, W bases.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from epilm.metrics.thresholded import mcc
from epilm.tasks.base import LabelledSequences
from epilm.tasks.lesson import TaskLesson

ORDER = 3  # bases that a chain looks back
WORD = 12  # bases of a shared word
RELATED = 0.05  # share of a row's words: by repeats and chance unrelated rows share a few
_BLOCK = 4096


def words_of(codes: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Number the words of k bases of rows, (n, W - k + 1), and say which hold no N.

    Examples
    --------
    >>> numbers, known = words_of(np.array([[0, 1, 4, 3]], np.uint8), 2)
    >>> numbers[0, 0], known.tolist()
    (np.int64(1), [[True, False, False]])
    """
    width = codes.shape[1] - k + 1
    if width < 1:
        return np.zeros((len(codes), 0), np.int64), np.zeros((len(codes), 0), bool)
    number = np.zeros((len(codes), width), np.int64)
    known = np.ones(number.shape, bool)
    for offset in range(k):
        base = codes[:, offset : offset + width]
        number = number * 4 + np.minimum(base, 3)
        known &= base < 4
    return number, known


class MarkovRule:
    """Log-likelihood ratio of two Markov chains, one a class; every word is counted once more.

    Parameters
    ----------
    train : LabelledSequences
        Of classes 0 and 1.
    order : int
        Bases that a chain looks back.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> rule = MarkovRule(labelled(["ACACACAC", "AAAACCCC"], [1, 0]), order=1)
    >>> (rule.scores(labelled(["CACACA", "CCCAAA"], [1, 0])) > 0).tolist()
    [True, False]
    """

    def __init__(self, train: LabelledSequences, order: int = ORDER) -> None:
        self.order = order
        logs = []
        for label in (0, 1):
            counts = np.ones(4 ** (order + 1))
            for number, known in _blocks(train.codes[train.labels == label], order + 1):
                counts += np.bincount(number[known], minlength=len(counts))
            table = counts.reshape(-1, 4)
            logs.append(np.log(table / table.sum(1, keepdims=True)).ravel())
        self.weights = logs[1] - logs[0]

    def scores(self, rows: LabelledSequences) -> NDArray[np.float64]:
        """Give the ratio of each row in nats, (n,): above 0 for class 1."""
        parts = [
            (self.weights[number] * known).sum(1)
            for number, known in _blocks(rows.codes, self.order + 1)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)


class NearestRule:
    """The label of the training row that shares most words with a row, 5 % of them at least.

    Parameters
    ----------
    train : LabelledSequences
    k : int
        Bases of a word.
    """

    def __init__(self, train: LabelledSequences, k: int = WORD) -> None:
        self.k, self.labels = k, train.labels
        words, rows = [], []
        for at, (number, known) in enumerate(_blocks(train.codes, k)):
            row, _ = np.nonzero(known)
            pairs = np.unique(np.stack([number[known], row + at * _BLOCK], 1), axis=0)
            words.append(pairs[:, 0])
            rows.append(pairs[:, 1])
        word, row = np.concatenate(words), np.concatenate(rows)
        order = np.argsort(word, kind="stable")
        self._words, self._rows = word[order], row[order]

    def labels_of(self, rows: LabelledSequences) -> NDArray[np.int64]:
        """Labels of the nearest training rows, (n,); -1 where none is related.

        Examples
        --------
        >>> from epilm.tasks.base import labelled
        >>> rule = NearestRule(labelled(["ACGTACGG", "TTTTTTTT"], [1, 0]), k=4)
        >>> rule.labels_of(labelled(["GGACGTAC", "CCCCCC"], [0, 0])).tolist()
        [1, -1]
        """
        out = np.full(len(rows), -1, np.int64)
        for row, (codes, length) in enumerate(zip(rows.codes, rows.lengths)):
            number, known = words_of(codes[None, :length], self.k)
            asked = np.unique(number[known])
            first = np.searchsorted(self._words, asked, "left")
            last = np.searchsorted(self._words, asked, "right")
            met = [self._rows[a:b] for a, b in zip(first, last) if b > a]
            if not met:
                continue
            shared = np.bincount(np.concatenate(met))
            if shared.max() >= RELATED * len(asked):
                out[row] = self.labels[shared.argmax()]
        return out


def _blocks(
    codes: NDArray[np.uint8], k: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    for at in range(0, len(codes), _BLOCK):
        yield words_of(codes[at : at + _BLOCK], k)


def audit(lesson: TaskLesson) -> list[str]:
    """Say what the two rules reach on the valid and test rows; nothing of other than two classes.

    Of the nearest training row the label is taken, or its opposite where that is right more often
    among the valid rows that have one: a negative that is made of a positive shares its words. A
    row without one has the chain's answer.
    """
    examples = lesson.examples
    fits = (
        isinstance(examples, LabelledSequences)
        and examples.kind == "classes"
        and examples.loci == 1
    )
    if not fits or len(lesson.labels.names) != 2 or "train" not in lesson.parts:
        return []
    train = examples.take(lesson.parts["train"])
    if len(np.unique(train.labels)) < 2:
        return []
    chain, nearest = MarkovRule(train), NearestRule(train)
    lines, turned = [], None
    for part, numbers in lesson.parts.items():
        rows = examples.take(numbers)
        if part == "train" or len(np.unique(rows.labels)) < 2:
            continue
        said = (chain.scores(rows) > 0).astype(np.int64)
        copied = nearest.labels_of(rows)
        related = copied >= 0
        if turned is None:  # valid comes first where there is one
            turned = bool(related.any() and (copied != rows.labels)[related].mean() > 0.5)
        answer = 1 - copied if turned else copied
        lines.append(
            f"AUDIT {part}: without a model order-{ORDER} Markov chains reach MCC"
            f" {mcc(rows.labels, said):.2f}; with the {'opposite ' if turned else ''}label of the"
            f" nearest training row, which {100 * related.mean():.0f} % of the rows have,"
            f" {mcc(rows.labels, np.where(related, answer, said)):.2f}"
        )
    return lines
