"""`epilm ablate`: what each part of a system is worth, over seeds."""

from pathlib import Path
from typing import Literal


def ablate(
    name: str,
    *,
    out: Path,
    seeds: int | None = None,
    first_seed: int = 1,
    size: Literal["full", "many", "toy", "tiny"] = "full",
    store: Path | None = None,
    labels: Path | None = None,
    regions: Path | None = None,
    blacklist: Path | None = None,
    motifs: str | None = None,
    rule: Literal["challenge", "bin_half"] = "challenge",
    json: bool = False,
) -> None:
    """Switch one part at a time, over seeds, into one table with paired differences and verdicts.

    A stopped ablation goes on where it was: the same command again. More seeds can be added later.
    A description with settings is run on data of your own: the options from --store to --rule are
    for it.

    Examples:
    epilm ablate playground_ebert --out ablation
    epilm ablate playground_ebert --out toy --size toy --seeds 1
    epilm ablate mine.yaml --store my.store --labels chip --regions covered.bed \\
        --motifs jaspar:2018 --out F --seeds 3

    Parameters
    ----------
    name
        playground_ebert (DBERT, EBERT, EBERT+, their random starts and shuffled states on an
        invented genome), dream_slices (given data), or a YAML file of your own.
    out
        Folder for rows.jsonl, table.tsv, claims.tsv, table.json, report.html and a folder a seed.
    seeds
        How many; each is an invented genome of its own, or on given data a training of its own. 5;
        on given data 3.
    first_seed
        The seeds are this one and those after it. The sizes were tried out on seed 0.
    size
        full takes about six minutes a seed on one core, many (four times the labels) six, toy
        three, tiny seconds (shows that all parts run).
    store
        Genome and tracks of the cell types.
    labels
        Label file of the challenge, or a folder of such or of
        CELL.FACTOR.conservative.narrowPeak.gz.
    regions
        Region file, or BED of regions: only bins in it.
    blacklist
        BED of regions; bins that touch it are left out.
    motifs
        Motif file or jaspar:2018 for the baseline motif; those of the store where not given.
    rule
        How labels are made from peaks, as in epilm finetune.
    json
        Print JSON.
    """
    import json as writer
    from dataclasses import asdict

    from epilm.errors import UsageError
    from epilm.trials.ablation_data import find_data_ablation

    if find_data_ablation(name) is not None:
        from epilm.trials.ablation_data import ablate_data

        if store is None or labels is None:
            raise UsageError(
                "the description is of given data", where=name, do="Give --store and --labels."
            )
        given = ablate_data(
            name,
            out,
            store=store,
            labels=labels,
            regions=regions,
            blacklist=blacklist,
            motifs=motifs,
            rule=rule,
            seeds=range(first_seed, first_seed + (3 if seeds is None else seeds)),
            size=size,
        )
        if json:
            print(
                writer.dumps(
                    {"rows": given.table, "claims": [asdict(v) for v in given.verdicts]}, indent=2
                )
            )
        else:
            print(given.text())
            print(f"the page: {given.report}")
        return
    foreign = {
        "store": store,
        "labels": labels,
        "regions": regions,
        "blacklist": blacklist,
        "motifs": motifs,
    }
    for option, value in foreign.items():
        if value is not None:
            raise UsageError(
                "the description makes its own world and takes no data",
                where=f"--{option}",
                found=value,
                do="Give a description with settings (epilm ablate --help).",
            )
    from epilm.trials.ablation import ablate as run

    result = run(
        name, out, seeds=range(first_seed, first_seed + (5 if seeds is None else seeds)), size=size
    )
    if json:
        print(
            writer.dumps(
                {"arms": result.table, "claims": [asdict(v) for v in result.verdicts]}, indent=2
            )
        )
    else:
        print(result.text())
        print(f"the page: {result.report}")
