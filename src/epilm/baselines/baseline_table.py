"""Baselines with one face: fitted on a lesson's examples, they score any examples of its kind.

`BASELINES` is the table; a new one is a function and a line. Each is a logistic regression a factor
(or a class) on numbers read from the same rows that a model learns from; its penalty is chosen on
the valid rows, never on test. Needs scikit-learn. Axes: n rows, D numbers a row, F outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.baselines.base_models import (
    BASE_BASELINES,
    FittedMatrices,
    find_base_baseline,
    fit_base_baseline,
)
from epilm.baselines.features import Features
from epilm.baselines.sequence_models import canonical, kmer_counts
from epilm.errors import InputError, UsageError, nearest
from epilm.metrics.curves import ap
from epilm.motifs.matrix import best_of_sequences
from epilm.motifs.names import motifs_of
from epilm.tasks.base import LabelledSequences
from epilm.tasks.composition import gc_of
from epilm.tasks.lesson import Rows, TaskLesson

Floats = NDArray[np.float32]
Reader = Callable[[Any, Rows], Floats]  # examples, rows -> (n, D)
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, on standardised numbers
K, KMER_BP, MOTIF_BP = 4, 400, 240
MOST = 1 << 30  # more rows than an epoch has


@dataclass
class FittedBaseline:
    """A baseline that has learned.

    Attributes
    ----------
    readers, scalers, models : list, length F
        Of each output; None where it could not be learned.
    chosen : list of dict
        Penalty and AP on the valid rows, of each output.
    kind : str
        Of the labels: "classes" or "factors".
    """

    readers: list[Reader | None]
    scalers: list[Any]
    models: list[Any]
    chosen: list[dict[str, Any]]
    kind: str

    def score(self, examples: Any, rows: Rows) -> Floats:
        """Give probabilities of rows: (n, C) of classes, (n, F) of factors; 0.5 where unlearned."""
        columns = []
        for reader, scaler, model in zip(self.readers, self.scalers, self.models, strict=True):
            if reader is None:
                columns.append(np.full((len(rows), 1), 0.5))
                continue
            said = model.predict_proba(scaler.transform(reader(examples, rows)))
            columns.append(said if self.kind == "classes" else said[:, 1:])
        return np.concatenate(columns, 1).astype(np.float32)


class Baseline(NamedTuple):
    """One baseline.

    Attributes
    ----------
    readers : function (lesson, motifs) -> list of Reader or None
        What it reads for each output; None where that output cannot have it.
    needs_motifs : bool
    about : str
    """

    readers: Callable[[TaskLesson, Sequence[Any]], list[Reader | None]]
    needs_motifs: bool
    about: str


def check_baseline(name: str, lesson: TaskLesson, motifs: Sequence[Any] | None = None) -> None:
    """Refuse a baseline that cannot be fitted, before anything is learned; see `fit_baseline`.

    Raises
    ------
    UsageError
    """
    if lesson.labels.per_base:
        find_base_baseline(name)
        return
    if name in BASE_BASELINES:
        raise UsageError(
            "the baseline answers bases, and the task asks about rows",
            where="--beside",
            found=name,
            do=nearest(name, sorted(BASELINES)),
        )
    if name not in BASELINES:
        raise UsageError(
            "unknown baseline", where="--beside", found=name, do=nearest(name, sorted(BASELINES))
        )
    if BASELINES[name].needs_motifs and not motifs:
        raise UsageError(
            f"the baseline {name} needs motifs",
            do="Pass --motifs FILE or jaspar:2018, or a store built with --motifs.",
        )
    if lesson.labels.kind not in ("classes", "factors"):
        raise UsageError(
            "a baseline ranks classes or factors", found=f"labels of {lesson.labels.kind}"
        )


def fit_baseline(
    name: str, lesson: TaskLesson, motifs: Sequence[Any] | None = None
) -> tuple[FittedBaseline | FittedMatrices, list[str]]:
    """Fit a baseline on the rows of a lesson.

    Parameters
    ----------
    name : str
        Key of BASELINES; of answers to bases a key of BASE_BASELINES.
    lesson : TaskLesson
        Of classes or factors, a row or a base each.
    motifs : sequence of Motif, optional

    Returns
    -------
    FittedBaseline, notes
        Notes: outputs that the baseline cannot have.

    Raises
    ------
    UsageError
        If the name is unknown, it needs motifs, or the labels are numbers.
    """
    if lesson.labels.per_base:
        return fit_base_baseline(name, lesson)
    check_baseline(name, lesson, motifs)
    baseline, kind = BASELINES[name], lesson.labels.kind
    rows = np.unique(np.concatenate(lesson.draw.steps(0, MOST)))
    readers = baseline.readers(lesson, list(motifs or ()))
    names = [""] if kind == "classes" else list(lesson.labels.names)
    fitted = FittedBaseline([], [], [], [], kind)
    notes = []
    for column, (output, reader) in enumerate(zip(names, readers, strict=True)):
        made = None if reader is None else _fit_one(reader, lesson, rows, column)
        if made is None:
            why = "it has no motif in the collection" if reader is None else "one class alone"
            notes.append(f"{name}: {output or 'the set'} has no score, {why}")
            made = (None, None, {})
        scaler, model, chosen = made
        fitted.readers.append(None if model is None else reader)
        fitted.scalers.append(scaler)
        fitted.models.append(model)
        fitted.chosen.append(chosen)
    return fitted, notes


def _fit_one(
    reader: Reader, lesson: TaskLesson, rows: Rows, column: int
) -> tuple[Any, Any, dict[str, Any]] | None:
    """One regression; None where the training rows hold one class alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    def known(some: Rows) -> tuple[Rows, NDArray[Any]]:
        labels = lesson.examples.labels_of(some)
        labels = labels if labels.ndim == 1 else labels[:, column]
        return some[labels >= 0], labels[labels >= 0]

    learned, target = known(rows)
    if len(np.unique(target)) < 2:
        return None
    checked, truth = known(lesson.valid)
    numbers = reader(lesson.examples, learned)
    scaler = StandardScaler().fit(numbers)
    numbers, held_out = scaler.transform(numbers), None
    if len(checked):
        held_out = scaler.transform(reader(lesson.examples, checked))
    best, top, strength = None, -np.inf, 0.0
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=500, tol=1e-3).fit(numbers, target)
        score = penalty if held_out is None else _choose(truth, model.predict_proba(held_out))
        if score > top + 1e-9:
            best, top, strength = model, score, penalty
    return scaler, best, {"C": strength, "valid_ap": None if held_out is None else top}


