"""Simulated tracks: states on their grid, accessibility at peaks."""

import numpy as np
import pandas as pd
import pytest

PEAK = ["chrom", "start", "end", "name", "score", "strand", "signal", "p", "q", "summit"]


def test_states_lie_on_the_grid_and_carry_numbered_names(tiny):
    sizes = pd.read_csv(tiny / "chrom.sizes", sep="\t", header=None, index_col=0)[1]
    for path in sorted((tiny / "states").iterdir()):
        table = pd.read_csv(path, sep="\t", header=None, names=["chrom", "start", "end", "state"])
        assert (table[["start", "end"]] % 200 == 0).all(axis=None)
        assert (table["end"] <= table["chrom"].map(sizes)).all()
        assert table["state"].str.match(r"^([1-9]|1[0-5])_").all()
        same = table["chrom"].eq(table["chrom"].shift())
        assert (table["start"] >= table["end"].shift())[same].all()
        touching = same & (table["start"] == table["end"].shift())
        assert not (touching & table["state"].eq(table["state"].shift())).any()


@pytest.mark.parametrize("library", ["pybigtools", "pyBigWig"])
def test_accessibility_is_high_where_peaks_are_and_absent_elsewhere(tiny, library):
    module = pytest.importorskip(library)
    peaks = pd.read_csv(tiny / "peaks/typeA.narrowPeak.gz", sep="\t", header=None, names=PEAK)
    path = str(tiny / "signals/typeA.accessibility.bw")
    signal = module.open(path)
    chroms = signal.chroms()
    lengths = {c: int(n) for c, n in chroms.items()}
    assert lengths == {"chr1": 240_000, "chr2": 100_000, "chr3": 60_000}
    values = {c: np.nan_to_num(np.asarray(signal.values(c, 0, n))) for c, n in lengths.items()}
    top = [values[row.chrom][row.start + row.summit] for row in peaks.itertuples()]
    assert min(top) > 3
    assert np.median(np.concatenate(list(values.values()))) == 0
    mapped = module.open(str(tiny / "signals/mappability.bw"))
    line = np.nan_to_num(np.asarray(mapped.values("chr1", 0, 240_000)))
    assert line[:800].max() == 0
    assert line.max() == 1
    assert 0.2 < np.unique(line)[1] < 0.4
