"""What cannot be a subject of an explanation is refused, with what to do instead."""

import pytest

from epilm.errors import StoreError, UsageError
from epilm.explaining.opening import open_subject
from toy_explained import binding, tuned
from toy_tracks import toy_track_store


def test_a_model_of_pairs_has_no_single_sequence_to_explain():
    with pytest.raises(
        UsageError, match="a pair of loci, and one sequence is asked about. Found task contacts"
    ):
        open_subject(tuned("dna", task="contacts", loci=2))


def test_a_model_of_sequences_needs_no_store():
    with pytest.raises(UsageError, match="reads sequences alone. Found --store or --cell"):
        open_subject(tuned("dna"), store="any.store")


def test_a_model_of_places_needs_its_store_as_it_was(tmp_path):
    with pytest.raises(UsageError, match="places of a store, in a cell type. Give --store and"):
        open_subject(binding(), cell="typeA")
    with pytest.raises(StoreError, match="gone: this is not a store. Found no folder"):
        open_subject(binding(), store=tmp_path / "gone", cell="typeA")
    store = toy_track_store(tmp_path / "s")
    with pytest.raises(StoreError, match="typeZ"):
        open_subject(binding(), store=store, cell="typeZ", output="CTCF")


def test_a_batch_of_none_is_refused():
    with pytest.raises(UsageError, match="--batch-size: impossible value. Found 0"):
        open_subject(tuned("dna"), batch=0)
