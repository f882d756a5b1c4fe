"""What is in a store, as a plain value and as a table to read.

Needs numpy, and rich for the table; reads bits and regions, never the large arrays
unless `verify` asks for it. Of a run or a checkpoint the JSON files are told, and
no weight is read.
"""

import json as json_module
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from epilm.atomic import CHECKSUM, read_checked
from epilm.errors import DamagedError, StoreError
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import make_samples

# The files that tell a run and a checkpoint; the floors that write them are above and are not
# imported.
RUN, CHECKPOINT, METRICS = "recipe.json", "spec.json", "metrics.jsonl"
FINETUNED = ("task.json", "run.json")  # of a classifier, of a model of binding


def inspect(
    store: str | Path | Store, *, regions: int = 10, verify: bool = False
) -> dict[str, Any]:
    """Describe a store, a run or a checkpoint.

    Parameters
    ----------
    store : path or Store
    regions : int
        Regions of a sample, for the number of samples of a store.
    verify : bool
        Read every file and compare it with its checksum: of a store all have one, of a run or
        checkpoint the weights, `spec.json` and `state.json`; the others are named.

    Returns
    -------
    dict
        Plain values, ready for JSON; "kind" is "store", "run" or "checkpoint".

    Raises
    ------
    StoreError
        If it is no store, or is damaged.
    DamagedError
        If a file of a run or checkpoint is not the one that was written.
    """
    if not isinstance(store, Store):
        # A run keeps the identity of its store under the same name, so it is asked first.
        for kind, name in (
            ("run", RUN),
            *(("run", name) for name in FINETUNED),
            ("checkpoint", CHECKPOINT),
        ):
            if (Path(store) / name).is_file():
                return _json_files(Path(store), kind, verify)
        store = Store.open(store)
    if verify:
        store.verify()
    return _describe(store, regions, verify)


def _describe(store: Store, regions: int, verify: bool) -> dict[str, Any]:
    """What is in a store; see `inspect`."""
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
        "region_width": (
            {
                "min": int(width.min()),
                "median": float(np.median(width)),
                "mean": round(float(width.mean()), 2),
                "max": int(width.max()),
            }
            if len(width)
            else {}
        ),
        "samples": len(samples),
        "sample_regions": regions,
        "left_over": samples.dropped,
        "chromosomes": [
            {"name": name, "bp": size, "regions": int(n)}
            for name, size, n in zip(store.chroms, store.sizes, per_chrom, strict=True)
        ],
        "cell_types": [
            {
                "name": name,
                "accessible": n,
                "share": round(n / max(1, store.n_regions), 4),
                "samples": int(s),
                **_tracks_of(store, name),
            }
            for name, n, s in zip(store.cell_types, per_cell, of_cell, strict=True)
        ],
        "access": info.access,
        "counts": store.counts is not None,
        "factors": {"number": store.n_factors, "motifs": len(store.motifs), **info.factors},
        "states": info.states,
        "signals": info.signals,
        "contacts": {**info.contacts, "pairs": len(store.contacts.keys)} if store.contacts else {},
        "dropped": info.dropped,
        "notes": info.notes,
        "sources": info.sources,
        "versions": info.versions,
        "files": {name: entry["bytes"] for name, entry in info.files.items()},
        "verified": verify,
    }


def _tracks_of(store: Store, cell: str) -> dict[str, Any]:
    """What a cell type has of states and signals: the share of bins without a state, names of
    signals.
    """
    about: dict[str, Any] = {}
    if store.states is not None:
        row = int(store.states.rows[store.cell_number(cell)])
        entries = store.info.states.get("sources", [])
        about["states_unknown"] = (
            1.0 if row < 0 else entries[row].get("unknown") if row < len(entries) else None
        )
        if cell in store.states.proxies:
            about["proxy"] = store.states.proxies[cell]
    if store.signals:
        number = store.cell_number(cell)
        about["signals"] = [
            name
            for name, table in store.signals.items()
            if table.rows is None or table.rows[number] >= 0
        ]
    return about


