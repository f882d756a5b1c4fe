"""Several models and baselines on the same sets, over seeds, into one table.

Every competitor gets the same rows, the same split and the same tuning budget on the valid split;
the test split is scored once a seed. What is printed is the mean and the sample standard deviation
over seeds (a baseline without chance has one run). All that a competitor needs is seen to be there
before the first one learns; a baseline that a set cannot have is left out and said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import InputError, UsageError, nearest
from epilm.motifs.formats import read_collection
from epilm.plots.page import Page
from epilm.tasks.base import describe
from epilm.trials.choices import Networks
from epilm.trials.learn import (
    WITHOUT_CHANCE,
    Competitor,
    DataSet,
    Learning,
    check_learning,
    check_start,
    fit_cnn,
    fit_model,
    fit_simple,
    own_motifs,
)
from epilm.trials.trial import Key, Maker, Say, TrialResult, run_trial
from epilm.trials.trial_page import COMPARED, comparison_page
from epilm.trials.trial_table import Design

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
    sets: Sequence[DataSet],
    out: str | Path,
    *,
    models: Sequence[Competitor] = (),
    baselines: Sequence[str] = ("kmer", "cnn", "random"),
    seeds: Sequence[int] = (0, 1, 2),
    settings: Learning | None = None,
    lrs: Sequence[float] = (),
    motifs: Any = None,
    say: Say | None = None,
) -> TrialResult:
    """Fine-tune and score everything on everything.

    Parameters
    ----------
    sets : sequence of DataSet
    out : path
        Folder; `runs.jsonl` (one line a set, competitor and seed), `table.tsv`, `table.json`,
        `claims.tsv` (each competitor against the best baseline), `report.html`. What `runs.jsonl`
        already holds is not done again.
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
        If the folder holds a comparison of other data or settings, or something else.
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
    rows = SetRows(list(sets), list(models), list(baselines), spec, list(lrs), collection)
    rows.check()
    return run_trial(rows, out, list(seeds), say)


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

    def plan(self) -> dict[str, Any]:
        """What must be the same for rows to stand in one table."""
        return {
            "sets": {data.name: describe(data.rows) for data in self.sets},
            "settings": asdict(self.spec),
            "lrs": self.lrs,
            "models": [asdict(model) for model in self.models],
        }

    def keys(self, seeds: Sequence[int]) -> list[Key]:
        """Set after set: baselines without chance once, then all others seed after seed."""
        fixed = [name for name in WITHOUT_CHANCE if name in self.baselines]
        names: list[str] = [name for name in ("cnn", "random") if name in self.baselines]
        names += [model.name for model in self.models]
        pairs = [(0, name) for name in fixed] + [(seed, name) for seed in seeds for name in names]
        return [(seed, data.name, name) for data in self.sets for seed, name in pairs]

    def make(self, key: Key, folder: Path, say: Say) -> dict[str, Any]:
        """Fit one competitor on one set, and score it on the test rows."""
        seed, name, competitor = key
        data = next(data for data in self.sets if data.name == name)
        spec = replace(self.spec, seed=seed)
        if competitor in WITHOUT_CHANCE:
            return fit_simple(competitor, data, self.motifs)
        if competitor == "cnn":
            return fit_cnn(data, spec)
        return fit_model(self._entry(competitor), data, self.motifs, spec, self.lrs)

    def page(self, folder: Path) -> Page:
        """The page of the folder as it is now."""
        return comparison_page(folder)

    def check(self) -> None:
        """Refuse what would fail late, and leave out the baselines that a set cannot have."""
        for at, model in enumerate(self.models):
            taken = [*BASELINES, *(other.name for other in self.models[:at])]
            if model.name in taken:
                raise UsageError(
                    "two competitors have one name", where="--models", found=model.name
                )
        shortest: dict[tuple[str, int], int] = {}  # that a start was seen to read
        for data in self.sets:
            if data.rows.kind != "classes":
                raise InputError(
                    "a comparison is of classes",
                    where=data.name,
                    found=f"labels: {data.rows.kind}",
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
            for name in self.baselines:
                if why := self._lack(name, data, len(counts["valid"])):
                    self.left_out[data.name, name] = why
            names = [model.name for model in self.models]
            for name in [*names, *(["random"] if "random" in self.baselines else [])]:
                start, width = (name, data.rows.n_labels), int(data.rows.lengths.min())
                if start not in shortest or width < shortest[start]:
                    check_start(self._entry(name), data, self.motifs, self.spec)
                    shortest[start] = width
        for name in self.baselines:
            reasons = [self.left_out.get((data.name, name)) for data in self.sets]
            if reasons and all(reasons):
                raise InputError(
                    f"no set can have the baseline {name}",
                    where=self.sets[0].name,
                    found=reasons[0],
                    do="Take it out of --baselines, or give the set the factor's name.",
                )

    def _lack(self, name: str, data: DataSet, valid: int) -> str:
        """Why a set cannot have a baseline; "" where it can."""
        if name in WITHOUT_CHANCE and not valid:
            return "no valid rows to choose the penalty on"
        factor = data.factor or data.name
        if name == "motif" and not own_motifs(self.motifs or (), factor):
            return f"the collection has no motif of {factor}"
        return ""

    def _entry(self, name: str) -> Competitor:
        """The model of that name; "random" is the twin of the first one."""
        for model in self.models:
            if model.name == name:
                return model
        if not self.models:
            return Competitor("random", "random")
        first = self.models[0]
        return Competitor("random", first.checkpoint, "random", first.fusion)


def competitors_of(texts: Iterable[str]) -> list[Competitor]:
    """Read NAME=RUN and NAME=RUN@FUSION, several of which may stand in one word with commas.

    Raises
    ------
    UsageError
        If there is no "=".

    Examples
    --------
    >>> [(c.name, c.checkpoint, c.fusion) for c in competitors_of(["a=run,b=run@concat"])]
    [('a', 'run', 'none'), ('b', 'run', 'concat')]
    """
    out = []
    for text in (one for words in texts for one in words.split(",")):
        name, equals, where = text.partition("=")
        if not equals:
            raise UsageError("a model is NAME=RUN", where=f"--models {text}")
        path, _, fusion = where.partition("@")
        out.append(Competitor(name, path, fusion=fusion or "none"))
    return out


def learning_of(learning: Networks) -> tuple[Learning, list[float]]:
    """Settings of the networks, and the rates to choose among where there are several."""
    values = asdict(learning)
    rates = values.pop("lr") or [2e-4]
    return Learning(lr=rates[0], **values), rates if len(rates) > 1 else []
