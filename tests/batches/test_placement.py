"""A store goes where there is room for what is read of it; where there is none, the run says so and
goes on.
"""

import numpy as np
import pytest
import torch

from epilm.batches import placement
from epilm.batches.placement import (
    batch_bytes,
    host_cost,
    moved_bytes,
    place_batches,
    place_store,
    read_parts,
)
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.objectives.table import MaskedStatesSpec, MatchingSpec, NextSegmentSpec, ObjectivesSpec
from epilm.store.sample_spec import SampleSpec
from toy_store import toy_store
from toy_tracks import toy_track_store

EBERT = ModelSpec(
    name="ebert", streams=("dna", "states"), k=7, stride=7, encoder=EncoderSpec(size="tiny")
)
HIDE = ObjectivesSpec(
    alpha=0.5,
    masked_states=MaskedStatesSpec(),
    next_segment=NextSegmentSpec(weight=0),
    matching=MatchingSpec(weight=0),
)
WINDOWS = SampleSpec(unit="windows")


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("placement"), regions=True)


def test_what_no_batch_reads_is_not_moved(tracks, tmp_path):
    genome = len(tracks.genome)
    assert moved_bytes(read_parts(tracks, ("dna",))) == genome
    states = tracks.states.codes.nbytes
    assert moved_bytes(read_parts(tracks, ("dna", "states"))) == genome + states
    values = tracks.signals["accessibility"].values.nbytes
    assert moved_bytes(read_parts(tracks, ("dna",), ("accessibility",))) == genome + values
    regions = toy_store(tmp_path)
    moved = read_parts(regions, ("dna", "factors"))
    assert (
        moved_bytes(moved) == len(regions.genome) + regions.factors.nbytes + regions.counts.nbytes
    )
    whole = read_parts(tracks, ("dna", "states"), tuple(tracks.signals)).to("cpu")
    assert moved_bytes(whole) == genome + states + sum(
        s.values.nbytes for s in tracks.signals.values()
    )


def test_a_store_larger_than_half_of_what_is_free_stays_in_memory_maps_and_says_what_that_costs(
    tracks,
):
    size = moved_bytes(read_parts(tracks, EBERT.streams))
    placed = place_store(tracks, "cuda", EBERT.streams, free=2 * size - 1)
    assert placed.store is tracks
    assert not placed.on_device
    assert placed.bytes == size
    assert placed.said.startswith(f"store: {size / 1e9:.3g} GB do not fit into 50% of the ")
    assert placed.said.endswith("free on cuda: it stays on the host as memory maps")


def test_on_a_cpu_the_memory_maps_are_read(tracks):
    placed = place_store(tracks, "cpu", EBERT.streams)
    assert placed.store is tracks
    assert "memory maps" in placed.said
    again = place_store(tracks.to("cpu"), "cpu", EBERT.streams)
    assert again.on_device
    assert again.said.endswith("on cpu already")


def test_a_store_with_room_moves_what_is_read_and_gives_the_same_batches(tracks, monkeypatch):
    """Without a GPU the move itself goes to the CPU's memory: the decision and the parts are the
    same.
    """
    moves = []
    plain = type(tracks).to

    def to(store, device):
        moves.append(torch.device(device).type)
        return plain(store, "cpu")

    monkeypatch.setattr(type(tracks), "to", to)
    placed = place_store(tracks, "cuda", EBERT.streams, free=10**9)
    assert moves == ["cuda"]
    assert placed.on_device
    assert placed.store.signals == {}
    rows = np.arange(7)
    one = placement.make_batches(placed.store, EBERT, HIDE, WINDOWS, seed=3)(rows, 5)
    other = placement.make_batches(tracks, EBERT, HIDE, WINDOWS, seed=3)(rows, 5)
    for name in ("states", "state_labels", "starts", "cells"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert torch.equal(one.dna.ids, other.dna.ids)
    assert torch.equal(one.dna.labels, other.dna.labels)


def test_the_cost_of_the_host_counts_the_bytes_of_a_batch(tracks):
    maker, said = place_batches(tracks, EBERT, HIDE, WINDOWS, device="cpu", micro_batch=4, seed=0)
    assert "memory maps" in said
    batch = maker(np.arange(4), 0)
    tokens = batch.dna.ids.numel()
    # ids, segments, labels, states and their labels in int64, a mask in one byte, six numbers a
    # sample
    assert batch_bytes(batch) == tokens * (5 * 8 + 1) + sum(
        t.numel() * 8 for t in (batch.rows, batch.cells, batch.owner, batch.chroms, batch.starts)
    )
    said = host_cost(maker, 4)
    assert said.startswith("each micro-batch of 4 samples costs")
    assert said.endswith("MB over the bus, while the device works on the step before")
    assert batch_bytes((batch, batch.dna, None)) == batch_bytes(batch) + batch_bytes(batch.dna)


def test_the_batch_at_a_step_is_computed_not_replayed(tracks):
    """A maker that never saw the steps before gives what one gives that saw them all."""
    from epilm.store.window_table import window_rows

    went = placement.make_batches(tracks, EBERT, HIDE, WINDOWS, seed=1)
    n = len(went)
    for step in range(4):
        last = went(window_rows(n, batch=8, step=step, seed=1), step)
    fresh = placement.make_batches(tracks, EBERT, HIDE, WINDOWS, seed=1)
    asked = []
    table = fresh.table.at
    fresh.table.at = lambda rows: (asked.append(len(rows)), table(rows))[1]
    resumed = fresh(window_rows(n, batch=8, step=3, seed=1), 3)
    assert asked == [8]
    assert torch.equal(resumed.dna.ids, last.dna.ids)
    assert torch.equal(resumed.states, last.states)
