"""What is written in two formats is the same in both."""

import gzip

import numpy as np
import pandas as pd
import pytest


def test_fai_agrees_with_samtools(tiny, tmp_path):
    pysam = pytest.importorskip("pysam")
    copy = tmp_path / "genome.fa"
    copy.write_bytes((tiny / "genome.fa").read_bytes())
    pysam.faidx(str(copy))
    assert (tmp_path / "genome.fa.fai").read_text() == (tiny / "genome.fa.fai").read_text()


def test_counts_are_the_same_matrix_in_both_formats(tiny):
    import anndata
    from scipy.io import mmread

    table = anndata.read_h5ad(tiny / "counts.h5ad")
    with gzip.open(tiny / "counts/matrix.mtx.gz") as handle:
        matrix = mmread(handle).tocsr()
    peaks = pd.read_csv(
        tiny / "counts/peaks.tsv", sep="\t", header=None, names=["chrom", "start", "end"]
    )
    cells = pd.read_csv(tiny / "counts/cells.tsv", sep="\t")
    assert matrix.shape == (len(peaks), len(cells)) == table.shape[::-1]
    assert (matrix.T != table.X).nnz == 0
    assert table.obs["cell_type"].astype(str).tolist() == cells["cell_type"].tolist()
    assert (table.var["start"].to_numpy() == peaks["start"].to_numpy()).all()
    assert list(table.obs_names) == cells["cell"].tolist()
    assert bool(table.uns["simulated"])


def test_contacts_are_the_same_in_both_formats(tiny):
    cooler = pytest.importorskip("cooler")
    cool = cooler.Cooler(str(tiny / "contacts.cool"))
    assert (cool.binsize, cool.chromnames) == (5000, ["chr1", "chr2", "chr3"])
    dense = cool.matrix(balance=False).fetch("chr2")
    rows = pd.read_csv(tiny / "contacts/chr2.tsv.gz", sep="\t", header=None).to_numpy()
    assert (rows[:, 0] <= rows[:, 1]).all()
    other = np.zeros_like(dense)
    other[rows[:, 0] // 5000, rows[:, 1] // 5000] = rows[:, 2]
    assert (np.triu(dense) == other).all()
    assert dense.diagonal().mean() > dense.diagonal(10).mean() > 0
