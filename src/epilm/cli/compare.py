"""`epilm compare`: models and baselines on the same sets, over seeds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from epilm.sharding.spread import Spread
from epilm.trials.choices import Field, Networks, SetFiles


@dataclass(frozen=True)
class SetSpread(Spread):
    """Over how many processes the sets are spread, and where."""

    jobs: int | None = None
    """Sets of a manifest that are worked on at a time, each in a process of its own. With
    --executor: how many parts, each a process or job."""

    def check(self) -> None:
        """Refuse options that do not go together; without an executor --jobs is about sets."""
        Spread.check(replace(self, jobs=None) if self.executor is None else self)


def compare(
    *,
    out: Path,
    sets: Annotated[SetFiles, Parameter(name="*")] = SetFiles(),  # noqa: B008 - frozen
    field: Annotated[Field, Parameter(name="*")] = Field(),  # noqa: B008
    learning: Annotated[Networks, Parameter(name="*")] = Networks(),  # noqa: B008
    spread: Annotated[SetSpread, Parameter(name="*")] = SetSpread(),
    json: bool = False,
) -> None:
    """Fine-tune several models and baselines over seeds into one table (mean +- sample sd).

    A stopped comparison goes on where it was: the same command again. The sets of a manifest are
    opened one after another, a row is written as soon as it is made, and a set that cannot be used
    is a row with its reason. With --shard i/N every N-th set is done, from the i-th on (of one set:
    every N-th row).

    Examples:
    epilm compare --task promoter --data prom.tsv.gz --models multi=RUN seq=RUN2 --out cmp
    epilm compare --manifest sets.tsv --models fused=RUN@concat --motifs jaspar:2018 --out cmp
    epilm compare --manifest sets.tsv --baselines kmer,cnn --jobs 8 --out cmp
    epilm compare --manifest sets.tsv --baselines kmer,cnn --shard 1/8 --out parts
    epilm compare --manifest sets.tsv --baselines kmer,cnn --executor slurm --jobs 64 \\
        --slurm partition=cpu time=240 --out cmp

    Parameters
    ----------
    out
        Folder for runs.jsonl, table.tsv, table.json, claims.tsv, summary.tsv and report.html.
    json
        Print JSON.
    """
    import json as writer
    import sys

    from epilm.sharding.spread import spread_out
    from epilm.shards import PartWritten
    from epilm.trials.compare import compare_sets, with_scores
    from epilm.trials.competitors import competitors_of, learning_of, with_ensembles
    from epilm.trials.manifest import sets_of
    from epilm.trials.trial_shards import compare_shard

    spread.check()
    models = competitors_of(field.models or ())
    settings, rates = learning_of(learning, models)
    if field.ensemble:
        models = with_ensembles(models)
    if not learning.lr and not (models and all(model.frozen for model in models)):
        print(f"lr {settings.lr:g}; --lr says otherwise", file=sys.stderr)
    how: dict[str, Any] = {
        "models": models,
        "baselines": [name for name in field.baselines.split(",") if name],
        "settings": settings,
        "lrs": rates,
        "motifs": field.motifs,
        "seeds": range(field.seeds),
    }
    if spread.executor is None and spread.jobs is not None:
        how["jobs"] = spread.jobs
    if spread.whole:
        result = compare_sets(sets_of(sets), out, **how)
    else:
        result = spread_out(compare_shard, (sets,), out, how, spread)
    if isinstance(result, PartWritten):
        print(writer.dumps(result.summary(), indent=2) if json else result.text())
        return
    result = with_scores(result)
    print(writer.dumps(result.table, indent=2) if json else result.text())
