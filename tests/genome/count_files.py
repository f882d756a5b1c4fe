"""One matrix of counts in every format, and the files beside it."""

import gzip

import anndata
import numpy as np
import pandas as pd
from scipy import io as scipy_io
from scipy import sparse

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


def h5ad(folder, obs, var, X=C.T, **more):
    data = anndata.AnnData(sparse.csr_matrix(X.astype(np.float32)), obs=obs, var=var, **more)
    data.write_h5ad(folder / "c.h5ad")
    return folder / "c.h5ad"


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
