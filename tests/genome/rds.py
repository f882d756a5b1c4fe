"""Just enough of R's serialisation (XDR, version 2) to write a matrix or a Seurat object as a test
file.

R internals manual, section 1.8: flags = type | object << 8 | attributes << 9 | tag << 10 | gp <<
12.
"""

import struct
from dataclasses import dataclass, field

import numpy as np


@dataclass
class S4:
    """An S4 object: class and slots."""

    name: str
    slots: dict = field(default_factory=dict)


@dataclass
class Vec:
    """A list with attributes (names, class, row.names)."""

    items: list
    attributes: dict = field(default_factory=dict)


@dataclass
class Factor:
    codes: list
    levels: list


@dataclass
class LogMap:
    """Seurat 5's logical matrix whose row names are the cells or features."""

    rows: list
    layers: list


def _int(n: int) -> bytes:
    return struct.pack(">i", n)


def _char(text: str) -> bytes:
    return _int(9 | 64 << 12) + _int(len(text)) + text.encode()


def _pairs(attributes: dict) -> bytes:
    out = b"".join(
        _int(2 | 1 << 10) + _int(1) + _char(name) + encode(value)
        for name, value in attributes.items()
    )
    return out + _int(254)


def encode(value) -> bytes:
    if value is None:
        return _int(254)
    if isinstance(value, S4):
        return _int(25 | 1 << 8 | 1 << 9 | 16 << 12) + _pairs(value.slots | {"class": [value.name]})
    if isinstance(value, Vec):
        flag = 1 << 9 if value.attributes else 0
        flag |= 1 << 8 if "class" in value.attributes else 0
        body = _int(19 | flag) + _int(len(value.items)) + b"".join(map(encode, value.items))
        return body + (_pairs(value.attributes) if value.attributes else b"")
    if isinstance(value, Factor):
        body = (
            _int(13 | 1 << 8 | 1 << 9) + _int(len(value.codes)) + b"".join(map(_int, value.codes))
        )
        return body + _pairs({"levels": value.levels, "class": ["factor"]})
    if isinstance(value, LogMap):
        shape = np.array([len(value.rows), len(value.layers)], np.int32)
        body = (
            _int(10 | 1 << 8 | 1 << 9 | 16 << 12)
            + _int(int(shape.prod()))
            + _int(1) * int(shape.prod())
        )
        return body + _pairs(
            {"dim": shape, "dimnames": Vec([value.rows, value.layers]), "class": ["LogMap"]}
        )
    if isinstance(value, list):
        return _int(16) + _int(len(value)) + b"".join(map(_char, value))
    value = np.asarray(value)
    if value.dtype.kind == "i":
        return _int(13) + _int(len(value)) + value.astype(">i4").tobytes()
    return _int(14) + _int(len(value)) + value.astype(">f8").tobytes()


def rds(value) -> bytes:
    return b"X\n" + _int(2) + _int(0x030602) + _int(0x020300) + encode(value)


def dgcmatrix(matrix, rows, columns) -> S4:
    """A scipy csc matrix as R's dgCMatrix."""
    return S4(
        "dgCMatrix",
        {
            "i": matrix.indices.astype(np.int32),
            "p": matrix.indptr.astype(np.int32),
            "Dim": np.array(matrix.shape, np.int32),
            "Dimnames": Vec([rows, columns]),
            "x": matrix.data.astype(np.float64),
            "factors": Vec([]),
        },
    )


def seurat(counts: S4, cells: list, labels, assay: str = "peaks") -> S4:
    table = Vec(
        [labels, np.arange(len(cells), dtype=np.int32)],
        {"names": ["cell_type", "n"], "class": ["data.frame"], "row.names": cells},
    )
    other = S4(
        "Assay", {"counts": dgcmatrix(_nothing(len(cells)), ["GATA1"], cells), "key": ["rna_"]}
    )
    return S4(
        "Seurat",
        {
            "assays": Vec(
                [other, S4("ChromatinAssay", {"counts": counts, "key": ["peaks_"]})],
                {"names": ["RNA", assay]},
            ),
            "meta.data": table,
            "active.assay": ["RNA"],
        },
    )


def seurat5(counts: S4, rows: list, cells: list, labels) -> S4:
    """As Seurat 5 saves it: layers without names, the names beside them."""
    counts.slots["Dimnames"] = Vec([None, None])
    table = Vec([labels], {"names": ["cell_type"], "class": ["data.frame"], "row.names": cells})
    assay = S4(
        "Assay5",
        {
            "layers": Vec([counts], {"names": ["counts"]}),
            "cells": LogMap(cells, ["counts"]),
            "features": LogMap(rows, ["counts"]),
        },
    )
    return S4(
        "Seurat",
        {"assays": Vec([assay], {"names": ["ATAC"]}), "meta.data": table, "active.assay": ["ATAC"]},
    )


def _nothing(n):
    from scipy import sparse

    return sparse.csc_array((1, n))
