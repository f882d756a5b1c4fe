"""`epilm ablate`: what each part of a system is worth, over seeds."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from epilm.sharding.spread import Spread
from epilm.trials.choices import LabFiles


def ablate(
    name: str,
    *,
    out: Path,
    seeds: int | None = None,
    first_seed: int = 1,
    size: Literal["full", "small", "many", "toy", "tiny"] = "full",
    data: Annotated[LabFiles, Parameter(name="*")] = LabFiles(),  # noqa: B008 - frozen
    spread: Annotated[Spread, Parameter(name="*")] = Spread(),  # noqa: B008
    json: bool = False,
) -> None:
    """Switch one part at a time, over seeds, into one table with paired differences and verdicts.

    A stopped ablation goes on where it was: the same command again. More seeds can be added later.
    Tables of the papers stand beside what was published. As a table's file stands it is the paper's
    size on data of your own: the options from --store to --rule are for it; one that does not apply
    is refused. --size tiny needs no data. With --shard i/N every N-th row is made, from i on.

    Examples:
    epilm ablate playground_ebert --out ablation
    epilm ablate playground_ebert --out toy --size toy --seeds 1
    epilm ablate mine.yaml --store my.store --labels chip --motifs jaspar:2018 --out F
    epilm ablate genebert_table5 --size tiny --seeds 1 --out toy5
    epilm ablate genebert_table5 --store atlas.store --data promoters --out table5
    epilm ablate mine.yaml --store my.store --labels chip --shard 1/8 --out parts
    epilm ablate playground_ebert --executor local --jobs 4 --out ablation

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
        Of a paper's table: full is the paper's, small what two cores do with one chromosome, tiny
        an invented one that shows that all parts run. Of playground_ebert full takes about six
        minutes a seed on one core, many (four times the labels) six, toy three, tiny seconds.
    json
        Print JSON.
    """
    import json as writer
    from dataclasses import asdict

    from epilm.sharding.spread import spread_out
    from epilm.shards import PartWritten
    from epilm.trials.ablate import ablate as run
    from epilm.trials.trial_shards import ablate_shard

    spread.check()
    how: dict[str, Any] = {"seeds": seeds, "first_seed": first_seed, "size": size, "data": data}
    if spread.whole:
        result = run(name, out, **how)
    else:
        result = spread_out(ablate_shard, (name,), out, how, spread)
    if isinstance(result, PartWritten):
        print(writer.dumps(result.summary(), indent=2) if json else result.text())
    elif json:
        claims = [asdict(verdict) for verdict in result.verdicts]
        table = {result.design.words.lines or "rows": result.table, "claims": claims}
        print(writer.dumps(table, indent=2))
    else:
        print(result.text())
        print(f"the page: {result.report}")
