"""What `epilm embed` wrote is read again, rows at a time; other files are not taken for it."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.vectors import vector_files
from epilm.vectors.kept_vectors import is_vectors, open_vectors, vectors_in
from epilm.vectors.vector_files import write_vectors

VECTORS = np.arange(21, dtype=np.float32).reshape(7, 3)
COLUMNS = {
    "name": [f"s{n}" for n in range(7)],
    "chrom": ["chr1"] * 4 + ["chr2"] * 3,
    "start": list(range(7)),
    "end": list(range(10, 17)),
    "pieces": [1, 1, 1, 2, 1, 1, 1],
}
ABOUT = {"pool": "mean", "notes": ["a note"], "model": {"name": "dnabert", "k": 3}}


@pytest.mark.parametrize("ending", ["h5ad", "parquet", "npy"])
def test_rows_and_what_they_are_of_are_those_that_were_written(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(vector_files, "_ROWS", 3)  # several pieces of a Parquet file
    path = tmp_path / f"v.{ending}"
    write_vectors(path, VECTORS, COLUMNS, ABOUT)
    assert is_vectors(path)
    assert vectors_in(tmp_path) == path
    kept = open_vectors(path)
    assert (len(kept), kept.width) == (7, 3)
    assert {name: values.tolist() for name, values in kept.columns.items()} == COLUMNS
    assert kept.about == ({} if ending == "npy" else ABOUT)
    rows = np.array([0, 2, 3, 6])
    np.testing.assert_array_equal(kept.take(rows), VECTORS[rows])


def test_files_of_others_are_not_taken(tmp_path):
    import anndata
    import pandas as pd

    anndata.AnnData(VECTORS).write_h5ad(tmp_path / "cells.h5ad")
    pd.DataFrame({"e0": [1.0]}).to_parquet(tmp_path / "table.parquet")
    np.save(tmp_path / "array.npy", VECTORS)
    (tmp_path / "no.h5ad").write_text("no such file")
    (tmp_path / "no.parquet").write_text("no such file")
    assert vectors_in(tmp_path) is None


def test_two_files_of_a_folder_and_an_array_of_another_length_are_refused(tmp_path):
    for name in ("a.npy", "b.h5ad"):
        write_vectors(tmp_path / name, VECTORS, COLUMNS, ABOUT)
    with pytest.raises(InputError, match=r"several files of vectors. Found a.npy, b.h5ad. Name"):
        vectors_in(tmp_path)
    np.save(tmp_path / "a.npy", VECTORS[:5])
    with pytest.raises(InputError, match="do not go together. Found an array of 5 x 3; expected 7"):
        open_vectors(tmp_path / "a.npy")
