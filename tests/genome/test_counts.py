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


# -- files beside the matrix, names that contradict, sides that look alike -------------------------


def test_barcodes_that_share_the_beginning_of_the_matrix_s_name_order_the_labels(tmp_path):
    scipy_io.mmwrite(tmp_path / "GSM1_matrix.mtx", sparse.coo_array(C))
    (tmp_path / "GSM1_peaks.bed").write_text("chr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n")
    (tmp_path / "GSM1_barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(CELLS).encode()))
    (tmp_path / "GSM2_barcodes.tsv").write_text("\n".join(reversed(CELLS)))
    (tmp_path / "barcodes.tsv").write_text("\n".join(reversed(CELLS)))
    pairs = reversed(list(zip(CELLS, LABELS, strict=True)))
    (tmp_path / "meta.tsv").write_text(
        "barcode\tcell_type\n" + "".join(f"{c}\t{t}\n" for c, t in pairs)
    )
    counts = read_counts(tmp_path / "GSM1_matrix.mtx", cells=tmp_path / "meta.tsv")
    assert counts.labels.tolist() == LABELS
    assert [(role, path.name) for role, path in counts.beside] == [
        ("counts_peaks", "GSM1_peaks.bed"),
        ("counts_barcodes", "GSM1_barcodes.tsv.gz"),
    ]
    assert not any("by position" in note for note in counts.notes)


def test_labels_that_go_by_position_are_said_to(tmp_path):
    counts = read_counts(**write(tmp_path, "npz"))
    assert "cells.tsv: labels go by position" in " ".join(counts.notes)


def h5ad(folder, obs, var, X=C.T, **more):
    data = anndata.AnnData(sparse.csr_matrix(X.astype(np.float32)), obs=obs, var=var, **more)
    data.write_h5ad(folder / "c.h5ad")
    return folder / "c.h5ad"


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


@pytest.mark.parametrize("given", [True, False])
def test_barcodes_that_end_in_two_numbers_are_no_intervals(tmp_path, given):
    """As anndata's concatenation names them."""
    cells = ["AA-1-0", "CC-1-0", "AA-0-1", "CC-0-1"]
    obs = pd.DataFrame({"cell_type": LABELS}, index=cells)
    var = pd.DataFrame(index=["peak1", "peak2", "peak3"] if given else PEAKS)
    (tmp_path / "p.bed").write_text("chr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n")
    counts = read_counts(h5ad(tmp_path, obs, var), peaks=tmp_path / "p.bed" if given else None)
    assert counts.cells.tolist() == cells
    assert counts.matrix.todense().tolist() == C.tolist()
    turned = h5ad(tmp_path, var, obs, X=C)
    counts = read_counts(turned, peaks=tmp_path / "p.bed" if given else None)
    assert counts.matrix.todense().tolist() == C.tolist()


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


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        # adata.obs.to_csv(): the unnamed first column is the key, whatever `barcode` holds
        (",barcode,cell_type\ns1#AA-1,AA-1,X\ns2#AA-1,AA-1,Y\n", ["s1#AA-1", "s2#AA-1"]),
        ('"","barcode","cell_type"\n"s1#AA-1","AA-1","X"\n"s2#AA-1","AA-1","Y"\n', None),
        ("\tbarcode\tcell_type\ns1#AA-1\tAA-1\tX\ns2#AA-1\tAA-1\tY\n", None),
        # row numbers are no cells
        (",barcode,cell_type\n0,s1#AA-1,X\n1,s2#AA-1,Y\n", None),
        ('"barcode","cell_type"\n"1","s1#AA-1","X"\n"2","s2#AA-1","Y"\n', None),
    ],
)
def test_the_key_of_a_cell_table_is_the_unnamed_first_column(tmp_path, text, cells):
    from epilm.genome.matrix_sides import read_cells

    (tmp_path / "t.csv").write_text(text)
    table = read_cells(tmp_path / "t.csv")
    assert table.index.tolist() == (cells or ["s1#AA-1", "s2#AA-1"])
    assert table["cell_type"].tolist() == ["X", "Y"]


def test_labels_are_words_without_blanks_and_without_a_point(tmp_path):
    obs = pd.DataFrame({"k": [1.0, np.nan, 2.0, 2.0]}, index=CELLS)
    obs["t"] = ["T cell", "T cell ", " T cell", "B"]
    path = h5ad(tmp_path, obs, pd.DataFrame(index=PEAKS))
    assert read_counts(path, label="k", missing="drop").labels.tolist() == ["1", "2", "2"]
    counts = read_counts(path, label="t")
    assert counts.labels.tolist() == ["T cell", "T cell", "T cell", "B"]
    assert any("blanks around t are left out" in note for note in counts.notes)


# -- 10x, layers, further classes of R -------------------------------------------------------------

