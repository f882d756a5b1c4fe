"""Baselines with one face: fitted on a lesson's examples, they score any examples of its kind.

`BASELINES` is the table; a new one is a function and a line. Each is a logistic regression a factor
(or a class), of numbers a ridge regression (`ridge`), on what is read from the same rows that a
model learns from; its penalty is chosen on the valid rows, never on test. Needs scikit-learn where
classes or factors are ranked. Axes: n rows, D numbers a row, F outputs.
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
from epilm.baselines.ridge import FittedRidge, fit_ridge
from epilm.baselines.sequence_models import canonical, kmer_counts
from epilm.errors import InputError, UsageError, nearest
from epilm.metrics.curves import ap
from epilm.motifs.matrix import best_of_sequences
from epilm.motifs.names import motifs_of
from epilm.tasks.base import LabelledSequences
from epilm.tasks.composition import gc_of, gc_of_codes
from epilm.tasks.lesson import Rows, TaskLesson
from epilm.tasks.locus_pairs import PairedSequences

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
    numbers_alone : bool
        It says nothing of classes or factors.
    loci : tuple of int
        How many loci a row may be.
    """

    readers: Callable[[TaskLesson, Sequence[Any]], list[Reader | None]]
    needs_motifs: bool
    about: str
    numbers_alone: bool = False
    loci: tuple[int, ...] = (1, 2)


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
    if lesson.loci not in BASELINES[name].loci:
        raise UsageError(
            "the baseline is of pairs of loci", where="--beside", found=name, do="Leave it out."
        )
    ranked = lesson.labels.kind in ("classes", "factors")
    if ranked and BASELINES[name].numbers_alone:
        raise UsageError(
            "the baseline says a number, and the labels are none",
            where="--beside",
            found=f"{name}, labels of {lesson.labels.kind}",
            do="Leave it out.",
        )
    if not ranked and lesson.labels.kind != "numbers":
        raise UsageError(
            "a baseline ranks classes or factors, or says numbers",
            where="--beside",
            found=f"labels of {lesson.labels.kind}",
            do="Leave it out.",
        )


def fit_baseline(
    name: str, lesson: TaskLesson, motifs: Sequence[Any] | None = None
) -> tuple[FittedBaseline | FittedMatrices | FittedRidge, list[str]]:
    """Fit a baseline on the rows of a lesson.

    Parameters
    ----------
    name : str
        Key of BASELINES; of answers to bases a key of BASE_BASELINES.
    lesson : TaskLesson
        Of classes, factors or numbers, a row or a base each.
    motifs : sequence of Motif, optional

    Returns
    -------
    FittedBaseline (of numbers FittedRidge, of bases FittedMatrices), notes
        Notes: outputs that the baseline cannot have.

    Raises
    ------
    UsageError
        If the name is unknown, it needs motifs, or it cannot say such labels.
    """
    if lesson.labels.per_base:
        return fit_base_baseline(name, lesson)
    check_baseline(name, lesson, motifs)
    baseline, kind = BASELINES[name], lesson.labels.kind
    rows = np.unique(np.concatenate(lesson.draw.steps(0, MOST)))
    readers = baseline.readers(lesson, list(motifs or ()))
    if kind == "numbers":
        if (reader := readers[0]) is None:
            raise UsageError(
                "the baseline is of classes or factors",
                where="--beside",
                found=name,
                do="Leave it out.",
            )
        return fit_ridge(reader, lesson, rows), []
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


def of_pairs(read: Reader) -> Reader:
    """Read rows that are pairs by both loci: the mean of their numbers, and how far they are apart.

    The larger of both is the mean and half of that distance, so a linear model has it too.
    """

    def both(examples: Any, rows: Rows) -> Floats:
        if not isinstance(examples, PairedSequences):
            return read(examples, rows)
        loci, pairs = examples.table_of_loci()
        used, at = np.unique(pairs[rows], return_inverse=True)
        u, v = read(loci, used)[at.reshape(-1, 2)].transpose(1, 0, 2)
        return np.concatenate([(u + v) / 2, np.abs(u - v)], 1)

    return both


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
    return [of_pairs(reader)] * (1 if lesson.labels.kind == "classes" else len(lesson.labels.names))


def _gc(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    def read(examples: Any, rows: Rows) -> Floats:
        share = gc_of(examples, rows, lesson.store, lesson.window_bp, lesson.width)
        return share[:, None]

    return _everyone(read, lesson)


def _cpg(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    bases = codes_of(lesson, KMER_BP)

    def read(examples: Any, rows: Rows) -> Floats:
        codes, lengths = bases(examples, rows)
        return np.stack([gc_of_codes(codes), cpg_of(codes, lengths)], 1)

    return _everyone(read, lesson)


def cpg_of(codes: NDArray[np.uint8], lengths: NDArray[np.int64]) -> Floats:
    """CpG per base over what the shares of C and G make expected (Gardiner-Garden), (n,); 0 where
    there is no C or no G.

    Examples
    --------
    >>> cpg_of(np.array([[1, 2, 1, 2], [1, 1, 2, 2]], np.uint8), np.array([4, 4])).tolist()
    [2.0, 1.0]
    """
    pairs = ((codes[:, :-1] == 1) & (codes[:, 1:] == 2)).sum(1)
    expected = (codes == 1).sum(1) * (codes == 2).sum(1) / np.maximum(lengths, 1)
    return np.where(expected > 0, pairs / np.maximum(expected, 1e-9), 0).astype(np.float32)


def _mean(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    return _everyone(lambda examples, rows: np.zeros((len(rows), 0), np.float32), lesson)


def _distance(lesson: TaskLesson, motifs: Sequence[Any]) -> list[Reader | None]:
    def read(examples: Any, rows: Rows) -> Floats:
        logs = np.log(np.maximum(examples.distance[rows], 1)).astype(np.float32)
        return np.stack([logs, logs**2], 1)

    outputs = 1 if lesson.labels.kind == "classes" else len(lesson.labels.names)
    return [read if lesson.loci == 2 else None] * outputs


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
    "cpg": Baseline(_cpg, False, "share of G and C, and CpG over what it makes expected"),
    "distance": Baseline(_distance, False, "bases between two loci; of pairs", loci=(2,)),
    "mean": Baseline(_mean, False, "mean of the training rows; of numbers", numbers_alone=True),
    "kmer": Baseline(_kmer, False, f"counts of {K}-mers, either strand"),
    "motif": Baseline(_motif, True, "best score of the factor's own motif"),
    "motifs": Baseline(_motifs, True, "best scores of all motifs"),
    "states": Baseline(_states, False, "shares of chromatin states in bin and window"),
}
