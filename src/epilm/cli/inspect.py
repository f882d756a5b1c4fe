"""`epilm inspect`: what is in a store, a run or a checkpoint."""

from pathlib import Path


def inspect(path: Path, *, regions: int = 10, verify: bool = False, json: bool = False) -> None:
    """Say what is in a store, a run or a checkpoint.

    Parameters
    ----------
    path
        A store, a run or a checkpoint.
    regions
        Regions of a sample, for the number of samples.
    verify
        Read all files and compare them with their checksums.
    json
        Print JSON.
    """
    from epilm.store.inspect import inspect as run
    from epilm.store.inspect import print_store

    print_store(run(path, regions=regions, verify=verify), json=json)
