"""What a table of a paper is, as a file says it: pre-trained models, arms, what is measured, and
the paper's own numbers.

A third kind of description beside those of `descriptions` (which are of binding): arms start from
models that differ in one thing (a loss, a tower, a batch) and are measured on labelled sequences,
or by how the regions of a cell type lie together. As the file stands it is of given data at full
size; a size with a `world` makes its data itself.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from epilm.errors import EpilmError, RecipeError, nearest
from epilm.metrics.published import genebert_table
from epilm.playground.ground_plan import SIZES
from epilm.recipes.recipe import Source, build_from, load_recipe
from epilm.tasks import TASKS
from epilm.trials.descriptions import NAME, Pretraining
from epilm.trials.learn import Learning, check_learning
from epilm.trials.trial_table import Cell, Claim, Design, Words

STUDY_PLAN = "study.json"
_TOYS = "Ours are toys on an invented genome, which cannot be compared with the paper"
MEASURES: dict[str, Words] = {
    "labels": Words(
        noun="a table of a paper",
        plan=STUDY_PLAN,
        rows="rows.jsonl",
        setting="set",
        arm="arm",
        lines="",
        scores=("auroc", "ap", "macro_precision", "macro_recall", "macro_f1", "mcc"),
        judged=("auroc",),
        printed=("macro_precision", "macro_recall", "auroc"),
        other="the folder holds another table",
        cure="Choose another --out, or give the data and the size it was begun with.",
    )
}
MEASURES["neighbours"] = replace(
    MEASURES["labels"],
    scores=("purity", "silhouette", "chance"),
    judged=("purity", "silhouette"),
    printed=("purity", "chance", "silhouette"),
)


@dataclass(frozen=True)
class StudyArm:
    """A row of the table: a model of the description with its weights or without, or a baseline.

    Attributes
    ----------
    baseline : str
        kmer (logistic regression) or cnn, of labelled sequences.
    by_set : str
        Number of the paper's table that has this arm's scores set by set.
    """

    name: str
    model: str = ""
    baseline: Literal["kmer", "cnn"] | None = None
    init: Literal["checkpoint", "random"] = "checkpoint"
    by_set: str = ""
    title: str = ""


@dataclass(frozen=True)
class Study:
    """A whole description.

    Attributes
    ----------
    measure : {"labels", "neighbours"}
        Fine-tune on labelled sequences and score; or embed the regions of the store that are
        accessible in one cell type alone, and count neighbours of the same type.
    task, options : str, tuple of str
        Of --data, and name=value for its loader (split, valid and test too); without a task --data
        is a manifest of sets.
    cells : int
        For neighbours: so many cell types, drawn by the seed; all where there are no more.
    drawn : int
        For neighbours: most regions in a picture.
    published : str
        Number of the paper's table whose rows are called as the arms.
    set, model_size
        Laid over every model: changes, before the model's own; and a size in place of its own.
    world, world_sets
        Size of the playground of which each seed is one, and NAME=FILE in it; "" where data are
        given.
    expected : str
        What the paper says, where that is no table.
    """

    name: str
    measure: Literal["labels", "neighbours"]
    models: tuple[Pretraining, ...]
    arms: tuple[StudyArm, ...]
    claims: tuple[Claim, ...] = ()
    task: str = ""
    options: tuple[str, ...] = ()
    cells: int = 10
    drawn: int = 1500
    published: str = ""
    set: tuple[str, ...] = ()
    model_size: str = ""
    finetune: Learning = field(default_factory=Learning)
    title: str = ""
    expected: str = ""
    world: str = ""
    world_sets: tuple[str, ...] = ()
    size: str = "base"

    def recipe_of(self, model: Pretraining) -> tuple[str, str | None, tuple[str, ...]]:
        """Recipe, size and changes, as `load_recipe` and `pretrain` take them."""
        size = self.model_size or model.size
        return model.recipe, None if size == "base" else size, (*self.set, *model.set)

    def design(self, sets: dict[str, str]) -> Design:
        """What its table is made of.

        Parameters
        ----------
        sets : dict of str to str
            The sets, and what the paper calls each of them ("" where it has not).
        """
        cells = [Cell(name, arm.name, arm.title or arm.name) for name in sets for arm in self.arms]
        published: dict[tuple[str, str], Mapping[str, float]] = {}
        source = note = ""
        for arm in self.arms:
            if not (number := arm.by_set or self.published):
                continue
            table = genebert_table(number)
            for name, theirs in sets.items():
                row = theirs if arm.by_set else arm.name
                if row in table.rows:
                    published[name, arm.name] = table.rows[row]
            if not source:
                source, note = table.source, table.note
        return Design(
            MEASURES[self.measure],
            tuple(cells),
            self.claims,
            frozenset(arm.name for arm in self.arms if arm.baseline),
            published=published,
            source=source,
            note=". ".join(
                text for text in (_TOYS * bool(self.world), note, self.expected) if text
            ),
        )


def study_of(table: dict[str, Any], source: Source) -> Study:
    """Build a description from the table of a file, and refuse what can be seen to be wrong.

    Raises
    ------
    RecipeError
        Naming file, line and key.
    """
    study = build_from(Study, table, "", source)

    def refuse(what: str, key: str, found: Any, **more: Any) -> None:
        raise RecipeError(what, where=source.of(key), found=found, **more)

    def known(key: str, name: str, among: Any) -> None:
        if name not in among:
            refuse("unknown name", key, name, do=nearest(name, among))

    models, arms = [m.name for m in study.models], [arm.name for arm in study.arms]
    for key, names in (("models", models), ("arms", arms)):
        if not names:
            refuse("the list is empty", key, "[]")
        if twice := [name for name in names if names.count(name) > 1]:
            refuse("two have one name", key, twice[0])
    used = {arm.model for arm in study.arms}
    for name in models:
        if not NAME.fullmatch(name):
            refuse(
                "not a name for a folder", "models", name, expected="letters, digits and . _ + -"
            )
    for arm in study.arms:
        if bool(arm.model) == bool(arm.baseline):
            refuse("an arm is a model or a baseline", "arms", arm.name, expected="one of the keys")
        if arm.model:
            known("arms", arm.model, models)
        elif study.measure != "labels":
            refuse("a baseline is of labelled sequences", "arms", arm.name)
    for claim in study.claims:
        known("claims", claim.more, arms)
        known("claims", claim.less, arms)
    for model in study.models:
        if bool(model.recipe) == bool(model.run):
            expected = "one of recipe and run"
            refuse("a model is a recipe or a run", "models", model.name, expected=expected)
        if model.run and study.world:
            refuse("a run has not seen these worlds", "models", model.name)
        if model.recipe and model.name in used:
            load_recipe(*study.recipe_of(model))
    if study.task:
        known("task", study.task, TASKS)
    if study.world:
        known("world", study.world, list(SIZES))
        if study.measure == "labels" and not (study.task and study.world_sets):
            refuse("a world needs a task and its sets", "world_sets", list(study.world_sets))
    try:
        check_learning(study.finetune)
    except EpilmError as error:
        refuse(error.what, "finetune", f"{error.where} {error.found}", expected=error.expected)
    return study


def kept_study(folder: Path) -> tuple[Study, dict[str, Any]]:
    """Read the description that a folder was made with, and all that its plan holds."""
    path = folder / STUDY_PLAN
    kept = json.loads(path.read_text(encoding="utf-8"))
    return build_from(Study, kept["plan"], "", Source(str(path))), kept


def study_table(study: Study) -> dict[str, Any]:
    """Give a description as its folder keeps it."""
    return asdict(study)