def _json_files(folder: Path, kind: str, verify: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"kind": kind, "path": str(folder)}
    for path in sorted(folder.glob("*.json")):
        try:
            about[path.stem] = json_module.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(
                "the file is not valid JSON", where=str(path), found=str(error)
            ) from None
    about["checkpoints"] = sorted(p.parent.name for p in folder.glob(f"checkpoints/*/{CHECKPOINT}"))
    if (folder / METRICS).is_file():
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        # A killed run may end in half a line.
        about["last_metrics"] = next((v for line in reversed(lines) if (v := _value(line))), None)
    if verify:
        about["verified"] = _verified(folder)
    return about


def _verified(folder: Path) -> dict[str, Any]:
    """Read every file of a run or checkpoint against its own checksums; name those without any.

    Raises
    ------
    DamagedError
    """
    from epilm.tensor_files import load_tensors, with_checksums  # brings torch

    compared, without = 0, []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".safetensors":
            load_tensors(path)
            has = with_checksums(path)
        elif path.suffix == ".json":
            try:
                value = json_module.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise DamagedError(
                    "the file is not valid JSON", where=str(path), found=error
                ) from None
            has = isinstance(value, dict) and CHECKSUM in value
            if has:
                read_checked(path)
        else:
            has = False
        compared += has
        if not has:
            without.append(str(path.relative_to(folder)))
    return {"files_compared": compared, "files_without_checksum": without}


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


def _store_lines(about: dict[str, Any]) -> dict[str, str]:
    """What a store is, a line a subject."""
    width = about["region_width"] or {"min": 0, "max": 0, "median": 0}
    factors = about["factors"]
    return {
        "store": about["path"],
        "fingerprint": about["fingerprint"],
        "assembly": (
            f"{about['assembly']}, {len(about['chromosomes'])} chromosomes,"
            f" {about['genome_bp']:,} bp"
        ),
        "regions": (
            f"{about['regions']:,}, {about['regions_bp']:,} bp; width {width['min']} to"
            f" {width['max']}, median {width['median']:g}"
            if about["regions"]
            else "none"
        ),
        "samples": (
            f"{about['samples']:,} of {about['sample_regions']} regions ({about['left_over']:,}"
            " left over)"
            if about["regions"]
            else "none of regions"
        ),
        "states": _states_line(about["states"]),
        "signals": (
            ", ".join(_signal_line(name, one) for name, one in about["signals"].items()) or "none"
        ),
        "access": ", ".join(f"{key} {value}" for key, value in about["access"].items()),
        "factors": (
            f"{factors['number']}, "
            + ", ".join(
                f"{key} {', '.join(shown) if isinstance(shown, list) else shown}"
                for key in ("statistic", "more_statistics", "background", "pseudocount", "p")
                if (shown := factors.get(key)) not in (None, [])
            )
            if factors["number"]
            else f"none; {factors['motifs']} motifs for motif sites"
            if factors["motifs"]
            else "none"
        ),
        "contacts": (
            f"{about['contacts']['pairs']:,} pairs at {about['contacts']['resolution']} bp"
            if about["contacts"]
            else "none"
        ),
        "size": (
            f"{about['bytes'] / 1e6:,.1f} MB"
            + (", every file verified" if about["verified"] else "")
        ),
    }


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
    for name, value in _store_lines(about).items():
        console.print(f"{name:12} {value}", highlight=False, markup=False)
    table = Table("cell type", box=None, pad_edge=False)
    columns = _cell_columns(about)
    for name in columns:
        table.add_column(name, justify="right")
    for cell in about["cell_types"]:
        table.add_row(cell["name"], *(show(cell) for show in columns.values()))
    console.print()
    console.print(table)
    if about["states"]:
        console.print()
        console.print(_states_table(about["states"], Table))
    for cell, track in about["states"].get("proxies", {}).items():
        console.print(
            f"\nWARNING: {cell} reads the states of {track}, a declared proxy",
            highlight=False,
            markup=False,
        )
    if about["dropped"]:
        console.print("\nleft out, or changed on the way", highlight=False)
        for why, n in about["dropped"].items():
            console.print(f"  {n:>9,}  {why}", highlight=False, markup=False)


