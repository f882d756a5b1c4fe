"""Features of bins that a baseline is fitted to."""

import numpy as np
import pytest

from epilm.baselines.bin_models import fit_motif
from epilm.baselines.features import Features, state_shares
from epilm.baselines.sequence_models import canonical
from epilm.errors import InputError
from epilm.metrics.bin_scores import score_bins
from epilm.motifs.motif import Motif
from epilm.tasks.binding import BinLabels, grid
from toy_tracks import toy_track_store

SIZES = {"chr1": 24_050, "chr2": 16_000, "chr3": 9_990}
PLACES = {"valid": ["chr2"], "test": ["chr3"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("store") / "toy", lonely=("typeX",), n_share=0)


def labels_of(store, rule):
    """Bound where `rule(features)` says so, in every cell type with tracks."""
    bins = grid(SIZES, margin=0)
    values = np.empty((len(bins), 3), np.int8, order="F")
    for c in range(3):
        values[:, c] = rule(store, c, bins)
    return BinLabels(bins, ("typeA", "typeB", "typeC"), values, "F")


def test_state_shares_are_those_of_counting_bases(store):
    chroms = np.array([0, 2, 1, 0])
    starts = np.array([130, -150, 15_900, 24_000])
    cells = np.array([0, 1, 2, 3])
    found = state_shares(store.states, cells, chroms, starts, 300)
    for i, (cell, chrom, start) in enumerate(zip(cells, chroms, starts, strict=True)):
        per_bin = np.asarray(store.states.of(int(cell)))[
            store.states.offsets[chrom] : store.states.offsets[chrom + 1]
        ]
        per_base = [
            per_bin[x // 200] if 0 <= x // 200 < len(per_bin) else 255
            for x in range(start, start + 300)
        ]
        wanted = [per_base.count(s) / 300 for s in (*range(5), 255)]
        np.testing.assert_allclose(found[i], wanted, atol=1e-6)


def test_features_are_those_of_one_bin_at_a_time(store):
    features = Features(store, 3, 400, True, ("accessibility",))
    starts = np.array([0, 700, 23_850])
    found = features(1, np.zeros(3, np.int64), starts)
    assert found.shape == (3, len(features.names))
    genome = np.asarray(store.genome[: SIZES["chr1"]])
    row = dict(zip(features.names, found[1], strict=True))
    text = "".join("ACGT"[c] for c in genome[600:1000])
    both = sum(text[i : i + 3] in ("AAC", "GTT") for i in range(398))
    assert row["3-mer AAC"] == both
    assert len([n for n in features.names if "-mer" in n]) == len(np.unique(canonical(3))) == 32
    signal = np.asarray(store.signals["accessibility"].windows([1], [0], [700], 200))[0]
    assert row["bin log max accessibility"] == pytest.approx(np.log1p(signal.max()), rel=1e-6)
    assert row["bin log mean accessibility"] == pytest.approx(np.log1p(signal.mean()), rel=1e-5)
    wide = np.asarray(store.signals["accessibility"].windows([1], [0], [300], 1000))[0]
    assert row["window log max accessibility"] == pytest.approx(np.log1p(wide.max()), rel=1e-6)
    shares = [v for n, v in row.items() if n.startswith("bin share")]
    assert sum(shares) == pytest.approx(1)


def test_a_motif_with_accessibility_is_found(store):
    counts = np.full((8, 4), 1.0)
    counts[np.arange(8), [0, 1, 2, 3, 3, 2, 1, 1]] = 97
    motif = Motif("M1", "F", counts, is_counts=True)

    def rule(store, cell, bins):
        features = Features(store, 0, 240, False, ("accessibility",), (motif,))
        found = features(cell, bins.chrom.astype(np.int64), bins.start.astype(np.int64))
        return (found[:, -1] > 6) & (found[:, 0] > np.median(found[:, 0]))

    labels = labels_of(store, rule)
    test = labels.bins.inside(["chr3"])
    settings = {"motifs": [motif], "cells": ["typeA", "typeB"], **PLACES}
    alone = fit_motif(labels, store, **settings)
    both = fit_motif(labels, store, accessibility=True, **settings)
    bins = labels.bins.take(test)
    scores = [
        score_bins(labels.of("typeC")[test], m.scores("typeC", bins))["ap"] for m in (alone, both)
    ]
    assert scores[1] > scores[0] > 0.2
    # A motif alone knows nothing of the cell type.
    assert np.array_equal(alone.scores("typeA", bins), alone.scores("typeC", bins))
    assert both.features.names[-1] == "motif M1 F"
    three = fit_motif(labels, store, states=True, accessibility=True, **settings)
    assert three.chosen["n_features"] == both.chosen["n_features"] + 2 * 6
    with pytest.raises(InputError, match=r"no motif of this factor in the collection. Found G"):
        fit_motif(labels, store, factor="G", **settings)
