"""A recipe: one YAML that says all of a run, read into frozen dataclasses without forgiveness.

An unknown, missing or impossible key is a `RecipeError` that names file, line
and key, and the nearest known key. `sizes:` in the same file shrinks a recipe
(`--size tiny`), `--set optim.peak_lr=3e-4` changes one key of it. What follows
from other keys (which heads a model has) is derived, never asked twice.
Needs PyYAML and the standard library; used by every experiment.
"""

import re
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from epilm.batch import TOKEN_ANSWERS
from epilm.errors import RecipeError, nearest
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import ObjectivesSpec, objectives_spec
from epilm.recipes.rules import check_values
from epilm.store.sample_spec import SampleSpec
from epilm.training.optim_spec import OptimSpec, TrainSpec

T = TypeVar("T")

RECIPES = Path(__file__).parent

# Follow from other keys or from the store; a recipe that says them is refused.
DERIVED = {
    "model.factors": "the store says how many factors there are",
    "model.cells": "the store says how many cell types there are",
    "model.regions": "it is samples.regions",
    "model.next_segment": "it is objectives.next_segment.form, or none where that weight is 0",
    "model.masked_factors": "it is on where objectives.masked_factors.weight is above 0",
    **{f"model.{answer.asked}": answer.counted for answer in TOKEN_ANSWERS},
    "model.states": "the store says how many chromatin states there are",
}
# Follow from objectives.alpha where that is given.
ALPHA = ("objectives.masked_kmers.weight", "objectives.masked_states.weight")
# What a recipe must say itself; everything else has the documented default.
REQUIRED = (
    "name",
    "model.name",
    "model.streams",
    "train.steps",
    "train.batch_size",
    "train.micro_batch",
    "optim.peak_lr",
    "optim.warmup_steps",
)


@dataclass(frozen=True)
class Recipe:
    """Everything that a pre-training run is.

    `model.factors`, `model.cells` and `model.states` are 0 until a store is at hand (`for_store`).
    """

    name: str
    model: ModelSpec
    samples: SampleSpec
    objectives: ObjectivesSpec
    optim: OptimSpec
    train: TrainSpec
    size: str = "base"
    notes: str = ""