def _states_line(states: dict[str, Any]) -> str:
    if not states:
        return "none"
    tracks = len(set(states["cell_types"].values()))
    return (
        f"{len(states['names'])} of {states['bin']} bp in {len(states['cell_types'])} cell types"
        + (f" ({tracks} tracks)" if tracks != len(states["cell_types"]) else "")
    )


def _signal_line(name: str, one: dict[str, Any]) -> str:
    """Say a signal in a few words.

    Examples
    --------
    >>> _signal_line(
    ...     "dnase",
    ...     {
    ...         "resolution": 10,
    ...         "pooled": "max",
    ...         "cell_types": {"a": 0},
    ...         "sources": [{"mean": 1.5, "max": 9.0}],
    ...     },
    ... )
    'dnase (max of 10 bp, 1 cell type, mean 1.5, highest 9)'
    """
    cells = one["cell_types"]
    of = (
        "one for all cell types"
        if cells is None
        else f"{len(cells)} cell type{'s' if len(cells) != 1 else ''}"
    )
    words = [
        "every base" if one["resolution"] == 1 else f"{one['pooled']} of {one['resolution']} bp",
        of,
        *(["divided by its mean"] if one.get("scale") == "depth" else []),
    ]
    if one["sources"]:
        mean = sum(entry["mean"] for entry in one["sources"]) / len(one["sources"])
        words += [
            f"mean {mean:.4g}",
            f"highest {max(entry['max'] for entry in one['sources']):.4g}",
        ]
    if one.get("cut"):
        words.append(f"{one['cut']:,} values cut")
    return f"{name} ({', '.join(words)})"


def _cell_columns(about: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], str]]:
    """Columns of the table of cell types: those that say something in this store."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {}
    if about["regions"]:
        columns["accessible"] = lambda cell: f"{cell['accessible']:,}"
        columns["share"] = lambda cell: f"{cell['share']:.3f}"
        columns["samples"] = lambda cell: f"{cell['samples']:,}"
    if about["states"]:
        columns["states"] = _states_of
    if about["signals"]:
        columns["signals"] = lambda cell: ", ".join(cell["signals"]) or "-"
    return columns


def _states_of(cell: dict[str, Any]) -> str:
    """Where the states of a cell type come from and how much is unknown.

    Examples
    --------
    >>> _states_of({"states_unknown": 0.0312, "proxy": "E118"}), _states_of({"states_unknown": 1.0})
    ('of E118, 3.1% unknown', '-')
    """
    unknown = cell["states_unknown"]
    if unknown == 1.0:
        return "-"
    of = f"of {cell['proxy']}, " if "proxy" in cell else ""
    return of + ("yes" if unknown is None else f"{100 * unknown:.1f}% unknown")


def _states_table(states: dict[str, Any], kind: Any) -> Any:
    """Number of bins and share of each state over all tracks, the unknown last."""
    table = kind("state", box=None, pad_edge=False)
    for name in ("bins", "share", *(("colour",) if any(states["colours"]) else ())):
        table.add_column(name, justify="right")
    if "bins" not in states:
        for name, colour in zip(states["names"], states["colours"], strict=True):
            table.add_row(name, "", "", *([colour] if any(states["colours"]) else []))
        return table
    total = max(1, sum(states["bins"]) + states["bins_unknown"])
    for name, n, colour in zip(states["names"], states["bins"], states["colours"], strict=True):
        table.add_row(
            name, f"{n:,}", f"{n / total:.4f}", *([colour] if any(states["colours"]) else [])
        )
    table.add_row("unknown", f"{states['bins_unknown']:,}", f"{states['bins_unknown'] / total:.4f}")
    return table