def _choose(truth: NDArray[Any], said: NDArray[np.float64]) -> float:
    """AP of two classes; of more, the share that is right."""
    if said.shape[1] > 2:
        return float((said.argmax(1) == truth).mean())
    score = float(ap(truth, said[:, 1]))
    return -1.0 if np.isnan(score) else score


def codes_of(lesson: TaskLesson, width_bp: int) -> Callable[[Any, Rows], tuple[Any, Any]]:
    """Give what reads bases (n, W) and lengths (n,) of rows: their own, or around their place."""

    def read(examples: Any, rows: Rows) -> tuple[Any, Any]:
        if isinstance(examples, LabelledSequences):
            return examples.codes[rows], examples.lengths[rows]
        places = examples.take(rows)
        starts = places.starts - (width_bp - lesson.width) // 2
        codes = np.asarray(lesson.store.bases(places.chroms, starts, width_bp))
        return codes, np.full(len(codes), width_bp, np.int64)

    return read


def _everyone(reader: Reader, lesson: TaskLesson) -> list[Reader | None]:
    """The same numbers for every output."""
    return [reader] * (1 if lesson.labels.kind == "classes" else len(lesson.labels.names))


def _gc(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    def read(examples: Any, rows: Rows) -> Floats:
        share = gc_of(examples, rows, lesson.store, lesson.window_bp, lesson.width)
        return share[:, None]

    return _everyone(read, lesson)


def _kmer(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    bases, columns = codes_of(lesson, KMER_BP), np.unique(canonical(K))

    def read(examples: Any, rows: Rows) -> Floats:
        return kmer_counts(*bases(examples, rows), K, True)[:, columns]

    return _everyone(read, lesson)


def _scores(lesson: TaskLesson, motifs: Sequence[Any]) -> Reader:
    bases = codes_of(lesson, MOTIF_BP)

    def read(examples: Any, rows: Rows) -> Floats:
        return best_of_sequences(*bases(examples, rows), motifs)

    return read


def _motif(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    named = lesson.labels.names if lesson.labels.kind == "factors" else [lesson.about.get("factor")]
    readers: list[Reader | None] = []
    for factor in named:
        try:
            own = motifs_of(list(motifs), str(factor)) if factor else []
        except InputError:
            own = []
        readers.append(_scores(lesson, own) if own else None)
    return readers


def _motifs(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    return _everyone(_scores(lesson, motifs), lesson)


def _states(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    if lesson.store is None or lesson.store.states is None:
        return [None for _ in _everyone(_scores(lesson, motifs), lesson)]
    features = Features(
        lesson.store, 0, states=True, width=lesson.width, window_bp=lesson.window_bp
    )

    def read(examples: Any, rows: Rows) -> Floats:
        places = examples.take(rows)
        out: Floats | None = None
        for cell in np.unique(places.cells):
            mine = places.cells == cell
            values = features(int(cell), places.chroms[mine], places.starts[mine])
            out = np.zeros((len(rows), values.shape[1]), np.float32) if out is None else out
            out[mine] = values
        assert out is not None, "rows to be read"
        return out

    return _everyone(read, lesson)


BASELINES: dict[str, Baseline] = {
    "gc": Baseline(_gc, False, "share of G and C"),
    "kmer": Baseline(_kmer, False, f"counts of {K}-mers, either strand"),
    "motif": Baseline(_motif, True, "best score of the factor's own motif"),
    "motifs": Baseline(_motifs, True, "best scores of all motifs"),
    "states": Baseline(_states, False, "shares of chromatin states in bin and window"),
}
