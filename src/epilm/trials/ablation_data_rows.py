"""Rows of an ablation on given data: pre-training, fine-tuning, baselines, controls, one row after
another.

Everything is the public function of a command, in a folder of its own, so that a stopped row goes
on inside the step it was in. The test bins, and which factor has labels where, are settled before
anything is learned.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.baselines.bins import BinModel, fit_features
from epilm.baselines.features import Features, chrom_numbers
from epilm.batches.motif_signals import is_motif
from epilm.device import choose_place
from epilm.errors import CheckpointError, InputError, RecipeError, nearest
from epilm.finetuning.binding import finetune_binding
from epilm.finetuning.binding_run import BindingRun, check_tracks, load_binding, parse_signal
from epilm.finetuning.predict_bins import predict_bins
from epilm.hub.checkpoint import read_spec
from epilm.hub.load import find_checkpoint
from epilm.metrics.binding import score_bins
from epilm.motifs.formats import read_collection
from epilm.motifs.names import motifs_of
from epilm.plots.page import read_lines
from epilm.pretraining.pretrain import pretrain
from epilm.recipes.recipe import Source, load_recipe
from epilm.store.motifs import motifs_of_store
from epilm.store.reader import Store
from epilm.store.window_table import same_track
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.controls import controlled
from epilm.tasks.binding.labels import BinLabels, Rule
from epilm.tasks.binding.leak import leak_of, share_of_n
from epilm.tasks.binding.load import load_bins
from epilm.training.log import plain
from epilm.trials.ablation import Control, Say
from epilm.trials.ablation_data import DataAblation, DataArm, DataModel, Setting, place_of
from epilm.trials.ablation_data_table import SCORES

KMER, KMER_BP, MOTIF_BP = 4, 400, 240  # what `tasks.dream.baselines` takes
_BLOCK = 4096


@dataclass
class Given:
    """A lab's data: the store, labels of each factor in all cell types they are of, a motif
    collection.

    Attributes
    ----------
    tables : dict
        Factor -> labels on the chromosomes in use.
    motifs : list of Motif
    about : dict
        Where they lie, for the page.
    notes : list of str
        What is missing or was left out.
    """

    store: Store
    tables: dict[str, BinLabels]
    motifs: list[Any]
    about: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def identity(self) -> dict[str, Any]:
        """What must be the same for rows to stand in one table."""
        return {
            "store": self.store.fingerprint,
            "labels": {factor: _digest(table) for factor, table in self.tables.items()},
            "motifs": (
                hashlib.sha256(repr([(m.id, m.name) for m in self.motifs]).encode()).hexdigest()[
                    :16
                ]
            ),
        }

    def learned(self, plan: DataAblation, setting: Setting) -> list[BinLabels]:
        """Labels to learn from, a table a factor, of the training cell types that have them."""
        tables = [self.tables[factor] for factor in plan.factors_of(setting)]
        return [
            table.select([c for c in setting.train_cells if c in table.cells]) for table in tables
        ]

    def tested(self, plan: DataAblation, setting: Setting) -> list[BinLabels]:
        """Labels of the test cell type on the test places, every `bin_step` bp."""
        out = []
        for factor in plan.factors_of(setting):
            table = self.tables[factor].select([setting.test_cell])
            keep = table.bins.inside(setting.test) & (table.bins.start % plan.bin_step == 0)
            out.append(table.take(keep))
        return out


def open_given(
    plan: DataAblation,
    source: Source,
    store: str | Path,
    labels: str | Path,
    *,
    regions: Any = None,
    blacklist: Any = None,
    motifs: Any = None,
    rule: Rule = "challenge",
) -> Given:
    """Open store and labels and refuse what the description asks of them in vain.

    Raises
    ------
    RecipeError
        Naming the key that asks for a cell type, place, factor, signal or motif that is not there.
    """
    opened = Store.open(store)
    for setting in plan.settings:
        key = f"settings.{setting.name}"
        for part in ("train", "valid", "test"):
            for text in getattr(setting, part):
                chrom = place_of(text, f"{key}.{part}", source).chrom
                if chrom not in opened.chroms:
                    _refuse(
                        "the store has no such chromosome",
                        source,
                        f"{key}.{part}",
                        chrom,
                        opened.chroms,
                    )
        for part, cells in (
            ("train_cells", setting.train_cells),
            ("test_cell", (setting.test_cell,)),
        ):
            for cell in cells:
                if cell not in opened.cell_types:
                    _refuse(
                        "the store has no such cell type",
                        source,
                        f"{key}.{part}",
                        cell,
                        opened.cell_types,
                    )
    _check_arms(plan, source, opened)
    used = list(
        dict.fromkeys(p.split(":")[0] for s in plan.settings for p in (*s.train, *s.valid, *s.test))
    )
    sizes = dict(zip(opened.chroms, opened.sizes, strict=True))
    factors = list(dict.fromkeys(f for s in plan.settings for f in plan.factors_of(s)))
    options = {"regions": regions, "blacklist": blacklist, "rule": rule}
    tables = {f: load_bins(labels, factor=f, sizes=sizes, chroms=used, **options) for f in factors}
    collection = read_collection(motifs) if motifs is not None else motifs_of_store(opened)
    paths = {"store": str(store), "labels": str(labels), "rule": rule} | {
        k: str(v)
        for k, v in (("regions", regions), ("blacklist", blacklist), ("motifs", motifs))
        if v
    }
    about = paths | {"assembly": opened.info.assembly}
    given = Given(opened, tables, collection, about)
    _check_labels(plan, source, given)
    if any(arm.baseline == "motif" or any(map(is_motif, arm.signals)) for arm in plan.arms):
        without = [factor for factor in factors if not _own_motifs(given, factor)]
        if len(without) == len(factors):
            raise RecipeError(
                "no motif of any factor is known",
                where=source.of("arms"),
                found=", ".join(without),
                do=(
                    "Give --motifs FILE or jaspar:2018, build the store with --motifs, or take the"
                    " arm out."
                ),
            )
        if without:
            given.notes.append(
                f"motif: the collection has none of {', '.join(without)}: no score there"
            )
    return given


def _refuse(what: str, source: Source, key: str, found: str, among: Sequence[str]) -> None:
    raise RecipeError(what, where=source.of(key), found=found, do=nearest(found, among))


def _check_arms(plan: DataAblation, source: Source, store: Store) -> None:
    """Every track that an arm reads, in every cell type that it meets; the runs that are given."""
    spec_reads: dict[str, bool] = {}
    for model in plan.models:
        if model.run:
            try:
                spec_reads[model.name] = (
                    "states" in read_spec(find_checkpoint(Path(model.run)))[0].streams
                )
            except (CheckpointError, OSError) as error:
                raise RecipeError(
                    "the run cannot be opened",
                    where=source.of("models"),
                    found=f"{model.name}: {error}",
                ) from None
        else:
            spec_reads[model.name] = "states" in _recipe(model).model.streams
    for setting in plan.settings:
        cells = [*setting.train_cells, setting.test_cell]
        for arm in plan.rows_of(setting):
            if isinstance(arm, Control):
                continue
            states = spec_reads[arm.model] if arm.model else arm.start == "ebert"
            if arm.baseline:
                states = _reads_states(arm, store)
            try:
                check_tracks(
                    store, cells, states=states, signals=[parse_signal(s)[0] for s in arm.signals]
                )
            except Exception as error:
                raise RecipeError(
                    f"the arm reads what the store has not: {error}",
                    where=source.of("arms"),
                    found=f"{arm.name} in {setting.name}",
                    do="Leave the signal out, or say with only: [SETTING] where the arm is for.",
                ) from None


def _check_labels(plan: DataAblation, source: Source, given: Given) -> None:
    for setting in plan.settings:
        key = f"settings.{setting.name}"
        lacking: list[str] = []
        for factor in plan.factors_of(setting):
            table = given.tables[factor]
            if setting.test_cell not in table.cells:
                raise RecipeError(
                    f"the labels of {factor} lack the test cell type",
                    where=source.of(f"{key}.test_cell"),
                    found=setting.test_cell,
                    expected=f"one of {', '.join(table.cells)}",
                    do=f"Give the setting factors: of its own without {factor}.",
                )
            missing = [cell for cell in setting.train_cells if cell not in table.cells]
            if len(missing) == len(setting.train_cells):
                raise RecipeError(
                    f"no training cell type has labels of {factor}",
                    where=source.of(f"{key}.train_cells"),
                    found=", ".join(missing),
                    expected=f"some of {', '.join(table.cells)}",
                )
            if missing:
                lacking.append(f"{factor} in {', '.join(missing)}")
        if lacking:
            given.notes.append(
                f"{setting.name}: no labels of {'; '.join(lacking)}: nothing is learned there"
            )
        for table in given.tested(plan, setting):
            if not len(table):
                raise RecipeError(
                    "no bin lies in the test places",
                    where=source.of(f"{key}.test"),
                    found=", ".join(setting.test),
                )
        if (share := share_of_n(given.store, given.tested(plan, setting)[0].bins)) > 0.01:
            given.notes.append(
                f"{setting.name}: {share:.1%} of the tested bins hold N alone and flatter every"
                " row; --regions can leave them out"
            )
    used = {cell for s in plan.settings for cell in (*s.train_cells, s.test_cell)}
    for factor, table in given.tables.items():
        idle = tuple(f"{cell}: " for cell in table.cells if cell not in used)
        given.notes += [f"{factor}: {note}" for note in table.notes if not note.startswith(idle)]


def run_rows(
    plan: DataAblation,
    given: Given,
    folder: Path,
    seeds: Sequence[int],
    done: set[tuple[int, str, str]],
    say: Say,
) -> Iterator[dict[str, Any]]:
    """Do the rows that are left, seed by seed, setting by setting.

    Yields
    ------
    dict
        seed, setting, arm, the mean of each score over the factors that have one, n_factors,
        factors (all scores of each; None where there are none), notes, met (what training has seen
        of the test), seconds, and of a fine-tuned arm best_epoch and pretraining_seconds.
    """
    for seed in seeds:
        for setting in plan.settings:
            truth = given.tested(plan, setting)
            for row in plan.rows_of(setting):
                if (seed, setting.name, row.name) in done:
                    continue
                home = folder / f"seed{seed}" / setting.name
                if isinstance(row, Control):
                    found = _control(plan, given, setting, row, seed, home, truth)
                elif row.baseline:
                    found = _baseline(plan, given, setting, row, seed, truth)
                else:
                    found = _tuned(plan, given, setting, row, seed, folder, home, truth, say)
                yield {"seed": seed, "setting": setting.name, "arm": row.name} | found


def _tuned(
    plan: DataAblation,
    given: Given,
    setting: Setting,
    arm: DataArm,
    seed: int,
    folder: Path,
    home: Path,
    truth: list[BinLabels],
    say: Say,
) -> dict[str, Any]:
    checkpoint, spent = _start(plan, given, arm, seed, folder, say)
    started = time.monotonic()
    inside = setting.test_cell in setting.train_cells
    settings = replace(
        plan.finetune,
        signals=arm.signals,
        freeze=arm.freeze or plan.finetune.freeze,
        lr=arm.lr or plan.finetune.lr,
        train_chroms=setting.train,
        valid_chroms=setting.valid,
        test_chroms=setting.test,
        train_cells=setting.train_cells,
        test_cells=() if inside else (setting.test_cell,),
        seed=seed,
    )
    result = finetune_binding(
        given.learned(plan, setting),
        given.store,
        checkpoint,
        home / arm.name,
        settings,
        init=arm.init,
        size=arm.size,
        k=arm.k or 7,
        motifs=given.motifs,
        say=_quiet,
    )
    scores = _predicted(plan, given, setting, result.run, given.store, truth)
    leak = leak_of(
        result.run.about,
        truth[0].bins,
        setting.test_cell,
        reads_states=result.run.reads_states,
        same_track=same_track(given.store, setting.test_cell),
    )
    more = {"best_epoch": result.best_epoch, "pretraining_seconds": spent, "met": leak["said"]}
    return _row(scores, started, leak["warnings"]) | more


def _control(
    plan: DataAblation,
    given: Given,
    setting: Setting,
    control: Control,
    seed: int,
    home: Path,
    truth: list[BinLabels],
) -> dict[str, Any]:
    started, notes = time.monotonic(), []
    cells = [cell for cell in setting.train_cells if cell != setting.test_cell]
    if control.how == "mean_of_cells" and not cells:
        cells = [cell for cell in given.store.cell_types if cell != setting.test_cell]
        notes.append(
            f"no other cell type is trained on: the tracks are those of {', '.join(cells)}"
        )
    other = controlled(given.store, setting.test_cell, control.how, cells=cells, seed=seed)
    if other is None:
        raise InputError(
            "no other cell type has tracks to stand in",
            where=f"{setting.name}, {control.name}",
            found=setting.test_cell,
        )
    run = load_binding(home / control.arm)
    return _row(_predicted(plan, given, setting, run, other, truth), started, notes)


def _start(
    plan: DataAblation, given: Given, arm: DataArm, seed: int, folder: Path, say: Say
) -> tuple[str, float]:
    """What an arm starts from, and the seconds its pre-training took."""

    if not arm.model:
        return str(arm.start), 0.0
    model = next(model for model in plan.models if model.name == arm.model)
    if model.run:
        return model.run, 0.0
    once = model.pretrain == "once"
    run = folder / ("runs" if once else f"seed{seed}/runs") / model.name
    if not (run / "summary.json").is_file():
        say(f"pre-training {model.name}" + ("" if once else f", seed {seed}"))
        changes = model.set if once else (*model.set, f"train.seed={seed}")
        pretrain(model.recipe, given.store, run, size=_size(model), set=changes)
    rows = read_lines(run / "metrics.jsonl")
    seconds = float(max((row.get("seconds") or 0.0 for row in rows), default=0.0))
    return str(run), seconds if arm.init == "checkpoint" else 0.0


def _size(model: DataModel) -> str | None:
    return None if model.size == "base" else model.size


def _recipe(model: DataModel) -> Any:
    return load_recipe(model.recipe, _size(model), model.set)


def _predicted(
    plan: DataAblation,
    given: Given,
    setting: Setting,
    run: BindingRun,
    store: Store,
    truth: list[BinLabels],
) -> dict[str, Mapping[str, Any] | None]:
    """Scores of a model; one forward pass serves all factors that have the same bins."""
    place = choose_place(plan.finetune.device, plan.finetune.precision)
    out: dict[str, Mapping[str, Any] | None] = {}
    for tables in _of_same_bins(truth):
        bins = tables[0].bins
        scores: NDArray[np.float32] = np.empty((len(bins), len(run.factors)), np.float32)
        for block in predict_bins(
            run,
            store,
            setting.test_cell,
            bins,
            both_strands=plan.both_strands,
            device=place.device.type,
            autocast=place.autocast,
        ):
            scores[block.first : block.first + len(block.probabilities)] = block.probabilities
        for table in tables:
            out[table.factor] = score_bins(
                table.of(setting.test_cell), scores[:, run.factors.index(table.factor)]
            )
    return {table.factor: out[table.factor] for table in truth}


def _of_same_bins(truth: list[BinLabels]) -> list[list[BinLabels]]:
    groups: list[list[BinLabels]] = []
    for table in truth:
        for group in groups:
            if group[0].bins.differs(table.bins) is None:
                group.append(table)
                break
        else:
            groups.append([table])
    return groups


def _baseline(
    plan: DataAblation,
    given: Given,
    setting: Setting,
    arm: DataArm,
    seed: int,
    truth: list[BinLabels],
) -> dict[str, Any]:
    started, notes = time.monotonic(), []
    names = tuple(parse_signal(text)[0] for text in arm.signals)
    states, store = _reads_states(arm, given.store), given.store
    shared = Features(store, arm.k or KMER, KMER_BP, states, names, width=truth[0].bins.width)
    models: dict[str, BinModel] = {}
    for table in given.learned(plan, setting):
        features = shared
        if arm.baseline == "motif":
            own = tuple(_own_motifs(given, table.factor))
            if not own:
                notes.append(f"{table.factor}: no motif in the collection")
                continue
            features = Features(store, 0, MOTIF_BP, states, names, own, width=table.bins.width)
        try:
            models[table.factor] = fit_features(
                table,
                features,
                cells=table.cells,
                train=setting.train,
                valid=setting.valid,
                test=setting.test,
                negatives=plan.finetune.negatives,
                seed=seed,
            )
        except (
            InputError
        ) as error:  # one class alone in a part: this factor has no score, the others do
            notes.append(str(error))
    out: dict[str, Mapping[str, Any] | None] = dict.fromkeys(table.factor for table in truth)
    for tables in _of_same_bins([table for table in truth if table.factor in models]):
        chosen = {table.factor: models[table.factor] for table in tables}
        found = _together(chosen, setting.test_cell, tables[0].bins)
        for table in tables:
            out[table.factor] = score_bins(table.of(setting.test_cell), found[table.factor])
    return _row(out, started, notes) | {"met": "no pre-training"}


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


def _reads_states(arm: DataArm, store: Store) -> bool:
    return (
        (arm.baseline == "kmer_state" and store.states is not None)
        if arm.states is None
        else arm.states
    )


def _own_motifs(given: Given, factor: str) -> list[Any]:
    try:
        return motifs_of(given.motifs, factor)
    except InputError:
        return []


def _row(
    scores: Mapping[str, Mapping[str, Any] | None], started: float, notes: Sequence[str]
) -> dict[str, Any]:
    known = [table for table in scores.values() if table is not None and np.isfinite(table["ap"])]
    means = {
        key: float(np.mean([table[key] for table in known])) if known else float("nan")
        for key in SCORES
    }
    factors = {
        factor: None if table is None else plain(dict(table)) for factor, table in scores.items()
    }
    return means | {
        "n_factors": len(known),
        "factors": factors,
        "notes": list(notes),
        "seconds": time.monotonic() - started,
    }


def _digest(table: BinLabels) -> str:
    found = hashlib.sha256(repr((table.cells, table.bins.chroms)).encode())
    for array in (table.bins.chrom, table.bins.start, table.values):
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]


def _quiet(line: str) -> None:
    pass
