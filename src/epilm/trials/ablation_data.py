"""An ablation on a lab's own data: the store and the labels are given, the description says what is
compared.

Beside `ablation`, whose seeds are invented worlds: here the data stay and a seed is the randomness
of training. A description (YAML) says models (pre-trained once, or a run that is there), arms
(fine-tuned, from scratch, or a baseline), controls, and settings, each a choice of cell types and
places to learn from and to test on. Each row (seed, setting, arm) is written when it is done, and
the same call goes on from there. Neighbours: `ablation_data_rows` does rows, `ablation_data_table`
adds up, `ablation_data_report` draws.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from epilm.atomic import locked
from epilm.errors import InputError, RecipeError, nearest
from epilm.finetuning.binding import BindingSpec
from epilm.plots.page import write_page
from epilm.recipes.recipe import Source, at_size, build_from, load_recipe
from epilm.tasks.binding.labels import Rule
from epilm.tasks.splits import Place, parse_place
from epilm.trials.ablation import Claim, Control, Say
from epilm.trials.ablation_data_table import judge, summarise, text_of, write_tables
from epilm.trials.ablation_folder import (
    ABLATIONS,
    append_row,
    claim_folder,
    other_rows,
    read_table,
    rows_in,
    seeds_of,
)
from epilm.trials.ablation_table import Verdict

DATA_PLAN = "ablation_data.json"
_SETTINGS = re.compile(r"^settings\s*:", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True)
class DataModel:
    """A pre-trained model: a recipe to pre-train on the store, or a finished run.

    Attributes
    ----------
    recipe, size, set
        As `epilm pretrain` takes them.
    run : str
        Instead: the folder of a run, relative to the working directory.
    pretrain : {"once", "per_seed"}
        One pre-training for all seeds, or one a seed.
    """

    name: str
    recipe: str = ""
    size: str = "base"
    set: tuple[str, ...] = ()
    run: str = ""
    pretrain: Literal["once", "per_seed"] = "once"


@dataclass(frozen=True)
class DataArm:
    """A row of the table: a fine-tuned model, one from scratch, or a baseline; one of `model`,
    `start`, `baseline`.

    Attributes
    ----------
    model : str
        One of the description's models, with its weights or (`init: random`) its shape alone.
    start : str
        A kind of model without a pre-training, of `size` and `k`.
    baseline : str
        kmer_state: k-mers (`k`, 4 where not given), states where the store has them, signals.
        motif: best score of the factor's own motif, signals. `states` switches the states of
        either.
    freeze, lr : str, float
        Where other than fine-tuning's.
    only : tuple of str
        Settings it is for; all where not given.
    """

    name: str
    model: str = ""
    start: Literal["ebert", "dbert", "factornet"] | None = None
    baseline: Literal["kmer_state", "motif"] | None = None
    init: Literal["checkpoint", "random"] = "checkpoint"
    size: Literal["tiny", "small", "base", "large"] = "small"
    k: int | None = None
    signals: tuple[str, ...] = ()
    states: bool | None = None
    freeze: str = ""
    lr: float = 0.0
    only: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Setting:
    """Which cell types and places are learned from, and which are tested.

    The test cell type may be one of training; the places of test are never those of training or
    validation.

    Attributes
    ----------
    factors : tuple of str
        Where other than the description's.
    """

    name: str
    train_cells: tuple[str, ...]
    test_cell: str
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    factors: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class DataAblation:
    """A whole description. Places are chromosomes or parts of them, "chr20:0-9000000".

    Attributes
    ----------
    factors : tuple of str
        Learned in one run; a cell type of training without labels of a factor teaches the others
        alone.
    bin_step : int
        Distance of the tested bins in bp; those of training stand as the labels do.
    both_strands : bool, optional
        Whether a prediction is the mean over both strands; as fine-tuning's `strands` where not
        given.
    finetune : BindingSpec
        Seed, signals, places and cell types are filled in by arm and setting.
    """

    name: str
    factors: tuple[str, ...]
    settings: tuple[Setting, ...]
    arms: tuple[DataArm, ...]
    models: tuple[DataModel, ...] = ()
    controls: tuple[Control, ...] = ()
    claims: tuple[Claim, ...] = ()
    finetune: BindingSpec = field(default_factory=BindingSpec)
    title: str = ""
    bin_step: int = 50
    both_strands: bool | None = None
    size: str = "base"

    def titles(self) -> dict[str, str]:
        """Row names and what people read."""
        rows: tuple[DataArm | Control, ...] = (*self.arms, *self.controls)
        return {row.name: row.title or row.name for row in rows}

    def rows_of(self, setting: Setting) -> list[DataArm | Control]:
        """Rows of one setting; a control is there where its arm is."""
        arms = [arm for arm in self.arms if not arm.only or setting.name in arm.only]
        named = {arm.name for arm in arms}
        return [*arms, *(control for control in self.controls if control.arm in named)]

    def factors_of(self, setting: Setting) -> tuple[str, ...]:
        """Factors of one setting."""
        return setting.factors or self.factors


@dataclass
class DataAblationResult:
    """What came out.

    Attributes
    ----------
    rows : list of dict
        seed, setting, arm, means over factors, factors (scores of each, None where there are none),
        seconds.
    table : list of dict
        A setting and arm a row: seeds, mean and sample sd of each score, and of each factor.
    verdicts : list of Verdict
        A claim, a setting and a score each.
    report : Path
    """

    rows: list[dict[str, Any]]
    table: list[dict[str, Any]]
    verdicts: list[Verdict]
    report: Path

    def text(self) -> str:
        """The tables and the verdicts, to print."""
        return text_of(self.table, self.verdicts)


def list_data_ablations() -> dict[str, Path]:
    """Give the descriptions for given data that come with the package, name to file.

    Examples
    --------
    >>> list(list_data_ablations())
    ['dream_slices']
    """
    return {path.stem: path for path in sorted(ABLATIONS.glob("*.yaml")) if is_of_data(path)}


def is_of_data(path: Path) -> bool:
    """Say whether a description is of given data: it has settings and no world."""
    return (
        path.is_file()
        and _SETTINGS.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    )


def find_data_ablation(name: str | Path) -> Path | None:
    """Give the file of a description for given data; None where the name is of something else."""
    path = list_data_ablations().get(str(name), Path(name))
    return path if is_of_data(path) else None


def load_data_ablation(name: str | Path, size: str | None = None) -> DataAblation:
    """Read a description of an ablation on given data, strictly.

    Parameters
    ----------
    name : str or path
        One of the package (`list_data_ablations`), or a YAML file.
    size : str, optional
        A key of the file's `sizes:`; None or "base" takes it as it stands.

    Raises
    ------
    RecipeError
        Naming file, line and key.

    Examples
    --------
    >>> plan = load_data_ablation("dream_slices")
    >>> [setting.name for setting in plan.settings]
    ['across', 'within']
    """
    return read_description(name, size)[0]


def read_description(name: str | Path, size: str | None = None) -> tuple[DataAblation, Source]:
    """Read a description, and where its keys stand, for later messages."""
    path = find_data_ablation(name)
    if path is None:
        raise RecipeError(
            "there is no such description of given data",
            found=str(name),
            expected="a YAML file with settings:",
        )
    table, source = read_table(path)
    if "world" in table:
        raise RecipeError(
            "the key cannot be set",
            where=source.of("world"),
            do="A description says a world, or settings on given data.",
        )
    table = at_size(table, size, source)
    settings = table.get("settings")
    if (
        not isinstance(settings, dict)
        or not settings
        or not all(isinstance(v, dict) for v in settings.values())
    ):
        raise RecipeError(
            "settings is a table of tables",
            where=source.of("settings"),
            expected="NAME: {train_cells: ...}",
        )
    listed = []
    for key, value in settings.items():
        if "name" in value:
            raise RecipeError(
                "the key cannot be set",
                where=source.of(f"settings.{key}.name"),
                do="The key above is the name.",
            )
        build_from(Setting, {"name": key, **value}, f"settings.{key}", source)
        listed.append({"name": key, **value})
    plan = build_from(DataAblation, table | {"settings": listed}, "", source)
    _check(plan, source)
    return plan, source


def _check(plan: DataAblation, source: Source) -> None:
    """Refuse what can be seen to be wrong without the data."""

    def refuse(
        what: str, key: str, found: Any, do: str | None = None, expected: Any = None
    ) -> None:
        raise RecipeError(what, where=source.of(key), found=found, do=do, expected=expected)

    def known(key: str, found: str, among: Sequence[str]) -> None:
        if found not in among:
            refuse("unknown name", key, found, nearest(found, among))

    models, arms, settings = (
        [x.name for x in xs] for xs in (plan.models, plan.arms, plan.settings)
    )
    for key, names in (("models", models), ("arms", [*arms, *(c.name for c in plan.controls)])):
        if twice := [name for name in names if names.count(name) > 1]:
            refuse(
                "two rows have one name" if key == "arms" else "two models have one name",
                key,
                twice[0],
            )
    for key, names in (
        ("models", models),
        ("arms", [*arms, *(c.name for c in plan.controls)]),
        ("settings", settings),
    ):
        for name in names:
            if not _NAME.fullmatch(name):
                refuse("not a name for a folder", key, name, expected="letters, digits and . _ + -")
    for key, empty in (("factors", not plan.factors), ("arms", not plan.arms)):
        if empty:
            refuse("the list is empty", key, "[]")
    if plan.bin_step < 1:
        refuse("impossible value", "bin_step", plan.bin_step, expected="at least 1")
    for model in plan.models:
        if bool(model.recipe) == bool(model.run):
            refuse(
                "a model is a recipe or a run",
                "models",
                model.name,
                expected="one of recipe and run",
            )
        if model.recipe:
            load_recipe(model.recipe, None if model.size == "base" else model.size, model.set)
    for arm in plan.arms:
        if sum(map(bool, (arm.model, arm.start, arm.baseline))) != 1:
            refuse(
                "an arm is a model, a start or a baseline",
                "arms",
                arm.name,
                expected="one of the three keys",
            )
        if arm.model:
            known("arms", arm.model, models)
        for name in arm.only:
            known("arms", name, settings)
    tuned = [arm.name for arm in plan.arms if not arm.baseline]
    for control in plan.controls:
        known("controls", control.arm, arms)
        if control.arm not in tuned:
            refuse(
                "a control is of a fine-tuned arm",
                "controls",
                f"{control.name} of the baseline {control.arm}",
            )
    for claim in plan.claims:
        known("claims", claim.more, list(plan.titles()))
        known("claims", claim.less, list(plan.titles()))
    for setting in plan.settings:
        _check_setting(setting, source)


def _check_setting(setting: Setting, source: Source) -> None:
    key = f"settings.{setting.name}"
    for part in ("train_cells", "train", "valid", "test"):
        if not getattr(setting, part):
            raise RecipeError("the list is empty", where=source.of(f"{key}.{part}"))
    spans = {
        part: [place_of(p, f"{key}.{part}", source) for p in getattr(setting, part)]
        for part in ("train", "valid", "test")
    }
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        for a in spans[one]:
            for b in spans[other]:
                if a.chrom == b.chrom and a.start < b.end and b.start < a.end:
                    raise RecipeError(
                        f"{one} and {other} overlap",
                        where=source.of(f"{key}.{other}"),
                        found=(
                            f"{', '.join(getattr(setting, one))} and"
                            f" {', '.join(getattr(setting, other))}"
                        ),
                        do=(
                            "Name parts that share no base, e.g. chr20:0-9000000 and"
                            " chr20:9000000-11000000."
                        ),
                    )


def place_of(text: str, key: str, source: Source) -> Place:
    """Read a place of a description; what is none is refused with its line."""
    try:
        return parse_place(text)
    except InputError as error:
        raise RecipeError(
            error.what, where=source.of(key), found=error.found, expected=error.expected
        ) from None


def ablate_data(
    name: str | Path,
    out: str | Path,
    *,
    store: str | Path,
    labels: str | Path,
    regions: str | Path | None = None,
    blacklist: str | Path | None = None,
    motifs: str | Path | None = None,
    rule: Rule = "challenge",
    seeds: int | Sequence[int] = 3,
    size: str | None = None,
    say: Say | None = None,
) -> DataAblationResult:
    """Run an ablation on a store and labels into one table a setting.

    Parameters
    ----------
    name : str or path
        One of `list_data_ablations`, or a YAML file.
    out : path
        Folder. Rows (seed, setting, arm) that it holds already are not done again; seeds, settings
        and arms can be added later.
    store, labels
        As `finetune_binding` takes them; `regions`, `blacklist`, `rule` go to `load_bins`.
    motifs : path or "jaspar:2018", optional
        For the baseline motif; those of the store where not given.
    seeds, size, say
        See `ablate`.

    Returns
    -------
    DataAblationResult
        Also in the folder: rows.jsonl, table.json, table.tsv, factors.tsv, claims.tsv, report.html.

    Raises
    ------
    RecipeError
        If the description is wrong, or names what store and labels have not.
    TrainingError
        If the folder holds another ablation, or something else.
    """
    from epilm.trials.ablation_data_report import data_ablation_page
    from epilm.trials.ablation_data_rows import open_given, run_rows

    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    plan, source = read_description(name, None if size in (None, "full") else size)
    wanted = seeds_of(seeds)
    given = open_given(
        plan, source, store, labels, regions=regions, blacklist=blacklist, motifs=motifs, rule=rule
    )
    for note in given.notes:
        say(note)
    folder = Path(out)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        rows = _claim_folder(folder, plan, given.identity(), given.about)
        for row in run_rows(plan, given, folder, wanted, {key_of(row) for row in rows}, say):
            rows.append(append_row(folder, row))
            shown = ", ".join(f"{key} {row[key]:.4f}" for key in ("auprc_dg", "ap", "auroc"))
            say(
                f"seed {row['seed']}, {row['setting']}, {row['arm']}: {shown}"
                f" ({row['seconds']:.0f} s)"
            )
            write_tables(folder, plan, rows)
    places = {
        (s.name, row.name): (i, j)
        for i, s in enumerate(plan.settings)
        for j, row in enumerate(plan.rows_of(s))
    }
    rows.sort(key=lambda row: (row["seed"], places[row["setting"], row["arm"]]))
    write_tables(folder, plan, rows)
    return DataAblationResult(
        rows,
        summarise(plan, rows),
        judge(plan, rows),
        write_page(data_ablation_page(folder), folder / "report.html"),
    )


def key_of(row: dict[str, Any]) -> tuple[int, str, str]:
    """What makes a row one of a kind."""
    return int(row["seed"]), str(row["setting"]), str(row["arm"])


def _claim_folder(
    folder: Path, plan: DataAblation, given: dict[str, Any], about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Take a new folder, or one that holds this very ablation; give the rows it has."""

    def changed(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        old, new = (table["plan"] | {"given": table["given"]} for table in (before, now))
        return other_rows(old, new, ("models", "arms", "controls", "settings"))

    mine = {"plan": asdict(plan), "given": given, "about": about}
    cure = "Choose another --out, or give the data and the size it was begun with."
    claim_folder(folder, DATA_PLAN, mine, changed, do=cure)
    return read_data_rows(folder, plan)


def read_data_rows(folder: Path, plan: DataAblation) -> list[dict[str, Any]]:
    """Rows (seed, setting, arm) that a folder holds of what the plan describes."""
    described = {(s.name, row.name) for s in plan.settings for row in plan.rows_of(s)}
    return rows_in(folder, key_of, lambda row: (row["setting"], row["arm"]) in described)
