"""Where regions lie, and in which cell types they are open."""

import json

import numpy as np
import pandas as pd
import pytest


def test_peaks_of_a_cell_type_are_its_open_regions(tiny, regions):
    for cell in ("typeA", "typeB", "typeC"):
        peaks = pd.read_csv(tiny / f"peaks/{cell}.narrowPeak.gz", sep="\t", header=None)
        mine = regions[regions["open"].str.contains(cell)]
        assert len(peaks) == len(mine)
        assert np.abs(peaks[1].to_numpy() - mine["start"].to_numpy()).max() <= 15
    assert (regions["open"] != ".").all()
    assert len(regions) == pytest.approx(400, abs=40)


def test_programmes_open_regions_where_they_are_active(tiny, regions):
    truth = json.loads((tiny / "truth.json").read_text())
    share = {True: [], False: []}
    for programme in truth["programmes"]:
        rows = regions[(regions["programme"] == programme["name"]) & (regions["kind"] == "distal")]
        for cell in truth["cell_types"]:
            on = rows["open"].str.contains(cell) | rows["primed"].str.contains(cell)
            share[cell in programme["active_in"]] += on.tolist()
    assert np.mean(share[True]) > 0.85
    assert np.mean(share[False]) < 0.2


def test_neighbouring_regions_share_their_programme(regions):
    distal = regions[regions["kind"] == "distal"]
    same = distal["programme"].to_numpy()[1:] == distal["programme"].to_numpy()[:-1]
    assert same.mean() > 0.5
