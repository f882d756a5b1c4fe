"""`epilm explain RUN`: which bases a model's word hangs on."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from epilm.cli.flags import flags, given_fields
from epilm.explaining.explain_options import ExplainOptions
from epilm.sharding.spread import Spread

Flags: Any = flags(ExplainOptions, "What is explained, and how")


def explain(
    run: Path,
    *,
    out: Path,
    options: Annotated[Flags, Parameter(name="*")] = None,
    spread: Annotated[Spread, Parameter(name="*")] = Spread(),  # noqa: B008 - frozen
    json: bool = False,
) -> None:
    """Explain what a model says, base by base: maps, tracks, pictures, motifs, one page.

    Examples:
    epilm explain ctcf --regions peaks.bed --genome hg19.fa --out why
    epilm explain ctcf --fasta seqs.fa --method integrated --null 2 --motifs jaspar:2018 --out why
    epilm explain binding --regions peaks.bed --store dream.store --cell liver --output CTCF \\
        --method mutations --out why
    epilm explain ctcf --gene RET --genes genes.gtf --flank 2000 --genome hg19.fa \\
        --method mutations --out why
    epilm explain pretrained --regions locus.bed --genome hg19.fa --out why
    epilm explain ctcf --regions peaks.bed --genome hg19.fa --shard 1/8 --out parts

    Parameters
    ----------
    run
        Fine-tuned or pre-trained run.
    out
        Folder to make.
    json
        Print a summary as JSON.
    """
    import json as writer

    from epilm.explaining.explain import explain as explained
    from epilm.sharding.spread import spread_out

    named = given_fields(options) if options is not None else {}
    done = spread_out(explained, (run, named.pop("regions", None)), out, named, spread)
    print(writer.dumps(done.summary(), indent=2) if json else f"{done.text()}\n{out}")
