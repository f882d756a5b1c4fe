"""`epilm export`: a checkpoint as a folder that transformers opens, an adapter with its base."""

from pathlib import Path
from typing import Literal


def export(
    source: Path,
    out: Path,
    *,
    to: Literal["transformers", "epilm"] = "transformers",
    overwrite: bool = False,
) -> None:
    """Turn a trained model into a folder that transformers.AutoModel opens, or into a whole one.

    Parameters
    ----------
    source
        A run, a checkpoint, or a folder in DNABERT's layout.
    out
        The folder to make.
    to
        The layout: transformers, or epilm: a model folder as this program reads it, of a run of
        --lora with its base added, which opens without it.
    overwrite
        Replace the folder where it exists.
    """
    from epilm.hub.export import export as run

    print(run(source, out, to, overwrite=overwrite))
