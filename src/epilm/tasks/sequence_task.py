"""Tasks of sequences with bases of their own: one class of label each, read by a loader.

A new one is a loader and a line: `SequenceTask("name", load, ("no", "yes"), ...)`; what else its
loader takes is a field of its options. Numpy only until something is scored.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.errors import InputError, UsageError
from epilm.tasks.base import LabelledSequences, describe
from epilm.tasks.contract import Say, Scorer, Task
from epilm.tasks.label_kinds import Classes
from epilm.tasks.lesson import AllOnce, TaskLesson
from epilm.tasks.sequence_predictions import SequencePredictions, pieces
from epilm.tasks.sequence_scores import Evaluation, no_such_run, read_predictions, score
from epilm.tasks.splits import overlap_between, split_rows
from epilm.training.learning import Learning

HERE = {"data": True}  # where the data are: their own digest is in the run
How = Literal["auto", "random", "chromosome", "given"]


@dataclass(frozen=True)
class DataOptions:
    """How labelled sequences are read and divided."""

    genome: Any = field(default=None, metadata=HERE | {"type": list[Path]})
    """FASTA, .2bit or a store; repeat it for several files."""
    negative: Any = field(default=None, metadata=HERE | {"type": Path})
    """FASTA of the negatives."""
    valid: tuple[str, ...] = field(default=(), metadata=HERE)
    """Chromosomes or regions (chr20:9000000-11095000) of the valid split."""
    test: tuple[str, ...] = field(default=(), metadata=HERE)
    """Chromosomes or regions of the test split."""
    data_seed: int = field(default=0, metadata=HERE)
    """Of made negatives and random splits; kept apart from the seed of training."""


@dataclass(frozen=True)
class SequenceOptions(DataOptions, Learning):
    """All that fine-tuning on sequences can be told."""

    split: How = field(default="auto", metadata=HERE)
    """How rows are divided; auto keeps a given split, else uses --test, else is random."""
    fusion: Literal["none", "concat", "cross_attention"] = "none"
    """Also read the motif scores of the input itself; needs --motifs."""
    motifs: Any = field(default=None, metadata=HERE | {"type": str})
    """Motif file or jaspar:2018: the collection of the model's store, for --fusion."""


@dataclass(frozen=True)
class SequencePredictOptions:
    """Where sequences to predict lie."""

    genome: Any = field(default=None, metadata={"type": list[Path]})
    """FASTA, .2bit or a store, for intervals; repeat it for several files."""
    window: int | None = None
    """For intervals: bp around the centre instead of their own bases."""


@dataclass(frozen=True)
class SequenceEvaluateOptions(DataOptions):
    """Which sequences are scored, and against what."""

    split: Literal["none", "auto", "random", "chromosome", "given"] = "none"
    """How to divide new data; none scores all of it."""
    store: Any = field(default=None, metadata={"type": Path})
    """Store of the pre-training: counts the test sequences that overlap its regions."""


