"""What an ablation is, as a file says it: models, arms, controls, claims, where they are tested.

Two kinds of description (YAML, shipped in `designs/`) are one thing here. One with `settings` is
run on a lab's own store and labels: a seed is the randomness of training. One without makes a
`world` of its own a seed, and has one setting, which stands in the file's top level.
Read strictly: what can be seen to be wrong without the data is refused with file, line and key.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from epilm.errors import EpilmError, InputError, RecipeError, nearest
from epilm.metrics.published import dream_internal_ranks
from epilm.playground.ground_plan import SIZES, size_of
from epilm.recipes.recipe import Source, at_size, build_from, load_recipe, read_yaml
from epilm.tasks.binding.dream.challenge import PAIRS
from epilm.tasks.splits import Interval, parse_interval
from epilm.trials.learn import BindingSpec, check_binding
from epilm.trials.trial_table import Cell, Claim

DESIGNS = Path(__file__).parent / "designs"
WORLD_PLAN, LAB_PLAN = "ablation.json", "ablation_data.json"  # what such a folder holds
_OF_SETTING = ("train_cells", "test_cell", "train", "valid", "test")
NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True)
class Pretraining:
    """A pre-trained model: a recipe to pre-train on the store, or a finished run.

    Attributes
    ----------
    recipe, size, set
        As `epilm pretrain` takes them.
    run : str
        Instead: the folder of a run, or of weights in DNABERT's layout, relative to the working
        directory. With {seed} in it each seed has a run of its own.
    pretrain : {"once", "per_seed"}
        One pre-training for all seeds, or one a seed; always one a seed where each is a world.
    """

    name: str
    recipe: str = ""
    size: str = "base"
    set: tuple[str, ...] = ()
    run: str = ""
    pretrain: Literal["once", "per_seed"] = "once"

    def run_of(self, seed: int) -> str:
        """The run of a seed.

        Examples
        --------
        >>> Pretraining("lab", run="runs/lab{seed}").run_of(2)
        'runs/lab2'
        """
        return self.run.replace("{seed}", str(seed))

    def runs(self, seeds: Sequence[int]) -> list[str]:
        """Those of several seeds, each once; none where a recipe is pre-trained."""
        return list(dict.fromkeys(self.run_of(seed) for seed in seeds if self.run))


@dataclass(frozen=True)
class Arm:
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
        signals: those alone, without a base of the sequence: what a model of it has to add to.
        motif: best score of the factor's own motif, signals. `states` switches the states of
        either.
    head : {"", "kept"}
        kept: of a model that is a fine-tuned run its head too.
    freeze, lr : str, float
        Where other than fine-tuning's.
    finetune : BindingSpec, optional
        How it is fine-tuned; as the description says where None. In a file it names what is other
        there.
    only : tuple of str
        Settings it is for; all where not given.
    """

    name: str
    model: str = ""
    start: Literal["ebert", "dbert", "factornet"] | None = None
    baseline: Literal["kmer_state", "motif", "signals"] | None = None
    init: Literal["checkpoint", "random"] = "checkpoint"
    size: Literal["tiny", "small", "base", "large"] = "small"
    k: int | None = None
    signals: tuple[str, ...] = ()
    states: bool | None = None
    head: Literal["", "kept"] = ""
    freeze: str = ""
    lr: float = 0.0
    finetune: BindingSpec | None = None
    only: tuple[str, ...] = ()
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
class Setting:
    """Which cell types and places are learned from, and which are tested.

    The test cell type may be one of training on data that are given; the places of test are never
    those of training or validation. Its name is "" where each seed is a world.

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

    def key(self, part: str) -> str:
        """Where a part of it stands in the file."""
        return f"settings.{self.name}.{part}" if self.name else part


@dataclass(frozen=True)
class Ablation:
    """A whole description. Places are chromosomes or parts of them, "chr20:0-9000000".

    Attributes
    ----------
    factors : tuple of str
        Learned in one run; a cell type of training without labels of a factor teaches the others
        alone.
    world : str
        Size of the playground of which each seed is one; "" where the data are given.
    set : tuple of str
        Laid over the recipe of every model, before the model's own.
    bin_step : int
        Distance of the tested bins in bp; those of training stand every 50 bp, or as the labels do.
    both_strands : bool, optional
        Whether a prediction is the mean over both strands; as fine-tuning's `strands` where not
        given.
    ranks : tuple of str
        ARM=MODEL: the arms that are ranked in each setting as the EBERT paper ranks its own models
        (DBERT, EBERT, EBERT+), and what it calls them.
    expected : str
        What a paper says, to stand beside ours.
    finetune : BindingSpec
        Seed, signals, places and cell types are filled in by arm and setting.
    """

    name: str
    factors: tuple[str, ...]
    settings: tuple[Setting, ...]
    arms: tuple[Arm, ...]
    models: tuple[Pretraining, ...] = ()
    controls: tuple[Control, ...] = ()
    claims: tuple[Claim, ...] = ()
    set: tuple[str, ...] = ()
    finetune: BindingSpec = field(default_factory=BindingSpec)
    title: str = ""
    world: str = ""
    bin_step: int = 50
    both_strands: bool | None = None
    ranks: tuple[str, ...] = ()
    expected: str = ""
    size: str = "base"

    def titles(self) -> dict[str, str]:
        """Row names and what people read."""
        rows: tuple[Arm | Control, ...] = (*self.arms, *self.controls)
        return {row.name: row.title or row.name for row in rows}

    def rows_of(self, setting: Setting) -> dict[str, Arm | Control]:
        """Rows of one setting; a control is there where its arm is."""
        arms = [arm for arm in self.arms if not arm.only or setting.name in arm.only]
        named = {arm.name for arm in arms}
        controls = [control for control in self.controls if control.arm in named]
        rows: list[Arm | Control] = [*arms, *controls]
        return {row.name: row for row in rows}

    def model_row(self, setting: Setting, name: str) -> str:
        """The row whose model a row asks: of a control its arm, of an arm itself."""
        row = self.rows_of(setting)[name]
        return row.arm if isinstance(row, Control) else name

    def factors_of(self, setting: Setting) -> tuple[str, ...]:
        """Factors of one setting."""
        return setting.factors or self.factors

    def cells(self) -> tuple[Cell, ...]:
        """What the table has a line for, in its order."""
        titles = self.titles()
        return tuple(
            Cell(setting.name, name, titles[name], self.factors_of(setting))
            for setting in self.settings
            for name in self.rows_of(setting)
        )

    def recipe_of(self, model: Pretraining) -> tuple[str, str | None, tuple[str, ...]]:
        """Recipe, size and changes, as `load_recipe` and `pretrain` take them."""
        size = None if model.size == "base" else model.size
        return model.recipe, size, (*self.set, *model.set)


def list_designs() -> dict[str, Path]:
    """Give the descriptions that come with the package, name to file.

    Examples
    --------
    >>> [name for name in list_designs() if name.startswith("e")]
    ['ebert_figure_s1', 'ebert_table1']
    """
    return {path.stem: path for path in sorted(DESIGNS.glob("*.yaml"))}


def load_design(name: str | Path, size: str | None = None) -> Ablation:
    """Read a description, strictly.

    Parameters
    ----------
    name : str or path
        One of the package (`list_designs`), or a YAML file.
    size : str, optional
        A key of the file's `sizes:`; None, "full" or "base" takes it as it stands.

    Raises
    ------
    RecipeError
        Naming file, line and key.

    Examples
    --------
    >>> [setting.name for setting in load_design("dream_slices").settings]
    ['across', 'within']
    >>> plan = load_design("playground_ebert")
    >>> plan.world, [model.name for model in plan.models][:2]
    ('small', ['ebert', 'dbert'])
    """
    return read_design(name, size)[0]


def read_design(name: str | Path, size: str | None = None) -> tuple[Ablation, Source]:
    """Read a description, and where its keys stand, for later messages."""
    table, source = read_table(name, size)
    if "settings" in table and "world" in table:
        raise RecipeError(
            "the key cannot be set",
            where=source.of("world"),
            do="A description says a world, or settings on given data.",
        )
    return ablation_of(table, source), source


def read_table(name: str | Path, size: str | None = None) -> tuple[dict[str, Any], Source]:
    """Read the file of a description of any kind, at a size; a key that a size sets to null is not
    there.
    """
    shipped = list_designs()
    path = shipped.get(str(name), Path(name))
    if not path.is_file():
        raise RecipeError(
            "there is no such ablation",
            found=str(name),
            do=nearest(str(name), shipped) or f"Known: {', '.join(shipped)}.",
        )
    source = Source(path.name if path.parent == DESIGNS else str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError("the ablation cannot be read", where=str(path), found=error) from None
    table = read_yaml(text, source)
    if not isinstance(table, dict):
        raise RecipeError(
            "an ablation is a table of keys", where=source.name, found=type(table).__name__
        )
    table = at_size(table, None if size == "full" else size, source)
    return {key: value for key, value in table.items() if value is not None}, source


def argument_of(plan: Any, build: Callable[[dict[str, Any], Source], Any]) -> str:
    """Give what `epilm ablate` is told to make a description: its name where the package's file of
    that name says the same in other words at most, else NAME.yaml, as a file of the user's.

    Parameters
    ----------
    plan : Ablation or Study
    build : callable
        Makes such a one of the table of a file.

    Examples
    --------
    >>> from dataclasses import replace
    >>> plan = load_design("dream_slices")
    >>> argument_of(plan, ablation_of), argument_of(replace(plan, bin_step=40), ablation_of)
    ('dream_slices', 'dream_slices.yaml')
    """
    own = f"{plan.name}.yaml"
    if plan.name not in list_designs():
        return own
    try:
        shipped = build(*read_table(plan.name, plan.size))
    except RecipeError:  # of a size that the package's has not
        return own
    return plan.name if _without_words(asdict(shipped)) == _without_words(asdict(plan)) else own


def _without_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_words(v) for k, v in value.items() if k not in ("title", "expected")}
    return [_without_words(v) for v in value] if isinstance(value, list | tuple) else value


def ablation_of(table: dict[str, Any], source: Source) -> Ablation:
    """Build an ablation from the table of a file, and refuse what can be seen to be wrong."""
    plan = _from_table(table, source)
    _check(plan, source)
    return plan


def _from_table(table: dict[str, Any], source: Source) -> Ablation:
    """Build a description from the table of a file, of either kind."""
    table = _with_own_finetuning(table)
    if "settings" not in table:  # one setting, in the file's top level; a seed is a world
        own = {"name": "", **{key: table[key] for key in _OF_SETTING if key in table}}
        build_from(Setting, own, "", source)
        rest = {key: value for key, value in table.items() if key not in _OF_SETTING}
        kept: dict[str, Any] = {"world": "small", "both_strands": False}
        return build_from(Ablation, kept | rest | {"settings": [own]}, "", source)
    if table["settings"] == "dream_pairs":
        named = {pair.factor: None for pair in PAIRS}
        table = {"factors": list(named)} | table | {"settings": _dream_settings()}
    settings = table["settings"]
    if isinstance(settings, list):  # as a folder keeps it
        return build_from(Ablation, table, "", source)
    if not settings or not isinstance(settings, dict):
        settings = {"": None}
    if not all(isinstance(value, dict) for value in settings.values()):
        raise RecipeError(
            "settings is a table of tables",
            where=source.of("settings"),
            expected="NAME: {train_cells: ...}",
        )
    for name, value in settings.items():
        if "name" in value:
            raise RecipeError(
                "the key cannot be set",
                where=source.of(f"settings.{name}.name"),
                do="The key above is the name.",
            )
        build_from(Setting, {"name": name, **value}, f"settings.{name}", source)
    listed = [{"name": name, **value} for name, value in settings.items()]
    return build_from(Ablation, table | {"settings": listed}, "", source)


def _with_own_finetuning(table: dict[str, Any]) -> dict[str, Any]:
    """Lay what an arm says of fine-tuning over what the description says.

    Examples
    --------
    >>> arms = [{"name": "a", "finetune": {"lr": 1}}, {"name": "b"}]
    >>> _with_own_finetuning({"finetune": {"lr": 2, "epochs": 3}, "arms": arms})["arms"][0]
    {'name': 'a', 'finetune': {'lr': 1, 'epochs': 3}}
    """

    def own(arm: Any) -> Any:
        if not isinstance(arm, dict) or not isinstance(arm.get("finetune"), dict):
            return arm
        return arm | {"finetune": {**shared, **arm["finetune"]}}

    shared, arms = table.get("finetune") or {}, table.get("arms")
    return table | {"arms": [own(arm) for arm in arms]} if isinstance(arms, list) else table


def _dream_settings() -> dict[str, dict[str, Any]]:
    """The thirteen pairs of ENCODE-DREAM as settings, FACTOR.CELL."""
    return {
        f"{pair.factor}.{pair.cell}": {
            "title": pair.name,
            "train_cells": list(pair.train_cells),
            "test_cell": pair.cell,
            "train": list(pair.train_chroms),
            "valid": list(pair.valid_chroms),
            "test": list(pair.test_chroms),
            "factors": [pair.factor],
        }
        for pair in PAIRS
    }


def as_table(plan: Ablation) -> dict[str, Any]:
    """Give a description as its folder keeps it: a world's one setting in the top level."""
    table = asdict(plan)
    if plan.world:
        (setting,) = table.pop("settings")
        table |= {key: setting[key] for key in _OF_SETTING}
    return table


