"""How a row of a trial learns, predicts and is scored: with `frozen` the one file here that knows
the functions of fine-tuning and of the baselines.

Binding: one fine-tuning learns all factors of a setting, one forward pass serves all that have the
same bins. Labelled sequences: a competitor is fitted and scored on the test rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.baselines import sequence_models as simple
from epilm.baselines.bin_models import BinModel, fit_features
from epilm.baselines.features import Features, chrom_numbers
from epilm.batches.reads import check_tracks, parse_signal
from epilm.errors import InputError
from epilm.finetuning.ensemble import said_together
from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned import Finetuned, load_finetuned
from epilm.finetuning.finetuned_page import comparison
from epilm.finetuning.run_folder import Result
from epilm.finetuning.scorer import open_scorer
from epilm.finetuning.start import prepare
from epilm.finetuning.windows import reading_of
from epilm.metrics.bin_scores import score_bins
from epilm.metrics.bootstrap import bootstrap_interval
from epilm.metrics.classification import score_table
from epilm.metrics.thresholded import at_half, fit_threshold
from epilm.motifs.names import motifs_of
from epilm.store.reader import Store
from epilm.store.tracks import same_track
from epilm.tasks import find_task
from epilm.tasks.base import LabelledSequences
from epilm.tasks.binding.binding_options import BindingOptions, BindingSpec, check_binding
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.leak import leak_of
from epilm.tasks.binding.rows import CellBins
from epilm.tasks.contract import options_from
from epilm.tasks.label_kinds import Classes
from epilm.training.learning import Learning, check_learning

__all__ = [
    "BindingSpec",
    "Learning",
    "check_binding",
    "check_learning",
    "check_tracks",
    "comparison",
]

KMER, KMER_BP, MOTIF_BP = 4, 400, 240  # what `epilm.baselines.bin_models` takes
WITHOUT_CHANCE = ("kmer", "motif", "motifs")  # one row serves all seeds
_BLOCK = 4096

FactorScores = dict[str, Mapping[str, Any] | None]  # None where a factor has no score


# -- binding: bins of the genome in cell types


@dataclass(frozen=True)
class BindingLesson:
    """What one row learns from, and where it is tested.

    Attributes
    ----------
    learned : list of BinLabels
        A table a factor, of the training cell types that have labels of it.
    tested : list of BinLabels
        A table a factor, of the test cell type on the test places.
    spec : BindingSpec
        With places, cell types and seed filled in.
    both_strands : bool, optional
        Of the prediction.
    """

    store: Store
    learned: list[BinLabels]
    tested: list[BinLabels]
    test_cell: str
    spec: BindingSpec
    both_strands: bool | None
    device: str
    motifs: Sequence[Any] | None


def tune_binding(
    lesson: BindingLesson, checkpoint: str, out: Path, **start: Any
) -> tuple[FactorScores, dict[str, Any]]:
    """Fine-tune, or go on in the folder; scores, and best_epoch, met and notes of the row.

    `checkpoint` is a run, or the name of a kind of model; `start` its init, size, k and head.
    """
    spec = lesson.spec
    if checkpoint == "factornet":  # one pool and start for all arms; its network has its own
        spec = replace(spec, pool="max", shortcut_start="zero")
    options = BindingOptions(
        **{f.name: getattr(spec, f.name) for f in fields(BindingSpec)},
        store=lesson.store,
        motifs=lesson.motifs,
    )
    result = finetune(
        "binding",
        lesson.learned,
        out,
        checkpoint=checkpoint,
        preset="none",  # a trial says itself how all its arms learn
        alone=True,
        settings=options,
        say=_quiet,
        **start,
    )
    scores = _predicted(lesson, result.model, lesson.store)
    leak = leak_of(
        result.model.about,
        lesson.tested[0].bins,
        lesson.test_cell,
        reads_states=result.model.reads.states,
        same_track=same_track(lesson.store, lesson.test_cell),
    )
    about = {"notes": leak["warnings"], "best_epoch": result.best_epoch, "met": leak["said"]}
    return scores, about


def control_binding(lesson: BindingLesson, store: Store, tuned: Path) -> FactorScores:
    """Score a model that was fine-tuned before, on a store with other tracks."""
    return _predicted(lesson, load_finetuned(tuned), store)


def _predicted(lesson: BindingLesson, model: Finetuned, store: Store) -> FactorScores:
    """Scores of each factor; those of the same bins share a forward pass."""
    score = open_scorer(
        model,
        both_strands=lesson.both_strands,
        device=lesson.device,  # type: ignore[arg-type]
        precision=lesson.spec.precision,
    )
    names = list(model.labels.names)
    cell, chroms = store.cell_number(lesson.test_cell), tuple(store.chroms)
    out: FactorScores = {}
    for tables in _of_same_bins(lesson.tested):
        blocks = score(CellBins(tables[0].bins, cell, chroms), store)
        scores: NDArray[np.float32] = np.concatenate(list(blocks))
        for table in tables:
            column = scores[:, names.index(table.factor)]
            out[table.factor] = score_bins(table.of(lesson.test_cell), column)
    return {table.factor: out[table.factor] for table in lesson.tested}


def _of_same_bins(tables: Sequence[BinLabels]) -> list[list[BinLabels]]:
    groups: list[list[BinLabels]] = []
    for table in tables:
        for group in groups:
            if group[0].bins.differs(table.bins) is None:
                group.append(table)
                break
        else:
            groups.append([table])
    return groups


def baseline_binding(
    lesson: BindingLesson, kind: str, *, k: int | None, states: bool, signals: Sequence[str]
) -> tuple[FactorScores, list[str]]:
    """Fit and score a baseline a factor; notes on factors that have no score."""
    notes: list[str] = []
    names, width = signal_names(signals), lesson.tested[0].bins.width
    k = 0 if kind == "signals" else k or KMER
    shared = Features(lesson.store, k, KMER_BP, states, names, width=width)
    models: dict[str, BinModel] = {}
    for table in lesson.learned:
        features = shared
        if kind == "motif":
            own = tuple(own_motifs(lesson.motifs or (), table.factor))
            if not own:
                notes.append(f"{table.factor}: no motif in the collection")
                continue
            width = table.bins.width
            features = Features(lesson.store, 0, MOTIF_BP, states, names, own, width=width)
        try:
            models[table.factor] = fit_features(
                table,
                features,
                cells=table.cells,
                train=lesson.spec.train_chroms,
                valid=lesson.spec.valid_chroms,
                test=lesson.spec.test_chroms,
                negatives=lesson.spec.negatives,
                seed=lesson.spec.seed,
            )
        except InputError as error:
            # One class alone in a part: this factor has no score, the others do.
            notes.append(str(error))
    out: FactorScores = dict.fromkeys(table.factor for table in lesson.tested)
    for tables in _of_same_bins([table for table in lesson.tested if table.factor in models]):
        chosen = {table.factor: models[table.factor] for table in tables}
        scores = _together(chosen, lesson.test_cell, tables[0].bins)
        for table in tables:
            out[table.factor] = score_bins(table.of(lesson.test_cell), scores[table.factor])
    return out, notes


def _together(
    models: Mapping[str, BinModel], cell: str, bins: Bins
) -> dict[str, NDArray[np.float32]]:
    """Predict several factors; features that models share are read once."""
    out = {factor: np.empty(len(bins), np.float32) for factor in models}
    for features in {id(model.features): model.features for model in models.values()}.values():
        number, chroms = features.check(cell), chrom_numbers(features.store, bins)
        mine = {factor: model for factor, model in models.items() if model.features is features}
        for at in range(0, len(bins), _BLOCK):
            rows = slice(at, at + _BLOCK)
            values = features(number, chroms[rows], bins.start[rows].astype(np.int64))
            for factor, model in mine.items():
                out[factor][rows] = model.model.predict_proba(model.scaler.transform(values))[:, 1]
    return out


def signal_names(signals: Sequence[str]) -> tuple[str, ...]:
    """Names of the tracks, without how they are pooled.

    Examples
    --------
    >>> signal_names(["accessibility:max:log1p"])
    ('accessibility',)
    """
    return tuple(parse_signal(text)[0] for text in signals)


def own_motifs(motifs: Sequence[Any], factor: str) -> list[Any]:
    """Motifs of a factor; none where the collection has not."""
    try:
        return motifs_of(list(motifs), factor)
    except InputError:
        return []


# -- labelled sequences


@dataclass(frozen=True)
class Competitor:
    """One row of the table: its name, what fine-tuning starts from, and how."""

    name: str
    checkpoint: str
    init: str = "checkpoint"
    fusion: str = "none"
    size: str = "small"  # of an encoder without a checkpoint
    k: int = 6
    group: str = ""  # the name of several pre-trainings of one recipe
    members: tuple[str, ...] = ()  # of an ensemble: the competitors whose mean it is
    frozen: bool = False  # a regression over its vectors, see `trials.frozen`
    head: str | None = None  # of `models.networks.HEADS`; the task's own where not given

    @property
    def has_chance(self) -> bool:
        """Whether its rows differ by seed."""
        return not self.frozen or self.init == "random"

    def start(self, motifs: Any) -> dict[str, Any]:
        """What fine-tuning takes of it."""
        fused = {"motifs": motifs if self.fusion != "none" else None}
        values = asdict(self)
        own = ("name", "group", "members", "frozen")
        return {key: values[key] for key in values if key not in own} | fused


@dataclass(frozen=True)
class DataSet:
    """One labelled set with its split, and the factor whose motif is its baseline."""

    name: str
    rows: LabelledSequences
    task: str
    factor: str | None = None


def check_start(competitor: Competitor, data: DataSet, motifs: Any, spec: Learning) -> None:
    """Refuse a start that cannot be built, or cannot read the set's shortest sequence."""
    task, start = find_task(data.task), competitor.start(motifs)
    named = {"split": "given", **{key: start.pop(key) for key in ("fusion", "motifs")}}
    options = options_from(task, "finetune", spec, named, {data.task: task})
    lesson = task.lesson(data.rows, options, _quiet)
    model, _ = prepare(task, lesson, options, **start)
    if competitor.fusion == "none":
        shortest = data.rows.take([int(data.rows.lengths.argmin())])
        reading_of(model, shortest, None, model.device, None)


