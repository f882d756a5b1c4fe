"""`epilm ablate`: what each part of a system is worth, over seeds."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from epilm.trials.choices import LabFiles


def ablate(
    name: str,
    *,
    out: Path,
    seeds: int | None = None,
    first_seed: int = 1,
    size: Literal["full", "many", "toy", "tiny"] = "full",
    data: Annotated[LabFiles, Parameter(name="*")] = LabFiles(),  # noqa: B008 - frozen
    shard: str | None = None,
    json: bool = False,
) -> None:
    """Switch one part at a time, over seeds, into one table with paired differences and verdicts.

    A stopped ablation goes on where it was: the same command again. More seeds can be added later.
    Tables of the papers stand beside what was published. As a table's file stands it is the paper's
    size on data of your own: the options from --store to --rule are for it; one that does not apply
    is refused. --size tiny needs no data.

    Examples:
    epilm ablate playground_ebert --out ablation
    epilm ablate playground_ebert --out toy --size toy --seeds 1
    epilm ablate mine.yaml --store my.store --labels chip --motifs jaspar:2018 --out F
    epilm ablate genebert_table5 --size tiny --seeds 1 --out toy5
    epilm ablate genebert_table5 --store atlas.store --data promoters --out table5
    epilm ablate mine.yaml --store my.store --labels chip --shard 1/8 --out parts

    Parameters
    ----------
    name
        playground_ebert (DBERT, EBERT, EBERT+, their random starts and shuffled states on an
        invented genome), dream_slices (given data), a table of a paper such as genebert_table5
        (`epilm ls tables` names all), or a YAML file of your own.
    out
        Folder for rows.jsonl, table.tsv, claims.tsv, table.json, report.html and a folder a seed.
    seeds
        How many; each is an invented genome of its own, or on given data a training of its own. 5;
        of binding on given data 3.
    first_seed
        The seeds are this one and those after it. The sizes were tried out on seed 0.
    size
        full takes about six minutes a seed on one core, many (four times the labels) six, toy
        three, tiny seconds (shows that all parts run).
    shard
        i/N: make every N-th row, from the i-th on, as part-i-of-N in the folder --out; epilm merge
        joins them.
    json
        Print JSON.
    """
    import json as writer
    import sys
    from dataclasses import asdict

    from epilm.trials.ablate import ablate as run
    from epilm.trials.ablate import plan_trial

    if shard is not None:
        from epilm.trials.trial_shards import trial_shard

        def say(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        maker, wanted = plan_trial(
            name, seeds=seeds, first_seed=first_seed, size=size, data=data, say=say
        )
        part = trial_shard(maker, out, wanted, shard, "ablate", say)
        print(writer.dumps(part.summary(), indent=2) if json else part.text())
        return

    result = run(name, out, seeds=seeds, first_seed=first_seed, size=size, data=data)
    if json:
        claims = [asdict(verdict) for verdict in result.verdicts]
        table = {result.design.words.lines or "rows": result.table, "claims": claims}
        print(writer.dumps(table, indent=2))
    else:
        print(result.text())
        print(f"the page: {result.report}")
