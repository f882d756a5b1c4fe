"""Tracks of a store against plain loops over its arrays."""

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.exploring.loci import Stretch
from epilm.exploring.store_tracks import choose_cells, motif_track, store_tracks
from epilm.motifs.motif import Motif
from toy_tracks import toy_track_store

STRETCHES = [Stretch("chr1", 1010, 2430, 1420), Stretch("chr3", 0, 9990, 5000)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "s"
    return toy_track_store(folder, regions=True, lonely=("lonely",))


def test_states_and_signals_are_those_of_the_store(store):
    notes = []
    tracks = {t.name: t for t in store_tracks(store, store.cell_types, STRETCHES, notes)}
    assert "no chromatin states of lonely in the store" in notes
    for part, stretch in zip(tracks["typeB: states"].parts, STRETCHES, strict=True):
        chrom = store.chrom_number(stretch.chrom)
        first = int(store.states.offsets[chrom])
        codes = np.asarray(store.states.of(1))
        name_at = {b: span.name for span in part for b in range(span.start, span.end)}
        for base in range(stretch.start, stretch.end, 7):
            code = codes[first + base // 200]
            assert name_at.get(base) == (None if code == 255 else store.states.names[code])
        assert max(span.end for span in part) <= store.sizes[chrom]
    narrow, wide = tracks["typeA: accessibility"].parts
    values = store.signals["accessibility"].windows([0], [0], np.array([1010]), 1420)[0]
    assert narrow.step == 2
    np.testing.assert_array_equal(narrow.values, values.reshape(-1, 2).max(1))
    assert wide.step == 10
    assert tracks["typeA: accessibility"].axis == tracks["typeB: accessibility"].axis
    assert tracks["mappability"].axis == ""  # one track, for all cell types


def test_regions_are_the_accessible_ones_that_touch(store):
    tracks = {t.name: t for t in store_tracks(store, ["typeA"], STRETCHES, [])}
    for part, stretch in zip(tracks["typeA: regions"].parts, STRETCHES, strict=True):
        chrom = store.chrom_number(stretch.chrom)
        expected = [
            (int(row["start"]), int(row["end"]))
            for row, there in zip(store.regions, store.accessible("typeA"), strict=True)
            if there
            and row["chrom"] == chrom
            and row["start"] < stretch.end
            and row["end"] > stretch.start
        ]
        assert [(span.start, span.end) for span in part] == expected


def test_cell_types_beyond_the_first_are_said_and_unknown_ones_refused(tmp_path):
    many = toy_track_store(tmp_path / "m", cells=tuple(f"c{i}" for i in range(8)), signals=())
    notes = []
    assert choose_cells(many, (), notes) == ("c0", "c1", "c2", "c3", "c4", "c5")
    assert notes == ["2 of 8 cell types are not shown (--cells): c6, c7"]
    assert choose_cells(many, ("c7", "c7"), notes) == ("c7",)
    with pytest.raises(UsageError, match="no such cell type. Found C7. Did you mean"):
        choose_cells(many, ("C7",), notes)


def test_motif_hits_lie_where_the_word_is_on_both_strands():
    word = np.array([0, 1, 2, 2, 3, 0, 0, 1], np.uint8)
    codes = np.full(60, 3, np.uint8)
    codes[10:18] = word
    codes[30:38] = (3 - word)[::-1]
    counts = 50.0 * np.eye(4)[word] + 0.5
    stretch = Stretch("chr1", 1000, 1060, 60)
    track = motif_track([codes], [stretch], [Motif("M1", "FOX", counts, True)], 1e-4)
    spans = [(s.start, s.end, s.strand, s.name) for s in track.parts[0]]
    assert spans == [(1010, 1018, "+", "FOX"), (1030, 1038, "-", "FOX")]
    assert track.parts[0][0].said["motif"] == "M1"