@dataclass
class Source:
    """Where keys were read, for messages: the file, and the line of each key.

    Examples
    --------
    >>> Source("a.yaml", {"train": 3, "train.steps": 4}).of("train.steps")
    'a.yaml, line 4, key train.steps'
    >>> Source("a.yaml", {}, {"train.steps": "train.steps=x"}).of("train.steps")
    '--set train.steps=x'
    """

    name: str
    lines: dict[str, int] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)

    def of(self, key: str) -> str:
        """Say where a key, or the nearest one above it, stands."""
        if key in self.overrides:
            return f"--set {self.overrides[key]}"
        above = key
        while above and above not in self.lines:
            above = above.rpartition(".")[0]
        line = f", line {self.lines[above]}" if above else ""
        return f"{self.name}{line}, key {key}"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's words and numbers: 4e-4 is a number and `no` is a word, unlike PyYAML's own
    rules.
    """

    # An empty table of this class's own; PyYAML keeps the rules on the class.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, _rule, _first in (
    ("null", r"null|~|", "n~\0"),
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?[0-9][0-9_]*", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_rule})$"), [*_first.replace("\0", ""), ""]
    )


_TAG = "tag:yaml.org,2002:"
TAGS = {_TAG + kind for kind in ("map", "seq", "null", "bool", "int", "float", "str")}
MOST_DIGITS = 400
MOST_NODES = 100_000  # of a recipe; the longest of ours has some hundred


def _check_size(node: yaml.Node, source: Source) -> None:
    """Refuse YAML whose aliases make far more of it than is written, or go in a circle."""
    sizes: dict[int, int] = {}

    def size(each: yaml.Node, inside: tuple[int, ...]) -> int:
        if id(each) in inside:
            raise RecipeError(
                "an alias is inside of what it stands for",
                where=f"{source.name}, line {each.start_mark.line + 1}",
            )
        if id(each) not in sizes:
            inner: list[Any] = []
            if isinstance(each, yaml.MappingNode):
                inner = [one for pair in each.value for one in pair]
            elif isinstance(each, yaml.SequenceNode):
                inner = each.value
            sizes[id(each)] = 1 + sum(size(one, (*inside, id(each))) for one in inner)
        return sizes[id(each)]

    if (n := size(node, ())) > MOST_NODES:
        raise RecipeError(
            "the file says far more than a recipe does",
            where=source.name,
            found=f"{n:,} values, aliases written out",
            expected=f"at most {MOST_NODES:,}",
        )


def _value(node: yaml.Node, source: Source, path: str) -> Any:
    """Turn a YAML node into plain values, noting the line of every key."""
    if node.tag not in TAGS:
        raise RecipeError(
            "a YAML tag that recipes do not use", where=source.of(path), found=node.tag
        )
    if isinstance(node, yaml.MappingNode):
        table: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = f"{path}.{key}" if path else key
            if key in table:
                raise RecipeError(
                    "the key stands twice",
                    where=f"{source.name}, line {key_node.start_mark.line + 1}, key {here}",
                )
            source.lines[here] = key_node.start_mark.line + 1
            table[key] = _value(value_node, source, here)
        return table
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, source, path) for item in node.value]
    kind, text = node.tag.removeprefix(_TAG), node.value
    if kind in ("int", "float") and len(text) > MOST_DIGITS:
        raise RecipeError(
            "the number is longer than any", where=source.of(path), found=f"{len(text)} digits"
        )
    match kind:
        case "null":
            return None
        case "bool":
            return text == "true"
        case "int":
            return int(text.replace("_", ""))
        case "float":
            return float(text.replace("_", ""))
    return text


def read_yaml(text: str, source: Source) -> Any:
    """Parse YAML text; line numbers of its keys go to `source`.

    Raises
    ------
    RecipeError
        If the text is not YAML, a key stands twice, or a tag asks for an object.

    Examples
    --------
    >>> read_yaml("a: 4e-4\\nb: [no, 1, true]\\nc:", Source("a.yaml"))
    {'a': 0.0004, 'b': ['no', 1, True], 'c': None}
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            _check_size(node, source)
    except RecursionError:
        raise RecipeError(
            "the file is nested far deeper than a recipe", where=source.name
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source.name}, line {mark.line + 1}" if mark else source.name
        raise RecipeError(
            "the file is not YAML", where=where, found=getattr(error, "problem", error)
        ) from None
    return None if node is None else _value(node, source, "")


def _type_name(kind: Any) -> str:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in inside)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _type_name(part) for part in inside)
    if origin is tuple:
        if inside[-1] is Ellipsis:
            return f"a list [...] of {_type_name(inside[0])}"
        return f"a list of {len(inside)}: [{', '.join(_type_name(part) for part in inside)}]"
    if is_dataclass(kind):
        return "a table of keys"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names[kind]


