"""`epilm compare`: models and baselines on the same sets, over seeds."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from epilm.trials.choices import Field, Networks, SetFiles


def compare(
    *,
    out: Path,
    sets: Annotated[SetFiles, Parameter(name="*")] = SetFiles(),  # noqa: B008 - frozen
    field: Annotated[Field, Parameter(name="*")] = Field(),  # noqa: B008
    learning: Annotated[Networks, Parameter(name="*")] = Networks(),  # noqa: B008
    json: bool = False,
) -> None:
    """Fine-tune several models and baselines over seeds into one table (mean +- sample sd).

    A stopped comparison goes on where it was: the same command again. The sets of a manifest are
    opened one after another, a row is written as soon as it is made, and a set that cannot be used
    is a row with its reason.

    Examples:
    epilm compare --task promoter --data prom.tsv.gz --models multi=RUN seq=RUN2 --out cmp
    epilm compare --manifest sets.tsv --models fused=RUN@concat --motifs jaspar:2018 --out cmp
    epilm compare --manifest sets.tsv --baselines kmer,cnn --jobs 8 --out cmp

    Parameters
    ----------
    out
        Folder for runs.jsonl, table.tsv, table.json, claims.tsv, summary.tsv and report.html.
    json
        Print JSON.
    """
    import json as writer

    from epilm.trials.compare import compare_sets, competitors_of, learning_of
    from epilm.trials.manifest import sets_of

    settings, rates = learning_of(learning)
    result = compare_sets(
        sets_of(sets),
        out,
        models=competitors_of(field.models or ()),
        baselines=[name for name in field.baselines.split(",") if name],
        seeds=range(field.seeds),
        settings=settings,
        lrs=rates,
        motifs=field.motifs,
        jobs=sets.jobs,
    )
    print(writer.dumps(result.table, indent=2) if json else result.text())
