import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.errors import StoreError
from epilm.store import schema
from epilm.store.reader import Store
from toy_store import toy_regions, toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("reader"), per_chrom=(20, 15), cells=11)


@pytest.fixture
def copy(store, tmp_path):
    return shutil.copytree(store.path, tmp_path / "copy")


def test_opening_reads_no_array(store):
    opened = Store.open(store.path)
    assert isinstance(opened.genome, np.memmap)
    assert isinstance(opened.factors, np.memmap)


def test_what_was_written_is_read(store):
    assert store.chroms == ("chr1", "chr2")
    assert store.offsets.tolist() == [0, store.sizes[0]]
    assert store.n_regions == 35
    assert np.array_equal(store.regions, toy_regions((20, 15)))
    assert store.factors.dtype == np.float16
    flat = store.flat_starts
    assert np.array_equal(flat[:20], store.regions["start"][:20])
    assert np.array_equal(flat[20:], store.regions["start"][20:] + store.sizes[0])


def test_eleven_cell_types_are_two_bytes_and_come_back(tmp_path):
    rng = np.random.default_rng(1)
    table = rng.random((35, 11)) < 0.5
    store = toy_store(tmp_path, per_chrom=(20, 15), accessible=table)
    assert store.access.shape == (35, 2)
    for t in range(11):
        assert np.array_equal(store.accessible(t), table[:, t])
        assert np.array_equal(store.accessible(f"cell{t}"), table[:, t])


def test_unknown_names_are_answered_with_known_ones(store):
    with pytest.raises(StoreError, match=r"no such cell type.*Did you mean cell1"):
        store.accessible("cell_1")
    with pytest.raises(StoreError, match="no such chromosome"):
        store.chrom_number("x")
    with pytest.raises(StoreError, match="expected 0 to 10"):
        store.accessible(11)


def test_windows_are_the_bases_from_a_start(store):
    genome = np.asarray(store.genome)
    starts = np.array([5, 0, 700])
    assert np.array_equal(store.windows(starts, 40), np.stack([genome[s : s + 40] for s in starts]))
    moved = store.to("cpu")
    assert torch.equal(
        moved.windows(torch.from_numpy(starts), 40), torch.from_numpy(store.windows(starts, 40))
    )


def test_windows_over_the_genomes_ends_are_n(store):
    size = len(store.genome)
    starts = np.array([-3, size - 2, size + 10])
    for found in (
        store.windows(starts, 5),
        store.to("cpu").windows(torch.from_numpy(starts), 5).numpy(),
    ):
        assert found[0].tolist() == [4, 4, 4, *store.genome[:2]]
        assert found[1].tolist() == [*store.genome[-2:], 4, 4, 4]
        assert found[2].tolist() == [4] * 5
    assert store.windows(np.array([0]), size + 3).shape == (1, size + 3)


def test_factor_statistics_add_up_over_chromosomes(store):
    values = np.asarray(store.factors, np.float64)
    stats = store.factor_stats()
    np.testing.assert_allclose(stats.mean, values.mean(0))
    np.testing.assert_allclose(stats.sd, values.std(0))
    np.testing.assert_allclose(stats.max, values.max(0))
    part = store.factor_stats(["chr1"])
    assert part.n == 15
    np.testing.assert_allclose(part.mean, values[20:].mean(0))
    with pytest.raises(StoreError, match="no region is left to normalise"):
        store.factor_stats(["chr1", "chr2"])


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return toy_store(
        tmp_path_factory.mktemp("three"), per_chrom=(20, 15), cells=11, statistics=("count", "sum")
    )


