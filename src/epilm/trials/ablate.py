"""An experiment that switches one thing at a time, over seeds: what each part of a system is worth.

The public function: reads a description, chooses who makes its rows, and runs them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from epilm.errors import UsageError
from epilm.trials.bench import check_runs
from epilm.trials.choices import LabFiles
from epilm.trials.descriptions import read_design, read_table
from epilm.trials.given import open_lab
from epilm.trials.study import study_of
from epilm.trials.study_rows import StudyRows
from epilm.trials.trial import FIRST_SEED, Maker, Say, TrialResult, run_trial, seeds_of
from epilm.trials.worlds import WorldRows


def ablate(
    name: str | Path,
    out: str | Path,
    *,
    seeds: int | Sequence[int] | None = None,
    first_seed: int = FIRST_SEED,
    size: str | None = None,
    data: LabFiles | None = None,
    say: Say | None = None,
) -> TrialResult:
    """Run an ablation over seeds into one table, with paired differences and a verdict on each
    claim.

    Parameters
    ----------
    name : str or path
        One of the package (`descriptions.list_designs`), or a YAML file.
    out : path
        Folder. Rows (seed, setting, arm) that it holds already are not done again, so a stopped
        ablation goes on; seeds, settings and arms can be added later.
    seeds : int or sequence of int, optional
        How many, from `first_seed` on; or which. 5; 3 on given data.
    first_seed : int
        The sizes of a shipped description were tried out on seed 0, so that 1 is the first.
    size : str, optional
        Of the description: "small", "many", "toy", "tiny"; "full" or None takes it as it stands.
    data : LabFiles, optional
        Store and labels, for a description with settings; store and labelled sequences, for a table
        of a paper.
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    TrialResult
        Also in the folder: rows.jsonl, table.json, table.tsv, claims.tsv, report.html; factors.tsv
        of binding, published.tsv where a paper's numbers stand beside ours.

    Raises
    ------
    RecipeError
        If the description is wrong, or names what store and labels have not.
    UsageError
        If data are missing, or given to a description that makes its own.
    TrainingError
        If the folder holds another ablation, or something else.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    maker, wanted = plan_trial(
        name, seeds=seeds, first_seed=first_seed, size=size, data=data, say=say
    )
    return run_trial(maker, out, wanted, say)


def plan_trial(
    name: str | Path,
    *,
    seeds: int | Sequence[int] | None = None,
    first_seed: int = FIRST_SEED,
    size: str | None = None,
    data: LabFiles | None = None,
    say: Say,
) -> tuple[Maker, list[int]]:
    """Read a description, open what it needs, and give who makes its rows, and the seeds; see
    `ablate`.

    Raises
    ------
    RecipeError, UsageError
    """
    table, source = read_table(name, size)
    files = data or LabFiles()
    if "measure" in table:
        study = study_of(table, source)
        wanted = seeds_of(5 if seeds is None else seeds, first_seed)
        check_runs(study.models, wanted, source)
        return StudyRows(study, files, say), wanted
    plan, source = read_design(name, size)
    for option in ("data", "genome"):
        if option in files.given():
            raise UsageError(
                "the description is of binding", where=f"--{option}", do="Leave it out."
            )
    if plan.world:
        for option, value in files.given().items():
            raise UsageError(
                "the description makes its own world and takes no data",
                where=f"--{option}",
                found=value,
                do="Give a description with settings (epilm ablate --help).",
            )
        wanted = seeds_of(5 if seeds is None else seeds, first_seed)
        maker: Maker = WorldRows(plan, source)
    else:
        if files.store is None or files.labels is None:
            raise UsageError(
                "the description is of given data", where=str(name), do="Give --store and --labels."
            )
        wanted = seeds_of(3 if seeds is None else seeds, first_seed)
        maker = lab = open_lab(plan, source, files, wanted)
        for note in lab.notes:
            say(note)
    return maker, wanted
