"""Examples become windows: sequences with their bases, places of a store, on a device or not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import epilm.batches.placement as placement
import epilm.finetuning.windows as module
from epilm.batches.placement import Placed, read_parts
from epilm.errors import UsageError
from epilm.finetuning.windows import AroundPlaces, OwnBases, near, reading_of, shifts_of
from epilm.tasks.base import labelled
from epilm.tasks.binding import grid
from epilm.tasks.binding.controls import controlled
from epilm.tasks.binding.rows import CellBins
from epilm.tokens.kmers import CLS, PAD, SEP
from toy_binding import QUICK, started, toy_store
from toy_sequences import planted, quick

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def model(store):
    signals = ("accessibility", "mappability")
    return started("ebert", store, replace(QUICK, signals=signals))[0]


@pytest.fixture
def bins(store):
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    return CellBins(grid(sizes, margin=0).take(slice(40)), 0, tuple(store.chroms))


def test_sequences_are_wrapped_padded_and_turned():
    network = quick(planted(40), checkpoint="random", epochs=1)[0].model
    rows = labelled(["ACGTA", "TTT"], [0, 1])
    reading = OwnBases(network, rows, CPU)
    windows = reading.windows(np.array([1, 0]))
    assert windows.ids.shape == (2, 5)
    assert windows.ids[:, 0].tolist() == [CLS, CLS]
    assert windows.ids[0, 2:].tolist() == [SEP, PAD, PAD]
    assert windows.mask.sum(1).tolist() == [3, 5]
    turned = OwnBases(network, labelled(["TACGT", "AAA"], [0, 1]), CPU)
    strands = np.array([True, False])
    mixed = reading.windows(np.array([0, 1]), strands).ids
    assert torch.equal(mixed[0], turned.windows(np.array([0, 1])).ids[0])
    assert torch.equal(mixed[1], reading.windows(np.array([0, 1])).ids[1])
    assert torch.equal(
        reading.block(np.array([0, 1]), reverse=True).ids, turned.windows(np.array([0, 1])).ids
    )


def test_blocks_hold_every_row_once(model, store, bins):
    network = quick(planted(40), checkpoint="cnn", epochs=1)[0].model
    own = OwnBases(network, planted(30, ragged=True), CPU)
    around = AroundPlaces(model, bins, store)
    for reading, rows in ((own, np.arange(5, 28)), (around, np.arange(3, 40))):
        cut = list(reading.blocks(rows, 8))
        assert max(map(len, cut)) == 8
        assert sorted(np.concatenate(cut).tolist()) == list(range(len(rows)))


def test_a_block_is_what_single_windows_are(model, store, bins):
    reading = reading_of(model, bins, store, CPU, None)
    rows = np.arange(4, 20)
    block, plain = reading.block(rows), reading.windows(rows)
    assert torch.equal(block.ids, plain.ids)
    assert torch.equal(block.states, plain.states)
    assert torch.allclose(block.signals, plain.signals)


def test_a_shift_is_a_function_of_seed_epoch_and_row_and_takes_every_value():
    rows = np.arange(5000)
    drawn = shifts_of(rows, 3, seed=1, epoch=2)
    assert np.unique(drawn).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert np.array_equal(shifts_of(rows[[9, 4]], 3, seed=1, epoch=2), drawn[[9, 4]])
    assert not np.array_equal(shifts_of(rows, 3, seed=1, epoch=3), drawn)
    assert not np.array_equal(shifts_of(rows, 3, seed=2, epoch=2), drawn)


def test_a_shifted_window_is_that_of_the_place_so_many_bases_further(model, store, bins):
    """A toy bin every 50 bp: row 5 moved by 50 is row 6, states, signals and strand included."""
    reading = AroundPlaces(model, bins, store)
    rows, strands = np.array([5, 6, 7]), np.array([False, True, False])
    steps = np.diff(bins.take(np.arange(5, 9)).starts)
    moved = reading.windows(rows, strands, steps)
    there = reading.windows(rows + 1, strands)
    for name in ("ids", "states", "signals"):
        assert torch.equal(getattr(moved, name), getattr(there, name))
    assert torch.equal(
        reading.windows(rows, None, np.zeros(3, np.int64)).ids, reading.windows(rows).ids
    )


def test_sequences_are_not_shifted():
    network = quick(planted(40), checkpoint="random", epochs=1)[0].model
    reading = OwnBases(network, labelled(["ACGTA", "TTT"], [0, 1]), CPU)
    with pytest.raises(UsageError, match=r"--jitter: sequences bring their bases"):
        reading.windows(np.array([0]), None, np.array([1]))


def test_a_model_of_signals_does_not_read_sequences(model):
    with pytest.raises(UsageError, match=r"reads signals, and sequences have none. Found acc"):
        OwnBases(model, planted(10), CPU)


def test_a_store_on_a_device_gives_the_same_and_a_controls_tracks_stay_where_they_are(
    model, store, bins, monkeypatch
):
    """What a card does, with tensors on the CPU in its place."""

    def placed(given, device, streams, signals):
        return Placed(read_parts(given, streams, signals).to(CPU), True, 0, "")

    monkeypatch.setattr(module, "place_store", placed)
    on_device = near(store, model, bins, torch.device("cuda"), lambda line: None)
    assert isinstance(on_device.genome, torch.Tensor)
    rows = np.arange(40)
    there, here = (AroundPlaces(model, bins, each).block(rows) for each in (on_device, store))
    assert torch.equal(there.ids, here.ids)
    assert torch.equal(there.states, here.states)
    assert torch.equal(there.signals, here.signals)
    other = controlled(store, "typeA", "mean_of_cells", cells=["typeB"], seed=0)
    assert near(other, model, bins, torch.device("cuda"), None) is other


def test_a_store_without_room_on_the_gpu_is_said_with_what_a_batch_costs(
    model, store, bins, monkeypatch, caplog
):
    """A card without memory; only the reading is done, on the host."""
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1000)
    told = []
    assert near(store, model, bins, torch.device("cuda"), told.append) is store
    size = placement.batch_bytes(AroundPlaces(model, bins, store).windows(np.arange(40)))
    (line,) = told
    assert (
        "do not fit into 50% of the 1e-06 GB free on cuda: it stays on the host as memory maps"
        in line
    )
    assert "each batch of 40 windows costs" in line
    assert line.endswith(
        f"of the host and {size / 1e6:.3g} MB over the bus, and none is made ahead"
    )
    assert not caplog.records
    near(
        store, model, bins, torch.device("cuda"), None
    )  # from Python without `say`: not in silence
    assert [record.levelname for record in caplog.records] == ["WARNING"]
