"""Motifs of a store are those it was built with."""

from types import SimpleNamespace

from epilm.store.motifs import motifs_of_store, stored_motif

ROW = {"id": "M1", "name": "CTCF", "matrix": [[8, 0, 0, 2], [0, 0.5, 0.5, 0]], "sites": 12.0}


def test_a_motif_comes_back_with_counts_name_and_sites():
    motif = stored_motif(ROW)
    assert (motif.id, motif.name, motif.width, motif.sites) == ("M1", "CTCF", 2, 12.0)
    assert motif.matrix.tolist() == ROW["matrix"]
    assert motif.is_counts
    shares = stored_motif({"id": "M2", "matrix": [[1, 0, 0, 0]], "is_counts": False})
    assert (shares.name, shares.is_counts, shares.sites) == ("M2", False, None)


def test_those_without_their_matrix_are_left_out():
    store = SimpleNamespace(motifs=[{"id": "M0", "name": "old"}, ROW])
    assert [motif.id for motif in motifs_of_store(store)] == ["M1"]
