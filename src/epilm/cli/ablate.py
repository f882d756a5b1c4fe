"""`epilm ablate`: what each part of a system is worth, over seeds."""

from pathlib import Path
from typing import Literal


def ablate(
    name: str,
    *,
    out: Path,
    seeds: int = 5,
    first_seed: int = 1,
    size: Literal["full", "toy", "tiny"] = "full",
    json: bool = False,
) -> None:
    """Switch one part at a time, over seeds, into one table with paired differences and verdicts.

    A stopped ablation goes on where it was: the same command again. More seeds can be added later.

    Examples:
    epilm ablate playground_ebert --out ablation
    epilm ablate playground_ebert --out toy --size toy --seeds 1

    Parameters
    ----------
    name
        playground_ebert (DBERT, EBERT, EBERT+, their random starts and shuffled states on an invented genome), or a YAML file of your own.
    out
        Folder for rows.jsonl, table.tsv, claims.tsv, table.json, report.html and a folder a seed.
    seeds
        How many; each is an invented genome of its own.
    first_seed
        The seeds are this one and those after it. The sizes were tried out on seed 0.
    size
        full takes about six minutes a seed on one core, toy two, tiny seconds (shows that all parts run).
    json
        Print JSON.
    """
    import json as writer
    from dataclasses import asdict

    from epilm.experiments.ablation import ablate as run

    result = run(name, out, seeds=range(first_seed, first_seed + seeds), size=size)
    if json:
        print(writer.dumps({"arms": result.table, "claims": [asdict(v) for v in result.verdicts]}, indent=2))
    else:
        print(result.text())
        print(f"the page: {result.report}")