def fit_simple(name: str, data: DataSet, motifs: Any, threshold: str = "half") -> dict[str, Any]:
    """Fit one of WITHOUT_CHANCE and score it on the test rows."""
    train, valid, test = (data.rows.part(part) for part in ("train", "valid", "test"))
    if name == "kmer":
        fitted: Any = simple.fit_kmer(train, valid)
    else:
        factor = (data.factor or data.name) if name == "motif" else None
        fitted = simple.fit_motif(train, valid, motifs=motifs, factor=factor)
    begins = begins_at(threshold, valid.labels, fitted.probabilities(valid))
    said = at_half(fitted.probabilities(test), begins)
    return scored(test.labels, said) | {"chosen": fitted.chosen}


def fit_cnn(data: DataSet, spec: Learning) -> dict[str, Any]:
    """Fit the small CNN at its own rate and three times the epochs; scores on the test rows."""
    own = replace(spec, lr=1e-3, epochs=3 * spec.epochs, freeze="none", lora=0)
    result = finetune(
        data.task, data.rows, checkpoint="cnn", settings=own, split="given", alone=True, say=_quiet
    )
    return _answers_of(result, {"lr": own.lr} | _second(result)).scores()


@dataclass(frozen=True)
class Answers:
    """What a tuned model says of the rows that judge it.

    Attributes
    ----------
    labels, said : mapping
        "valid" and "test" -> int64 (N,), and probabilities (N, C); no valid rows, no "valid".
    threshold : float
    chosen : dict
        The rate, and how it was chosen.
    """

    labels: Mapping[str, NDArray[Any]]
    said: Mapping[str, NDArray[Any]]
    threshold: float
    chosen: dict[str, Any]

    def scores(self) -> dict[str, Any]:
        """Those of the test rows."""
        said = at_half(self.said["test"], self.threshold)
        return scored(self.labels["test"], said) | {"chosen": self.chosen}


