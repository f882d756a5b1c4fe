"""Levels as they are learned: what the numbers are, which columns, what is refused."""

import numpy as np
import pytest

from epilm.errors import EpilmError
from epilm.tasks.expression.gene_table import read_gene_table

TABLE = "id,length,liver,note,heart\nG1,500,0,x,10\nG2,700,3,y,30\nG2,9,1,z,\nG3,9,,w,60\n"


def write(folder, text, name="e.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_per_million_counts_and_logarithms(tmp_path):
    path = write(tmp_path, TABLE)
    table = read_gene_table(path)
    assert table.cells == ("liver", "heart")
    assert table.genes == ["G1", "G2", "G3"]
    assert table.origins == ["e.csv:2", "e.csv:3", "e.csv:5"]
    expected = np.log1p([[0, 10], [3, 30], [np.nan, 60]])
    np.testing.assert_allclose(table.values, expected, rtol=1e-6)
    assert table.notes == [
        "liver, heart: ln(1 + x) of the table's numbers",
        "columns that are no cell type left out: length, note",
        "1 rows of a gene that has one already left out",
    ]
    counts = read_gene_table(path, cells=("heart",), values="counts")
    np.testing.assert_allclose(counts.values[:, 0], np.log1p(np.array([1, 3, 6]) * 1e5), rtol=1e-6)
    logs = read_gene_table(path, cells=("heart", "liver"), values="log")
    assert logs.values[1].tolist() == [30, 3]
    assert read_gene_table(path, gene_column="note").genes == ["x", "y", "z", "w"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TABLE, {"values": "fpkm"}, "--values: unknown values. Found 'fpkm'"),
        (TABLE, {"cells": ("lvier",)}, "no such cell type in the table. Found lvier. Did you mean"),
        (TABLE, {"gene_column": "gene"}, "there is no such column of genes. Found gene"),
        (TABLE, {"cells": ("note",)}, "line 2, column note: the label is not a number. Found 'x'"),
        ("g,a\nG1,-1\nG2,2\n", {}, "line 2, column a: the level.*below 0.*Pass --values log"),
        ("g,a\nG1,2\nG2,2\n", {}, "column a: the cell type has the same level of every gene"),
        ("g,a\nG1,x\nG2,2\n", {}, "no column holds numbers alone. Found g, a"),
        ("g,mean\nG1,1\nG2,2\n", {}, "a cell type has the name of a table of scores. Found mean"),
        ("g\nG1\n", {}, "the table has one column"),
        ("g,a\n", {}, "the table has no genes"),
    ],
)
def test_each_wrong_table_has_one_message(tmp_path, text, options, message):
    with pytest.raises(EpilmError, match=message):
        read_gene_table(write(tmp_path, text), **options)