def test_several_factor_matrices_are_read_by_statistic(store, three):
    assert store.statistics == ("given",)
    assert three.statistics == three.info.statistics == ("given", "count", "sum")
    assert three.fingerprint == store.fingerprint
    assert np.array_equal(three.factors_of("given"), store.factors)
    assert three.factors_of("given") is three.factors
    assert isinstance(three.factors_of("sum"), np.memmap)
    assert not np.array_equal(three.factors_of("count"), three.factors_of("sum"))
    values = np.asarray(three.factors_of("sum"), np.float64)
    stats = three.factor_stats(["chr1"], "sum")
    np.testing.assert_allclose(stats.mean, values[20:].mean(0))
    np.testing.assert_allclose(stats.max, values[20:].max(0))
    moved = three.to("cpu")
    for name in three.statistics:
        assert isinstance(moved.factors_of(name), torch.Tensor)
        assert np.array_equal(moved.factors_of(name).numpy(), three.factors_of(name))
    three.verify()


def test_a_statistic_that_is_not_there(store, three, tmp_path):
    with pytest.raises(
        StoreError,
        match=r"no factor matrix of this statistic. Found binary; expected given, count, sum",
    ):
        three.factors_of("binary")
    with pytest.raises(StoreError, match="Build it again with --more-statistics count"):
        store.factor_stats((), "count")
    bare = toy_store(tmp_path, factors=0)
    assert bare.statistics == ()
    with pytest.raises(StoreError, match="the store has no factor matrix"):
        bare.factors_of("best")


def test_a_further_matrix_that_went_missing_is_damage(three, tmp_path):
    folder = shutil.copytree(three.path, tmp_path / "copy")
    (folder / "factors.sum.f16.npy").unlink()
    with pytest.raises(StoreError, match=r"factors\.sum\.f16\.npy: the store is damaged"):
        Store.open(folder)
    value = json.loads((folder / "store.json").read_text())
    del value["files"]["factors.sum.f16.npy"]
    (folder / "store.json").write_text(json.dumps(value))
    with pytest.raises(StoreError, match=r"factors\.sum.*the store does not list this file"):
        Store.open(folder)


def test_a_store_of_before_further_statistics_opens(copy):
    value = json.loads((copy / "store.json").read_text())
    del value["factors"]["more_statistics"]
    (copy / "store.json").write_text(json.dumps(value))
    assert Store.open(copy).statistics == ("given",)


def test_the_fingerprint_knows_order_assembly_and_motifs(store):
    regions, ids = store.regions, [m["id"] for m in store.motifs]
    same = schema.fingerprint(store.chroms, store.sizes, regions, ids)
    assert same == store.fingerprint
    moved = regions.copy()
    moved["end"][3] += 1
    for other in (
        schema.fingerprint(store.chroms, store.sizes, regions[::-1], ids),
        schema.fingerprint(store.chroms, store.sizes, moved, ids),
        schema.fingerprint(store.chroms, store.sizes, regions, ids[::-1]),
        schema.fingerprint(("chr1", "chrX"), store.sizes, regions, ids),
        schema.fingerprint(store.chroms, (store.sizes[0] + 1, store.sizes[1]), regions, ids),
    ):
        assert other != same


def test_a_foreign_fingerprint_is_refused(store):
    store.check_same(store.fingerprint, "the checkpoint a")
    with pytest.raises(
        StoreError, match=f"the checkpoint a belongs to another store.*{store.fingerprint[:12]}"
    ):
        store.check_same("0" * 64, "the checkpoint a")


# -- damage
# ------------------------------------------------------------------------------------------


def edit(folder, **changes):
    path = folder / "store.json"
    value = json.loads(path.read_text())
    for key, new in changes.items():
        if new is None:
            del value[key]
        else:
            value[key] = new
    path.write_text(json.dumps(value))


def test_a_folder_without_a_manifest_is_no_store(tmp_path):
    with pytest.raises(StoreError, match=r"this is not a store.*without store\.json.*epilm build"):
        Store.open(tmp_path)
    with pytest.raises(StoreError, match="no folder of that name"):
        Store.open(tmp_path / "none")