def tune_model(
    competitor: Competitor,
    data: DataSet,
    motifs: Any,
    spec: Learning,
    rates: Sequence[float],
) -> Answers:
    """Fine-tune at each rate; what the one with the best AP on valid says."""
    made: list[tuple[dict[str, Any], Result]] = []
    for rate in rates or (spec.lr,):
        own = replace(spec, lr=rate)
        result = finetune(
            data.task,
            data.rows,
            preset="none",
            settings=own,
            split="given",
            alone=True,
            say=_quiet,
            **competitor.start(motifs),
        )
        judged = result.metrics.get("valid", {}).get("ap", float("nan"))
        judged = -1.0 if np.isnan(judged) else judged
        chosen = {"lr": rate, "valid_ap": judged} | _second(result)
        made.append((chosen, result))
    # The first of equally good ones.
    chosen, result = max(made, key=lambda each: each[0]["valid_ap"])
    return _answers_of(result, chosen)


def _answers_of(result: Result, chosen: dict[str, Any]) -> Answers:
    assert result.lesson is not None
    lesson = result.lesson
    said = {part: of for part, of in result.said.items() if part in ("valid", "test")}
    labels = {part: lesson.examples.labels_of(lesson.parts[part]) for part in said}
    threshold = lesson.labels.threshold if isinstance(lesson.labels, Classes) else 0.5
    return Answers(labels, said, threshold, chosen)


