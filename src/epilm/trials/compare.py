"""Several models and baselines on the same sets, over seeds, into one table.

Every competitor gets the same rows, the same split and the same tuning budget on the valid split;
the test split is scored once a seed. What is printed is the mean and the sample standard deviation
over seeds (a baseline without chance has one run). All that a competitor needs is seen to be there
before the first one learns; a baseline that a set cannot have is left out and said. The many sets
of a manifest are opened one after another, several at a time where asked, and one that cannot be
used is a row that says why.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import EpilmError, InputError, TrainingError, UsageError, nearest
from epilm.finetuning.preset import both_strands_warning
from epilm.motifs.formats import read_collection
from epilm.plots.page import Page, duration
from epilm.tasks.base import describe
from epilm.tasks.direction import direction_of
from epilm.trials.frozen import answer_frozen, check_frozen
from epilm.trials.learn import (
    WITHOUT_CHANCE,
    Answers,
    Competitor,
    DataSet,
    Learning,
    check_learning,
    check_start,
    fit_cnn,
    fit_simple,
    own_motifs,
    together,
    tune_model,
)
from epilm.trials.manifest import ManifestSets
from epilm.trials.row_files import Row
from epilm.trials.side_by_side import LOST, side_by_side
from epilm.trials.trial import Key, Maker, Say, TrialResult, key_of, rows_of, run_trial
from epilm.trials.trial_page import COMPARED, compared_of, comparison_page
from epilm.trials.trial_table import Design, scored

BASELINES = ("kmer", "cnn", "motif", "motifs", "random")


def compare(sets: Sequence[DataSet], out: str | Path, **how: Any) -> list[dict[str, Any]]:
    """Fine-tune and score everything on everything, and give the table; see `compare_sets`.

    Returns
    -------
    list of dict
        set, competitor, seeds, and of each score mean and sd (ddof 1; None with one run).
    """
    return compare_sets(sets, out, **how).table


def compare_sets(
    sets: Sequence[DataSet] | ManifestSets,
    out: str | Path,
    *,
    models: Sequence[Competitor] = (),
    baselines: Sequence[str] = ("kmer", "cnn", "random"),
    seeds: Sequence[int] = (0, 1, 2),
    settings: Learning | None = None,
    lrs: Sequence[float] = (),
    motifs: Any = None,
    jobs: int = 1,
    say: Say | None = None,
) -> TrialResult:
    """Fine-tune and score everything on everything.

    Parameters
    ----------
    sets : sequence of DataSet, or ManifestSets
        Those of a manifest are opened when their turn comes; one that cannot be used is a row with
        its reason (`failed`), and the rest goes on.
    out : path
        Folder; `runs.jsonl` (one line a set, competitor and seed), `table.tsv`, `table.json`,
        `claims.tsv` (each competitor against the best baseline), `summary.tsv` (a competitor over
        all sets), `report.html`. What `runs.jsonl` already holds is not done again; what has failed
        is.
    models : sequence of Competitor
    baselines : sequence of str
        Of "kmer" (logistic regression), "cnn", "motif" (the factor's own best score), "motifs" (all
        best scores), "random" (the first model's architecture, or a small encoder, without
        pre-training).
    seeds : sequence of int
    settings : Learning, optional
        Of the networks; the CNN takes its own rate (1e-3) and three times the epochs.
    lrs : sequence of float
        Learning rates tried for each language model, chosen by valid AP; the one of `settings` if
        empty.
    motifs : path, "jaspar:2018" or sequence of Motif, optional
        For motif baselines and fusions.
    jobs : int
        Sets of a manifest that are worked on at a time, each in a process of its own.
    say : callable, optional

    Returns
    -------
    TrialResult

    Raises
    ------
    UsageError, InputError, CheckpointError
        Before anything is learned: an unknown baseline, a set without rows or with one class alone,
        a checkpoint that cannot be opened.
    TrainingError
        If the folder holds a comparison of other data or settings, or something else; or if no set
        of a manifest could be used.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    rows = rows_for(
        sets,
        models=models,
        baselines=baselines,
        settings=settings,
        lrs=lrs,
        motifs=motifs,
        jobs=jobs,
    )
    rows.check_first(Path(out), rows_of(Path(out), rows.design), rows.keys(seeds), say)
    return with_scores(run_trial(rows, out, list(seeds), say))


def with_scores(result: TrialResult) -> TrialResult:
    """Give a comparison that has a score.

    Raises
    ------
    TrainingError
        If no set of it could be used.
    """
    if result.rows and not scored(result.rows):
        raise TrainingError(
            "no set could be used",
            where=str(result.report.parent),
            found=result.rows[0]["failed"],
            do="runs.jsonl has the reason of each.",
        )
    return result


