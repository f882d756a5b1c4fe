"""`epilm simulate`: write the playground."""

from pathlib import Path
from typing import Literal


def simulate(
    out: Path,
    *,
    size: Literal["tiny", "small", "large"] = "small",
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write raw files of an invented genome, in real formats, with the truth about them.

    Parameters
    ----------
    out
        Folder to make.
    size
        tiny (0.4 Mb, about a second), small (4 Mb, seconds) or large (100 Mb, a few minutes).
    seed
        The same size and seed give the same bytes.
    overwrite
        Replace an existing folder.
    """
    from epilm.playground.simulate import simulate as run

    folder = run(
        out, size, seed, overwrite=overwrite, progress=lambda line: print(line, flush=True)
    )
    print(f"simulated data in {folder} (see README.md and truth.json there)")
