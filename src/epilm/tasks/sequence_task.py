"""Tasks of sequences with bases of their own: one class of label each, read by a loader.

A new one is a loader and a line: `SequenceTask("name", load, ("no", "yes"), ...)`; what else its
loader takes is a field of its options. Numpy only until something is scored.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.errors import InputError, UsageError, nearest
from epilm.tasks.audit import audit as rules_without_model
from epilm.tasks.base import LabelledSequences, describe
from epilm.tasks.contract import Say, Scorer, Task
from epilm.tasks.direction import direction_of
from epilm.tasks.label_kinds import Classes, Factors, Numbers, PoissonCounts
from epilm.tasks.labels import Labels
from epilm.tasks.lesson import AllOnce, TaskLesson
from epilm.tasks.sequence_predictions import SequencePredictions, pieces, said_column
from epilm.tasks.sequence_scores import Evaluation, Told, no_such_run, read_predictions, score
from epilm.tasks.splits import overlap_between, split_rows
from epilm.training.learning import Learning, refuse_broken

HERE = {"data": True}  # where the data are: their own digest is in the run
KEPT = {"data": True, "kept": True}  # how they are read: new data of a model are read alike
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
    longer: Literal["cut", "refuse", "positions", "chunks"] = "cut"
    """Sequences of more k-mers than the model has positions: cut takes their centre and says of how
    many, refuse stops, positions repeats the rows of the position table until the longest fits,
    chunks reads them in pieces that overlap and joins what they give."""
    overlap: int = 64
    """Bases that two neighbouring chunks share at least."""
    join: Literal["mean", "max"] = "mean"
    """How chunks of a sequence become one vector, before the head answers."""
    audit: bool = field(default=False, metadata=HERE)
    """Say what rules without a model reach on the same parts, of two classes; of promoters always
    said."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a class (of several labels, a yes) counts in the loss as if all were equally
    many."""


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
    audited : bool
        What rules without a model reach stands under every table, asked for or not.

    Attributes
    ----------
    compared : bool
        Whether `epilm compare` takes it: rows are single sequences, each of one class.
    """

    compared = True

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
        audited: bool = False,
    ) -> None:
        self.name, self.load, self.label_names = name, load, label_names
        self.about, self.data, self.audited = about, data, audited
        self._options = {
            "finetune": options,
            "predict": SequencePredictOptions,
            "evaluate": evaluating,
        }

    def options_of(self, verb: str) -> type:
        """The dataclass of a verb's options."""
        return self._options[verb]

    def check(self, options: Any) -> None:
        """See `Task.check`."""
        super().check(options)
        check_longer(options)

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
        labels = self.labels_of(rows, train, options)
        counted = ", ".join(
            f"{part} {' + '.join(map(str, counts))}" for part, counts in rows.counts().items()
        )
        of = {"classes": "by class", "factors": f"yes to {', '.join(labels.names)}"}
        notes = [*rows.notes]
        for name, count in zip(("valid", "test"), overlap_between(rows)):
            if count:
                notes.append(f"{count} {name} sequences are also in train")
        return TaskLesson(
            rows,
            labels,
            AllOnce(train, rows.lengths[train], options.seed),
            parts.get("valid", np.zeros(0, np.int64)),
            parts,
            _metric(labels),
            about={
                "label_names": list(rows.label_names or self.label_names),
                "set": rows.name,
                **remembered(options),
            },
            identity={"examples": rows.fingerprint()},
            loci=rows.loci,
            direction=direction_of(rows.take(train)),
            said=[
                f"{rows.name}: {len(rows)} sequences"
                f" ({of.get(rows.kind, 'known ' + ', '.join(labels.names))}: {counted})",
                *_weights_said(labels),
            ],
            notes=[f"{rows.name}: {note}" for note in notes],
        )

    def labels_of(self, rows: LabelledSequences, train: NDArray[Any], options: Any) -> Labels:
        """Labels of rows, weighed or scaled by those that are learned from.

        Raises
        ------
        UsageError
            If what is asked for is not of this kind of labels.
        """
        learned, balanced = rows.labels[train], options.class_weights == "balanced"
        if rows.kind == "classes":
            names = self.names_of(rows)
            return Classes(names, class_weights(learned, len(names)) if balanced else None)
        if rows.kind == "factors":
            return Factors(rows.label_names, yes_weights(learned) if balanced else None)
        for wanted, option in ((balanced, "--class-weights"), (options.audit, "--audit")):
            if wanted:
                raise UsageError(
                    "labels are numbers, and this is of classes", where=option, do="Leave it out."
                )
        known = np.isfinite(learned)
        mean = np.where(known.any(0), np.nanmean(np.where(known, learned, np.nan), 0), 0)
        if rows.kind == "counts":
            return PoissonCounts(rows.label_names, np.maximum(mean, 1e-6).astype(float).tolist())
        sd = np.nanstd(np.where(known, learned, np.nan), 0)
        sd = np.where(np.isfinite(sd) & (sd > 0), sd, 1.0)
        return Numbers(rows.label_names, mean.astype(float).tolist(), sd.astype(float).tolist())

    def names_of(self, rows: LabelledSequences) -> tuple[str, ...]:
        """Names of the classes; numbers where nobody named them."""
        if rows.label_names:
            return rows.label_names
        count = max(rows.n_labels, len(self.label_names))
        return tuple(
            self.label_names[c] if c < len(self.label_names) else str(c) for c in range(count)
        )

    def described(self, lesson: TaskLesson) -> dict[str, Any]:
        """See `Task.described`."""
        return {"set": describe(lesson.examples)}

    def audit(self, lesson: TaskLesson, options: Any) -> list[str]:
        """See `Task.audit`."""
        return rules_without_model(lesson) if self.audited or options.audit else []

    def write_predictions(self, folder: Path, lesson: TaskLesson, said: Mapping[str, Any]) -> None:
        """Write `predictions.tsv`: valid and test rows with their label and probabilities."""
        rows = lesson.examples
        called = rows.label_names or tuple(str(c) for c in range(len(lesson.labels.names)))
        truths = ["label"] if rows.kind == "classes" else [f"label_{name}" for name in called]
        heads = [said_column(rows.kind, name) for name in called]
        names = ["split", "chrom", "start", "end", "origin", *truths, *heads]
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
            ends = rows.ends
            for at in np.argsort(every, kind="stable"):
                i = int(every[at])
                interval = [rows.chrom[i], int(rows.start[i]), int(ends[i])]
                cells = [rows.split[i], *interval, rows.origin[i]]
                cells += _truth(rows, i)
                out.write("\t".join([*map(str, cells), *(f"{p:.8g}" for p in table[at])]) + "\n")

    def pieces_of(
        self, source: Any, options: Any, about: Mapping[str, Any], notes: list[str]
    ) -> Iterator[tuple[LabelledSequences, list[str]]]:
        """What is to be predicted, in pieces with names; see `sequence_predictions.pieces`.

        Parameters
        ----------
        about : mapping
            What the model remembers.
        notes : list of str
            Takes what was left out or doubted.
        """
        if source is None:
            raise nothing_named("sequences (FASTA, or one a line) or intervals with --genome.")
        yield from pieces(source, options.genome, options.window, notes)

    def predict(
        self, source: Any, out: Any, options: Any, score: Scorer, say: Say
    ) -> SequencePredictions:
        """Give one row of probabilities a sequence; see `pieces_of` for what may be given."""
        notes: list[str] = []
        tables: list[NDArray[np.float64]] = []
        names: list[str] = []
        chroms: list[str] = []
        starts, ends = [], []
        for rows, called in self.pieces_of(source, options, score.about, notes):
            tables += list(score(rows))
            names += called
            chroms += rows.chrom.tolist()
            starts.append(rows.start)
            ends.append(rows.ends)
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
            str(score.about["labels"]["kind"]),
        )
        if out is not None:
            done.write(out)
        return done

    def to_predict(
        self, source: Any, options: Any, score: Scorer, say: Say
    ) -> Iterator[tuple[Any, Any]]:
        """See `Task.to_predict`."""
        for rows, _ in self.pieces_of(source, options, score.about, []):
            yield rows, None

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
            scored = score(read_predictions(table), about, options.store)
            notes = (about or {}).get("notes", ())
            return replace(scored, audit=[note for note in notes if note.startswith("AUDIT")])
        if score_with is None:
            raise UsageError(
                "a table of predictions brings its labels with it",
                where="--data",
                found=str(data),
                do="Leave --data out, or give the run.",
            )
        rows = self.rows(data, with_remembered(options, score_with.about))
        rows = as_model_has_them(rows, score_with.about)
        if options.split != "none":
            rows = split_rows(
                rows,
                how=options.split,
                seed=options.data_seed,
                valid=options.valid,
                test=options.test,
            )
        said = _joined(score_with(rows))
        told = Told(
            rows.labels,
            said,
            rows.split,
            rows.chrom,
            rows.start,
            rows.ends,
            score_with.about["labels"],
        )
        return score(told, about, options.store)