def test_the_folder_of_a_run_is_told_from_a_store(tmp_path):
    (tmp_path / "store.json").write_text('{"path": "my.store", "fingerprint": "0"}')
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(
        StoreError, match=r"this is not a store. Found the folder of a run.*Give the store itself"
    ):
        Store.open(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "store.json").write_text("{"), "not valid JSON"),
        (
            lambda f: (f / "store.json").write_text("[]"),
            "not a store. Found a store.json without a schema",
        ),
        (lambda f: edit(f, schema=99), "another schema version. Found 99; expected 1"),
        (lambda f: edit(f, fingerprint=None), "a key is missing.*fingerprint"),
        (
            lambda f: (f / "genome.u8.npy").unlink(),
            r"genome\.u8\.npy: the store is damaged. Found no such file",
        ),
        (
            lambda f: (f / "factors.f16.npy").write_bytes(b"x" * 50),
            "Found 50 bytes where store.json says",
        ),
        (
            lambda f: (f / "motifs.json").write_bytes(b"?" * (f / "motifs.json").stat().st_size),
            "damaged",
        ),
        (
            lambda f: (f / "access.npy").write_bytes(b"?" * (f / "access.npy").stat().st_size),
            "damaged",
        ),
    ],
)
def test_damage_is_seen_on_opening(copy, damage, message):
    damage(copy)
    with pytest.raises(StoreError, match=message):
        Store.open(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": [700, 10**30]}, "the size of chr2 is no number of bases: 1000000"),
        ({"sizes": [700, -1]}, "the size of chr2 is no number of bases: -1"),
        ({"sizes": [700]}, "2 chromosomes with 1 sizes"),
        ({"sizes": {"chr1": 700}}, "sizes is no list"),
        ({"files": 10**30}, "files is no table"),
        ({"factors": {"statistic": "sum", "more_statistics": 3}}, "factors.more_statistics is no"),
        ({"signals": {"dnase": [1]}}, "it does not say what dnase is"),
        ({"contacts": {"resolution": 0}}, "it does not say the resolution of contacts"),
        ({"contacts": {"resolution": 10**30}}, "it does not say the resolution of contacts"),
    ],
)
def test_what_no_offsets_can_be_made_of_is_refused(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(StoreError) as refusal:
        Store.open(copy)
    said = str(refusal.value).replace("\n    ", " ")
    assert "store.json: the store is damaged" in said
    assert message in said


def test_an_unknown_key_of_a_later_writer_does_no_harm(copy):
    edit(copy, plans={"cells": 3})
    assert Store.open(copy).n_regions == 35


def test_verify_finds_a_changed_byte(copy):
    Store.open(copy).verify()
    with open(copy / "genome.u8.npy", "r+b") as handle:
        handle.seek(500)
        handle.write(b"\x07")
    changed = Store.open(copy)
    with pytest.raises(StoreError, match=r"genome.*SHA-256"):
        changed.verify()


def test_verify_finds_a_flipped_bit_in_every_file_and_names_it(copy):
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    assert len(files) > 5
    for path in files:
        whole = path.read_bytes()
        # In the manifest a letter of a hash: then it is another file's.
        at = whole.index(b'"sha256": "') + 15 if path.name == "store.json" else len(whole) // 2
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        hashes = path.name == "store.json"
        named = r"SHA-256 is not the one in store\.json" if hashes else re.escape(path.name)
        with pytest.raises(StoreError, match=named):
            Store.open(copy).verify()
        path.write_bytes(whole)
    Store.open(copy).verify()


def test_verify_finds_a_manifest_of_another_store(copy):
    edit(copy, fingerprint="0" * 64)
    with pytest.raises(StoreError, match="the fingerprint does not fit"):
        Store.open(copy).verify()


# -- writing
# -----------------------------------------------------------------------------------------


def test_to_moves_the_arrays_and_keeps_the_rest(store):
    moved = store.to("cpu")
    assert all(
        isinstance(a, torch.Tensor)
        for a in (moved.genome, moved.factors, moved.counts, moved.contacts.keys)
    )
    assert moved.fingerprint == store.fingerprint
    assert moved.to("cpu").n_factors == store.n_factors
    assert "35 regions" in repr(moved)
    assert replace(store, factors=None).to("cpu").factors is None
