"""A store, open: memory maps, or tensors on a device, behind the same names.

Opening costs milliseconds: the manifest is read, files are checked for
presence and size, nothing is loaded. `verify` reads everything. On the
training path: needs numpy, torch and the standard library only.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from epilm.device import found_device, to_device
from epilm.errors import StoreError, nearest
from epilm.store import schema
from epilm.store.arrays import Array, ContactTable, spans
from epilm.store.schema import StoreInfo, damaged
from epilm.store.tracks import SignalTable, StateTable, open_signal_table, open_states


class FactorStats(NamedTuple):
    """Per factor over a set of regions, each float64 (F,); `n` regions."""

    mean: np.ndarray
    sd: np.ndarray
    max: np.ndarray
    n: int


@dataclass(frozen=True)
class Store:
    """An open store. Made by `Store.open`.

    Attributes
    ----------
    path : Path
    info : StoreInfo
        All of `store.json`.
    regions : structured array (R,)
        chrom (number in `chroms`), start, end; sorted. Always numpy.
    genome : uint8 (G,)
        Bases of all chromosomes end to end, A=0 C=1 G=2 T=3 N=4.
    access : uint8 (R, ceil(T / 8))
        Packed bits; see `accessible`. Always numpy.
    counts : float32 (R, T) or None
        Pseudo-bulk counts.
    factors : float16 (R, F) or None
    sums : float64 (C, 4, F) or None
        Per chromosome and factor: number, sum, sum of squares, maximum.
    motifs : list of dict
        id, name, family, matrix: the columns of `factors`.
    contacts : ContactTable or None
    device : torch.device
        Where genome, counts, factors and contacts are.
    more_factors, more_sums : dict
        Further matrices and their sums by statistic; see `statistics` and `factors_of`.
    states : StateTable or None
        Chromatin states of cell types.
    signals : dict of str to SignalTable
        "accessibility", "mappability" and others; empty without any.
    """

    path: Path
    info: StoreInfo
    regions: np.ndarray
    genome: Array
    access: np.ndarray
    counts: Array | None
    factors: Array | None
    sums: np.ndarray | None
    motifs: list[dict[str, Any]]
    contacts: ContactTable | None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    more_factors: dict[str, Array] = field(default_factory=dict)
    more_sums: dict[str, np.ndarray] = field(default_factory=dict)
    states: StateTable | None = None
    signals: dict[str, SignalTable] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> "Store":
        """Open a store: milliseconds, nothing is loaded.

        Parameters
        ----------
        path : path
            The folder.

        Raises
        ------
        StoreError
            If it is no store, of another schema version, or a file is missing or has another size.
        """
        folder = Path(path)
        info = schema.read_info(folder)
        for name, entry in info.files.items():
            _check_file(folder, name, _number(folder, entry, "bytes", name))

        def load(name: str, mode: Any = "r") -> Any:
            return _load(folder, name, info, mode) if name in info.files else None

        more = info.statistics[1:]
        needed = [schema.GENOME, schema.REGIONS, schema.ACCESS]
        needed += [
            form.format(name) for name in more for form in (schema.MORE_FACTORS, schema.MORE_SUMS)
        ]
        needed += [schema.STATES] if info.states else []
        needed += [schema.SIGNAL.format(name) for name in info.signals]
        for name in needed:
            if name not in info.files:
                raise damaged(folder / name, "the store does not list this file")
        contacts = None
        if schema.CONTACT_KEYS in info.files:
            resolution = _number(folder, info.contacts, "resolution", "contacts", least=1)
            bins = ContactTable.bins(info.sizes, resolution)
            contacts = ContactTable(
                resolution,
                bins[:-1],
                int(bins[-1]),
                load(schema.CONTACT_KEYS, "c"),
                load(schema.CONTACT_VALUES, "c"),
            )
        motifs: list[dict[str, Any]] = []
        if schema.MOTIFS in info.files:
            try:
                motifs = json.loads((folder / schema.MOTIFS).read_text(encoding="utf-8"))
            except ValueError as error:
                raise damaged(folder / schema.MOTIFS, str(error)) from None
        return cls(
            path=folder,
            info=info,
            regions=load(schema.REGIONS),
            genome=load(schema.GENOME),
            access=load(schema.ACCESS),
            counts=load(schema.COUNTS),
            factors=load(schema.FACTORS),
            sums=load(schema.FACTOR_SUMS),
            motifs=motifs,
            contacts=contacts,
            more_factors={name: load(schema.MORE_FACTORS.format(name)) for name in more},
            more_sums={name: load(schema.MORE_SUMS.format(name)) for name in more},
            states=open_states(folder, info, load(schema.STATES)),
            signals={
                name: open_signal_table(folder, info, name, load(schema.SIGNAL.format(name)))
                for name in info.signals
            },
        )

    def __repr__(self) -> str:
        return (
            f"Store({str(self.path)!r}, {self.info.assembly}, {self.n_regions} regions, "
            f"{len(self.cell_types)} cell types, {self.n_factors} factors, "
            + (
                f"{self.states.n_states} states of {self.states.bin} bp, "
                if self.states is not None
                else ""
            )
            + "".join(f"{name}, " for name in self.signals)
            + f"{self.device})"
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of chromosome table, region order and motif order."""
        return self.info.fingerprint

    @property
    def chroms(self) -> tuple[str, ...]:
        """Chromosome names in genome order."""
        return self.info.chroms

    @property
    def sizes(self) -> tuple[int, ...]:
        """Chromosome lengths in bp."""
        return self.info.sizes

    @property
    def offsets(self) -> np.ndarray:
        """Where each chromosome begins in `genome`, int64 (C,)."""
        return np.concatenate([[0], np.cumsum(np.asarray(self.sizes, np.int64))])[:-1]

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of the cell types, in column order."""
        return self.info.cell_types

    @property
    def n_regions(self) -> int:
        """R of the whole store."""
        return len(self.regions)

    @property
    def n_factors(self) -> int:
        """F; 0 without a factor matrix."""
        return 0 if self.factors is None else int(self.factors.shape[1])

    @property
    def statistics(self) -> tuple[str, ...]:
        """What each factor matrix of the store holds, that of `factors` first: best, count, ..."""
        return () if self.factors is None else (self.info.statistics or ("given",))

    def factors_of(self, statistic: str) -> Array:
        """Give the factor matrix of one statistic, float16 (R, F).

        Raises
        ------
        StoreError
            If the store does not hold it.
        """
        return self._matrix(statistic)[0]

    def _matrix(self, statistic: str | None) -> tuple[Array, np.ndarray]:
        """Matrix and sums of a statistic; None: the first."""
        if self.factors is None or self.sums is None:
            raise no_factors(self)
        if statistic is None or statistic == self.statistics[0]:
            return self.factors, self.sums
        if statistic not in self.more_factors:
            raise StoreError(
                "the store has no factor matrix of this statistic",
                where=str(self.path),
                found=statistic,
                expected=", ".join(self.statistics),
                do=f"Build it again with --more-statistics {statistic}.",
            )
        return self.more_factors[statistic], self.more_sums[statistic]

    @property
    def flat_starts(self) -> np.ndarray:
        """Where each region begins in `genome`, int64 (R,)."""
        return self.offsets[self.regions["chrom"]] + self.regions["start"]

    def chrom_number(self, name: str) -> int:
        """Number of a chromosome by its name.

        Raises
        ------
        StoreError
            If there is none of that name.
        """
        return self._number(name, self.chroms, "chromosome")

    def cell_number(self, cell: int | str) -> int:
        """Number of a cell type by its name or number.

        Raises
        ------
        StoreError
            If there is none of that name or number.
        """
        if isinstance(cell, str):
            return self._number(cell, self.cell_types, "cell type")
        if not 0 <= cell < len(self.cell_types):
            raise StoreError(
                "no cell type has this number",
                where=str(self.path),
                found=cell,
                expected=f"0 to {len(self.cell_types) - 1}",
            )
        return int(cell)

    def _number(self, name: str, known: Sequence[str], what: str) -> int:
        if name not in known:
            raise StoreError(
                f"the store has no such {what}",
                where=str(self.path),
                found=name,
                do=nearest(name, known),
            )
        return known.index(name)

    def accessible(self, cell: int | str) -> np.ndarray:
        """Which regions are accessible in a cell type.

        Parameters
        ----------
        cell : int or str
            Number or name.

        Returns
        -------
        bool (R,)
        """
        number = self.cell_number(cell)
        return ((self.access[:, number // 8] >> (7 - number % 8)) & 1).astype(bool)

    def windows(self, starts: Array, width: int) -> Array:
        """Gather windows of one width from the flat genome.

        Parameters
        ----------
        starts : int64 (N,)
            Where each window begins in `genome`. numpy, or a tensor on the store's device.
        width : int
            In bp, at least 1.

        Returns
        -------
        uint8 (N, width), the same kind as the genome
            4 (N) before the first and after the last base of the genome. The end of a
            chromosome is not marked: the next one follows.
        """
        size = len(self.genome)
        if isinstance(self.genome, Tensor):
            at = to_device(starts, self.device)[:, None] + torch.arange(width, device=self.device)
            inside = (at >= 0) & (at < size)
            return torch.where(inside, self.genome[at.clamp(0, size - 1)], 4).to(torch.uint8)
        begin = np.asarray(starts)
        if size < width or (
            len(begin) and (int(begin.min()) < 0 or int(begin.max()) > size - width)
        ):
            index = begin[:, None] + np.arange(width)
            codes = self.genome[np.clip(index, 0, size - 1)]
            return np.where((index >= 0) & (index < size), codes, np.uint8(4))
        # One view a start: each row is a straight copy, no index of N x width is made.
        return np.lib.stride_tricks.sliding_window_view(np.asarray(self.genome), width)[begin]

    def bases(self, chroms: Any, starts: Any, width: int) -> Array:
        """Gather windows of one width from chromosomes.

        Parameters
        ----------
        chroms, starts : int64 (B,)
            Chromosome number and first base on it, which may be negative. numpy, list, or a tensor.
        width : int
            In bp, at least 1.

        Returns
        -------
        uint8 (B, width), the same kind as the genome
            4 (N) outside of the chromosome.
        """
        low: Any = self.offsets
        high: Any = low + np.asarray(self.sizes, np.int64)
        chrom: Any = chroms
        at: Any = starts
        if isinstance(self.genome, Tensor):
            low, high, chrom, at = (to_device(x, self.device) for x in (low, high, chroms, starts))
        else:
            chrom, at = np.asarray(chroms), np.asarray(starts)
        return spans(self.genome, low[chrom] + at, low[chrom], high[chrom], width, 4)

    def factor_stats(
        self, without: Sequence[str] = (), statistic: str | None = None
    ) -> FactorStats:
        """Mean, deviation and maximum per factor over the regions of all chromosomes but `without`.

        Parameters
        ----------
        without : sequence of str
        statistic : str, optional
            Of which matrix; the first by default.

        Raises
        ------
        StoreError
            If the store has no such factor matrix, or no region is left.
        """
        sums = self._matrix(statistic)[1]
        out = {self.chrom_number(name) for name in without}
        part = sums[[c for c in range(len(self.chroms)) if c not in out]]
        n = float(part[:, 0, 0].sum()) if self.n_factors else 0.0
        if n == 0:
            raise StoreError(
                "no region is left to normalise factors with",
                where=str(self.path),
                found=f"held out: {', '.join(without)}",
                do="Hold out fewer chromosomes.",
            )
        mean = part[:, 1].sum(0) / n
        variance = np.maximum(part[:, 2].sum(0) / n - mean**2, 0.0)
        return FactorStats(mean, np.sqrt(variance), part[:, 3].max(0), int(n))

    def to(self, device: torch.device | str) -> "Store":
        """Give the same store with genome, factors, counts, contacts and tracks as tensors on a
        device.

        Batches made from it are the same as those from the memory maps.
        """
        target = found_device(device)

        def move(array: Array | None) -> Any:
            if array is None:
                return None
            if isinstance(array, Tensor):
                return array.to(target)
            return torch.from_numpy(np.array(array)).to(target)

        table = self.contacts
        if table is not None:
            table = replace(table, keys=move(table.keys), values=move(table.values))
        return replace(
            self,
            genome=move(self.genome),
            counts=move(self.counts),
            factors=move(self.factors),
            more_factors={name: move(matrix) for name, matrix in self.more_factors.items()},
            contacts=table,
            states=None if self.states is None else self.states.to(target),
            signals={name: signal.to(target) for name, signal in self.signals.items()},
            device=target,
        )

    def check_same(self, fingerprint: str, what: str) -> None:
        """Refuse a checkpoint, prediction or other store that was made with another region or motif
        order.

        Parameters
        ----------
        fingerprint : str
            The one that came with it.
        what : str
            What came, for the message: "the checkpoint run/latest".

        Raises
        ------
        StoreError
            If it differs from this store's.
        """
        if fingerprint != self.fingerprint:
            raise StoreError(
                f"{what} belongs to another store: other regions, assembly or motifs, or another"
                " order of them",
                where=str(self.path),
                found=f"fingerprint {fingerprint[:12]}",
                expected=self.fingerprint[:12],
                do="Use the store it was made with (`epilm inspect` prints fingerprints).",
            )

    def verify(self) -> None:
        """Read every file and compare it with its SHA-256, then the fingerprint.

        Raises
        ------
        StoreError
            Naming the first file that changed since the store was built.
        """
        for name, entry in self.info.files.items():
            if schema.file_sha256(self.path / name) != entry["sha256"]:
                raise damaged(self.path / name, "its SHA-256 is not the one in store.json")
        ids = [m["id"] for m in self.motifs]
        computed = schema.fingerprint(self.chroms, self.sizes, self.regions, ids, self.info.states)
        if computed != self.fingerprint:
            raise damaged(
                self.path / schema.MANIFEST, "the fingerprint does not fit regions and motifs"
            )


def no_factors(store: Store) -> StoreError:
    """Say that a store has no factor matrix."""
    return StoreError(
        "the store has no factor matrix",
        where=str(store.path),
        do="Build it with --motifs, or leave the stream `factors` out of the recipe.",
    )


def _number(folder: Path, table: Any, key: str, what: str, least: int = 0) -> int:
    """A whole number of store.json, of at least 0."""
    value = table.get(key) if isinstance(table, dict) else None
    if type(value) is not int or not least <= value < 1 << 62:
        raise damaged(folder / schema.MANIFEST, f"it does not say the {key} of {what}")
    return value


def _check_file(folder: Path, name: str, size: int) -> None:
    path = folder / name
    if not path.is_file():
        raise damaged(path, "no such file")
    if path.stat().st_size != size:
        raise damaged(path, f"{path.stat().st_size} bytes where store.json says {size}")


def _load(folder: Path, name: str, info: StoreInfo, mode: Any) -> np.ndarray:
    path, entry = folder / name, info.files[name]
    shape = tuple(entry.get("shape", ()))
    try:
        # numpy cannot map a file without data.
        array = np.load(path, mmap_mode=None if 0 in shape else mode, allow_pickle=False)
    except ValueError as error:
        raise damaged(path, str(error)) from None
    if tuple(array.shape) != shape:
        raise damaged(path, f"shape {tuple(array.shape)} where store.json says {shape}")
    return array
