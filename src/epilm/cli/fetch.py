"""`epilm fetch`: the public inputs of a paper."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def fetch(
    name: str,
    *,
    out: Path = Path("inputs"),
    only: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Get the public inputs of a paper over HTTPS, whole and checked.

    What broke off is gone on with by the same command. Sizes and hashes are checked where they are
    published. An address that we never tried is said to be so; what wants a login is named.

    Examples:
    epilm fetch genebert --dry-run
    epilm fetch ebert --only hg19 mappability --out inputs

    Parameters
    ----------
    name
        genebert, ebert, or a JSON file of the same form.
    out
        Folder. What is whole in it is left alone.
    only
        Inputs by name; all that can be had where none is named.
    dry_run
        Say what there is, and fetch nothing.
    """
    from epilm.fetching.fetch import fetch as run
    from epilm.fetching.fetch import read_inputs

    if dry_run:
        for entry in read_inputs(name):
            if not only or entry.name in only:
                print(entry.text())
        return
    for each, path in run(name, out, only=only or ()).items():
        print(f"{each}\t{path}")
