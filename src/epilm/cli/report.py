"""`epilm report`: one HTML page about a run."""

from pathlib import Path


def report(folder: Path, *, out: Path | None = None) -> None:
    """Write one self-contained HTML page of a run's curves, tables and pictures.

    Parameters
    ----------
    folder
        A run of pretrain or finetune, or the folder of the demo.
    out
        The HTML file; report.html in the folder by default.
    """
    from epilm.reporting import report as run

    print(run(folder, out))