KINDS = ["Gene Expression", "Peaks", "Peaks", "Peaks"]
WITH_GENE = np.vstack([[[7, 7, 7, 7]], C])


def ten_x(path, matrix, names, kinds):
    import h5py

    columns = sparse.csc_array(matrix)
    with h5py.File(path, "w") as handle:
        group = handle.create_group("matrix")
        group["barcodes"] = np.array(CELLS, "S")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(columns, name)
        group["shape"] = np.array(matrix.shape)
        group["features/id"] = np.array(names, "S")
        group["features/feature_type"] = np.array(kinds, "S")


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


def test_the_atac_matrix_of_ten_x_is_read_and_one_of_genes_is_refused(tmp_path):
    (tmp_path / "meta.tsv").write_text(TABLE)
    ten_x(tmp_path / "f.h5", C, [p.replace("-", ":", 1) for p in PEAKS], ["Peaks"] * 3)
    counts = read_counts(tmp_path / "f.h5", cells=tmp_path / "meta.tsv")
    assert counts.matrix.todense().tolist() == C.tolist()
    assert counts.cells.tolist() == CELLS
    ten_x(tmp_path / "f.h5", C, ["a", "b", "c"], ["Gene Expression"] * 3)
    with pytest.raises(InputError, match=r"no feature of the matrix is a peak.*3 Gene Expression"):
        read_counts(tmp_path / "f.h5", cells=tmp_path / "meta.tsv")
    import h5py

    with h5py.File(tmp_path / "cut.h5", "w") as handle:
        handle.create_group("matrix")["shape"] = [2, 3]
    with pytest.raises(
        InputError, match=r"cut.h5: this is no 10x matrix.*Found no matrix/data, no"
    ):
        read_counts(tmp_path / "cut.h5", cells=tmp_path / "meta.tsv")


def test_counts_are_taken_from_the_layer_named(tmp_path):
    obs = pd.DataFrame({"cell_type": LABELS}, index=CELLS)
    layers = {"counts": sparse.csr_matrix(C.T.astype(np.float32))}
    data = anndata.AnnData(sparse.csr_matrix(C.T / 2), obs, pd.DataFrame(index=PEAKS))
    data.layers["counts"] = layers["counts"]
    more = anndata.AnnData(sparse.csr_matrix(C.T * 3), obs, pd.DataFrame(index=PEAKS))
    data.raw = more
    data.write_h5ad(tmp_path / "c.h5ad")
    assert read_counts(tmp_path / "c.h5ad", layer="counts").matrix.todense().tolist() == C.tolist()
    raw = read_counts(tmp_path / "c.h5ad", layer="raw")
    assert raw.matrix.todense().tolist() == (C * 3).tolist()
    assert "c.h5ad: counts of raw" in raw.notes
    notes = " ".join(read_counts(tmp_path / "c.h5ad").notes)
    assert "not whole numbers" in notes
    assert "the file also holds --layer counts, raw" in notes
    with pytest.raises(InputError, match=r"no such layer. Found count.*Did you mean counts"):
        read_counts(tmp_path / "c.h5ad", layer="count")
    with pytest.raises(InputError, match="only AnnData files"):
        read_counts(**write(tmp_path, "npz"), layer="counts")


@pytest.mark.parametrize("name", ["dgTMatrix", "dgRMatrix", "ngCMatrix", "lgCMatrix"])
def test_other_sparse_classes_of_r_are_the_same_counts(tmp_path, name):
    pytest.importorskip("rdata")
    (tmp_path / "t.tsv").write_text(TABLE)
    C01 = np.minimum(C, 1)
    made = rds.dgcmatrix(sparse.csc_array(C01 if name[0] in "nl" else C), PEAKS, CELLS)
    made.name = name
    if name == "dgTMatrix":
        rows, columns = np.nonzero(C)
        # An entry named twice is the sum, in R too: 2 = 1 + 1.
        rows, columns = [*rows, 0], [*columns, 1]
        del made.slots["p"]
        made.slots |= {"i": np.array(rows, np.int32), "j": np.array(columns, np.int32)}
        made.slots["x"] = np.ones(len(rows))
    if name == "dgRMatrix":
        table = sparse.csr_array(C)
        del made.slots["i"]
        made.slots |= {"p": table.indptr.astype(np.int32), "j": table.indices.astype(np.int32)}
        made.slots["x"] = table.data.astype(float)
    if name == "ngCMatrix":
        del made.slots["x"]
    (tmp_path / "c.RDS").write_bytes(rds.rds(made))
    counts = read_counts(tmp_path / "c.RDS", cells=tmp_path / "t.tsv")
    expected = C01 if name[0] in "nl" else C
    assert counts.matrix.todense().astype(int).tolist() == expected.tolist()
