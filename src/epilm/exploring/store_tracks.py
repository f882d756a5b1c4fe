"""Tracks of a store over some stretches: regions, chromatin states, signals, motif hits."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import UsageError, nearest
from epilm.exploring.loci import Stretch
from epilm.exploring.state_colours import state_colours
from epilm.exploring.track import Level, Part, Track, TrackSpan, coarse
from epilm.genome.chromosomes import few
from epilm.motifs.motif import Motif
from epilm.plots.style import COLOURS
from epilm.store.reader import Store
from epilm.store.tracks import MISSING

POINTS = 500  # values of a number across the widest view of a stretch, about
DEFAULT_CELLS = 6


def rgb(colour: str) -> str:
    """Write "#2b6cb0" as "43,108,176".

    Examples
    --------
    >>> rgb("#2b6cb0")
    '43,108,176'
    """
    return ",".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))


def colour_of(number: int) -> str:
    """The colour of the number-th of several things."""
    return rgb(COLOURS[number % len(COLOURS)])


def choose_cells(store: Store, asked: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Give the cell types that are shown: those asked for, else the first ones of the store.

    Raises
    ------
    UsageError
        If the store has none of that name.
    """
    for cell in asked:
        if cell not in store.cell_types:
            raise UsageError(
                "the store has no such cell type",
                where="--cells",
                found=cell,
                do=nearest(cell, store.cell_types),
            )
    if asked:
        return tuple(dict.fromkeys(asked))
    cells = tuple(store.cell_types[:DEFAULT_CELLS])
    if left := store.cell_types[DEFAULT_CELLS:]:
        notes.append(
            f"{len(left)} of {len(store.cell_types)} cell types are not shown (--cells):"
            f" {few(left, 8)}"
        )
    return cells


def store_tracks(
    store: Store, cells: Sequence[str], stretches: Sequence[Stretch], notes: list[str]
) -> Iterator[Track]:
    """Give the tracks of a store: of each cell type its regions, states and signals.

    Parameters
    ----------
    store : Store
    cells : sequence of str
        By name.
    stretches : sequence of Stretch
    notes : list of str
        Takes which cell types have no track of a kind.
    """
    for cell in cells:
        mark = store.accessible(cell)
        parts: tuple[Part, ...] = tuple(_regions(store, mark, cell, each) for each in stretches)
        colour = colour_of(store.cell_types.index(cell))
        yield Track(f"{cell}: regions", "regions", parts, colour, about="accessible in the store")
    for name, table in store.signals.items():
        numbers = {cell: store.cell_number(cell) for cell in cells}
        if table.rows is None:  # one for all cell types
            parts = tuple(_signal(table, store, 0, stretch) for stretch in stretches)
            yield Track(name, "signals", parts, "120,130,145", about=f"signal {name} of the store")
            continue
        rows = table.rows
        without = [cell for cell, number in numbers.items() if rows[number] < 0]
        if without:
            notes.append(f"no {name} of {few(without, 8)} in the store")
        for cell, number in numbers.items():
            if cell not in without:
                parts = tuple(_signal(table, store, number, stretch) for stretch in stretches)
                yield Track(
                    f"{cell}: {name}",
                    "signals",
                    parts,
                    colour_of(number),
                    axis=name,
                    about=f"signal {name} of the store",
                )
    if store.states is None:
        return
    without = [cell for cell in cells if store.states.rows[store.cell_number(cell)] < 0]
    if without:
        notes.append(f"no chromatin states of {few(without, 8)} in the store")
    for cell in cells:
        if cell in without:
            continue
        parts = tuple(_states(store, store.cell_number(cell), stretch) for stretch in stretches)
        source = store.states.proxies.get(cell)
        yield Track(
            f"{cell}: states" + (f" (of {source})" if source else ""),
            "states",
            parts,
            about=f"chromatin states in bins of {store.states.bin} bp",
        )


def _regions(store: Store, mark: NDArray[np.bool_], cell: str, stretch: Stretch) -> list[TrackSpan]:
    chrom = store.chrom_number(stretch.chrom)
    low, high = np.searchsorted(store.regions["chrom"], [chrom, chrom + 1])
    here = store.regions[low:high]
    chosen = (here["start"] < stretch.end) & (here["end"] > stretch.start) & mark[low:high]
    return [
        TrackSpan(int(row["start"]), int(row["end"]), said={"accessible in": cell})
        for row in here[chosen]
    ]


def _states(store: Store, cell: int, stretch: Stretch) -> list[TrackSpan]:
    table = store.states
    assert table is not None
    colours = state_colours(table.names, table.colours)
    first, last = stretch.start // table.bin, -(-stretch.end // table.bin)
    chrom = store.chrom_number(stretch.chrom)
    codes = np.asarray(table.gather([cell], [chrom], np.array([first]), last - first))[0]
    size = store.sizes[chrom]
    return [
        TrackSpan(
            a,
            min(b, size),
            table.names[int(code)],
            colour=colours[int(code)],
        )
        for a, b, code in Level(first * table.bin, table.bin, codes.astype(np.float32)).runs(
            last * table.bin
        )
        if int(code) != MISSING
    ]


def _signal(table: Any, store: Store, cell: int, stretch: Stretch) -> Level:
    chrom = store.chrom_number(stretch.chrom)
    values = table.windows([cell], [chrom], np.array([stretch.start]), stretch.end - stretch.start)
    step = max(1, stretch.view // POINTS)
    return Level(stretch.start, step, coarse(np.asarray(values)[0], step))


def motif_track(
    codes: Sequence[NDArray[np.uint8]],
    stretches: Sequence[Stretch],
    motifs: Sequence[Motif],
    p: float,
) -> Track:
    """Give every hit of every motif, with the motif's name.

    Parameters
    ----------
    codes : sequence of uint8 arrays
        The bases of each stretch.
    motifs : sequence of Motif
    p : float
        A hit's score is reached by chance with at most this probability, at one position of one
        strand (a quarter of each base).
    """
    from epilm.motifs.log_odds import log_odds
    from epilm.motifs.pwm import thresholds
    from epilm.motifs.scan import scan

    pwms = [log_odds(motif) for motif in motifs]
    cuts = thresholds(pwms, p).scores
    parts = []
    for bases, stretch in zip(codes, stretches, strict=True):
        hits = scan(np.ascontiguousarray(bases, np.uint8), pwms, cuts, threads=1)
        spans = []
        for number, at, strand, score in zip(*(column.tolist() for column in hits), strict=True):
            motif = motifs[number]
            start = stretch.start + at
            said = {"motif": motif.id, "log-odds": f"{score:.2f} nats (cut {cuts[number]:.2f})"}
            sign = "+" if strand > 0 else "-"
            spans.append(TrackSpan(start, start + motif.width, motif.name, sign, said=said))
        parts.append(sorted(spans, key=lambda span: (span.start, span.end, span.name)))
    about = f"hits of {len(motifs)} motifs at p < {p:g} of a position"
    return Track("motif hits", "motifs", tuple(parts), rgb(COLOURS[4]), about=about)