def rows_for(
    sets: Sequence[DataSet] | ManifestSets,
    *,
    models: Sequence[Competitor] = (),
    baselines: Sequence[str] = ("kmer", "cnn", "random"),
    settings: Learning | None = None,
    lrs: Sequence[float] = (),
    motifs: Any = None,
    jobs: int = 1,
) -> "SetRows":
    """Check a comparison and give what makes its rows; see `compare_sets`.

    Raises
    ------
    UsageError, InputError, CheckpointError
    """
    spec = settings or Learning()
    for rate in lrs or (spec.lr,):
        check_learning(replace(spec, lr=rate))
    for name in baselines:
        if name not in BASELINES:
            raise UsageError("unknown baseline", found=name, do=nearest(name, BASELINES))
    if motifs is None and any(name.startswith("motif") for name in baselines):
        raise UsageError("the motif baselines need motifs", do="Pass --motifs FILE or jaspar:2018.")
    collection = None if motifs is None else read_collection(motifs)
    if jobs < 1:
        raise UsageError("impossible value", where="--jobs", found=jobs, expected="at least 1")
    field = list(models), list(baselines), spec, list(lrs), collection
    if not isinstance(sets, ManifestSets):
        if jobs > 1:
            raise UsageError("one set is one job", where="--jobs", do="Give a manifest of sets.")
        rows = SetRows(list(sets), *field)
        rows.check()
        return rows
    return ManifestRows([], *field, manifest=sets, jobs=jobs)


