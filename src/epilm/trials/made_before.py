"""Pre-trainings that another trial made, or `epilm pretrain`: linked in and not made again.

The papers' tables share models. A pre-training is what its recipe, its seed and the content of its
store say, so one that agrees in these is the one that would be made here.
"""

from collections.abc import Sequence
from pathlib import Path

from epilm.atomic import atomic_folder, link_folder
from epilm.errors import TrainingError, UsageError
from epilm.pretraining import folder as runs
from epilm.pretraining.run_plan import for_store, store_identity
from epilm.recipes.recipe import Recipe, to_dict
from epilm.store.reader import Store
from epilm.trials.descriptions import Pretraining


def finished_in(folders: Sequence[str | Path], models: Sequence[Pretraining]) -> tuple[Path, ...]:
    """List the finished pre-trainings of folders: of an ablation those of its models and seeds, of
    `epilm pretrain` the folder itself.

    Parameters
    ----------
    folders : sequence of path
    models : sequence of Pretraining
        Of the description that asks.

    Raises
    ------
    UsageError
        If a folder has none, or the description pre-trains nothing.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        here = [folder, *sorted(folder.glob("runs/*")), *sorted(folder.glob("seed*/runs/*"))]
        whole = [path for path in here if all((path / name).is_file() for name in _WHOLE)]
        if not whole:
            raise UsageError(
                "there is no finished pre-training",
                where="--runs",
                found=str(folder),
                expected="the folder of epilm ablate or of epilm pretrain",
            )
        found += whole
    if found and not any(model.recipe for model in models):
        raise UsageError("the description pre-trains nothing", where="--runs", do="Leave it out.")
    return tuple(found)


def take_over(run: Path, made: Sequence[Path], recipe: Recipe, store: Store) -> Path | None:
    """Link in the first of the finished runs that is of this recipe, seed and store.

    Parameters
    ----------
    run : path
        Where it shall lie.
    made : sequence of path
        See `finished_in`.
    recipe : Recipe
    store : Store

    Returns
    -------
    path or None
        Which one it was.
    """
    wanted = to_dict(for_store(recipe, store)), store_identity(store)
    for other in made:
        try:
            alike = runs.compare(other, *wanted) == "complete"
        except TrainingError:  # of another recipe, seed or store
            continue
        if alike:
            with atomic_folder(run, overwrite=run.exists()) as new:
                link_folder(other, new)
            return other
    return None


_WHOLE = (runs.RECIPE, runs.STORE, runs.SUMMARY)
