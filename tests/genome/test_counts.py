"""Counts from four formats are the same matrix; every misfit is named."""

import gzip
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

from epilm.errors import InputError
from epilm.genome.counts import Counts, accessible, pseudo_bulk, read_counts

from . import rds

# The worked example of protocols 3.1.
C = np.array([[0, 2, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
PEAKS = ["chr1-5-9", "chr1-20-30", "chr2-0-7"]
CELLS = ["AA-1", "CC-1", "GG-1", "TT-1"]
LABELS = ["X", "X", "Y", "Y"]
TABLE = "cell\tcell_type\tbatch\n" + "".join(
    f"{c}\t{t}\t1\n" for c, t in zip(CELLS, LABELS, strict=True)
)


def text_sides(folder, peaks=None, cells=TABLE):
    (folder / "peaks.tsv").write_text("\n".join(peaks or PEAKS) + "\n")
    (folder / "cells.tsv").write_text(cells)


def write(folder, how):
    """Write C in one format; return the arguments of read_counts."""
    if how.startswith("h5ad"):
        data = anndata.AnnData(
            sparse.csr_matrix(C.T.astype(np.float32)) if how == "h5ad" else C.T.astype(np.float32),
            obs=pd.DataFrame({"cell_type": pd.Categorical(LABELS)}, index=CELLS),
            var=pd.DataFrame(index=PEAKS),
        )
        if how == "h5ad-columns":
            data.var = pd.DataFrame(
                {"chrom": ["chr1", "chr1", "chr2"], "start": [5, 20, 0], "end": [9, 30, 7]},
                index=list("abc"),
            )
        if how == "h5ad-turned":
            data = data.T
        data.write_h5ad(folder / "c.h5ad")
        return {"path": folder / "c.h5ad"}
    if how.startswith("mtx"):
        scipy_io.mmwrite(folder / "matrix.mtx", sparse.coo_array(C.T if how == "mtx-turned" else C))
        path = folder / "matrix.mtx"
        if how == "mtx.gz":
            path = folder / "matrix.mtx.gz"
            path.write_bytes(gzip.compress((folder / "matrix.mtx").read_bytes()))
        text_sides(folder)
        return {"path": path}
    if how == "npz":
        sparse.save_npz(folder / "c.npz", sparse.csr_array(C))
        text_sides(folder)
        return {
            "path": folder / "c.npz",
            "peaks": folder / "peaks.tsv",
            "cells": folder / "cells.tsv",
        }
    matrix = rds.dgcmatrix(sparse.csc_array(C), PEAKS, CELLS)
    if how == "dgCMatrix":
        (folder / "c.RDS").write_bytes(gzip.compress(rds.rds(matrix)))
        (folder / "cells.tsv").write_text(TABLE)
        return {"path": folder / "c.RDS", "cells": folder / "cells.tsv"}
    labels = rds.Factor([1, 1, 2, 2], ["X", "Y"]) if how == "seurat-factor" else LABELS
    made = (
        rds.seurat5(matrix, PEAKS, CELLS, labels)
        if how == "seurat5"
        else rds.seurat(matrix, CELLS, labels)
    )
    (folder / "c.rds").write_bytes(rds.rds(made))
    return {"path": folder / "c.rds"}


FORMATS = [
    "h5ad",
    "h5ad-dense",
    "h5ad-columns",
    "h5ad-turned",
    "mtx",
    "mtx.gz",
    "mtx-turned",
    "npz",
    "dgCMatrix",
    "seurat",
    "seurat-factor",
    "seurat5",
]


@pytest.mark.parametrize("how", FORMATS)
def test_every_format_gives_the_same_counts(tmp_path, how):
    if how == "dgCMatrix" or "seurat" in how:
        pytest.importorskip("rdata")
    counts = read_counts(**write(tmp_path, how))
    assert counts.matrix.todense().tolist() == C.tolist()
    assert counts.regions[["chrom", "start", "end"]].values.tolist() == [
        ["chr1", 5, 9],
        ["chr1", 20, 30],
        ["chr2", 0, 7],
    ]
    assert counts.cells.tolist() == CELLS
    assert counts.labels.tolist() == LABELS
    assert bool([note for note in counts.notes if "turned" in note]) == ("turned" in how)


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


def test_the_worked_dgcmatrix(tmp_path):
    pytest.importorskip("rdata")
    made = rds.S4(
        "dgCMatrix",
        {
            "i": np.array([0, 2, 1], np.int32),
            "p": np.array([0, 2, 3], np.int32),
            "Dim": np.array([3, 2], np.int32),
            "Dimnames": rds.Vec([PEAKS, CELLS[:2]]),
            "x": np.array([5.0, 7.0, 9.0]),
        },
    )
    (tmp_path / "c.RDS").write_bytes(rds.rds(made))
    (tmp_path / "t.tsv").write_text(TABLE)
    counts = read_counts(tmp_path / "c.RDS", cells=tmp_path / "t.tsv")
    assert counts.matrix.todense().T.tolist() == [[5, 0, 7], [0, 9, 0]]


def test_any_metadata_column_can_be_the_label(tmp_path):
    assert set(read_counts(**write(tmp_path, "mtx"), label="batch").labels) == {"1"}


def test_cell_tables_are_matched_by_name_where_the_matrix_has_names(tmp_path):
    arguments = write(tmp_path, "h5ad")
    (tmp_path / "other.csv").write_text(
        "barcode,cluster\n"
        + "".join(f"{c},k{i}\n" for i, c in enumerate(reversed([*CELLS, "extra"])))
    )
    counts = read_counts(**arguments, cells=tmp_path / "other.csv", label="cluster")
    assert counts.labels.tolist() == ["k4", "k3", "k2", "k1"]


def test_barcodes_beside_the_matrix_order_a_metadata_table(tmp_path):
    arguments = write(tmp_path, "mtx")
    (tmp_path / "cells.tsv").unlink()
    (tmp_path / "barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    (tmp_path / "meta.tsv").write_text(
        '"cell_type"\n'
        + "".join(f'"{c}"\t"{t}"\n' for c, t in reversed(list(zip(CELLS, LABELS, strict=True))))
    )
    counts = read_counts(**arguments, cells=tmp_path / "meta.tsv")
    assert counts.labels.tolist() == LABELS


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


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("c.h5ad", b"", ["the file is empty"]),
        ("c.h5ad", b"\x89HDF\r\n\x1a\nrest", ["this is no AnnData file"]),
        ("c.h5ad", b"hello", ["this is no AnnData file"]),
        ("c.mtx", b"hello\n1 2 3\n", ["wrong format", "'hello'", "%%MatrixMarket"]),
        (
            "c.mtx",
            b"%%MatrixMarket matrix coordinate integer general\n3 4 5\n1 1 1\n",
            ["this is no Matrix Market file", "cut or damaged"],
        ),
        (
            "c.mtx.gz",
            gzip.compress(
                b"%%MatrixMarket matrix coordinate integer general\n3 4 1\n1 1 1\n" * 9, mtime=0
            )[:-12],
            ["truncated"],
        ),
        ("c.npz", b"PK\x03\x04rest", ["this is no sparse matrix of scipy.sparse.save_npz"]),
        ("c.RDS", b"hello, this is no RDS", ["this is no R object file"]),
        ("c.loom", b"hello", ["wrong format", ".h5ad, .h5 (10x), .mtx"]),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    text_sides(tmp_path)
    with pytest.raises(InputError) as error:
        read_counts(tmp_path / name)
    for word in [name, *words]:
        assert word in str(error.value)


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


def test_an_r_object_without_counts_and_a_cut_one_are_named(tmp_path):
    pytest.importorskip("rdata")
    (tmp_path / "c.RDS").write_bytes(rds.rds(rds.S4("lm", {"a": ["b"]})))
    with pytest.raises(InputError, match="the R object holds no count matrix") as error:
        read_counts(tmp_path / "c.RDS")
    assert "an object of class lm" in str(error.value)
    (tmp_path / "c.RDS").write_bytes(
        rds.rds(rds.dgcmatrix(sparse.csc_array(C), PEAKS, CELLS))[:-90]
    )
    with pytest.raises(InputError, match="cut or damaged"):
        read_counts(tmp_path / "c.RDS")
    broken = rds.dgcmatrix(sparse.csc_array(C), PEAKS, CELLS)
    broken.slots["p"] = broken.slots["p"][:-1]
    (tmp_path / "c.RDS").write_bytes(rds.rds(broken))
    with pytest.raises(InputError, match="slots of the dgCMatrix do not fit"):
        read_counts(tmp_path / "c.RDS")


def test_without_the_extra_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdata", None)
    (tmp_path / "c.RDS").write_bytes(b"X")
    with pytest.raises(InputError, match="needs the package rdata") as error:
        read_counts(tmp_path / "c.RDS")
    assert "pip install 'epilm[r]'" in str(error.value)


def test_peak_lists_come_as_bed_names_or_ten_x_features(tmp_path):
    arguments = write(tmp_path, "npz")
    for text in [
        "chr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n",
        "chr1:5-9\nchr1:20-30\nchr2:0-7\n",
        "peak\nchr1_5_9\nchr1_20_30\nchr2_0_7\n",
        "chr1:5-9\tchr1:5-9\tPeaks\tchr1\t5\t9\nchr1:20-30\tx\tPeaks\nchr2:0-7\tx\tPeaks\n",
        "chrom\tstart\tend\nchr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n",
    ]:
        (tmp_path / "peaks.tsv").write_text(text)
        assert read_counts(**arguments).regions["end"].tolist() == [9, 30, 7]


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
