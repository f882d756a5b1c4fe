"""`epilm demo`: the whole road on an invented genome, and a page about it."""

from pathlib import Path
from typing import Literal


def demo(
    out: Path = Path("demo"),
    *,
    seed: int = 0,
    size: Literal["small", "tiny"] = "small",
) -> None:
    """Simulate, build, pre-train, fine-tune, evaluate and report, in minutes.

    Parameters
    ----------
    out
        Folder; an unfinished demo in it goes on where it stopped.
    seed
        Of the invented genome and of training.
    size
        small learns within minutes on two cores; tiny takes seconds and shows that all parts run.
    """
    from epilm.tour.demo import demo as run

    run(out, seed=seed, size=size)
