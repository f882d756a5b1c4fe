"""`epilm explore RUN... --loci ...`: loci on one page that opens offline."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from epilm.exploring.explore_choices import Sources, View


def explore(
    *runs: Path,
    loci: list[str] | None = None,
    out: Path | None = None,
    hub: Path | None = None,
    table: Path | None = None,
    title: str | None = None,
    sources: Annotated[Sources, Parameter(name="*")] = Sources(),  # noqa: B008 - frozen
    view: Annotated[View, Parameter(name="*")] = View(),  # noqa: B008
    batch_size: int = 256,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    json: bool = False,
) -> None:
    """Write one HTML page of loci that opens offline: bases, genes, what a store holds of each
    cell type, motif hits, variants, and what fine-tuned models say there, side by side.

    Examples:
    epilm explore --loci peaks.bed --store my.store --out page.html
    epilm explore promoter binding --loci CTCF MYC --genes genes.gtf --store my.store \\
        --cells liver HepG2 --out page.html
    epilm explore binding --loci scored.vcf.gz --store my.store --out page.html --hub hub
    epilm explore --table scored.tsv.gz --out table.html

    Parameters
    ----------
    runs
        Runs of epilm finetune.
    loci
        BED or VCF files, places as chr20:1000-2000 (0-based, half-open), or names of genes.
    out
        The page.
    hub
        Folder to make: the same tracks as a UCSC track hub (bigBed, bigWig).
    table
        Instead of loci: a table with a header line (TSV), as a page that sorts and filters it.
    title
        Of the page.
    batch_size
        Windows of a forward pass.
    device
        Where to compute.
    json
        Print a summary as JSON.
    """
    import json as writer

    from epilm.exploring.explore import explore as run
    from epilm.exploring.table_page import explore_table

    if table is not None:
        from epilm.errors import UsageError

        if runs or loci or hub or out is None or sources != Sources():
            raise UsageError(
                "--table makes a page of the table alone",
                do="Give --out page.html with it, and no runs, loci, sources or hub.",
            )
        made = explore_table(table, out, title=title, max_mb=view.max_mb)
        print(writer.dumps(made.summary(), indent=2) if json else made.text())
        return
    done = run(
        runs,
        loci or (),
        out,
        hub=hub,
        sources=sources,
        view=view,
        title=title,
        batch_size=batch_size,
        device=device,
    )
    print(writer.dumps(done.summary(), indent=2) if json else done.text())
