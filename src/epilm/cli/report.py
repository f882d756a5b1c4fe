"""`epilm report`: one HTML page about any run."""

from pathlib import Path


def report(
    folder: Path | None = None,
    *,
    results: list[Path] | None = None,
    out: Path | None = None,
) -> None:
    """Write one self-contained HTML page of a run's curves, tables and pictures, and the numbers of
    each picture beside it; or, with --results, the tables of several runs as one page of Markdown.

    Examples:
    epilm report runs/ctcf
    epilm report why
    epilm report scored.tsv
    epilm report vectors.h5ad
    epilm report --results runs/ctcf runs/ctcf-seed1 comparison --out results

    Parameters
    ----------
    folder
        A run of pretrain or finetune, the folder of compare, ablate, risk, explain, leaderboard or
        the demo, or what score-variants or embed wrote.
    results
        Folders of finetune, compare, ablate and risk, tables of score-variants --truth: command,
        data, seeds, mean and sd of each, with every number as TSV. Runs that differ by their seeds
        alone, those of pre-training too, are one line.
    out
        The HTML file; report.html in the folder by default, NAME.html beside a file. With --results
        a folder to appear, "results" by default.
    """
    from epilm.reporting import report as run

    print(run(folder, out, results=results or ()))
