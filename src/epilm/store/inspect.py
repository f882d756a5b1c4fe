"""What is in a store, as a plain value and as a table to read.

Needs numpy, and rich for the table; reads bits and regions, never the large arrays
unless `verify` asks for it. Of a run or a checkpoint the JSON files are told, and
no weight is read.
"""

import json as json_module
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import StoreError
from epilm.store.reader import Store
from epilm.store.samples import make_samples
from epilm.store.spec import SampleSpec

# The files that tell a run and a checkpoint; the floors that write them are above and are not imported.
RUN, CHECKPOINT, METRICS = "recipe.json", "spec.json", "metrics.jsonl"


def inspect(store: str | Path | Store, *, regions: int = 10, verify: bool = False) -> dict[str, Any]:
    """Describe a store, a run or a checkpoint.

    Parameters
    ----------
    store : path or Store
        Of a run or checkpoint the other arguments are not used.
    regions : int
        Regions of a sample, for the number of samples.
    verify : bool
        Read every file and compare it with its SHA-256.

    Returns
    -------
    dict
        Plain values, ready for JSON; "kind" is "store", "run" or "checkpoint".

    Raises
    ------
    StoreError
        If it is no store, or is damaged.
    """
    if not isinstance(store, Store):
        # A run keeps the identity of its store under the same name, so it is asked first.
        for kind, name in (("run", RUN), ("checkpoint", CHECKPOINT)):
            if (Path(store) / name).is_file():
                return _json_files(Path(store), kind)
        store = Store.open(store)
    if verify:
        store.verify()
    info, width = store.info, store.regions["end"] - store.regions["start"]
    samples = make_samples(store, SampleSpec(regions=regions, group_stride=regions))
    per_chrom = np.bincount(store.regions["chrom"], minlength=len(store.chroms))
    per_cell = [int(store.accessible(t).sum()) for t in range(len(store.cell_types))]
    of_cell = np.bincount(samples.cells, minlength=len(store.cell_types))
    return {
        "kind": "store",
        "path": str(store.path),
        "assembly": info.assembly,
        "fingerprint": store.fingerprint,
        "schema": info.schema,
        "bytes": int(sum(entry["bytes"] for entry in info.files.values())),
        "genome_bp": int(sum(store.sizes)),
        "regions": store.n_regions,
        "regions_bp": int(width.sum()),
        "region_width": {
            "min": int(width.min()),
            "median": float(np.median(width)),
            "mean": round(float(width.mean()), 2),
            "max": int(width.max()),
        },
        "samples": len(samples),
        "sample_regions": regions,
        "left_over": samples.dropped,
        "chromosomes": [
            {"name": name, "bp": size, "regions": int(n)}
            for name, size, n in zip(store.chroms, store.sizes, per_chrom, strict=True)
        ],
        "cell_types": [
            {"name": name, "accessible": n, "share": round(n / store.n_regions, 4), "samples": int(s)}
            for name, n, s in zip(store.cell_types, per_cell, of_cell, strict=True)
        ],
        "access": info.access,
        "counts": store.counts is not None,
        "factors": {"number": store.n_factors, **info.factors},
        "contacts": {**info.contacts, "pairs": len(store.contacts.keys)} if store.contacts else {},
        "dropped": info.dropped,
        "notes": info.notes,
        "sources": info.sources,
        "versions": info.versions,
        "files": {name: entry["bytes"] for name, entry in info.files.items()},
        "verified": verify,
    }


def _json_files(folder: Path, kind: str) -> dict[str, Any]:
    about: dict[str, Any] = {"kind": kind, "path": str(folder)}
    for path in sorted(folder.glob("*.json")):
        try:
            about[path.stem] = json_module.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError("the file is not valid JSON", where=str(path), found=str(error)) from None
    about["checkpoints"] = sorted(p.parent.name for p in folder.glob(f"checkpoints/*/{CHECKPOINT}"))
    if (folder / METRICS).is_file():
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        # A killed run may end in half a line.
        about["last_metrics"] = next((v for line in reversed(lines) if (v := _value(line))), None)
    return about


def _value(line: str) -> Any:
    try:
        return json_module.loads(line)
    except ValueError:
        return None


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested JSON; a long list is told by its length.

    Examples
    --------
    >>> list(_flat({"a": {"b": 1, "c": list(range(40))}}))
    [('a.b', 1), ('a.c', '40 values')]
    """
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, f"{len(value)} values" if isinstance(value, list) and len(value) > 24 else value


def print_store(about: dict[str, Any], *, json: bool = False) -> None:
    """Print what `inspect` gave, as a table or as JSON.

    Parameters
    ----------
    about : dict
    json : bool
    """
    if json:
        print(json_module.dumps(about, indent=2))
        return
    if about["kind"] != "store":
        for name, value in _flat(about):
            print(f"{name:48} {value}")
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    width = about["region_width"]
    factors = about["factors"]
    lines = {
        "store": about["path"],
        "fingerprint": about["fingerprint"],
        "assembly": f"{about['assembly']}, {len(about['chromosomes'])} chromosomes, {about['genome_bp']:,} bp",
        "regions": f"{about['regions']:,}, {about['regions_bp']:,} bp; width {width['min']} to {width['max']}, "
        f"median {width['median']:g}",
        "samples": f"{about['samples']:,} of {about['sample_regions']} regions ({about['left_over']:,} left over)",
        "access": ", ".join(f"{key} {value}" for key, value in about["access"].items()),
        "factors": f"{factors['number']}, "
        + ", ".join(
            f"{key} {', '.join(shown) if isinstance(shown, list) else shown}"
            for key in ("statistic", "more_statistics", "background", "pseudocount", "p")
            if (shown := factors.get(key)) not in (None, [])
        )
        if factors["number"]
        else "none",
        "contacts": f"{about['contacts']['pairs']:,} pairs at {about['contacts']['resolution']} bp"
        if about["contacts"]
        else "none",
        "size": f"{about['bytes'] / 1e6:,.1f} MB" + (", every file verified" if about["verified"] else ""),
    }
    for name, value in lines.items():
        console.print(f"{name:12} {value}", highlight=False, markup=False)
    table = Table("cell type", box=None, pad_edge=False)
    for name in ("accessible", "share", "samples"):
        table.add_column(name, justify="right")
    for cell in about["cell_types"]:
        table.add_row(cell["name"], f"{cell['accessible']:,}", f"{cell['share']:.3f}", f"{cell['samples']:,}")
    console.print()
    console.print(table)
    if about["dropped"]:
        console.print("\nleft out, or changed on the way", highlight=False)
        for why, n in about["dropped"].items():
            console.print(f"  {n:>9,}  {why}", highlight=False, markup=False)
