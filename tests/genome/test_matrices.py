"""Count matrices of every format are the same matrix, and what is none is named."""

import gzip
import sys
from types import SimpleNamespace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from epilm.errors import InputError
from epilm.genome import matrices
from epilm.genome.counts import read_counts

from . import rds
from .count_files import CELLS, LABELS, PEAKS, TABLE, C, ten_x, text_sides, write

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


@pytest.mark.parametrize(
    ("indices", "indptr"),
    [([0, 1, 0, 1], [0, 9, 1, 4]), ([0, 7, 0, 1], [0, 2, 3, 4]), ([], [0, 1 << 16, 0, 0])],
)
@pytest.mark.parametrize("how", ["h5", "h5ad", "npz", "RDS"])
def test_pointers_and_indices_that_leave_the_matrix_are_refused(tmp_path, how, indices, indptr):
    """scipy would write past its memory, and the process die."""
    data, indices = np.ones(len(indices)), np.array(indices, np.int32)
    path = tmp_path / f"c.{how}"
    if how in ("h5", "h5ad"):
        with h5py.File(path, "w") as file:
            group = file.create_group("matrix" if how == "h5" else "X")
            group["data"], group["indices"], group["indptr"] = data, indices, indptr
            if how == "h5":
                group["shape"] = [2, 3]
                for name, n in (("barcodes", 3), ("features/id", 2), ("features/feature_type", 2)):
                    group[name] = np.array([b"x"] * n)
            else:
                group.attrs["encoding-type"] = "csr_matrix"
                group.attrs["encoding-version"] = "0.1.0"
                group.attrs["shape"] = [3, 2]
                for name, n in (("obs", 3), ("var", 2)):
                    table = file.create_group(name)
                    table.attrs.update(
                        {
                            "encoding-type": "dataframe",
                            "encoding-version": "0.2.0",
                            "_index": "i",
                            "column-order": np.array([], "S1"),
                        }
                    )
                    table["i"] = np.array([str(k).encode() for k in range(n)])
    elif how == "npz":
        parts = {"data": data, "indices": indices, "indptr": indptr, "shape": [3, 2]}
        np.savez(path, format=b"csr", **{name: np.asarray(value) for name, value in parts.items()})
    else:
        slots = {"i": np.int32(indices), "p": np.int32(indptr), "Dim": np.int32([2, 3]), "x": data}
        with pytest.raises(InputError, match="the slots of the"):
            matrices.r_matrix(SimpleNamespace(**slots), path)
        return
    with pytest.raises(InputError, match=f"c.{how}: this is no .*damaged"):
        matrices.read(path)
