"""Simulated promoters are in the layout of the published tables."""

import pandas as pd
import pytest


def test_promoter_tables_are_in_dnaberts_layout_and_split_by_chromosome(tiny):
    whole = pd.read_csv(tiny / "promoters.tsv", sep="\t")
    assert list(whole.columns) == ["sequence", "label"]
    assert whole["label"].mean() == pytest.approx(0.5, abs=0.02)
    words = whole["sequence"].str.split()
    assert set(words.map(len)) == {65}
    assert all(a[1:] == b[:-1] for a, b in zip(words[0], words[0][1:]))
    parts = [
        pd.read_csv(tiny / f"promoters/{name}.tsv", sep="\t") for name in ("train", "dev", "test")
    ]
    assert sum(map(len, parts)) == len(whole)
    starts = pd.read_csv(tiny / "promoters.bed", sep="\t", header=None)
    assert (starts[2] - starts[1] == 1).all()
    assert len(starts) == (whole["label"] == 1).sum()
