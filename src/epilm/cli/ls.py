"""`epilm ls`: what can be named on the command line."""

from typing import Annotated, Any, Literal

from cyclopts import Parameter

Kind = Literal["recipes", "tasks", "heads", "baselines", "towers", "objectives", "pairs"]


def ls(kind: Kind | None = None, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List recipes, tasks, region towers, objectives, and the pairs of the ENCODE-DREAM challenge.

    Parameters
    ----------
    kind
        One kind alone: recipes, tasks, heads, baselines, towers, objectives or pairs.
    json
        Print JSON.
    """
    from json import dumps

    tables = {name: listing() for name, listing in LISTINGS.items() if kind in (None, name)}
    if json:
        print(dumps(tables, indent=2))
        return
    for name, table in tables.items():
        print(f"{name}")
        width = max(len(key) for key in table)
        for key, text in table.items():
            print(f"  {key:<{width}}  {text}")


def _recipes() -> dict[str, str]:
    from epilm.recipes.recipe import list_recipes, recipe_sizes

    out = {}
    for name, path in list_recipes().items():
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        out[name] = f"{first.split('. ')[0].rstrip('.:')} [{', '.join(recipe_sizes(path))}]"
    return out


def _tasks() -> dict[str, str]:
    from epilm.tasks import TASKS

    return {name: _first_line(task) for name, task in TASKS.items()}


def _heads() -> dict[str, str]:
    from epilm.models.networks import HEADS, NETWORKS

    own = {name: f"{network.about} (no trunk)" for name, network in NETWORKS.items()}
    return {name: head.about for name, head in HEADS.items()} | own


def _baselines() -> dict[str, str]:
    from epilm.baselines.base_models import BASE_BASELINES
    from epilm.baselines.baseline_table import BASELINES

    every: dict[str, Any] = {**BASELINES, **BASE_BASELINES}
    return {name: baseline.about for name, baseline in every.items()}


def _towers() -> dict[str, str]:
    from epilm.nn.region import REGION_TOWERS

    return {
        name: (
            f"{plan.family}, {f'{plan.size} x {plan.size}' if plan.size else 'regions x factors'},"
            f" depths {'-'.join(map(str, plan.depths))}, width {plan.embed}"
        )
        for name, plan in REGION_TOWERS.items()
    }


def _objectives() -> dict[str, str]:
    from epilm.objectives.table import OBJECTIVES

    return {name: _first_line(objective.loss) for name, objective in OBJECTIVES.items()}


def _pairs() -> dict[str, str]:
    from epilm.tasks.binding.dream.challenge import PAIRS

    return {pair.name: f"learned in {', '.join(pair.train_cells)}" for pair in PAIRS}


def _first_line(thing: Any) -> str:
    text = (
        getattr(thing, "about", None) or getattr(thing, "description", None) or thing.__doc__ or ""
    )
    return str(text).strip().splitlines()[0].rstrip(".") if text else ""


LISTINGS = {
    "recipes": _recipes,
    "tasks": _tasks,
    "heads": _heads,
    "baselines": _baselines,
    "towers": _towers,
    "objectives": _objectives,
    "pairs": _pairs,
}
