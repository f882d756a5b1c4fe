"""What a model reads of a store: words for signals, and stores that lack something."""

from dataclasses import replace

import pytest

from epilm.batches.reads import Reads, check_tracks, parse_signal, reads_of
from epilm.errors import CheckpointError, StoreError, UsageError
from epilm.models.model_spec import ModelSpec
from epilm.store.identity import identity_of
from toy_binding import toy_store

SPEC = ModelSpec(name="ebert", streams=("dna", "states"), k=7, stride=7, states=4, cells=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",))


def test_words_for_signals():
    assert parse_signal("mappability") == ("mappability", "min", "raw")
    assert parse_signal("h3k27ac") == ("h3k27ac", "max", "log1p")
    assert parse_signal("h3k27ac:mean:raw") == ("h3k27ac", "mean", "raw")
    with pytest.raises(UsageError, match=r"Did you mean min|Known: max, mean, min"):
        parse_signal("mappability:mim")
    with pytest.raises(UsageError, match=r"not a signal. Found a:max:raw:more"):
        parse_signal("a:max:raw:more")


def test_states_are_read_where_the_folder_says_so():
    assert reads_of(SPEC, {"kind": "trunk", "streams": ["dna", "states"]}).states
    assert not reads_of(SPEC, {"kind": "factornet", "streams": ["dna"]}).states
    assert Reads(SPEC, 600, 200).flank == 200


def test_it_is_made_from_what_a_folder_says(store):
    about = {
        "kind": "trunk",
        "window_bp": 600,
        "width": 200,
        "signals": [["mappability", "min", "raw"]],
        "state_names": list(store.states.names),
        "state_bin": 200,
    }
    reads = reads_of(SPEC, about)
    assert reads.signals == (("mappability", "min", "raw"),)
    reads.check(store, ["typeA"])
    assert reads.reader(store)(0, [0], [400]).ids.shape[0] == 1
    assert reads_of(SPEC, {"kind": "cnn"}).bases


def test_signals_that_were_scaled_otherwise_are_refused(store):
    about = {"kind": "trunk", "signals": [["accessibility", "max", "log1p"]]}
    kept = identity_of(store)
    assert kept["signal_scales"] == {"accessibility": "none"}  # mappability is one for all
    reads_of(SPEC, about | kept).check(store, ["typeA"])
    scaled = about | kept | {"signal_scales": {"accessibility": "depth"}}
    with pytest.raises(
        CheckpointError,
        match=r"accessibility are not scaled as those the model was made with. Found none .*"
        r"expected depth. Build the store with --signal-scale accessibility=depth",
    ):
        reads_of(SPEC, scaled).check(store, ["typeA"])
    reads_of(SPEC, scaled | {"signals": []}).check(store, ["typeA"])  # which are not read


def test_a_store_of_other_states_or_without_a_track_is_refused(store):
    names = tuple(store.states.names)
    named = Reads(SPEC, 600, 200, states=True, state_names=names, state_bin=200)
    named.check(store, ["typeA", "typeB"])
    wide = replace(store, states=replace(store.states, bin=400))
    with pytest.raises(
        CheckpointError,
        match=r"not those the model was made with. Found 4 states .* bins of 400 bp .*expected 4",
    ):
        named.check(wide, ["typeA"])
    with pytest.raises(StoreError, match=r"no track of states. Found typeD.*--states typeD=FILE"):
        named.check(store, ["typeA", "typeD"])
    check_tracks(store, ["typeD"], states=False)
    with pytest.raises(StoreError, match=r"no such signal. Found h3k27ac.*--signal h3k27ac:CELL="):
        check_tracks(store, ["typeA"], states=False, signals=["h3k27ac"])
    with pytest.raises(StoreError, match="reads chromatin states and the store has none"):
        check_tracks(replace(store, states=None), ["typeA"], states=True)
    check_tracks(store, ["typeA"], states=True, signals=["motif:CTCF"])  # of the bases themselves