class SequenceTask(Task):
    """A task whose rows bring their bases.

    Parameters
    ----------
    name : str
    load : function (data, *, genome, seed, **options) -> LabelledSequences
        Not yet split, unless the files carry a split.
    label_names : tuple of str
        Names of classes 0..C-1; empty where the file decides.
    about, data : str
        A line for people; which files it takes.
    options : dataclass
        Starts from SequenceOptions; its further fields are arguments of `load`.
    evaluating : dataclass
        Starts from SequenceEvaluateOptions, likewise.
    """

    def __init__(
        self,
        name: str,
        load: Callable[..., LabelledSequences],
        label_names: tuple[str, ...] = (),
        about: str = "",
        data: str = "",
        *,
        options: type[SequenceOptions] = SequenceOptions,
        evaluating: type[SequenceEvaluateOptions] = SequenceEvaluateOptions,
    ) -> None:
        self.name, self.load, self.label_names = name, load, label_names
        self.about, self.data = about, data
        self._options = {
            "finetune": options,
            "predict": SequencePredictOptions,
            "evaluate": evaluating,
        }

    def options_of(self, verb: str) -> type:
        """The dataclass of a verb's options."""
        return self._options[verb]

    def rows(self, data: Any, options: Any) -> LabelledSequences:
        """Read labelled sequences, or take them as they are; not yet split."""
        if isinstance(data, LabelledSequences):
            return data
        base = {
            each.name
            for kind in (SequenceOptions, SequenceEvaluateOptions)
            for each in fields(kind)
        }
        extra = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in base}
        if options.negative is not None:
            extra["negative"] = options.negative
        return self.load(data, genome=options.genome, seed=options.data_seed, **extra)

    def lesson(self, data: Any, options: Any, say: Say) -> TaskLesson:
        """See `Task.lesson`."""
        rows = split_rows(
            self.rows(data, options),
            how=options.split,
            seed=options.data_seed,
            valid=options.valid,
            test=options.test,
        )
        names = self.names_of(rows)
        train = np.flatnonzero(rows.split == "train")
        if not len(train):
            raise UsageError(
                "the train split is empty", where=rows.name, do="Choose another split."
            )
        parts = {
            name: np.flatnonzero(rows.split == name)
            for name in ("train", "valid", "test")
            if (rows.split == name).any()
        }
        counted = ", ".join(
            f"{part} {' + '.join(map(str, counts))}" for part, counts in rows.counts().items()
        )
        notes = [*rows.notes]
        for name, count in zip(("valid", "test"), overlap_between(rows)):
            if count:
                notes.append(f"{count} {name} sequences are also in train")
        return TaskLesson(
            rows,
            Classes(names),
            AllOnce(train, rows.lengths[train], options.seed),
            parts.get("valid", np.zeros(0, np.int64)),
            parts,
            "ap" if len(names) == 2 else "auroc",
            about={"label_names": list(self.label_names), "set": rows.name},
            identity={"examples": rows.fingerprint()},
            said=[f"{rows.name}: {len(rows)} sequences (by class: {counted})"],
            notes=[f"{rows.name}: {note}" for note in notes],
        )

    def names_of(self, rows: LabelledSequences) -> tuple[str, ...]:
        """Names of the classes; numbers where nobody named them."""
        count = max(rows.n_labels, len(self.label_names))
        return tuple(
            self.label_names[c] if c < len(self.label_names) else str(c) for c in range(count)
        )

    def described(self, lesson: TaskLesson) -> dict[str, Any]:
        """See `Task.described`."""
        return {"set": describe(lesson.examples)}

    def write_predictions(self, folder: Path, lesson: TaskLesson, said: Mapping[str, Any]) -> None:
        """Write `predictions.tsv`: valid and test rows with their label and probabilities."""
        rows = lesson.examples
        heads = [f"p_{c}" for c in range(len(lesson.labels.names))]
        names = ["split", "chrom", "start", "end", "origin", "label", *heads]
        numbers = [lesson.parts[part] for part in ("valid", "test") if part in said]
        values = [said[part] for part in ("valid", "test") if part in said]
        with (
            atomic_file(folder / "predictions.tsv") as new,
            open(new, "w", encoding="utf-8") as out,
        ):
            out.write("\t".join(names) + "\n")
            if not numbers:
                return
            every, table = np.concatenate(numbers), np.concatenate(values)
            for at in np.argsort(every, kind="stable"):
                i, start = int(every[at]), int(rows.start[every[at]])
                end = start + int(rows.lengths[i]) if start >= 0 else -1
                cells = [rows.split[i], rows.chrom[i], start, end, rows.origin[i], rows.labels[i]]
                out.write("\t".join([*map(str, cells), *(f"{p:.8g}" for p in table[at])]) + "\n")

    def predict(
        self, source: Any, out: Any, options: Any, score: Scorer, say: Say
    ) -> SequencePredictions:
        """Give one row of probabilities a sequence; see `pieces` for what may be given."""
        if source is None:
            raise UsageError(
                "nothing to predict is named",
                do="Give sequences (FASTA, or one a line) or intervals with --genome.",
            )
        notes: list[str] = []
        tables: list[NDArray[np.float64]] = []
        names: list[str] = []
        chroms: list[str] = []
        starts, ends = [], []
        for rows, called in pieces(source, options.genome, options.window, notes):
            tables += list(score(rows))
            names += called
            chroms += rows.chrom.tolist()
            starts.append(rows.start)
            ends.append(np.where(rows.start >= 0, rows.start + rows.lengths, -1))
        if not tables:
            raise InputError(
                "there are no sequences to predict",
                where=str(source) if isinstance(source, str | Path) else None,
            )
        notes += score.about.get("read_notes", [])
        done = SequencePredictions(
            np.concatenate(tables),
            names,
            chroms,
            np.concatenate(starts),
            np.concatenate(ends),
            tuple(score.about.get("label_names") or ()),
            tuple(dict.fromkeys(notes)),
        )
        if out is not None:
            done.write(out)
        return done

    def evaluate(
        self, run: Any, data: Any, options: Any, score_with: Scorer | None, say: Say
    ) -> Evaluation:
        """Score new labelled data, or the predictions that a run or a table holds."""
        about = None if score_with is None else score_with.about
        if score_with is None and not Path(run).exists():
            raise no_such_run(Path(run))
        if data is None:
            path = Path(run)
            table = path / "predictions.tsv" if path.is_dir() else path
            if not table.is_file():
                raise InputError(
                    "no predictions in it",
                    where=str(path),
                    expected="a run of epilm finetune, or a table of predictions",
                    do="Pass --data to predict now.",
                )
            labels, said, splits, chrom, start, end = read_predictions(table)
            return score(labels, said, splits, chrom, start, end, about, options.store)
        if score_with is None:
            raise UsageError(
                "a table of predictions brings its labels with it",
                where="--data",
                found=str(data),
                do="Leave --data out, or give the run.",
            )
        rows = self.rows(data, options)
        if options.split != "none":
            rows = split_rows(
                rows,
                how=options.split,
                seed=options.data_seed,
                valid=options.valid,
                test=options.test,
            )
        known = len(score_with.about["labels"]["names"])
        if rows.labels.max() >= known:
            raise InputError(
                "the data have a class the model does not know",
                where=rows.name,
                found=f"label {rows.labels.max()}",
                expected=f"0 to {known - 1}",
            )
        said = _joined(score_with(rows))
        ends = rows.start + rows.lengths
        return score(
            rows.labels, said, rows.split, rows.chrom, rows.start, ends, about, options.store
        )


def _joined(blocks: Iterator[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(blocks))
