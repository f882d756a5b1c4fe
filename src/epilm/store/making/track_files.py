"""Segmentations and signals to the arrays of a store, one track in memory at a time.

The readers are those of `epilm.genome`; here their tracks are laid end to end on
the disk. States come with a list of their own in each file: the codes are written
as the file has them and translated in place once all lists are known, so that 127
cell types of a human genome never stand in memory together. Used by `build` only.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import InputError
from epilm.genome.chromosomes import PastEnd, check_names, few
from epilm.genome.ideas import read_ideas_state
from epilm.genome.segmentation import States, join_states, read_states
from epilm.genome.signals import open_signal
from epilm.genome.trackhub import fetch, is_url
from epilm.store import schema
from epilm.store.making.inputs import source
from epilm.store.making.progress import Bar
from epilm.store.making.track_inputs import Pool, SignalSource, StateSource, serve
from epilm.store.making.writer import StoreWriter
from epilm.store.track_arrays import about_states, to_float16
from epilm.store.tracks import HIGHEST, bin_offsets

BLOCK = 1 << 22
TIMES_APART = 2.0  # means of two cell types' accessibility: beyond, their values hardly compare


@dataclass
class Written:
    """What is to be said in `store.json` about tracks that were written.

    Attributes
    ----------
    about : dict
        The entry of `states`, or that of `signals`.
    cells : dict of str to int
        Cell type -> track, of all tables that have cell types.
    notes : list of str
    """

    about: dict[str, Any] = field(default_factory=dict)
    cells: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


# -- states
# ------------------------------------------------------------------------------------------


def write_states(
    writer: StoreWriter,
    given: Sequence[StateSource],
    cell_map: Mapping[str, tuple[str, str]],
    bar: Bar,
    *,
    state_bin: int | None,
    past_end: PastEnd,
) -> Written:
    """Read all segmentations into `states.u8.npy`.

    Parameters
    ----------
    writer : StoreWriter
    given : sequence of StateSource
    cell_map : dict
        Of `track_inputs.read_cell_map`.
    bar : Bar
    state_bin : int, optional
        Bin width in bp; by default the one of the files.
    past_end : {"refuse", "cut"}
        As in `genome.segmentation.read_states`.

    Returns
    -------
    Written
        `about` is `StoreInfo.states`.

    Raises
    ------
    InputError
        If a file cannot be used, files do not fit each other, or the cell map names a track that is
        not there.
    """
    sizes = dict(zip(writer.chroms, writer.sizes, strict=True))
    tables = {
        one.place: _table(one, sizes, state_bin, past_end) for one in given if one.kind == "table"
    }
    tracks = [
        track
        for one in given
        for track in (tables[one.place] if one.kind == "table" else [one.track])
    ]
    twice = [name for name, n in Counter(tracks).items() if n > 1]
    if twice:
        raise InputError(
            "two tracks of states have one name",
            found=few(
                [
                    f"{name}: {' and '.join(one.place for one in given if one.track == name)}"
                    for name in twice
                ]
            ),
            expected="one track a cell type",
            do="Leave one of them out, or give it another name (--states OTHER=FILE).",
        )
    served = serve(tracks, cell_map)  # a wrong map costs seconds, not the reading of all files

    heads: list[States] = []
    entries: list[dict[str, Any]] = []
    codes: np.memmap | None = None
    width = state_bin
    notes: list[str] = []
    for one, entry in bar(_Tracks(given, tables, sizes, state_bin, past_end), "states"):
        if codes is None or width is None:
            width = one.bin_bp
            codes = writer.states(len(tracks), width)
        if one.bin_bp != width:
            finer = math.gcd(one.bin_bp, width)
            if finer not in (one.bin_bp, width):
                raise InputError(
                    "the segmentations have bins of different width",
                    where=entry["name"],
                    found=f"{one.bin_bp} bp",
                    expected=f"{width} bp as in the files before",
                    do=(
                        f"Give --state-bin {finer} if they are one segmentation, else make two"
                        " stores."
                    ),
                )
            if finer != width:
                codes = _finer(writer, codes, len(heads), width, finer)
                width = finer
        row = codes[len(heads)]
        row[:] = np.concatenate(
            [_spread(one.codes[c], one.bin_bp // width, n, width) for c, n in sizes.items()]
        )
        heads.append(replace(one, codes={}))
        entries.append(entry)
        notes += one.notes
    assert codes is not None
    assert width is not None
    files = [
        one.place
        for one in given
        for _ in (tables[one.place] if one.kind == "table" else [one.track])
    ]
    names, colours, maps = join_states([replace(head, bin_bp=width) for head in heads], files)
    for row, table in enumerate(maps):
        if not np.array_equal(table[: len(names)], np.arange(len(names))):
            codes[row] = table[codes[row]]
    codes.flush()
    cells = {cell: tracks.index(track) for cell, track in served.cells.items()}
    about = about_states(codes, width, names, colours, cells, served.proxies, entries)
    return Written(about, cells, [*served.notes(), *few_notes(notes)])


class _Tracks:
    """The tracks of all sources, read when it is their turn, each with its entry in `sources`."""

    def __init__(
        self,
        given: Sequence[StateSource],
        tables: Mapping[str, dict[str, States]],
        sizes: Mapping[str, int],
        state_bin: int | None,
        past_end: PastEnd,
    ) -> None:
        self._given, self._tables, self._sizes = given, tables, sizes
        self._how: dict[str, Any] = {"bin_bp": state_bin, "past_end": past_end}

    def __len__(self) -> int:
        return sum(
            len(self._tables[one.place]) if one.kind == "table" else 1 for one in self._given
        )

    def __iter__(self) -> Iterator[tuple[States, dict[str, Any]]]:
        for one in self._given:
            if one.kind == "table":
                entry = source("states", one.place)
                for cell, states in self._tables[one.place].items():
                    yield states, {**entry, "track": cell}
                continue
            with _local(one) as path:
                states = _renamed(
                    read_states(path, self._sizes, cell=one.track, **self._how), path, one.place
                )
                entry = source("states", path, track=one.track)
                if is_url(one.place):
                    entry |= {"name": one.place.rsplit("/", 1)[-1], "url": one.place}
            yield states, entry


def _table(
    one: StateSource, sizes: Mapping[str, int], state_bin: int | None, past_end: PastEnd
) -> dict[str, States]:
    with _local(one) as path:
        tracks = read_ideas_state(path, sizes, bin_bp=state_bin, past_end=past_end)
        return {cell: _renamed(states, path, one.place) for cell, states in tracks.items()}


def _renamed(states: States, path: Path, place: str) -> States:
    """The same with the file's own name in its notes, where it was read from a copy."""
    name = place.rsplit("/", 1)[-1] if is_url(place) else str(path)
    return replace(states, notes=tuple(note.replace(str(path), name) for note in states.notes))


