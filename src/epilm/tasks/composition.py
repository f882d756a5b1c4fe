"""The share of G and C around each row, and the letters beside each base: what a model must be
better than to have found anything.

Bound bins and promoters are rich in G and C, and a model that has learned nothing else ranks them
well. Axes: n rows.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.metrics.bin_scores import score_bins
from epilm.metrics.curves import ap
from epilm.metrics.level import Difference, difference
from epilm.tasks.base import LabelledSequences
from epilm.tasks.lesson import Rows, TaskLesson
from epilm.tasks.locus_pairs import PairedSequences

BLOCK = 8192  # rows whose bases are in memory at a time
LEAST_JUDGED = 20  # rows of either class; fewer than two a fold say nothing


def gc_of_codes(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give the share of G and C among the known bases of each row; 0 where there is none.

    Examples
    --------
    >>> gc_of_codes(np.array([[0, 1, 2, 4], [4, 4, 4, 4]], np.uint8)).round(3).tolist()
    [0.6669999957084656, 0.0]
    """
    known = (codes < 4).sum(1)
    rich = ((codes == 1) | (codes == 2)).sum(1)
    return (rich / np.maximum(known, 1)).astype(np.float32)


def letters_at(codes: NDArray[np.uint8], answers: int, offset: int) -> NDArray[np.uint8]:
    """Letters so many bases beside each answered one, (n, W); N beyond the window.

    Examples
    --------
    >>> letters_at(np.array([[0, 1, 2, 3]], np.uint8), 2, 1).tolist()
    [[2, 3]]
    >>> letters_at(np.array([[0, 1, 2, 3]], np.uint8), 2, -2).tolist()
    [[4, 0]]
    """
    first = (codes.shape[1] - answers) // 2 + offset
    beyond = max(-first, first + answers - codes.shape[1], 0)
    padded = np.pad(codes, ((0, 0), (beyond, beyond)), constant_values=4)
    return padded[:, first + beyond : first + beyond + answers]


def gc_of(
    examples: Any, rows: Rows, store: Any = None, window_bp: int = 0, width: int = 0
) -> NDArray[np.float32]:
    """Give the share of G and C of rows: of their own bases (of a
    pair the mean), or of the window around their place.

    Parameters
    ----------
    examples : Examples
    rows : int64 (n,)
    store : Store, optional
        Where places lie.
    window_bp, width : int
        Bases of the window, and of the place in its middle.
    """
    if isinstance(examples, PairedSequences):
        both = [gc_of_codes(each.codes[rows]) for each in (examples, examples.second)]
        return np.asarray(np.mean(both, axis=0), np.float32)
    if isinstance(examples, LabelledSequences):
        return gc_of_codes(examples.codes[rows])
    out = np.zeros(len(rows), np.float32)
    for at in range(0, len(rows), BLOCK):
        places = examples.take(rows[at : at + BLOCK])
        starts = places.starts - (window_bp - width) // 2
        bases = np.asarray(store.bases(places.chroms, starts, window_bp))
        out[at : at + BLOCK] = gc_of_codes(bases)
    return out


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Of labels that are 1, 0, or below 0 where not known."""
    known = labels >= 0
    return float(ap(labels[known], scores[known]))


def said_of_gc(name: str, over: Difference, mine: float) -> str:
    """A line on a model and G+C alone.

    Examples
    --------
    >>> said_of_gc("CTCF", Difference(0.0003, 0.0008), 0.0163)
    'CTCF: AP 0.0163, G+C content alone 0.0160 (difference +0.0003, standard error 0.0008): this is
    G+C content'
    """
    verdict = ": this is G+C content" if over.level else ""
    return (
        f"{name}{': ' if name else ''}AP {mine:.4f}, G+C content alone {mine - over.value:.4f}"
        f" (difference {over.value:+.4f}, standard error {over.error:.4f}){verdict}"
    )


def gc_verdicts(lesson: TaskLesson, rows: Rows, said: NDArray[Any]) -> list[tuple[str, Difference]]:
    """Hold what a model says of rows against their G+C content, output by output.

    Parameters
    ----------
    lesson : TaskLesson
        Of two classes, or of factors; nothing is said of other labels.
    rows : int64 (n,)
    said : float (n, outputs)

    Returns
    -------
    list of (line, Difference)
        Outputs of one class alone among these rows are left out.
    """
    names = lesson.labels.names
    labels = lesson.examples.labels_of(rows)
    if lesson.labels.kind == "classes" and len(names) == 2:
        columns = {"": (labels, said[:, 1])}
    elif lesson.labels.kind == "factors":
        columns = {name: (labels[:, f], said[:, f]) for f, name in enumerate(names)}
    else:
        return []
    share = gc_of(lesson.examples, rows, lesson.store, lesson.window_bp, lesson.width)
    out = []
    for name, (truth, scores) in columns.items():
        if min((truth == 1).sum(), (truth == 0).sum()) < LEAST_JUDGED:
            continue
        # Whichever direction ranks better: sites may be poor in G and C.
        poor = average_precision(truth, -share) > average_precision(truth, share)
        turned = -share if poor else share
        over = difference(truth, scores, turned, average_precision)
        out.append((said_of_gc(name, over, average_precision(truth, scores)), over))
    return out


def gc_scores(labels: NDArray[np.int8], share: NDArray[np.float32]) -> dict[str, Any]:
    """Score G+C alone as a table of binding, in whichever direction ranks better."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class alone: said among the table's warnings
        tables = [dict(score_bins(labels, turned)) for turned in (share, -share)]
    return max(tables, key=lambda table: -1.0 if np.isnan(table["ap"]) else table["ap"])