def kept_design(folder: Path) -> tuple[Ablation, dict[str, Any]]:
    """Read the description that a folder was made with, and where its data lay."""
    path = folder / WORLD_PLAN
    if path.is_file():
        return _from_table(json.loads(path.read_text(encoding="utf-8")), Source(str(path))), {}
    path = folder / LAB_PLAN
    kept = json.loads(path.read_text(encoding="utf-8"))
    return _from_table(kept["plan"], Source(str(path))), kept.get("about", {})


def _check_models(plan: Ablation, source: Source) -> None:
    """Refuse a model that is neither a recipe nor a run, or a run where worlds are new."""

    def refuse(what: str, found: Any, **more: Any) -> None:
        raise RecipeError(what, where=source.of("models"), found=found, **more)

    for model in plan.models:
        if bool(model.recipe) == bool(model.run):
            expected = "one of recipe and run"
            refuse("a model is a recipe or a run", model.name, expected=expected)
        if model.run and plan.world:
            cure = "Give a recipe: each seed is a world of its own."
            refuse("a run has not seen these worlds", model.name, do=cure)
        if model.recipe:
            load_recipe(*plan.recipe_of(model))


def _check(plan: Ablation, source: Source) -> None:
    """Refuse what can be seen to be wrong without the data."""

    def refuse(what: str, key: str, found: Any, **more: Any) -> None:
        raise RecipeError(what, where=source.of(key), found=found, **more)

    def known(key: str, name: str, among: Sequence[str]) -> None:
        if name not in among:
            refuse("unknown name", key, name, do=nearest(name, among))

    models, arms = [model.name for model in plan.models], [arm.name for arm in plan.arms]
    rows = [*arms, *(control.name for control in plan.controls)]
    settings = [setting.name for setting in plan.settings if setting.name]
    for key, names in (("models", models), ("arms", rows), ("settings", settings)):
        if twice := [name for name in names if names.count(name) > 1]:
            kind = {"arms": "rows", "models": "models"}[key]
            refuse(f"two {kind} have one name", key, twice[0])
        for name in names:
            if not NAME.fullmatch(name):
                refuse("not a name for a folder", key, name, expected="letters, digits and . _ + -")
    for key, values in (("factors", plan.factors), ("arms", plan.arms)):
        if not values:
            refuse("the list is empty", key, "[]")
    if plan.bin_step < 1:
        refuse("impossible value", "bin_step", plan.bin_step, expected="at least 1")
    try:
        check_binding(plan.finetune)
    except EpilmError as error:
        refuse(error.what, "finetune", f"{error.where} {error.found}", expected=error.expected)
    _check_models(plan, source)
    for arm in plan.arms:
        if sum(map(bool, (arm.model, arm.start, arm.baseline))) != 1:
            expected = "one of the three keys"
            refuse("an arm is a model, a start or a baseline", "arms", arm.name, expected=expected)
        if arm.finetune is not None:
            if arm.baseline:
                refuse("a baseline is not fine-tuned", "arms", arm.name, expected="no finetune:")
            try:
                check_binding(arm.finetune)
            except EpilmError as error:
                found = f"{arm.name}: {error.where} {error.found}"
                refuse(error.what, "arms", found, expected=error.expected)
        if arm.baseline == "signals" and not (arm.signals or arm.states):
            refuse("the arm reads nothing", "arms", arm.name, expected="signals: or states: true")
        if arm.head and not any(m.run and m.name == arm.model for m in plan.models):
            expected = "a model that is the run of epilm finetune"
            refuse("there is no head to keep", "arms", arm.name, expected=expected)
        if arm.model:
            known("arms", arm.model, models)
        for name in arm.only:
            known("arms", name, settings)
    for control in plan.controls:
        known("controls", control.arm, arms)
        if next(arm for arm in plan.arms if arm.name == control.arm).baseline:
            text = f"{control.name} of the baseline {control.arm}"
            refuse("a control is of a fine-tuned arm", "controls", text)
    for text in plan.ranks:
        known("ranks", text.partition("=")[0], arms)
        known("ranks", text.partition("=")[2], dream_internal_ranks().models)
    for claim in plan.claims:
        known("claims", claim.more, rows)
        known("claims", claim.less, rows)
    for setting in plan.settings:
        _check_setting(plan, setting, source)
    if plan.world:
        (setting,) = plan.settings
        known("world", plan.world, list(SIZES))
        world = size_of(plan.world)
        for cell in (*setting.train_cells, setting.test_cell):
            known("train_cells", cell, world.cell_types)
        for factor in plan.factors:
            known("factors", factor, world.chip)
        if setting.test_cell in setting.train_cells:
            cure = "Take it out of train_cells."
            refuse("the test cell type is trained on", "test_cell", setting.test_cell, do=cure)


def _check_setting(plan: Ablation, setting: Setting, source: Source) -> None:
    """Refuse empty lists, and places of test that training reads."""
    for part in ("train_cells", "train", "valid", "test"):
        if not getattr(setting, part):
            raise RecipeError("the list is empty", where=source.of(setting.key(part)))
    spans = {part: places_of(setting, part, source) for part in ("train", "valid", "test")}
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        for a in spans[one]:
            for b in spans[other]:
                if a.chrom == b.chrom and a.start < b.end and b.start < a.end:
                    texts = (", ".join(getattr(setting, part)) for part in (one, other))
                    raise RecipeError(
                        f"{one} and {other} overlap",
                        where=source.of(setting.key(other)),
                        found=" and ".join(texts),
                        do=(
                            "Name parts that share no base, e.g. chr20:0-9000000 and"
                            " chr20:9000000-11000000."
                        ),
                    )


def places_of(setting: Setting, part: str, source: Source) -> list[Interval]:
    """Read the places of a setting; what is none is refused with its line."""
    try:
        return [parse_interval(text) for text in getattr(setting, part)]
    except InputError as error:
        raise RecipeError(
            error.what,
            where=source.of(setting.key(part)),
            found=error.found,
            expected=error.expected,
        ) from None