@contextmanager
def _local(one: StateSource) -> Iterator[Path]:
    """A file here: the place itself, or what a URL gives, for as long as it is read.

    The copy is gone when a message about it is read: what is wrong in it is said of its URL.
    """
    if "://" not in one.place:
        yield Path(one.place)
        return
    with tempfile.TemporaryDirectory(prefix="epilm-hub-") as folder:
        copy = ""
        try:
            path = fetch(one.place, Path(folder))
            copy = str(path)
            yield path
        except InputError as error:
            where, given, expected, do = (
                said.replace(copy, one.place) if copy and isinstance(said, str) else said
                for said in (error.where, error.found, error.expected, error.do)
            )
            if one.stanza:
                where = f"{where or one.place} (named in {one.stanza})"
            raise InputError(
                error.what, where=where, found=given, expected=expected, do=do
            ) from None


def _spread(codes: np.ndarray, times: int, size: int, width: int) -> np.ndarray:
    """Codes of wide bins on narrower ones; the last bin of a chromosome is cut to it."""
    return codes if times == 1 else np.repeat(codes, times)[: -(-size // width)]


def _finer(writer: StoreWriter, old: np.memmap, done: int, width: int, finer: int) -> np.memmap:
    """Make the array again with narrower bins and move the tracks that are written.

    Happens where the first files have, by chance, borders on every second bin alone.
    """
    path = writer.folder / schema.STATES
    aside = path.with_suffix(".wide")
    path.rename(aside)  # the map follows the file
    new = writer.states(len(old), finer)
    offsets = bin_offsets(writer.sizes, width)
    for row in range(done):
        new[row] = np.concatenate(
            [
                _spread(np.asarray(old[row, a:b]), width // finer, size, finer)
                for a, b, size in zip(offsets[:-1], offsets[1:], writer.sizes, strict=True)
            ]
        )
    aside.unlink()
    return new


def few_notes(notes: Sequence[str]) -> list[str]:
    """Say once what is said of many files.

    Examples
    --------
    >>> few_notes(
    ...     [
    ...         "a.bed: no states on chrM: unknown there",
    ...         "b.bed: no states on chrM: unknown there",
    ...         "c: x",
    ...     ]
    ... )
    ['a.bed and 1 more: no states on chrM: unknown there', 'c: x']
    """
    grouped: dict[str, list[str]] = {}
    for note in notes:
        file, _, text = note.partition(": ")
        grouped.setdefault(text, []).append(Path(file).name)
    out = []
    for text, files in grouped.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        out.append(f"{files[0]}{more}{': ' if text else ''}{text}")
    return out


# -- signals
# -----------------------------------------------------------------------------------------


def write_signals(
    writer: StoreWriter,
    given: Sequence[SignalSource],
    bar: Bar,
    *,
    resolution: int,
    past_end: PastEnd,
) -> Written:
    """Read all signals into `signals/NAME.f16.npy`, a block of a chromosome at a time.

    Parameters
    ----------
    writer : StoreWriter
    given : sequence of SignalSource
    bar : Bar
    resolution : int
        bp a value.
    past_end : {"refuse", "cut"}
        As in `genome.signals.Signal.read`.

    Returns
    -------
    Written
        `about` is `StoreInfo.signals`; `cells` are those of all signals.

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    done = Written()
    for signal in given:
        values = writer.signal(signal.name, len(signal.files), resolution)
        entries: list[dict[str, Any]] = []
        notes: list[str] = []
        below: list[str] = []
        for row, (cell, path) in enumerate(bar(signal.files, signal.name).items()):
            entry = source(f"signal {signal.name}", path, **({"cell_type": cell} if cell else {}))
            how = (resolution, signal.pool, past_end)
            by = 1.0 if signal.scale == "none" else 1 / _depth(writer, path, past_end)
            told, negative = _write_track(writer, values[row], path, *how, notes, by)
            entries.append(entry | told)
            # Log-ratios, for example: the store keeps them, but accessibility is read from 0 up.
            if signal.name == "accessibility" and negative:
                below.append(
                    f"accessibility{f' of {cell}' if cell else ''}: {negative:,} negative values:"
                    " read as 0"
                )
        values.flush()
        cells = {cell: row for row, cell in enumerate(signal.files)}
        scaled = {} if signal.scale == "none" else {"scale": signal.scale}
        done.about[signal.name] = scaled | {
            "resolution": resolution,
            "pooled": "base" if resolution == 1 else signal.pool,
            "cell_types": None if signal.shared else cells,
            "cut": sum(entry["cut"] for entry in entries),
            "sources": entries,
        }
        if not signal.shared:
            done.cells |= cells
        done.notes += [*few_notes(notes), *below]
        if signal.name == "accessibility":
            means = {entry.get("cell_type", ""): entry["mean"] for entry in entries}
            done.notes += depths_apart(means)
    return done


def depths_apart(means: Mapping[str, float]) -> list[str]:
    """Say where a cell type's mean is many times another's, so that their values do not compare.

    Examples
    --------
    >>> depths_apart({"K562": 3.5, "GM12878": 1.0, "HepG2": 2.0})
    ['accessibility: the mean of K562 is 3.5 times that of GM12878. Of counts of reads that is
    depth: --signal-scale depth makes the means alike']
    >>> depths_apart({"K562": 1.5, "GM12878": 1.0})
    []
    """
    some = {cell: mean for cell, mean in means.items() if mean > 0}
    if not some:
        return []
    most, least = max(some, key=some.__getitem__), min(some, key=some.__getitem__)
    times = some[most] / some[least]
    if times <= TIMES_APART:
        return []
    return [
        f"accessibility: the mean of {most} is {times:.2g} times that of {least}. Of counts of"
        " reads that is depth: --signal-scale depth makes the means alike"
    ]


def _depth(writer: StoreWriter, path: Path, past_end: PastEnd) -> float:
    """Mean of a track over the genome, missing and negative values as 0.

    Raises
    ------
    InputError
        If nothing is above 0.
    """
    signal, total = open_signal(path), 0.0
    for chrom, size in zip(writer.chroms, writer.sizes, strict=True):
        if chrom in signal.chroms:
            for _, piece in signal.read_blocks(chrom, size, past_end, BLOCK):
                total += float(np.nansum(np.maximum(piece, 0), dtype=np.float64))
    if not total > 0:
        raise InputError(
            "no value is above 0, so there is no mean to divide by",
            where=str(path),
            found="a track of zeros on the chromosomes of the genome",
            do="Leave the file out, or --signal-scale.",
        )
    return total / sum(writer.sizes)


def _write_track(
    writer: StoreWriter,
    row: np.ndarray,
    path: Path,
    resolution: int,
    pool: Pool,
    past_end: PastEnd,
    notes: list[str],
    by: float,
) -> tuple[dict[str, Any], int]:
    """Fill one track with `by` times the file's values; give mean and greatest value, share missing
    and values cut; and how many are negative.
    """
    signal = open_signal(path)
    absent = [chrom for chrom in writer.chroms if chrom not in signal.chroms]
    foreign = check_names(signal.chroms, writer.chroms, str(path))
    if foreign:
        notes.append(
            f"{path}: {signal.share(foreign)} are on chromosomes the genome does not have"
            f" ({few(foreign)}): left out"
        )
    if absent:
        notes.append(f"{path}: no values on {few(absent)}: 0 there")
    block = max(1, BLOCK // resolution) * resolution
    begin = bin_offsets(writer.sizes, resolution)
    missing, cut, negative, past, total, greatest = 0, 0, 0, 0, 0.0, -math.inf
    for chrom, at, size in zip(writer.chroms, begin[:-1].tolist(), writer.sizes, strict=True):
        if chrom in absent:
            missing += size
            greatest = max(greatest, 0.0)
            continue
        past += signal.past(chrom, size)
        for first, piece in signal.read_blocks(chrom, size, past_end, block):
            lost = np.isnan(piece)
            missing += int(lost.sum())
            piece[lost] = 0
            if by != 1:
                piece *= np.float32(by)
            steps = pooled(piece, resolution, pool)
            negative += int((steps < 0).sum())
            halves, over = to_float16(steps)
            cut += over
            clipped = np.clip(piece, -HIGHEST, HIGHEST) if over else piece
            total += float(clipped.sum(dtype=np.float64))
            greatest = max(greatest, float(clipped.max()))
            row[at + first // resolution :][: len(halves)] = halves
    bases = sum(writer.sizes)
    if past:
        notes.append(
            f"{path}: {past} bases are past the end of their chromosome in the genome given: cut"
        )
    if cut:
        notes.append(f"{path}: {cut} values beyond 65504 (the largest the store keeps): cut to it")
    told = {
        "mean": float(f"{total / bases:.6g}"),
        "max": float(f"{greatest:.6g}"),
        "missing": round(missing / bases, 6),
        "cut": cut,
    }
    return told, negative


def pooled(values: np.ndarray, resolution: int, how: Pool) -> np.ndarray:
    """Values of steps of some bases; the last step may hold fewer.

    Parameters
    ----------
    values : float (n,)
    resolution : int
    how : {"max", "mean", "min"}

    Returns
    -------
    float (ceil(n / resolution),)

    Examples
    --------
    >>> pooled(np.array([1.0, 3.0, 2.0, 0.0, 5.0]), 2, "mean").tolist()
    [2.0, 1.0, 5.0]
    """
    if resolution == 1:
        return values
    whole = len(values) // resolution * resolution
    out = _reduced(values[:whole].reshape(-1, resolution), how)
    return out if whole == len(values) else np.append(out, _reduced(values[None, whole:], how))


def _reduced(rows: np.ndarray, how: Pool) -> np.ndarray:
    if how == "max":
        return rows.max(axis=1)
    return rows.min(axis=1) if how == "min" else rows.mean(axis=1)
