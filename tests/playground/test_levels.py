"""Simulated levels: higher where a promoter is open, and a million a cell type."""

import csv

import numpy as np
import pandas as pd


def test_levels_follow_open_promoters_and_sum_to_a_million(tiny):
    with open(tiny / "expression.tsv", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    cells = [name for name in rows[0] if name != "gene"]
    assert cells == ["typeA", "typeB", "typeC"]
    levels = np.array([[float(row[cell]) for cell in cells] for row in rows])
    np.testing.assert_allclose(levels.sum(0), 1e6, rtol=1e-4)
    regions = pd.read_csv(tiny / "truth_regions.tsv.gz", sep="\t")
    promoters = regions[regions["tss"] >= 0].set_index(["chrom", "tss"])
    starts = pd.read_csv(tiny / "promoters.bed", sep="\t", header=None)
    names = starts[3].str.rsplit("_", n=1).str[0].tolist()
    assert names == [row["gene"] for row in rows]
    known = [(c, t) in promoters.index for c, t in zip(starts[0], starts[1])]
    where = [(c, t) for c, t, k in zip(starts[0], starts[1], known) if k]
    assert len(where) > 20
    open_in = promoters.loc[where, "open"].tolist()
    is_open = np.array([[cell in text.split("|") for cell in cells] for text in open_in])
    logs = np.log(levels[np.array(known)])
    assert logs[is_open].mean() > logs[~is_open].mean() + 1
