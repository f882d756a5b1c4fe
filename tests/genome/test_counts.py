"""Counts from four formats are the same matrix; every misfit is named."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

from epilm.errors import InputError
from epilm.genome.counts import Counts, accessible, pseudo_bulk, read_counts

from .count_files import CELLS, LABELS, PEAKS, TABLE, C, h5ad, ten_x, text_sides, write


def test_the_worked_pseudo_bulk(tmp_path):
    P, cell_types = pseudo_bulk(read_counts(**write(tmp_path, "mtx")))
    assert cell_types == ("X", "Y")
    assert P.tolist() == [[2, 1], [0, 1], [1, 0]]
    A = accessible(P)
    assert A.tolist() == [[True, True], [False, True], [True, False]]
    assert np.flatnonzero(A[:, 0]).tolist() == [
        0,
        2,
    ], "consecutive in X, though region 2 lies between"


def test_any_metadata_column_can_be_the_label(tmp_path):
    assert set(read_counts(**write(tmp_path, "mtx"), label="batch").labels) == {"1"}


def test_unlabelled_cells_are_refused_or_dropped_and_said(tmp_path):
    arguments = write(tmp_path, "mtx")
    (tmp_path / "cells.tsv").write_text(TABLE.replace("CC-1\tX", "CC-1\t"))
    with pytest.raises(InputError) as error:
        read_counts(**arguments)
    for word in [
        "cells.tsv",
        "1 of 4 cells have no cell_type",
        "cell 2 (CC-1)",
        "--unlabelled drop",
    ]:
        assert word in str(error.value)
    counts = read_counts(**arguments, missing="drop")
    assert counts.cells.tolist() == ["AA-1", "GG-1", "TT-1"]
    assert counts.matrix.shape == (3, 3)
    assert "1 of 4 cells have no cell_type: dropped" in counts.notes[-1]


@pytest.mark.parametrize(
    ("peaks", "cells", "words"),
    [
        (
            PEAKS[:2],
            TABLE,
            ["matrix and the peak list have different lengths", "3 x 4", "2 peaks", "peaks.tsv"],
        ),
        (
            PEAKS,
            TABLE + "G2\tX\t1\n",
            ["matrix and the cell list have different lengths", "3 x 4", "5 cells"],
        ),
        (PEAKS[:1], TABLE + "G2\tX\t1\n", ["fits neither the peak list nor the cell list"]),
        (
            ["chr1-5-9", "peak2", "chr2-0-7"],
            TABLE,
            ["peaks.tsv, peak 2", "no interval", "'peak2'", "chr1:5-9"],
        ),
        (
            PEAKS,
            TABLE.replace("cell_type", "celltype"),
            ["no column 'cell_type'", "Did you mean celltype?", "--label"],
        ),
        (PEAKS, "\n".join(CELLS), ["no such column", "--counts-cells"]),
        (PEAKS, TABLE.replace("GG-1", "AA-1"), ["a cell is named twice", "cell 3", "AA-1"]),
        (
            PEAKS,
            TABLE.replace("\tX\t", "\t\t").replace("\tY\t", "\tNA\t"),
            ["no cell of the matrix has a cell_type"],
        ),
    ],
)
def test_sides_that_do_not_fit_are_named(tmp_path, peaks, cells, words):
    arguments = write(tmp_path, "mtx")
    text_sides(tmp_path, peaks, cells)
    with pytest.raises(InputError) as error:
        read_counts(**arguments)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1.0, ["a count is negative", "Found -1.0"]),
        (np.nan, ["not a finite number", "Found nan"]),
        (np.inf, ["not a finite number"]),
    ],
)
def test_negative_and_missing_counts_are_named_by_peak_and_cell(tmp_path, value, words):
    bad = C.astype(float)
    bad[1, 2] = value
    sparse.save_npz(tmp_path / "c.npz", sparse.csr_array(bad))
    text_sides(tmp_path)
    with pytest.raises(InputError) as error:
        read_counts(tmp_path / "c.npz")
    for word in [*words, "peak 2 (chr1:20-30)", "cell 3 (GG-1)", "1 of 5", "Give the raw counts"]:
        assert word in str(error.value)


def test_normalised_counts_are_used_and_said(tmp_path):
    sparse.save_npz(tmp_path / "c.npz", sparse.csr_array(C / 2))
    text_sides(tmp_path)
    notes = read_counts(tmp_path / "c.npz").notes
    assert any("not whole numbers" in note for note in notes)


def test_missing_sides_and_empty_matrices_are_named(tmp_path):
    sparse.save_npz(tmp_path / "c.npz", sparse.csr_array(C))
    with pytest.raises(InputError, match="holds no peaks and none are given") as error:
        read_counts(tmp_path / "c.npz")
    assert "--counts-peaks" in str(error.value)
    (tmp_path / "peaks.bed").write_text("chr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n")
    with pytest.raises(InputError, match="holds no cells and none are given"):
        read_counts(tmp_path / "c.npz")
    text_sides(tmp_path)
    sparse.save_npz(tmp_path / "c.npz", sparse.csr_array(C * 0))
    with pytest.raises(InputError, match="all counts are 0"):
        read_counts(tmp_path / "c.npz")
    with pytest.raises(InputError, match="there is no such file"):
        read_counts(tmp_path / "no.h5ad")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_pseudo_bulk_and_its_thresholds_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    R, n = rng.integers(1, 9), rng.integers(1, 12)
    matrix = rng.integers(0, 4, (R, n))
    labels = rng.choice(["c1", "c2", "c10"], n)
    counts = Counts(sparse.csr_array(matrix), pd.DataFrame(), labels, labels)
    P, cell_types = pseudo_bulk(counts)
    assert list(cell_types) == [c for c in ("c1", "c2", "c10") if c in labels]
    for t, name in enumerate(cell_types):
        assert P[:, t].tolist() == [
            sum(matrix[r, j] for j in range(n) if labels[j] == name) for r in range(R)
        ]
    top = accessible(P, top_n=2)
    assert (top.sum(axis=0) == np.minimum((P > 0).sum(axis=0), 2)).all()
    for t in range(len(cell_types)):
        if top[:, t].any():
            assert P[top[:, t], t].min() >= np.sort(P[:, t])[::-1][: top[:, t].sum()].min()
    assert (accessible(P, min_count=3) == (P > 3)).all()
    total = P.sum(axis=0, keepdims=True)
    assert (accessible(P, min_cpm=2e5) == (2e5 * total < P * 1e6)).all()


def test_impossible_thresholds_are_refused():
    with pytest.raises(ValueError, match="top_n at least 1"):
        accessible(np.ones((2, 2)), top_n=0)


# -- files beside the matrix, names that contradict, sides that look alike -------------------------


def test_cells_of_one_name_are_refused_with_a_table_and_kept_by_row_without(tmp_path):
    obs = pd.DataFrame({"cell_type": LABELS}, index=["AA-1", "CC-1", "AA-1", "TT-1"])
    path = h5ad(tmp_path, obs, pd.DataFrame(index=PEAKS))
    counts = read_counts(path)
    assert counts.labels.tolist() == LABELS
    assert any("some cells have the name of another" in note for note in counts.notes)
    (tmp_path / "t.tsv").write_text("barcode\tcell_type\nAA-1\tX\nCC-1\tX\nTT-1\tY\n")
    with pytest.raises(InputError) as error:
        read_counts(path, cells=tmp_path / "t.tsv")
    for word in ["t.tsv", "a cell of the matrix is named twice", "cell 3 (AA-1)", "1 of 4"]:
        assert word in str(error.value)


def test_a_peak_list_that_contradicts_the_matrix_is_refused(tmp_path):
    path = write(tmp_path, "h5ad")["path"]
    for text, words in [
        ("chr1\t20\t30\nchr1\t5\t9\nchr2\t0\t7\n", ["peak 1", "another order", "chr1:5-9"]),
        ("chr1\t5\t9\nchr1\t20\t31\nchr2\t0\t7\n", ["peak 2", "1 of 3 differ", "chr1:20-30"]),
    ]:
        (tmp_path / "p.bed").write_text(text)
        with pytest.raises(InputError, match="contradicts the matrix's own names") as error:
            read_counts(path, peaks=tmp_path / "p.bed")
        for word in ["p.bed", *words, "--counts-peaks"]:
            assert word in str(error.value)
    (tmp_path / "p.bed").write_text("1\t5\t9\n1\t20\t30\n2\t0\t7\n")
    assert read_counts(path, peaks=tmp_path / "p.bed").regions["chrom"].tolist() == ["1", "1", "2"]


def test_a_peak_list_that_contradicts_the_features_beside_is_refused(tmp_path):
    scipy_io.mmwrite(tmp_path / "matrix.mtx", sparse.coo_array(C))
    text_sides(tmp_path)
    (tmp_path / "features.tsv").write_text("".join(f"{p}\t{p}\tPeaks\n" for p in PEAKS))
    (tmp_path / "p.bed").write_text("chr1\t20\t30\nchr1\t5\t9\nchr2\t0\t7\n")
    with pytest.raises(InputError, match="contradicts the features beside the matrix"):
        read_counts(tmp_path / "matrix.mtx", peaks=tmp_path / "p.bed")


def test_granges_as_columns_of_an_h5ad_count_from_one(tmp_path):
    var = pd.DataFrame(
        {"seqnames": ["chr1", "chr1", "chr2"], "start": [6, 21, 1], "end": [9, 30, 7]}, index=PEAKS
    )
    var["width"] = var["end"] - var["start"] + 1
    obs = pd.DataFrame({"cell_type": LABELS}, index=CELLS)
    assert read_counts(h5ad(tmp_path, obs, var)).regions["start"].tolist() == [5, 20, 0]
    var["width"] = [4, 9, 7]
    with pytest.raises(InputError, match=r"c.h5ad, peak 2: the width contradicts start and end"):
        read_counts(h5ad(tmp_path, obs, var))


# -- 10x, layers, further classes of R -------------------------------------------------------------

KINDS = ["Gene Expression", "Peaks", "Peaks", "Peaks"]
WITH_GENE = np.vstack([[[7, 7, 7, 7]], C])


def multiome(folder, how):
    names = ["ENSG01", *(p.replace("-", ":", 1) for p in PEAKS)]
    (folder / "meta.tsv").write_text(TABLE)
    if how == "h5":
        ten_x(folder / "f.h5", WITH_GENE, names, KINDS)
        return {"path": folder / "f.h5", "cells": folder / "meta.tsv"}
    if how == "h5ad":
        var = pd.DataFrame({"feature_types": KINDS}, index=names)
        obs = pd.DataFrame({"cell_type": LABELS}, index=CELLS)
        return {"path": h5ad(folder, obs, var, X=WITH_GENE.T)}
    scipy_io.mmwrite(folder / "matrix.mtx", sparse.coo_array(WITH_GENE))
    (folder / "features.tsv").write_text(
        "".join(f"{n}\t{n}\t{k}\tchr1\t1\t2\n" for n, k in zip(names, KINDS, strict=True))
    )
    (folder / "barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    return {"path": folder / "matrix.mtx", "cells": folder / "meta.tsv"}


@pytest.mark.parametrize("how", ["h5", "h5ad", "mtx"])
def test_of_a_multiome_matrix_the_peaks_are_kept_and_the_genes_counted(tmp_path, how):
    from epilm.genome.checks import check_intervals

    counts = read_counts(**multiome(tmp_path, how))
    assert counts.matrix.todense().tolist() == C.tolist()
    assert counts.regions["end"].tolist() == [9, 30, 7]
    assert counts.labels.tolist() == LABELS
    notes = [*counts.notes, *check_intervals(counts.regions).notes]
    assert any("4 features, of which no peaks and left out: 1 Gene Expression" in n for n in notes)
