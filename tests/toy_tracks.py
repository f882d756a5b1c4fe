"""A small store of genome, states and signals, invented but reproducible: no file is parsed.

Bases, runs of states and signals are random. `lonely` cell types have no track of
states; `regions=True` adds accessible regions as `toy_store` has them.
"""

from pathlib import Path

import numpy as np

from epilm.store.making.writer import write_store
from epilm.store.reader import Store
from epilm.store.schema import REGION_TYPE
from epilm.store.track_arrays import SignalArrays, StateArrays
from epilm.store.tracks import bin_offsets

CHROMS = {"chr1": 24_050, "chr2": 16_000, "chr3": 9_990}


def toy_runs(rng, n, n_states, unknown=0.05):
    """n bins in runs of 1 to 12 equal states, some of them unknown (255): uint8 (n,)."""
    lengths = rng.integers(1, 13, n)
    states = rng.integers(0, n_states, n).astype(np.uint8)
    states[rng.random(n) < unknown] = 255
    return np.repeat(states, lengths)[:n]


def toy_track_store(
    folder,
    *,
    chroms=None,
    cells=("typeA", "typeB", "typeC"),
    lonely=(),
    seed=0,
    bin=200,
    n_states=5,
    signals=("accessibility", "mappability"),
    resolution=1,
    n_share=0.01,
    regions=False,
    name=None,
) -> Store:
    """A store of tracks.

    chroms: {name: bp} or None; cells: cell types with a track each; lonely: cell types without;
    signals: names, "mappability" is one track for all cell types with values 1, 0.5, 0.25 or 0;
    n_share: share of N (in runs of 100 bp).
    """
    sizes = dict(CHROMS if chroms is None else chroms)
    rng = np.random.default_rng(seed)
    genome = {}
    for chrom, size in sizes.items():
        codes = rng.integers(0, 4, size).astype(np.uint8)
        for start in rng.integers(0, size, round(size * n_share / 100)):
            codes[start : start + 100] = 4
        genome[chrom] = codes
    length = tuple(sizes.values())
    states = None
    if n_states:
        n = int(bin_offsets(length, bin)[-1])
        states = StateArrays(
            codes=np.stack([toy_runs(rng, n, n_states) for _ in cells]),
            cells={cell: row for row, cell in enumerate(cells)},
            bin=bin,
            names=[f"{i + 1}_State{i + 1}" for i in range(n_states)],
            colours=[
                f"{(50 * i) % 256},{(90 * i) % 256},{(130 * i) % 256}" for i in range(n_states)
            ],
        )
    tracks = {}
    for signal in signals:
        n = int(bin_offsets(length, resolution)[-1])
        if signal == "mappability":
            values = np.repeat(
                rng.choice([1.0, 0.5, 0.25, 0.0], n, p=[0.85, 0.08, 0.04, 0.03]), 20
            )[None, :n]
            of = None
        else:
            values = np.repeat(rng.gamma(0.5, 2.0, (len(cells), n)), 15, axis=1)[:, :n]
            of = {cell: row for row, cell in enumerate(cells)}
        tracks[signal] = SignalArrays(values, of, resolution, "base" if resolution == 1 else "mean")
    rows, accessible = None, None
    if regions:
        rows = np.array(
            [(c, s, s + 150) for c, size in enumerate(length) for s in range(300, size - 500, 400)],
            REGION_TYPE,
        )
        accessible = rng.random((len(rows), len(cells) + len(lonely))) < 0.6
    path = write_store(
        Path(folder) / (name or f"tracks{seed}"),
        genome=genome,
        regions=rows,
        accessible=accessible,
        cell_types=[*cells, *lonely],
        states=states,
        signals=tracks,
        assembly="invented",
        overwrite=True,
    )
    return Store.open(path)