def together(members: Sequence[Answers], threshold: str) -> Answers:
    """What an ensemble says: the mean of its members' logits, divided as they are.

    Examples
    --------
    >>> labels = {"test": np.array([0, 1, 1])}
    >>> sure = {"test": np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])}
    >>> other = {"test": np.array([[0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])}
    >>> one, two = (Answers(labels, said, 0.5, {}) for said in (sure, other))
    >>> [answers.scores()["accuracy"] for answers in (one, two)]
    [0.6666666666666666, 0.6666666666666666]
    >>> together([one, two], "half").scores()["accuracy"]
    1.0
    """
    first = members[0]
    said = {part: said_together([each.said[part] for each in members]) for part in first.said}
    begins = begins_at(threshold, first.labels.get("valid"), said.get("valid"))
    return Answers(first.labels, said, begins, {"members": len(members)})


def begins_at(threshold: str, labels: NDArray[Any] | None, said: NDArray[Any] | None) -> float:
    """From which probability on the second class begins: a half, or where the valid rows say."""
    if threshold != "valid":
        return 0.5
    assert labels is not None
    assert said is not None
    return fit_threshold(labels, said[:, 1])


def scored(labels: NDArray[Any], said: NDArray[Any]) -> dict[str, Any]:
    """Scores of the test rows, and the bootstrap interval of some: SCORE_lo to SCORE_hi."""
    table = score_table(labels, said)
    for name, ends in bootstrap_interval(labels, said).items():
        table[f"{name}_lo"], table[f"{name}_hi"] = ends
    return table


def _second(result: Result) -> dict[str, int]:
    """How often it learned, where it collapsed at first."""
    return {"tries": result.tries} if result.tries > 1 else {}


def _quiet(line: str) -> None:
    pass