def _convert(value: Any, kind: Any, key: str, source: Source) -> Any:
    """Check one value against its type; tables become dataclasses."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind is ObjectivesSpec:
        kind = objectives_spec()
    if is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, Mapping):
            return build_from(kind, value, key, source)
    elif origin in (Union, types.UnionType):
        if value is None and type(None) in inside:
            return None
        rest = [part for part in inside if part is not type(None)]
        if value is not None:
            return _convert(value, rest[0], key, source)
    elif origin is Literal:
        if value in inside and not isinstance(value, bool):
            return value
        if isinstance(value, str):
            raise RecipeError(
                "unknown value",
                where=source.of(key),
                found=value,
                do=nearest(value, map(str, inside)),
            )
    elif origin is tuple:
        if isinstance(value, list | tuple):
            if inside[-1] is Ellipsis:
                return tuple(_convert(item, inside[0], key, source) for item in value)
            if len(value) == len(inside):
                return tuple(
                    _convert(item, part, key, source)
                    for item, part in zip(value, inside, strict=True)
                )
    elif kind is bool or kind is str:
        if isinstance(value, kind):
            return value
    elif not isinstance(value, bool) and isinstance(value, int | float):
        with suppress(OverflowError, ValueError):  # infinity, nan
            if kind is float:
                return float(value)
            if int(value) == value:  # 1e5 steps
                return int(value)
    raise RecipeError(
        "wrong type",
        where=source.of(key),
        found="null" if value is None else repr(value),
        expected=_type_name(kind),
    )


def build_from(cls: type[T], table: Mapping[str, Any], path: str, source: Source) -> T:
    """Make a dataclass from a table, each value checked against the field's type; `path` is its key
    in the file.
    """
    hints = get_type_hints(cls)
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        here = f"{path}.{key}" if path else key
        if key not in known:
            raise RecipeError("unknown key", where=source.of(here), do=nearest(key, known))
        values[key] = _convert(value, hints[key], here, source)
    for key, item in known.items():
        if key not in values and item.default is MISSING and item.default_factory is MISSING:
            raise RecipeError(
                "a key is missing",
                where=source.of(f"{path}.{key}" if path else key),
                expected=_type_name(hints[key]),
            )
    return cls(**values)


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another, key by key.

    Examples
    --------
    >>> merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}})
    {'a': {'b': 9, 'c': 2}, 'd': 3}
    """
    out = dict(low)
    for key, value in high.items():
        below = out.get(key)
        out[key] = (
            merged(below, value)
            if isinstance(below, Mapping) and isinstance(value, Mapping)
            else value
        )
    return out


def flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Write a nested table as dotted keys.

    Examples
    --------
    >>> flat({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    out: dict[str, Any] = {}
    for key, value in table.items():
        here = f"{path}.{key}" if path else key
        out.update(flat(value, here) if isinstance(value, Mapping) else {here: value})
    return out


def list_recipes() -> dict[str, Path]:
    """Give the recipes that come with the package, name to file.

    Examples
    --------
    >>> "genebert_paper" in list_recipes()
    True
    """
    return {path.stem: path for path in sorted(RECIPES.glob("*.yaml"))}


def recipe_sizes(path: Path) -> tuple[str, ...]:
    """Give the sizes a recipe file offers, `base` first.

    Examples
    --------
    >>> recipe_sizes(list_recipes()["dnabert"])
    ('base', 'small', 'tiny')
    """
    table = read_yaml(path.read_text(encoding="utf-8"), Source(path.name))
    return ("base", *sorted(table.get("sizes") or {}))


def _find(name: str | Path) -> Path:
    shipped = list_recipes()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or path.parent != Path("."):
        raise RecipeError(
            "there is no such recipe file", where=str(name), do="epilm ls lists the recipes."
        )
    raise RecipeError("unknown recipe", found=str(name), do=nearest(str(name), shipped))


def load_recipe(name: str | Path, size: str | None = None, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe, strictly.

    Parameters
    ----------
    name : str or path
        A recipe of the package (`list_recipes`) or a YAML file.
    size : str, optional
        A key of the file's `sizes:` block; `base` or None takes the file as it stands.
    overrides : iterable of str
        `key=value` each, laid on top; the value is read as YAML.

    Raises
    ------
    RecipeError
        If the file, a key or a value cannot be used; names file, line and key.

    Examples
    --------
    >>> recipe = load_recipe("genebert_paper", overrides=["optim.peak_lr=3e-4"])
    >>> recipe.model.tower.name, recipe.objectives.matching.batch, recipe.optim.peak_lr
    ('swin_t_224', 128, 0.0003)
    """
    path = _find(name)
    source = Source(path.name if path.parent == RECIPES else str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError("the recipe cannot be read", where=str(path), found=error) from None
    table = read_yaml(text, source)
    if not isinstance(table, dict):
        raise RecipeError(
            "a recipe is a table of keys", where=source.name, found=type(table).__name__
        )
    table = at_size(table, size, source)
    for item in overrides:
        table = _override(table, item, source)
    for key, why in DERIVED.items():
        if key in flat(table):
            raise RecipeError(
                "the key cannot be set", where=source.of(key), do=f"Leave it out: {why}."
            )
    for part in ("model", "samples", "objectives", "optim", "train"):
        table.setdefault(part, {})
    known = flat(table)
    if known.get("objectives.alpha") is not None:
        for key in ALPHA:
            if key in known:
                raise RecipeError(
                    "alpha and a weight that follows from it are both given",
                    where=source.of(key),
                    found=f"{known[key]!r}, and objectives.alpha {known['objectives.alpha']!r}",
                    do=(
                        "Leave one of them out: alpha is the weight of masked k-mers, 1 - alpha"
                        " that of masked states."
                    ),
                )
    recipe = derived(build_from(Recipe, table, "", source))
    for key in REQUIRED:
        if key not in known:
            raise RecipeError("a key is missing", where=f"{source.name}, key {key}")
    check_values(recipe, source.of)
    return recipe


def at_size(table: dict[str, Any], size: str | None, source: Source) -> dict[str, Any]:
    """Apply one of the sizes that the table holds under `sizes`, and drop the others."""
    sizes = table.pop("sizes", None) or {}
    if "size" in table:
        raise RecipeError(
            "the key cannot be set", where=source.of("size"), do="Pass --size instead."
        )
    if not isinstance(sizes, dict) or not all(isinstance(value, dict) for value in sizes.values()):
        raise RecipeError("sizes is a table of tables", where=source.of("sizes"))
    if size in (None, "base"):
        return table
    if size not in sizes:
        raise RecipeError(
            "the recipe has no such size",
            where=source.name,
            found=size,
            do=nearest(str(size), ["base", *sizes]),
        )
    prefix = f"sizes.{size}."
    for key, line in list(source.lines.items()):
        if key.startswith(prefix):
            source.lines[key.removeprefix(prefix)] = line
    return merged(table, sizes[size]) | {"size": size}


def _override(table: dict[str, Any], item: str, source: Source) -> dict[str, Any]:
    key, equals, text = item.partition("=")
    key = key.strip()
    if not equals or not key:
        raise RecipeError("an override reads key=value", where=f"--set {item}")
    source.overrides[key] = item
    value = read_yaml(text, Source(f"--set {item}"))
    for part in reversed(key.split(".")):
        value = {part: value}
    return merged(table, value)


def derived(recipe: Recipe) -> Recipe:
    """Fill the keys that follow from others: two weights from alpha, the model's from samples and
    objectives.
    """
    objectives = recipe.objectives
    if objectives.alpha is not None:
        objectives = replace(
            objectives,
            masked_kmers=replace(objectives.masked_kmers, weight=objectives.alpha),
            masked_states=replace(objectives.masked_states, weight=1 - objectives.alpha),
        )
    model = replace(
        recipe.model,
        regions=recipe.samples.regions,
        next_segment=objectives.next_segment.form if objectives.next_segment.weight > 0 else "none",
        masked_factors=objectives.masked_factors.weight > 0,
    )
    return replace(recipe, model=model, objectives=objectives)


def to_dict(recipe: Any) -> dict[str, Any]:
    """Write a recipe, or any spec, as plain values for JSON; tuples become lists.

    Examples
    --------
    >>> recipe = load_recipe("dnabert", "tiny")
    >>> from_dict(to_dict(recipe)) == recipe
    True
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return plain(asdict(recipe))


def from_dict(table: Mapping[str, Any], where: str = "recipe.json") -> Recipe:
    """Read back what `to_dict` wrote, as strictly as a YAML file.

    Raises
    ------
    RecipeError
        If a key is unknown or a value has the wrong type.
    """
    return build_from(Recipe, table, "", Source(where))