def check_longer(options: Any) -> None:
    """Refuse what says how chunks are made where there are none.

    Raises
    ------
    UsageError
    """
    ways = get_args(SequenceOptions.__annotations__["longer"])
    if options.longer not in ways:
        raise UsageError(
            "unknown value",
            where="--longer",
            found=repr(options.longer),
            do=nearest(options.longer, ways),
        )
    plain = SequenceOptions()
    for name in ("overlap", "join"):
        if options.longer != "chunks" and getattr(options, name) != getattr(plain, name):
            raise UsageError(
                "there are no chunks",
                where=f"--{name}",
                found=getattr(options, name),
                do="Pass --longer chunks, or leave it out.",
            )
    refuse_broken(
        options,
        (
            (options.overlap < 0, "overlap", options.overlap, "at least 0"),
            (options.join not in ("mean", "max"), "join", options.join, "mean or max"),
        ),
    )


def nothing_named(wanted: str) -> UsageError:
    """Say what may be predicted, where nothing is named."""
    return UsageError("nothing to predict is named", do=f"Give {wanted}")


def remembered(options: Any) -> dict[str, Any]:
    """Give what a model keeps of how its data were read; JSON values."""
    kept = {f.name: getattr(options, f.name) for f in fields(options) if f.metadata.get("kept")}
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in kept.items()}
    return {"columns": values} if values else {}


