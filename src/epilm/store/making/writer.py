"""Arrays to a store folder, whole or absent.

Space is reserved before it is used (`posix_fallocate`): a full disk is then an
error with a message, where a plain memory map would end the process with
SIGBUS. Needs numpy and the standard library; used by `build`, and directly by
whoever has arrays of their own (`write_store`).
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm import __version__
from epilm.atomic import atomic_folder
from epilm.errors import StoreError
from epilm.store import schema
from epilm.store.schema import StoreInfo, region_type
from epilm.store.track_arrays import (
    SignalArrays,
    StateArrays,
    about_states,
    check_tracks,
    to_float16,
)
from epilm.store.tracks import bin_offsets


def allocate(path: str | Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """Make a .npy file of its final size and map it for writing.

    Parameters
    ----------
    path : path
        The file; must not exist. Its folder is made when missing.
    dtype, shape
        As of `numpy.zeros`. An empty array has a header only.

    Returns
    -------
    memmap, shape `shape`
        Zeros. Written to disk on `flush()`.

    Raises
    ------
    OSError
        If the disk is full, before a byte is written through the map.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.npy"
    >>> m = allocate(name, np.int16, (2, 3))
    >>> m[1] = 7
    >>> m.flush()
    >>> np.load(name).tolist()
    [[0, 0, 0], [7, 7, 7]]
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = np.dtype(dtype)
    with open(path, "xb") as handle:
        header = {
            "descr": np.lib.format.dtype_to_descr(kind),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(handle, header)
        handle.flush()
        start = handle.tell()
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if size:
            os.posix_fallocate(handle.fileno(), start, size)
    if not size:
        return np.zeros(shape, kind).view(np.memmap)
    return np.memmap(path, dtype=kind, mode="r+", offset=start, shape=shape)


def pack_access(accessible: np.ndarray) -> np.ndarray:
    """Bits of a regions x cell types table, eight cell types a byte, first cell type highest.

    Parameters
    ----------
    accessible : bool (R, T)

    Returns
    -------
    uint8 (R, ceil(T / 8))

    Examples
    --------
    >>> pack_access(np.array([[True, False, True], [False, False, True]])).tolist()
    [[160], [32]]
    """
    return np.packbits(np.asarray(accessible, bool), axis=1)


def factor_sums(factors: np.ndarray, chrom: np.ndarray, n_chroms: int) -> np.ndarray:
    """Per chromosome and factor: number, sum, sum of squares, maximum.

    With these the mean and deviation over any set of chromosomes (the training
    ones) follow at once, without reading the matrix again.

    Parameters
    ----------
    factors : float16 (R, F)
    chrom : int (R,)
        Chromosome number of each row, ascending.
    n_chroms : int

    Returns
    -------
    float64 (n_chroms, 4, F)
        -inf as the maximum where a chromosome has no region.
    """
    out = np.zeros((n_chroms, 4, factors.shape[1]))
    out[:, 3] = -np.inf
    bounds = np.searchsorted(chrom, np.arange(n_chroms + 1))
    for c in range(n_chroms):
        for a in range(bounds[c], bounds[c + 1], 4096):
            block = np.asarray(factors[a : min(a + 4096, bounds[c + 1])], np.float64)
            out[c, 0] += len(block)
            out[c, 1] += block.sum(0)
            out[c, 2] += np.square(block).sum(0)
            out[c, 3] = np.maximum(out[c, 3], block.max(0))
    return out


def check_parts(
    chroms: Sequence[str],
    sizes: Sequence[int],
    regions: np.ndarray,
    cell_types: Sequence[str],
    *,
    regionless: bool = False,
) -> None:
    """Refuse what no store may hold.

    Parameters
    ----------
    regionless : bool
        No regions are meant: the store holds a genome, and tracks perhaps.

    Raises
    ------
    StoreError
        On duplicate names, no region, no cell type, or regions that are unsorted or leave their
        chromosome.
    """
    for what, names in (("chromosome", chroms), ("cell type", cell_types)):
        twice = sorted(name for name, n in Counter(names).items() if n > 1)
        if twice:
            raise StoreError(
                f"a {what} has the name of another",
                found=", ".join(twice),
                do=f"Give each {what} its own name.",
            )
    if regionless and len(regions) == 0:
        return
    if len(regions) == 0:
        raise StoreError("no region is left", do="Read the counts of dropped regions above.")
    if not cell_types:
        raise StoreError("there is no cell type")
    starts, ends, chrom = regions["start"], regions["end"], regions["chrom"].astype(np.int64)
    length = np.asarray(sizes, np.int64)
    foreign = np.flatnonzero((chrom < 0) | (chrom >= len(length)))
    if len(foreign):
        raise StoreError(
            "a region is on a chromosome that is not there",
            where=f"region {int(foreign[0])}",
            found=f"number {int(chrom[foreign[0]])}",
            expected=f"0 to {len(length) - 1}",
        )
    bad = np.flatnonzero((starts < 0) | (starts >= ends) | (ends > length[chrom]))
    if len(bad):
        r = regions[bad[0]]
        raise StoreError(
            "a region lies outside its chromosome",
            where=f"region {int(bad[0])}",
            found=f"{chroms[r['chrom']]}:{r['start']}-{r['end']}",
            expected=f"0 <= start < end <= {sizes[r['chrom']]}",
        )
    order = np.lexsort((ends, starts, chrom))
    if not np.array_equal(order, np.arange(len(regions))):
        raise StoreError("the regions are not sorted by chromosome, start and end")


class StoreWriter:
    """Fill a store's folder file by file, then `finish` with its manifest.

    Used inside `atomic_folder`, so that a failure leaves nothing. Large arrays
    (`genome`, `factors`) are given out as memory maps to be filled in place.

    Parameters
    ----------
    folder : path
        An empty folder.
    chroms, sizes : sequences
        The chromosome table.
    """

    def __init__(self, folder: str | Path, chroms: Sequence[str], sizes: Sequence[int]) -> None:
        self.folder = Path(folder)
        self.chroms, self.sizes = tuple(chroms), tuple(int(s) for s in sizes)
        self.offsets = np.concatenate([[0], np.cumsum(np.asarray(self.sizes, np.int64))])
        self.motif_ids: list[str] = []
        self._arrays: list[str] = []

    def array(self, name: str, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
        """Give one file of the store to fill."""
        self._arrays.append(name)
        return allocate(self.folder / name, dtype, shape)

    def genome(self) -> np.memmap:
        """Give the flat genome (sum of sizes,) uint8 to fill."""
        return self.array(schema.GENOME, np.uint8, (int(self.offsets[-1]),))

    def regions(self, regions: np.ndarray) -> None:
        """Write the sorted regions, as an array and as BED."""
        kind = region_type(len(self.chroms))
        self.array(schema.REGIONS, kind, regions.shape)[...] = regions.astype(kind)
        with open(self.folder / schema.REGIONS_BED, "w", encoding="ascii") as handle:
            for a in range(0, len(regions), 100_000):
                block = regions[a : a + 100_000].tolist()
                handle.write("".join(f"{self.chroms[c]}\t{s}\t{e}\n" for c, s, e in block))

    def access(self, accessible: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Write the bits (R, T), and pseudo-bulk counts (R, T) where given."""
        packed = pack_access(accessible)
        self.array(schema.ACCESS, np.uint8, packed.shape)[...] = packed
        if counts is not None:
            self.array(schema.COUNTS, np.float32, counts.shape)[...] = counts

    def motifs(self, motifs: Sequence[Mapping[str, Any]]) -> None:
        """Write id, name, family and matrix of each motif, in column order."""
        self.motif_ids = [str(m["id"]) for m in motifs]
        lines = ",\n".join(json.dumps(dict(m)) for m in motifs)
        with open(self.folder / schema.MOTIFS, "w", encoding="utf-8") as handle:
            handle.write(f"[\n{lines}\n]\n")

    def matrix(self, shape: tuple[int, int], statistic: str | None = None) -> np.memmap:
        """Give a factor matrix (R, F) float16 to fill: the first one, or that of a further
        statistic.
        """
        name = schema.FACTORS if statistic is None else schema.MORE_FACTORS.format(statistic)
        return self.array(name, np.float16, shape)

    def sums(self, matrix: np.ndarray, chrom: np.ndarray, statistic: str | None = None) -> None:
        """Write the `factor_sums` of a filled matrix; `chrom` int (R,) is the chromosome of each
        row.
        """
        sums = factor_sums(matrix, np.asarray(chrom, np.int64), len(self.chroms))
        name = schema.FACTOR_SUMS if statistic is None else schema.MORE_SUMS.format(statistic)
        self.array(name, np.float64, sums.shape)[...] = sums

    def contacts(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Write the contact table (see `reader.ContactTable`)."""
        self.array(schema.CONTACT_KEYS, np.int64, keys.shape)[...] = keys
        self.array(schema.CONTACT_VALUES, np.float32, values.shape)[...] = values

    def states(self, n_tracks: int, bin_bp: int) -> np.memmap:
        """Give the states (K, N) uint8 to fill; see `tracks.StateTable`."""
        return self.array(
            schema.STATES, np.uint8, (n_tracks, int(bin_offsets(self.sizes, bin_bp)[-1]))
        )

    def signal(self, name: str, n_tracks: int, resolution: int) -> np.memmap:
        """Give the values (K, M) float16 of a signal to fill; see `tracks.SignalTable`."""
        places = int(bin_offsets(self.sizes, resolution)[-1])
        return self.array(schema.SIGNAL.format(name), np.float16, (n_tracks, places))

    def finish(
        self,
        *,
        assembly: str,
        regions: np.ndarray,
        cell_types: Sequence[str],
        regionless: bool = False,
        **rest: Any,
    ) -> StoreInfo:
        """Write `store.json` with sizes and SHA-256 of all files; other fields of StoreInfo in
        `rest`.
        """
        check_parts(self.chroms, self.sizes, regions, cell_types, regionless=regionless)
        files: dict[str, dict[str, Any]] = {}
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            name = path.relative_to(self.folder).as_posix()
            files[name] = {"bytes": path.stat().st_size, "sha256": schema.file_sha256(path)}
            if name in self._arrays:
                header = (
                    np.load(path, mmap_mode="r") if path.stat().st_size > 128 else np.load(path)
                )
                files[name] |= {"dtype": _type_name(header.dtype), "shape": list(header.shape)}
        info = StoreInfo(
            schema=schema.SCHEMA,
            assembly=assembly,
            chroms=self.chroms,
            sizes=self.sizes,
            cell_types=tuple(cell_types),
            n_regions=len(regions),
            n_factors=len(self.motif_ids) if schema.FACTORS in self._arrays else 0,
            fingerprint=schema.fingerprint(
                self.chroms, self.sizes, regions, self.motif_ids, rest.get("states")
            ),
            files=files,
            **rest,
        )
        text = json.dumps(info.to_dict(), indent=1)
        with open(self.folder / schema.MANIFEST, "w", encoding="utf-8") as handle:
            handle.write(text + "\n")
        return info


def all_cells(of_regions: Sequence[str], of_tracks: Sequence[Mapping[str, int]]) -> list[str]:
    """Cell types of a store: those of regions, then further ones of states, then of signals.

    Examples
    --------
    >>> all_cells(["b"], [{"a": 0, "b": 1}, {"c": 0}])
    ['b', 'a', 'c']
    """
    return list(dict.fromkeys([*of_regions, *(cell for one in of_tracks for cell in one)]))


def widen(table: np.ndarray | None, n_cells: int) -> Any:
    """Give a regions x cell types table columns of zeros for cell types that have tracks alone."""
    if table is None or table.shape[1] == n_cells:
        return table
    return np.pad(table, ((0, 0), (0, n_cells - table.shape[1])))


def _type_name(dtype: np.dtype) -> Any:
    return dtype.str if dtype.names is None else [[n, dtype[n].str] for n in dtype.names]


def _check_shape(what: str, table: np.ndarray | None, regions: int, columns: int, of: str) -> None:
    """Refuse a table that has not a row a region and a column a cell type or motif."""
    if table is not None and table.shape != (regions, columns):
        raise StoreError(
            f"{what} has another shape than regions x {of}",
            found=table.shape,
            expected=(regions, columns),
        )


def _check_factors(
    factors: np.ndarray | None, more: Mapping[str, np.ndarray], regions: int, motifs: int
) -> None:
    """Refuse factor matrices of another shape, and further ones without a first."""
    if more and factors is None:
        raise StoreError("further factor matrices need a first one", found=", ".join(more))
    for what, matrix in {"factors": factors, **more}.items():
        _check_shape(what, matrix, regions, motifs, "motifs")


def _write_signals(writer: StoreWriter, given: Mapping[str, SignalArrays]) -> dict[str, Any]:
    """Write signals; give what the store says of them."""
    about: dict[str, Any] = {}
    for name, one in given.items():
        values, cut = to_float16(one.values)
        writer.signal(name, len(values), one.resolution)[...] = values
        about[name] = {
            "resolution": one.resolution,
            "pooled": one.pooled,
            "cell_types": None if one.cells is None else dict(one.cells),
            "cut": cut,
            "sources": [],
        }
    return about


def write_store(
    out: str | Path,
    *,
    genome: Mapping[str, np.ndarray],
    regions: np.ndarray | None = None,
    accessible: np.ndarray | None = None,
    cell_types: Sequence[str] = (),
    counts: np.ndarray | None = None,
    factors: np.ndarray | None = None,
    more_factors: Mapping[str, np.ndarray] | None = None,
    motifs: Sequence[Mapping[str, Any]] = (),
    contacts: tuple[int, np.ndarray, np.ndarray] | None = None,
    states: StateArrays | None = None,
    signals: Mapping[str, SignalArrays] | None = None,
    assembly: str = "unnamed",
    overwrite: bool = False,
) -> Path:
    """Write a store from arrays that are in memory.

    Parameters
    ----------
    out : path
        The folder to appear.
    genome : dict of str to uint8 (length,)
        Bases of each chromosome, A=0 C=1 G=2 T=3 N=4, in the order wanted.
    regions : structured array (R,), optional
        `schema.region_type`, sorted. None: a store of genome and tracks alone.
    accessible : bool (R, T), with regions
    cell_types : T names
        Those of regions; further ones of states and signals follow them, accessible nowhere.
    counts : float (R, T), optional
    factors : float (R, F), optional
        With `motifs`, F dicts with at least "id".
    more_factors : dict of str to float (R, F), optional
        Further matrices by the name of their statistic.
    contacts : (resolution, keys, values), optional
        As `reader.ContactTable` holds them.
    states : StateArrays, optional
    signals : dict of str to SignalArrays, optional
    assembly : str
    overwrite : bool

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    StoreError
        If parts do not fit each other, or `check_parts` refuses them.
    """
    chroms = list(genome)
    sizes = [len(genome[c]) for c in chroms]
    regionless = regions is None
    regions = np.asarray([] if regions is None else regions, region_type(len(chroms)))
    accessible = np.zeros((0, len(cell_types)), bool) if accessible is None else accessible
    check_parts(chroms, sizes, regions, cell_types, regionless=regionless)
    for what, table in (("accessible", accessible), ("counts", counts)):
        _check_shape(what, table, len(regions), len(cell_types), "cell types")
    given = dict(signals or {})
    check_tracks(sizes, states, given)
    served = [
        one.cells for one in (states, *given.values()) if one is not None and one.cells is not None
    ]
    named = all_cells(cell_types, served)
    accessible, counts = (widen(table, len(named)) for table in (accessible, counts))
    more = dict(more_factors or {})
    _check_factors(factors, more, len(regions), len(motifs))
    with atomic_folder(out, overwrite=overwrite) as folder:
        writer = StoreWriter(folder, chroms, sizes)
        flat = writer.genome()
        for c, a, b in zip(chroms, writer.offsets[:-1], writer.offsets[1:], strict=True):
            flat[a:b] = genome[c]
        flat.flush()
        writer.regions(regions)
        writer.access(accessible, counts)
        rest: dict[str, Any] = {}
        if factors is not None:
            writer.motifs(motifs)
            for name, values in ((None, factors), *more.items()):
                writer.matrix(values.shape, name)[...] = values
                writer.sums(values.astype(np.float16), regions["chrom"], name)
            rest["factors"] = {"statistic": "given", "more_statistics": list(more)}
        if contacts is not None:
            resolution, keys, values = contacts
            writer.contacts(keys, values)
            rest["contacts"] = {"resolution": int(resolution)}
        if states is not None:
            writer.states(len(states.codes), states.bin)[...] = states.codes
            tracks = [{"role": "states", "name": "given"} for _ in states.codes]
            rest["states"] = about_states(
                states.codes,
                states.bin,
                states.names,
                states.colours,
                states.cells,
                states.proxies,
                tracks,
            )
        rest["signals"] = _write_signals(writer, given)
        writer.finish(
            assembly=assembly,
            regions=regions,
            cell_types=named,
            regionless=regionless,
            access={"from": "none" if regionless else "given"},
            versions={"epilm": __version__, "numpy": np.__version__},
            **rest,
        )
    return Path(out)
