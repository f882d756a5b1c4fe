"""A small store of invented numbers, made from arrays: no file is parsed, no motif scanned."""

from pathlib import Path

import numpy as np

from epilm.store.arrays import ContactTable
from epilm.store.making.writer import write_store
from epilm.store.reader import Store
from epilm.store.schema import REGION_TYPE


def toy_regions(per_chrom=(40, 30), width=(60, 120), gap=50, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for c, n in enumerate(per_chrom):
        at = 20
        for _ in range(n):
            w = int(rng.integers(*width))
            rows.append((c, at, at + w))
            at += w + gap
    return np.array(rows, REGION_TYPE)


def toy_store(
    folder,
    *,
    per_chrom=(40, 30),
    cells=3,
    factors=5,
    width=(60, 120),
    open_share=0.7,
    counts=True,
    contacts=True,
    accessible=None,
    statistics=(),
    seed=0,
) -> Store:
    rng = np.random.default_rng(seed)
    regions = toy_regions(per_chrom, width, seed=seed)
    sizes = [int(regions["end"][regions["chrom"] == c].max()) + 30 for c in range(len(per_chrom))]
    genome = {f"chr{c + 1}": rng.integers(0, 4, s).astype(np.uint8) for c, s in enumerate(sizes)}
    if accessible is None:
        accessible = rng.random((len(regions), cells)) < open_share
    table = np.where(accessible, rng.integers(1, 50, accessible.shape), 0).astype(np.float32)
    contact = None
    if contacts:
        resolution = 500
        bins = ContactTable.bins(tuple(sizes), resolution)
        pairs = [
            (a, b)
            for c in range(len(sizes))
            for a in range(bins[c], bins[c + 1])
            for b in range(a, min(a + 4, bins[c + 1]))
        ]
        keys = np.array([a * bins[-1] + b for a, b in pairs], np.int64)
        order = np.argsort(keys)
        contact = (resolution, keys[order], rng.random(len(keys)).astype(np.float32)[order] + 0.1)
    given = rng.gamma(2.0, 1.0, (len(regions), factors)) if factors else None
    path = write_store(
        Path(folder) / f"toy{seed}",
        genome=genome,
        regions=regions,
        accessible=accessible,
        cell_types=[f"cell{t}" for t in range(accessible.shape[1])],
        counts=table if counts else None,
        factors=given,
        more_factors={name: rng.poisson(2.0, (len(regions), factors)) for name in statistics},
        motifs=[
            {"id": f"MA{(7 * f) % 10:04d}.{f}", "name": f"F{f}", "family": "ab"[f % 2]}
            for f in range(factors)
        ],
        contacts=contact,
        assembly="invented",
        overwrite=True,
    )
    return Store.open(path)
