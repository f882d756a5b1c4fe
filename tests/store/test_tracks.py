import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import StoreError
from epilm.store import schema
from epilm.store.making.writer import write_store
from epilm.store.reader import Store
from epilm.store.track_arrays import StateArrays
from toy_tracks import toy_track_store

SIZES = {"chr1": 2050, "chr2": 800, "chr3": 190}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"), chroms=SIZES, lonely=("bare",))


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("coarse"), chroms=SIZES, resolution=7, bin=150)


WINDOW = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-400, 2500))


def slow_states(store, cell, chrom, first, n):
    table, out = store.states, []
    for b in range(first, first + n):
        inside = 0 <= b < -(-store.sizes[chrom] // table.bin) and table.rows[cell] >= 0
        out.append(int(table.codes[table.rows[cell], table.offsets[chrom] + b]) if inside else 255)
    return out


def slow_signal(store, name, cell, chrom, start, width):
    table, out = store.signals[name], []
    row = 0 if table.rows is None else table.rows[cell]
    for p in range(start, start + width):
        inside = 0 <= p < store.sizes[chrom] and row >= 0
        out.append(
            float(table.values[row, table.offsets[chrom] + p // table.resolution])
            if inside
            else 0.0
        )
    return out


def slow_bases(store, chrom, start, width):
    begin, size = store.offsets[chrom], store.sizes[chrom]
    return [
        int(store.genome[begin + p]) if 0 <= p < size else 4 for p in range(start, start + width)
    ]


@settings(max_examples=60)
@given(st.lists(WINDOW, min_size=1, max_size=6), st.integers(1, 30))
def test_states_signals_and_bases_are_those_of_a_loop_over_places(store, coarse, windows, n):
    for one in (store, coarse):
        cells = len(one.cell_types)
        cell, chrom, start = (np.array(x) for x in zip(*windows, strict=True))
        cell %= cells
        moved = one.to("cpu")
        for kind in (one, moved):
            given_ = (
                (cell, chrom, start)
                if kind is one
                else tuple(map(torch.from_numpy, (cell, chrom, start)))
            )
            states = kind.states.gather(given_[0], given_[1], given_[2] // one.states.bin, n)
            assert isinstance(states, np.ndarray if kind is one else torch.Tensor)
            assert states.tolist() == [
                slow_states(one, c, h, s // one.states.bin, n)
                for c, h, s in zip(cell, chrom, start, strict=True)
            ]
            for name in one.signals:
                values = kind.signals[name].windows(*given_, n)
                assert str(values.dtype).endswith("float32")
                assert values.tolist() == [
                    slow_signal(one, name, c, h, s, n)
                    for c, h, s in zip(cell, chrom, start, strict=True)
                ]
            assert kind.bases(given_[1], given_[2], n).tolist() == [
                slow_bases(one, h, s, n) for h, s in zip(chrom, start, strict=True)
            ]


def test_a_cell_type_without_a_track_is_unknown_everywhere(store):
    assert store.cell_types == ("typeA", "typeB", "typeC", "bare")
    assert store.states.rows.tolist() == [0, 1, 2, -1]
    for kind in (store, store.to("cpu")):
        assert set(np.unique(kind.states.of(3))) == {255}
        assert len(kind.states.of(3)) == kind.states.offsets[-1] == 11 + 4 + 1
        assert np.array_equal(kind.states.of(1), np.asarray(store.states.codes[1]))
        assert not np.asarray(kind.signals["accessibility"].windows([3], [0], [5], 9)).any()
        assert np.asarray(kind.signals["mappability"].windows([3], [0], [5], 9)).any()


def test_a_window_wider_than_everything(store):
    for kind in (store, store.to("cpu")):
        whole = kind.bases([2], [-5000], 12_000)
        assert whole.shape == (1, 12_000)
        assert (np.asarray(whole)[0] != 4).sum() <= 190
        assert kind.states.gather([0], [2], [-50], 100)[0].tolist() == slow_states(
            store, 0, 2, -50, 100
        )


def test_names_order_and_colours_are_kept(store):
    assert store.states.names[:2] == ("1_State1", "2_State2")
    assert store.states.colours[1] == "50,90,130"
    assert store.info.states["cell_types"] == {"typeA": 0, "typeB": 1, "typeC": 2}
    assert store.info.signals["mappability"]["cell_types"] is None
    store.verify()


def test_a_store_of_tracks_has_no_regions(store):
    assert store.n_regions == 0
    assert store.access.shape == (0, 1)
    assert not store.accessible("typeA").any()


def test_regions_and_tracks_in_one_store(tmp_path):
    both = toy_track_store(tmp_path, regions=True, cells=("a", "b"), lonely=("c",))
    assert both.n_regions
    assert both.accessible("c").any()
    assert both.states.rows.tolist() == [0, 1, -1]


# -- the fingerprint
# ---------------------------------------------------------------------------------


def arrays(**change):
    codes = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    return StateArrays(
        **{"codes": codes, "cells": {"a": 0, "b": 1}, "bin": 200, "names": ("x", "y"), **change}
    )


GENOME = {"chr1": np.zeros(450, np.uint8)}


def made(folder, **change):
    return Store.open(write_store(folder, genome=GENOME, overwrite=True, **change))


def test_the_fingerprint_knows_bins_names_and_tracks_and_not_colours(tmp_path):
    plain = made(tmp_path / "p", cell_types=["a", "b"])
    assert plain.fingerprint == schema.fingerprint(["chr1"], [450], plain.regions, [])
    base = made(tmp_path / "s", states=arrays()).fingerprint
    assert base != plain.fingerprint
    assert made(tmp_path / "s", states=arrays(colours=("1,2,3", "4,5,6"))).fingerprint == base
    for change in (
        {"names": ("x", "z")},
        {"names": ("y", "x")},
        {"cells": {"b": 0, "a": 1}},
        {"cells": {"a": 0, "b": 1, "c": 1}},
        {"bin": 210},
    ):
        assert made(tmp_path / "s", states=arrays(**change)).fingerprint != base


def test_a_genome_alone_is_a_store(tmp_path):
    store = made(tmp_path / "g")
    assert store.cell_types == ()
    assert store.states is None
    assert store.signals == {}
    assert store.bases([0], [440], 20)[0].tolist() == [0] * 10 + [4] * 10
    store.verify()


@pytest.mark.parametrize(
    ("name", "message"),
    [("states.u8.npy", "no such file"), ("signals/accessibility.f16.npy", "no such file")],
)
def test_a_track_that_went_missing_is_damage(store, tmp_path, name, message):
    folder = shutil.copytree(store.path, tmp_path / "copy")
    (folder / name).unlink()
    with pytest.raises(StoreError, match=f"{name}.*{message}"):
        Store.open(folder)
    value = json.loads((folder / "store.json").read_text())
    del value["files"][name]
    (folder / "store.json").write_text(json.dumps(value))
    with pytest.raises(StoreError, match=f"{name}.*the store does not list this file"):
        Store.open(folder)


def test_a_manifest_that_does_not_fit_its_states_is_damage(store, tmp_path):
    folder = shutil.copytree(store.path, tmp_path / "copy")
    path = folder / "store.json"
    value = json.loads(path.read_text())
    for change, message in (
        ({"bin": 100}, r"the chromosomes need \(3, 31\)"),
        ({"cell_types": {"typeA": 9}}, r"the chromosomes need \(10, 16\)"),
        ({"names": None}, "states: TypeError"),
    ):
        states = {**value["states"], **change}
        path.write_text(json.dumps({**value, "states": states}))
        with pytest.raises(StoreError, match=message):
            Store.open(folder)
    path.write_text(json.dumps({**value, "states": {**value["states"], "names": list("abcde")}}))
    with pytest.raises(StoreError, match="the fingerprint does not fit"):
        Store.open(folder).verify()
