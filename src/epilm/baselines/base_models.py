"""What a model that answers each base must beat: the letters at the site, counted.

`BASE_BASELINES` is the table. Each counts the letters around the sites of the training rows and
scores a base by the log-odds of what stands around it (a site matrix, Laplace-smoothed), from the
shares of the classes: naive Bayes. Axes: n rows, W bases, C classes, J letters of a matrix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import UsageError, nearest
from epilm.tasks.composition import letters_at
from epilm.tasks.lesson import Rows, TaskLesson, same_sample

Floats = NDArray[np.float64]
AT_ONCE = 64  # rows in memory at a time
MOST = 4000  # training rows that are counted: 20 million bases
_SAMPLE = 0xDD  # beside the draws of training.epochs and tasks.lesson
_LETTERS = 5  # with N


class BaseBaseline(NamedTuple):
    """Which letters a baseline looks at.

    Attributes
    ----------
    around : mapping
        Class -> first and last base beside the answered one, 0 being it; of a class that is not
        named, `others`.
    others : (int, int)
    about : str
    """

    around: Mapping[str, tuple[int, int]]
    others: tuple[int, int]
    about: str


BASE_BASELINES: dict[str, BaseBaseline] = {
    "dinucleotide": BaseBaseline(
        {"acceptor": (-2, -1), "donor": (1, 2)},
        (1, 2),
        "the two letters beside each base (GT, AG); of answers to bases",
    ),
    # Three exonic bases and six of the intron; twenty of the intron and three exonic ones.
    "sitematrix": BaseBaseline(
        {"acceptor": (-20, 2), "donor": (-2, 6)},
        (-10, 10),
        "matrix of the letters around each site; of answers to bases",
    ),
}


@dataclass
class FittedMatrices:
    """Matrices that have been counted.

    Attributes
    ----------
    matrices : list of float (J, 5), length C - 1
        Log-odds of a letter; 0 for N.
    spans : list of (int, int)
        First and last base of each.
    prior : float (C,)
        Natural logarithms of the classes' shares.
    """

    matrices: list[Floats]
    spans: list[tuple[int, int]]
    prior: Floats

    def score(self, examples: Any, rows: Rows) -> Floats:
        """Give probabilities (n, W, C) of each base."""
        codes, answers = examples.take(rows).codes, examples.answers
        logits = np.zeros((len(rows), answers, len(self.prior)))
        logits += self.prior
        for c, (matrix, span) in enumerate(zip(self.matrices, self.spans, strict=True), 1):
            for column, offset in zip(matrix, range(span[0], span[1] + 1), strict=True):
                logits[..., c] += column[letters_at(codes, answers, offset)]
        logits -= logits.max(-1, keepdims=True)
        odds = np.exp(logits)
        said: Floats = odds / odds.sum(-1, keepdims=True)
        return said


def find_base_baseline(name: str) -> "BaseBaseline":
    """Look a baseline of answers to bases up by name.

    Raises
    ------
    UsageError
        Naming the nearest known one.
    """
    if name not in BASE_BASELINES:
        raise UsageError(
            "unknown baseline of answers to bases",
            where="--beside",
            found=name,
            do=nearest(name, sorted(BASE_BASELINES)),
        )
    return BASE_BASELINES[name]


def fit_base_baseline(name: str, lesson: TaskLesson) -> tuple[FittedMatrices, list[str]]:
    """Count the letters of a lesson's training rows.

    Parameters
    ----------
    name : str
        Key of BASE_BASELINES.
    lesson : TaskLesson
        Whose bases are answered each.

    Returns
    -------
    FittedMatrices, notes

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    baseline = find_base_baseline(name)
    names: Sequence[str] = lesson.labels.names
    spans = [baseline.around.get(each, baseline.others) for each in names[1:]]
    counts = [np.ones((last - first + 1, _LETTERS)) for first, last in spans]  # Laplace's one
    everywhere, classes = np.ones(_LETTERS), np.ones(len(names))
    every = np.unique(np.concatenate(lesson.draw.steps(0, MOST)))
    rows = same_sample(every, MOST, 0, _SAMPLE)
    examples = lesson.examples
    for at in range(0, len(rows), AT_ONCE):
        some = examples.take(rows[at : at + AT_ONCE])
        labels = examples.labels_of(rows[at : at + AT_ONCE])
        known = labels >= 0
        classes += np.bincount(labels[known], minlength=len(names))
        middle = letters_at(some.codes, examples.answers, 0)
        everywhere += np.bincount(middle[known], minlength=_LETTERS)
        for c, span in enumerate(spans, 1):
            mine = labels == c
            for j, offset in enumerate(range(span[0], span[1] + 1)):
                letters = letters_at(some.codes, examples.answers, offset)[mine]
                counts[c - 1][j] += np.bincount(letters, minlength=_LETTERS)
    background = np.log(everywhere[:4] / everywhere[:4].sum())
    matrices = []
    for table in counts:
        odds = np.log(table[:, :4] / table[:, :4].sum(1, keepdims=True)) - background
        matrices.append(np.pad(odds, ((0, 0), (0, 1))))
    notes = []
    if len(rows) < len(every):
        notes.append(f"{name}: counted on {len(rows):,} of {len(every):,} training rows")
    return FittedMatrices(matrices, spans, np.log(classes / classes.sum())), notes
