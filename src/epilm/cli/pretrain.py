"""`epilm pretrain`: a recipe and a store become a trained model."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def pretrain(
    recipe: str,
    *,
    store: Path,
    out: Path,
    size: str | None = None,
    set: Annotated[
        list[str] | None, Parameter(name="--set", negative="", consume_multiple=False)
    ] = None,
    resume: bool = True,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Pre-train a model from a recipe and a store.

    The same command goes on with a run that was stopped or killed.

    Parameters
    ----------
    recipe
        Name of a recipe (see `epilm ls`) or a YAML file.
    store
        What `epilm build` made.
    out
        The run's folder: recipe, metrics, checkpoints, and at last the model.
    size
        A size of the recipe: tiny, small or base.
    set
        key=value over the recipe, any number of times: --set optim.peak_lr=3e-4.
    resume
        With --no-resume an existing run is an error.
    device
        Where to compute.
    json
        Print the result as JSON.
    """
    from dataclasses import asdict
    from json import dumps

    from epilm.pretraining.pretrain import pretrain as run
    from epilm.training.ranks import process_rank

    done = run(recipe, store, out, size=size, set=set or (), resume=resume, device=device)
    if json and process_rank() == 0:
        print(dumps(asdict(done) | {"run": str(done.run)}, indent=2))