def with_remembered(options: Any, about: Mapping[str, Any]) -> Any:
    """Read new data as the model's were, where nothing else is said."""
    known, plain = {each.name for each in fields(options)}, type(options)()
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in about.get("columns", {}).items()
        if name in known and getattr(options, name) == getattr(plain, name)
    }
    return replace(options, **values)


def as_model_has_them(rows: LabelledSequences, about: Mapping[str, Any]) -> LabelledSequences:
    """Number classes, and order columns, as a model does.

    Raises
    ------
    InputError
        If the data have a class or kind of label that the model does not know, or lack a column.
    """
    kind, names = about["labels"]["kind"], list(about["labels"]["names"])
    if rows.kind != kind:
        raise InputError(
            "the model answers another kind of question",
            where=rows.name,
            found=f"labels: {rows.kind}",
            expected=str(kind),
            do="Name the columns with --labels and what they are with --kind.",
        )
    if kind != "classes":
        missing = [name for name in names if name not in rows.label_names]
        if missing:
            raise InputError(
                "the data lack a label of the model",
                where=rows.name,
                found=", ".join(rows.label_names),
                expected=", ".join(names),
            )
        order = [rows.label_names.index(name) for name in names]
        return replace(rows, labels=rows.labels[:, order], label_names=tuple(names))
    if rows.label_names:
        unknown = [name for name in rows.label_names if name not in names]
        if unknown:
            raise InputError(
                "the data have a class the model does not know",
                where=rows.name,
                found=", ".join(unknown[:5]),
                expected=", ".join(names),
            )
        numbers = np.array([names.index(name) for name in rows.label_names], np.int64)
        return replace(rows, labels=numbers[rows.labels], label_names=tuple(names))
    if rows.labels.max() >= len(names):
        raise InputError(
            "the data have a class the model does not know",
            where=rows.name,
            found=f"label {rows.labels.max()}",
            expected=f"0 to {len(names) - 1}",
        )
    return rows


def class_weights(labels: NDArray[np.int64], classes: int) -> list[float]:
    """Weights with which all classes count alike, mean 1 over the rows; 1 for one that is absent.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]), 2)
    [0.6666666666666666, 2.0]
    """
    counts = np.bincount(labels, minlength=classes).astype(float)
    present = int((counts > 0).sum())
    weights = np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 1.0)
    return [float(weight) for weight in weights]


def yes_weights(labels: NDArray[np.int8]) -> list[float]:
    """Weights of a yes with which it counts as much as all noes; 1 where either is absent.

    Examples
    --------
    >>> yes_weights(np.array([[1, 1], [0, -1], [0, -1], [-1, 1]], np.int8))
    [2.0, 1.0]
    """
    yes, no = (labels == 1).sum(0), (labels == 0).sum(0)
    weights = np.where((yes > 0) & (no > 0), no / np.maximum(yes, 1), 1.0)
    return [float(weight) for weight in weights]


def _weights_said(labels: Labels) -> list[str]:
    weights = getattr(labels, "weights", None)
    if weights is None:
        return []
    shown = ", ".join(f"{name} {w:.3g}" for name, w in zip(labels.names, weights))
    return [f"weights in the loss: {shown}"]


def _metric(labels: Labels) -> str:
    """Score that chooses the epoch."""
    if labels.kind == "classes":
        return "ap" if len(labels.names) == 2 else "auroc"
    return "ap" if labels.kind == "factors" else "r2"


def _truth(rows: LabelledSequences, row: int) -> list[Any]:
    """Cells of a row's labels; names of classes that have them, nothing where not known."""
    if rows.kind == "classes":
        number = int(rows.labels[row])
        return [rows.label_names[number] if rows.label_names else number]
    known = rows.labels[row] >= 0 if rows.kind == "factors" else np.isfinite(rows.labels[row])
    return [f"{v:g}" if ok else "" for v, ok in zip(rows.labels[row], known)]


def _joined(blocks: Iterator[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(blocks))
