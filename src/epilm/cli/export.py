"""`epilm export`: a checkpoint as a folder that transformers opens."""

from pathlib import Path
from typing import Literal


def export(
    source: Path,
    out: Path,
    *,
    to: Literal["transformers"] = "transformers",
    overwrite: bool = False,
) -> None:
    """Turn a trained model into a folder that transformers.AutoModel opens.

    Parameters
    ----------
    source
        A run, a checkpoint, or a folder in DNABERT's layout.
    out
        The folder to make.
    to
        The layout.
    overwrite
        Replace the folder where it exists.
    """
    from epilm.hub.export import export as run

    print(run(source, out, to, overwrite=overwrite))
