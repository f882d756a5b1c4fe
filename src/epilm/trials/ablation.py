"""An experiment that switches one thing at a time, over seeds: what each part of a system is worth.

A description (YAML, shipped in recipes/ablations) says the world, the models that are
pre-trained, the arms that are fine-tuned, the controls that only predict, and the claims to
judge. A seed is a world of its own; within it all arms see the same rows. Each row (seed, arm) is
written when it is done, and the same call goes on from there. Neighbours: `ablation_seed` does one
seed, `ablation_table` judges, `ablation_report` draws.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from epilm.atomic import locked
from epilm.errors import RecipeError, nearest
from epilm.finetuning.binding import BindingSpec
from epilm.playground.layout import SIZES, size_of
from epilm.plots.page import write_page
from epilm.processes import one_thread
from epilm.recipes.recipe import Source, at_size, build_from
from epilm.trials.ablation_folder import (
    ABLATIONS,
    append_row,
    claim_folder,
    other_rows,
    read_table,
    rows_in,
    seeds_of,
)
from epilm.trials.ablation_table import Verdict, judge, summarise, text_of, write_tables

PLAN = "ablation.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pretraining:
    """A model to pre-train: a recipe, a size of it, and what is laid over it."""

    name: str
    recipe: str
    size: str = "base"
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arm:
    """A row of the table that is fine-tuned: which pre-trained model, its weights or random ones,
    which signals.
    """

    name: str
    model: str
    init: Literal["checkpoint", "random"] = "checkpoint"
    signals: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Control:
    """A row of the table that is only predicted: an arm with other tracks in place of the cell
    type's own.
    """

    name: str
    arm: str
    how: Literal["shuffled_states", "mean_of_cells", "sequence_only"]
    title: str = ""


@dataclass(frozen=True)
class Claim:
    """What one row should be to another: above it, or not above it, by two standard errors."""

    say: str
    more: str
    less: str
    kind: Literal["above", "not_above"] = "above"


@dataclass(frozen=True)
class Ablation:
    """A whole description. Places are chromosomes or parts of them, "chr2:960000-1200000".

    Attributes
    ----------
    world : str
        Size of the playground.
    train_cells, test_cell : cell types whose binding is learned, and the one that is tested.
    train, valid, test : places of the binding labels; pre-training holds out what its recipe says.
    set : tuple of str
        Laid over the recipe of every model, before the model's own.
    bin_step : int
        Distance of the tested bins in bp; those of training stand every 50 bp.
    both_strands : bool
        Whether a prediction is the mean over both strands; fine-tuning's `strands` says what is
        learned from.
    finetune : BindingSpec
        Seed, signals, places and cell types are filled in by the arm.
    """

    name: str
    train_cells: tuple[str, ...]
    test_cell: str
    factors: tuple[str, ...]
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    models: tuple[Pretraining, ...]
    arms: tuple[Arm, ...]
    controls: tuple[Control, ...] = ()
    claims: tuple[Claim, ...] = ()
    set: tuple[str, ...] = ()
    finetune: BindingSpec = field(default_factory=BindingSpec)
    title: str = ""
    world: str = "small"
    bin_step: int = 50
    both_strands: bool = False
    size: str = "base"

    def titles(self) -> dict[str, str]:
        """Row names and what people read."""
        rows: tuple[Arm | Control, ...] = (*self.arms, *self.controls)
        return {row.name: row.title or row.name for row in rows}


@dataclass
class AblationResult:
    """What came out.

    Attributes
    ----------
    rows : list of dict
        seed, arm, ap and auprc_dg (means over factors), factors (scores of each), seconds.
    table : list of dict
        An arm a row: seeds, mean and sample sd of either score.
    verdicts : list of Verdict
        A claim and a score each.
    report : Path
    """

    rows: list[dict[str, Any]]
    table: list[dict[str, Any]]
    verdicts: list[Verdict]
    report: Path

    def text(self) -> str:
        """The table and the verdicts, to print."""
        return text_of(self.table, self.verdicts)


def list_ablations() -> dict[str, Path]:
    """Give the ablations on invented worlds that come with the package, name to file.

    Those on given data: `ablation_data.list_data_ablations`.

    Examples
    --------
    >>> list(list_ablations())
    ['playground_ebert']
    """
    from epilm.trials.ablation_data import is_of_data

    return {path.stem: path for path in sorted(ABLATIONS.glob("*.yaml")) if not is_of_data(path)}


def load_ablation(name: str | Path, size: str | None = None) -> Ablation:
    """Read a description, strictly.

    Parameters
    ----------
    name : str or path
        One of the package (`list_ablations`), or a YAML file.
    size : str, optional
        A key of the file's `sizes:`; None or "base" takes it as it stands.

    Raises
    ------
    RecipeError
        Naming file, line and key.

    Examples
    --------
    >>> plan = load_ablation("playground_ebert")
    >>> [model.name for model in plan.models]
    ['ebert', 'dbert', 'ebert_motifs', 'dbert_motifs']
    """
    shipped = list_ablations()
    path = shipped.get(str(name), Path(name))
    if not path.is_file():
        raise RecipeError(
            "there is no such ablation",
            found=str(name),
            do=nearest(str(name), shipped) or f"Known: {', '.join(shipped)}.",
        )
    table, source = read_table(path)
    plan = build_from(Ablation, at_size(table, size, source), "", source)
    _check(plan, source)
    return plan


def _check(plan: Ablation, source: Source) -> None:
    """Refuse names that nothing answers to, and a test that training has seen."""

    def known(key: str, found: str, among: Sequence[str]) -> None:
        if found not in among:
            raise RecipeError(
                "unknown name", where=source.of(key), found=found, do=nearest(found, among)
            )

    arms, rows = [arm.name for arm in plan.arms], list(plan.titles())
    if len(rows) < len(plan.arms) + len(plan.controls):
        raise RecipeError("two rows have one name", where=source.of("arms"), found=", ".join(rows))
    known("world", plan.world, list(SIZES))
    world = size_of(plan.world)
    for cell in (*plan.train_cells, plan.test_cell):
        known("train_cells", cell, world.cell_types)
    for factor in plan.factors:
        known("factors", factor, world.chip)
    for arm in plan.arms:
        known("arms", arm.model, [model.name for model in plan.models])
    for control in plan.controls:
        known("controls", control.arm, arms)
    for claim in plan.claims:
        known("claims", claim.more, rows)
        known("claims", claim.less, rows)
    if plan.test_cell in plan.train_cells:
        raise RecipeError(
            "the test cell type is trained on",
            where=source.of("test_cell"),
            found=plan.test_cell,
            do="Take it out of train_cells.",
        )


def ablate(
    name: str | Path,
    out: str | Path,
    *,
    seeds: int | Sequence[int] = 5,
    size: str | None = None,
    say: Say | None = None,
) -> AblationResult:
    """Run an ablation over seeds into one table, with paired differences and a verdict on each
    claim.

    Parameters
    ----------
    name : str or path
        One of the package, "playground_ebert", or a YAML file.
    out : path
        Folder. Rows (seed, arm) that it holds already are not done again, so a stopped ablation
        goes on, and more seeds can be added later.
    seeds : int or sequence of int
        How many, from 1 on; or which.
    size : str, optional
        Of the description: "many", "toy", "tiny"; "full" or None takes it as it stands.
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    AblationResult
        Also in the folder: rows.jsonl, table.json, table.tsv, claims.tsv, report.html.

    Raises
    ------
    RecipeError
        If the description is wrong.
    TrainingError
        If the folder holds another ablation, or something else.
    """
    from epilm.trials.ablation_report import ablation_page
    from epilm.trials.ablation_seed import run_seed

    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    plan = load_ablation(name, None if size in (None, "full") else size)
    wanted = seeds_of(seeds)
    folder = Path(out)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder), one_thread():
        rows = _claim_folder(folder, plan)
        for seed in wanted:
            done = {row["arm"] for row in rows if row["seed"] == seed}
            started = time.monotonic()
            for row in run_seed(plan, folder / f"seed{seed}", seed, done, say):
                rows.append(row)
                append_row(folder, row)
                say(
                    f"seed {seed}, {row['arm']}: ap {row['ap']:.4f}, auprc_dg {row['auprc_dg']:.4f}"
                    f" ({row['seconds']:.0f} s)"
                )
                write_tables(folder, plan, rows)
            if len(done) < len(plan.titles()):
                say(f"seed {seed}: {time.monotonic() - started:.0f} s in all")
    rows.sort(key=lambda row: (row["seed"], list(plan.titles()).index(row["arm"])))
    write_tables(folder, plan, rows)
    page = write_page(ablation_page(folder), folder / "report.html")
    return AblationResult(rows, summarise(plan, rows), judge(plan, rows), page)


def _claim_folder(folder: Path, plan: Ablation) -> list[dict[str, Any]]:
    """Take a new folder, or one that holds this very ablation; give the rows it has."""

    def changed(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        return other_rows(before, now, ("models", "arms", "controls"))

    claim_folder(
        folder,
        PLAN,
        asdict(plan),
        changed,
        do="Choose another --out, or the size it was begun with.",
    )
    return read_rows(folder, plan)


def read_rows(folder: Path, plan: Ablation) -> list[dict[str, Any]]:
    """Rows (seed, arm) that a folder holds of what the plan describes."""
    titles = plan.titles()
    return rows_in(folder, lambda row: (row["seed"], row["arm"]), lambda row: row["arm"] in titles)
