"""A store from small raw files: what its tests call."""

import numpy as np

from epilm.genome.intervals import make_table
from epilm.genome.peaks import write_bed
from epilm.store.making.build import build

LETTERS = np.array(list("ACGT"))


def bed(path, chrom, start, end):
    write_bed(path, make_table(chrom, start, end))


def make(raw, out, **more):
    given = {
        "genome": raw / "g.fa",
        "peaks": raw / "peaks",
        "motifs": raw / "m.jaspar",
        "threads": 1,
        **more,
    }
    return build(out=out, **{k: v for k, v in given.items() if v is not None})


def from_counts(raw, counted, out, **more):
    given = {
        "peaks": None,
        "motifs": None,
        "counts": counted / "m.npz",
        "counts_peaks": counted / "peaks.bed",
        "counts_cells": counted / "cells.tsv",
        "label": "kind",
    }
    return make(raw, out, **{**given, **more})


def command(capsys, *words):
    from epilm.cli import main

    code = main([str(w) for w in words])
    out = capsys.readouterr()
    return code, out.out, out.err