@dataclass
class SetRows(Maker):
    """Makes the rows of a comparison."""

    sets: list[DataSet]
    models: list[Competitor]
    baselines: list[str]
    spec: Learning
    lrs: list[float]
    motifs: list[Any] | None
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)
    design: Design = COMPARED
    usual: Mapping[str, Any] = field(default_factory=lambda: {"settings": asdict(Learning())})
    # (start, classes) -> the shortest sequence that it was seen to read
    _shortest: dict[tuple[str, int], int] = field(default_factory=dict)
    # Of the last set and seed, what members of an ensemble said: their rows come before its own.
    _answers: dict[tuple[int, str, str], Answers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.design = compared_of({"models": [_told(model) for model in self.models]})

    def plan(self) -> dict[str, Any]:
        """What must be the same for rows to stand in one table."""
        return {
            "sets": {data.name: describe(data.rows) for data in self.sets},
            "settings": asdict(self.spec),
            "lrs": self.lrs,
            "models": [_told(model) for model in self.models],
        }

    def keys(self, seeds: Sequence[int]) -> list[Key]:
        """Set after set: baselines without chance once, then all others seed after seed."""
        return [key for data in self.sets for key in self._keys_of(data.name, seeds)]

    def _keys_of(self, name: str, seeds: Sequence[int]) -> list[Key]:
        fixed = [arm for arm in WITHOUT_CHANCE if arm in self.baselines]
        fixed += [model.name for model in self.models if not model.has_chance]
        arms: list[str] = [arm for arm in ("cnn", "random") if arm in self.baselines]
        arms += [model.name for model in self.models if model.has_chance]
        pairs = [(0, arm) for arm in fixed] + [(seed, arm) for seed in seeds for arm in arms]
        return [(seed, name, arm) for seed, arm in pairs]

    def starts(self, seeds: Sequence[int]) -> list[str]:
        """Runs of the competitors."""
        return [model.checkpoint for model in self.models if Path(model.checkpoint).exists()]

    def make(self, key: Key, folder: Path, say: Say) -> dict[str, Any]:
        """Fit one competitor on one set, and score it on the test rows."""
        _, name, _ = key
        return self._row(next(data for data in self.sets if data.name == name), key)

    def _row(self, data: DataSet, key: Key) -> dict[str, Any]:
        seed, _, competitor = key
        spec = replace(self.spec, seed=seed)
        if competitor in WITHOUT_CHANCE:
            return fit_simple(competitor, data, self.motifs, self.spec.threshold)
        if competitor == "cnn":
            return fit_cnn(data, spec)
        entry = self._entry(competitor)
        if entry.members:
            made = together([self._said(data, spec, m) for m in entry.members], spec.threshold)
        else:
            made = self._said(data, spec, competitor)
        direction = direction_of(data.rows.part("train")) if spec.both_strands else ""
        return made.scores() | ({"notes": [both_strands_warning(direction)]} if direction else {})

    def _said(self, data: DataSet, spec: Learning, name: str) -> Answers:
        """What a tuned model says of a set; kept while an ensemble may ask again."""
        key = (spec.seed, data.name, name)
        if key not in self._answers:
            entry = self._entry(name)
            if entry.frozen:
                made = answer_frozen(entry, data, spec)
            else:
                made = tune_model(entry, data, self.motifs, spec, self.lrs)
            if not any(name in model.members for model in self.models):
                return made
            self._answers = {k: v for k, v in self._answers.items() if k[:2] == key[:2]}
            self._answers[key] = made
        return self._answers[key]

    def page(self, folder: Path) -> Page:
        """The page of the folder as it is now."""
        return comparison_page(folder)

    def check(self) -> None:
        """Refuse what would fail late, and leave out the baselines that a set cannot have."""
        self._check_names()
        for data in self.sets:
            self.left_out |= self._refused(data)
        self._check_baselines([data.name for data in self.sets])

    def _check_names(self) -> None:
        groups = {model.group for model in self.models if model.group}
        for at, model in enumerate(self.models):
            taken = [*BASELINES, *groups, *(other.name for other in self.models[:at])]
            if model.name in taken:
                raise UsageError(
                    "two competitors have one name", where="--models", found=model.name
                )

    def _check_baselines(self, sets: Sequence[str]) -> None:
        """Refuse a baseline that no set can have."""
        for name in self.baselines:
            reasons = [self.left_out.get((data, name)) for data in sets]
            if reasons and all(reasons):
                raise InputError(
                    f"no set can have the baseline {name}",
                    where=sets[0],
                    found=reasons[0],
                    do="Take it out of --baselines, or give the set the factor's name.",
                )

    def _refused(self, data: DataSet) -> dict[tuple[str, str], str]:
        """Refuse a set that nothing can learn, or a start that cannot read it; give the baselines
        that it cannot have, and why.
        """
        if data.rows.kind != "classes" or data.rows.loci != 1:
            pairs = ", rows: pairs of loci" if data.rows.loci != 1 else ""
            raise InputError(
                "a comparison is of classes",
                where=data.name,
                found=f"labels: {data.rows.kind}{pairs}",
                do="Score each model with epilm finetune and epilm evaluate.",
            )
        counts = {part: data.rows.part(part).labels for part in ("train", "valid", "test")}
        for part in ("train", "test"):
            if not len(counts[part]):
                raise InputError(
                    f"the {part} split is empty", where=data.name, do="Choose another split."
                )
        if len(np.unique(counts["train"])) < 2:
            raise InputError("the train split has one class alone", where=data.name)
        if self.spec.threshold == "valid" and data.rows.n_labels != 2:
            raise UsageError(
                "only between two classes is there one threshold",
                where="--threshold valid",
                found=f"{data.rows.n_labels} classes: {data.name}",
                do="Leave it out.",
            )
        names = [model.name for model in self.models if not model.members]
        for name in [*names, *(["random"] if "random" in self.baselines else [])]:
            start, width = (name, data.rows.n_labels), int(data.rows.lengths.min())
            if start not in self._shortest or width < self._shortest[start]:
                entry = self._entry(name)
                if entry.frozen:
                    check_frozen(entry, data)
                else:
                    check_start(entry, data, self.motifs, self.spec)
                self._shortest[start] = width
        lacks = {name: self._lack(name, data, len(counts["valid"])) for name in self.baselines}
        return {(data.name, name): why for name, why in lacks.items() if why}

    def _lack(self, name: str, data: DataSet, valid: int) -> str:
        """Why a set cannot have a baseline; "" where it can."""
        if name in WITHOUT_CHANCE and not valid:
            return "no valid rows to choose the penalty on"
        return self._no_motif(data.factor or data.name) if name == "motif" else ""

    def _no_motif(self, factor: str) -> str:
        if own_motifs(self.motifs or (), factor):
            return ""
        return f"the collection has no motif of {factor}"

    def _entry(self, name: str) -> Competitor:
        """The model of that name; "random" is the twin of the first one."""
        for model in self.models:
            if model.name == name:
                return model
        if not self.models:
            return Competitor("random", "random")
        first = self.models[0]
        return replace(first, name="random", init="random", group="", members=())


@dataclass
class ManifestRows(SetRows):
    """Makes the rows of a comparison on sets that are opened when their turn comes.

    Attributes
    ----------
    manifest : ManifestSets
    jobs : int
        Sets that are worked on at a time.
    """

    manifest: ManifestSets = field(default_factory=lambda: ManifestSets([]))
    jobs: int = 1

    def __post_init__(self) -> None:
        entries = self.manifest.entries
        self._stamps = {entry.name: self.manifest.stamp(at) for at, entry in enumerate(entries)}
        self.design = compared_of(self.plan())
        if "motif" in self.baselines:  # what is known without opening a set
            for entry in self.manifest.entries:
                if why := self._no_motif(entry.options.get("factor") or entry.name):
                    self.left_out[entry.name, "motif"] = why
        self._check_names()
        self._check_baselines([entry.name for entry in self.manifest.entries])

    def plan(self) -> dict[str, Any]:
        """What must be the same for rows to stand in one table; of the sets each row says it."""
        beside = {entry.name: entry.beside for entry in self.manifest.entries}
        sets = {
            name: {"about": stamp | ({"beside": beside[name]} if beside[name] else {})}
            for name, stamp in self._stamps.items()
        }
        about: dict[str, Any] = {"manifest": self.manifest.path}
        given = self.manifest.genome
        paths = given if isinstance(given, list | tuple) else [given] if given else []
        if paths and all(isinstance(path, str | Path) for path in paths):
            about["genome"] = [str(path) for path in paths]
        return super().plan() | {"sets": sets, "about": about}

    def keys(self, seeds: Sequence[int]) -> list[Key]:
        """Set after set, as in the manifest."""
        return [key for e in self.manifest.entries for key in self._keys_of(e.name, seeds)]

    def in_order(self, rows: list[Row]) -> list[Row]:
        """Sets as in the manifest, behind those of earlier calls."""
        order = {entry.name: at for at, entry in enumerate(self.manifest.entries)}
        return sorted(rows, key=lambda row: order.get(row["set"], -1))

    def piece(self, key: Key) -> str:
        """All rows of a set, which is opened once."""
        return key[1]

    def check_first(self, folder: Path, rows: Sequence[Row], keys: Sequence[Key], say: Say) -> None:
        """See on the first set that is to be done and can be read that all competitors can start.

        What is wrong with a competitor is wrong in every set, and is refused here.

        Raises
        ------
        TrainingError
            If the folder has scores of a set whose line or files were others.
        """
        there = scored(rows)
        for row in there:
            made_of, name = row.get("made_of"), row["set"]
            if made_of and name in self._stamps and made_of != _digest(self._stamps[name]):
                raise TrainingError(
                    self.design.words.other,
                    where=str(folder),
                    found=f"{name}: its line in the manifest, or a file of it, was another one",
                    do=self.design.words.cure,
                )
        done = {key_of(self.design, row) for row in there}
        missing = {e.name for e in self.manifest.entries if e.missing}
        wanted = {key[1] for key in keys if key not in done and key[1:] not in self.left_out}
        say(f"{len(self.manifest.entries)} sets, {len(wanted)} of them to do")
        for name in sorted(missing & wanted):
            say(f"{name}: its files are not there")
        for number, entry in enumerate(self.manifest.entries):
            if entry.name not in wanted - missing:
                continue
            say(f"looking at the first of them, {entry.name}")
            try:
                data = self.manifest.open(number)
                self._refused(data)
            except (InputError, UsageError):  # of the set: its row will say so
                continue
            return

    def make_all(
        self, keys: Sequence[Key], folder: Path, say: Say
    ) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """Rows of one set after another, or of several at a time; one that fails says why."""
        numbers = {entry.name: at for at, entry in enumerate(self.manifest.entries)}
        todo: dict[int, list[Key]] = {}
        for key in keys:
            todo.setdefault(numbers[key[1]], []).append(key)
        started, left = time.monotonic(), len(todo)
        for number, answer in side_by_side(self, list(todo.items()), self.jobs):
            if answer is not None and answer[0] is LOST:
                name = self.manifest.entries[number].name
                yield (0, name, ""), {"failed": answer[1], "seconds": 0.0}
            elif answer is not None:
                yield answer
            else:
                left -= 1
                spent = (time.monotonic() - started) / (len(todo) - left)
                if left:
                    say(f"{left} of {len(todo)} sets left, about {duration(left * spent)}")

    def work(self, number: int, keys: Sequence[Key]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """Rows of one set; where it cannot be used, one row that says why."""
        name = self.manifest.entries[number].name
        try:
            data = self.manifest.open(number)
            lacks = self._refused(data)
        except Exception as error:
            yield (0, name, ""), {"failed": _why(error), "seconds": 0.0}
            return
        for key in keys:
            started = time.monotonic()
            if why := lacks.get(key[1:]):
                row: Mapping[str, Any] = {"failed": why}
            else:
                try:
                    row = self._row(data, key)
                except Exception as error:
                    row = {"failed": _why(error)}
            spent = time.monotonic() - started
            yield key, {**row, "seconds": spent, "made_of": _digest(self._stamps[name])}


def _told(model: Competitor) -> dict[str, Any]:
    """A model as the plan keeps it."""
    told = asdict(model)
    return {k: v for k, v in told.items() if k not in ("group", "members", "frozen", "head") or v}


def _digest(stamp: Mapping[str, Any]) -> str:
    text = json.dumps(stamp, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _why(error: Exception) -> str:
    """The reason as a row keeps it; of what is no mistake of a user's, its kind too."""
    return str(error) if isinstance(error, EpilmError) else f"{type(error).__name__}: {error}"
