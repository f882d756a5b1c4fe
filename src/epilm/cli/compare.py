"""`epilm compare`: models and baselines on the same sets, over seeds."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from epilm.trials.choices import Field, Networks, SetFiles


def compare(
    *,
    out: Path,
    sets: Annotated[SetFiles, Parameter(name="*")] = SetFiles(),  # noqa: B008 - frozen
    field: Annotated[Field, Parameter(name="*")] = Field(),  # noqa: B008
    learning: Annotated[Networks, Parameter(name="*")] = Networks(),  # noqa: B008
    shard: str | None = None,
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
    epilm compare --manifest sets.tsv --baselines kmer,cnn --shard 1/8 --out parts

    Parameters
    ----------
    out
        Folder for runs.jsonl, table.tsv, table.json, claims.tsv, summary.tsv and report.html.
    shard
        i/N: every N-th set of a manifest, from the i-th on (of one set: every N-th row), as
        part-i-of-N in the folder --out; epilm merge joins them.
    json
        Print JSON.
    """
    import json as writer
    import sys

    from epilm.trials.compare import compare_sets, competitors_of, learning_of, rows_for
    from epilm.trials.manifest import sets_of

    models = competitors_of(field.models or ())
    settings, rates = learning_of(learning, models)
    if not learning.lr:
        print(f"lr {settings.lr:g}; --lr says otherwise", file=sys.stderr)
    how: dict[str, Any] = {
        "models": models,
        "baselines": [name for name in field.baselines.split(",") if name],
        "settings": settings,
        "lrs": rates,
        "motifs": field.motifs,
        "jobs": sets.jobs,
    }
    if shard is not None:
        from epilm.trials.trial_shards import trial_shard

        def say(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        rows = rows_for(sets_of(sets), **how)
        part = trial_shard(rows, out, range(field.seeds), shard, "compare", say)
        print(writer.dumps(part.summary(), indent=2) if json else part.text())
        return
    result = compare_sets(sets_of(sets), out, seeds=range(field.seeds), **how)
    print(writer.dumps(result.table, indent=2) if json else result.text())
