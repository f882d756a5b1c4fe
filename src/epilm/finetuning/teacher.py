"""What the loop of epochs asks of a lesson: windows, losses, and scores of rows.

Scores of a part are of all its rows. Where bases are answered each they are tallied a piece at a
time, and never held for all rows. Several processes answer a share each.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.device import Place
from epilm.errors import TrainingError, UsageError
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.scorer import (
    BATCH,
    logits_of,
    logits_of_windows,
    rows_at_once,
    said_of,
)
from epilm.finetuning.windows import Reading, shifts_of
from epilm.metrics.sites import SiteTally
from epilm.tasks.label_kinds import Classes, labels_from
from epilm.tasks.labels import LabelsOfBases, Tables
from epilm.tasks.lesson import Rows, TaskLesson, same_sample
from epilm.training.engine import Team
from epilm.training.epochs import Judged

MOST_CALIBRATED = 512  # valid rows whose bases a temperature is fitted on
CALIBRATED_BASES = 1 << 18  # of them that are no site; all sites are taken
CALIBRATED = 0xDB  # beside the draws of training.epochs and tasks.lesson


class Teacher:
    """What the loop asks: windows, losses and scores of a lesson's examples.

    Several processes (`team`) each answer a share of the rows that are scored; the first gets all
    answers in the order of the rows, and alone scores them. With `score_in_fp32` rows are scored in
    fp32 whatever they are learned in.
    """

    def __init__(
        self,
        model: Finetuned,
        lesson: TaskLesson,
        reading: Reading,
        options: Any,
        team: Team | None = None,
        score_in_fp32: bool = False,
    ) -> None:
        self.model, self.lesson, self.reading, self.options = model, lesson, reading, options
        self.metric, self.team, self.score_in_fp32 = lesson.metric, team or Team(), score_in_fp32

    def steps(self, epoch: int) -> list[Rows]:
        """Rows of each step of an epoch."""
        return self.lesson.draw.steps(epoch, self.options.batch_size)

    def loss(
        self, rows: Rows, strands: NDArray[np.bool_] | None, epoch: int, place: Place
    ) -> Tensor:
        """Sum of the losses of rows."""
        windows, labels = self.read(rows, strands, epoch)
        windows, labels = windows.to(place.device), labels.to(place.device)
        # The head in fp32 here too: what is learned is what will be predicted.
        logits = logits_of_windows(self.model.network, windows, place.autocast)
        return self.lesson.labels.loss(logits, labels, self.options.label_smoothing)

    def read(self, rows: Rows, strands: NDArray[np.bool_] | None, epoch: int) -> tuple[Any, Tensor]:
        """Windows and labels of rows."""
        if self.model.about.get("strands") == "both" and not self.model.both_strands:
            strands = None  # the network reads both by itself
        most = getattr(self.options, "jitter", 0)  # of tasks whose rows are places
        shifts = shifts_of(rows, most, self.options.seed, epoch) if most else None
        labels = torch.from_numpy(self.lesson.examples.labels_of(rows))
        return self.reading.windows(rows, strands, shifts), labels

    def known(self, rows: Rows) -> int:
        """Labels that count."""
        return self.lesson.labels.known(self.lesson.examples.labels_of(rows))

    def where(self, rows: Rows) -> str:
        """What rows are."""
        return ", ".join(self.lesson.examples.origin_of(int(row)) for row in rows)

    def judge(self, place: Place) -> Judged | None:
        """Score the valid part."""
        rows = self.lesson.valid
        if not len(rows):
            return None
        scored = self.scores(rows, place)
        return Judged(*self.team.first_does(lambda: self._judged(scored)))

    def _judged(self, scored: "Scored | None") -> Judged:
        assert scored is not None, "asked of the first process"
        tables = scored.tables
        # A table beside those of the outputs (what differs between them) may lack it.
        values = [table.get(self.metric, float("nan")) for table in tables.values()]
        score = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        columns = {
            f"valid_{name}_{key}" if name and len(tables) > 1 else f"valid_{key}": value
            for name, table in tables.items()
            for key, value in table.items()
            if key not in ("n", "collapse")
        }
        return Judged(score, columns, tables)

    def scores(self, rows: Rows, place: Place) -> "Scored | None":
        """Tables of rows, and what was said of them; None in all processes but the first."""
        labels = self.lesson.labels
        if labels.per_base:
            tally = tallied(self.lesson, rows, partial(self._said, place), self.team.ranks.world)
            return Scored(tally.tables(), tally=tally) if self.team.ranks.first else None
        logits = self.logits(rows, place)
        if logits is None:
            return None
        true = self.lesson.examples.labels_of(rows)
        said = said_of(self.model.labels, logits)
        # Ranks are those of the logits: many probabilities of float32 are equal near 0 and 1.
        judged = logits if self.model.labels.kind == "factors" else said
        return Scored(labels.scores(true, judged), said)

    def _said(self, place: Place, rows: Rows) -> NDArray[Any] | None:
        logits = self.logits(rows, place)
        return None if logits is None else said_of(self.lesson.labels, logits)

    def logits(self, rows: Rows, place: Place) -> NDArray[np.float32] | None:
        """Answers of rows, all finite; None in all processes but the first."""
        # What learning has room for, this has: it keeps no activations.
        batch = min(self.options.micro_batch or self.options.batch_size, BATCH)
        mine = rows[self.team.ranks.share(len(rows))]
        answers = np.zeros((0, 1), np.float32)
        place = place._replace(bf16=place.bf16 and not self.score_in_fp32)
        if len(mine):
            answers = logits_of(
                self.model, self.reading, mine, place=place, batch=batch, option="--micro-batch"
            )
        joined = self.team.ranks.to_first(torch.from_numpy(answers), self.team.device)
        logits = None if joined is None else joined.numpy()
        self.team.first_does(partial(_check_answers, logits))
        return logits

    def divide(self, place: Place) -> str | None:
        """Find where the second of two classes begins, on the valid part; a line on it."""
        lesson = self.lesson
        if self.options.threshold != "valid":
            return None
        classes, rows = cast(Classes, lesson.labels), lesson.valid
        logits = self.logits(rows, place)

        def fitted() -> float:
            assert logits is not None, "asked of the first process"
            true = lesson.examples.labels_of(rows)
            return classes.with_threshold(true, said_of(classes, logits)).threshold

        threshold = self.team.first_does(fitted)
        lesson.labels = Classes(classes.names, classes.weights, threshold)
        self.model.about["labels"] = lesson.labels.described()
        name = classes.names[1]
        return (
            f"{name} from a probability of {threshold:.3f} on, fitted on {len(rows):,} valid rows"
        )

    def calibrate(self, place: Place) -> str | None:
        """Fit the temperature of answers to bases on the valid part; a line on it."""
        lesson, team = self.lesson, self.team
        if not lesson.labels.per_base or not len(lesson.valid):
            return None
        answered = cast(LabelsOfBases, lesson.labels)
        rows = same_sample(lesson.valid, MOST_CALIBRATED, self.options.seed, CALIBRATED)
        width = lesson.examples.answers
        share = min(1.0, CALIBRATED_BASES / (len(rows) * width))
        drawn = []
        for piece in pieces_of(rows, rows_at_once(lesson.examples) * team.ranks.world):
            labels = lesson.examples.labels_of(piece)
            logits = self.logits(piece, place)
            if logits is not None:
                drawn.append(answered.calibration_sample(logits, labels, piece, share))

        def fitted() -> float | None:
            logits, true, weights = (np.concatenate(column) for column in zip(*drawn, strict=True))
            if not len(true):
                return None
            return answered.with_temperature(logits, true, weights).temperature

        if (temperature := team.first_does(fitted)) is None:
            return None
        lesson.labels = labels_from(answered.described() | {"temperature": temperature})
        self.model.about["labels"]["temperature"] = temperature
        return f"temperature {temperature:.3f}, fitted on {len(rows):,} valid rows"


def check_threshold(lesson: TaskLesson, options: Any) -> None:
    """Refuse a threshold where there are not two classes.

    Raises
    ------
    UsageError
    """
    names, kind = lesson.labels.names, lesson.labels.kind
    if options.threshold == "valid" and (kind != "classes" or len(names) != 2):
        raise UsageError(
            "only between two classes is there one threshold",
            where="--threshold valid",
            found=f"{len(names)} {kind}",
            do="Leave it out.",
        )


def _check_answers(logits: NDArray[np.float32] | None) -> None:
    """Refuse answers that are no numbers.

    Raises
    ------
    TrainingError
    """
    assert logits is not None, "asked of the first process"
    if wrong := int((~np.isfinite(logits).reshape(len(logits), -1)).any(1).sum()):
        raise TrainingError(
            "the model's scores are not finite",
            found=f"{wrong} of {len(logits)} rows",
            do=(
                "Lower --lr or raise --warmup: the last steps went too far; the run goes on"
                " from its last epoch."
            ),
        )


def pieces_of(rows: Rows, count: int) -> Iterable[Rows]:
    """Rows, so many at a time.

    Examples
    --------
    >>> [piece.tolist() for piece in pieces_of(np.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    return (rows[at : at + count] for at in range(0, len(rows), count))


class Scored(NamedTuple):
    """Rows, scored.

    Attributes
    ----------
    tables : dict
        Output -> scores.
    said : array or None
        Probabilities; None where each base is answered.
    tally : SiteTally or None
        Of answers to bases.
    """

    tables: Tables
    said: NDArray[Any] | None = None
    tally: SiteTally | None = None

    def outlines(self, lesson: TaskLesson, rows: Rows) -> dict[str, Any]:
        """What a page draws of the rows (`metrics.outlines`)."""
        if self.tally is not None:
            return self.tally.outlines()
        assert self.said is not None
        examples = lesson.examples
        return lesson.labels.outlines(examples.labels_of(rows), self.said, examples.chroms_of(rows))


def tallied(
    lesson: TaskLesson,
    rows: Rows,
    answer: Callable[[Rows], NDArray[Any] | None],
    processes: int = 1,
) -> SiteTally:
    """Tally rows whose bases are answered each, a piece of the rows in memory at a time.

    Parameters
    ----------
    answer : function of rows
        Probabilities (n, W, C); None where another process has them.
    processes : int
        That share a piece.
    """
    tally = cast(LabelsOfBases, lesson.labels).tally()
    for piece in pieces_of(rows, rows_at_once(lesson.examples) * processes):
        if (said := answer(piece)) is not None:
            chroms = lesson.examples.chroms_of(piece)
            tally.add(lesson.examples.labels_of(piece), said, chroms)
    return tally
