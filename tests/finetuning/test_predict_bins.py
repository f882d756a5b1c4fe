"""Bins of a genome in a cell type: the same numbers in any batch and order, three files, what is
refused.
"""

import dataclasses
import gzip

import numpy as np
import pybigtools
import pytest
import torch

from epilm.batches.window_reader import WindowReader
from epilm.errors import CheckpointError, InputError, StoreError, UsageError
from epilm.finetuning.binding_run import load_binding, save_binding
from epilm.finetuning.binding_start import prepare_binding
from epilm.finetuning.predict_bins import logits_of, predict_bins, write_bins
from epilm.hub.checkpoint import save_model
from epilm.models.build import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tasks.binding import Bins, grid
from epilm.tasks.binding.dream.submission import read_submission
from toy_binding import QUICK, toy_store

SIGNALS = ("accessibility", "mappability")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",), n_share=0.02)


@pytest.fixture(scope="module")
def run(store):
    """Untrained: what it says is a function of its seed."""
    made, _ = prepare_binding(
        "ebert",
        store,
        dataclasses.replace(QUICK, signals=SIGNALS),
        factors=("CTCF", "MAX"),
        size="tiny",
    )
    made.model.eval()
    return made


@pytest.fixture(scope="module")
def bins(store):
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    return grid(sizes, chroms=["chr2:600-4000", "chr3"], margin=0)


def said(run, store, cell, bins, **options):
    blocks = list(predict_bins(run, store, cell, bins, **options))
    assert [b.first for b in blocks] == np.cumsum([0, *(len(b.probabilities) for b in blocks)])[
        :-1
    ].tolist()
    return np.concatenate([b.probabilities for b in blocks])


def test_every_bin_is_its_window_read_alone_through_the_model(run, store, bins):
    whole = said(run, store, "typeB", bins)
    assert whole.shape == (len(bins), 2)
    reader = WindowReader(store, run.spec, 600, signals=run.signals)
    for row in (0, 17, len(bins) - 1):
        chrom = store.chroms.index(bins.chroms[bins.chrom[row]])
        windows = reader([1], [chrom], [int(bins.start[row]) - 200])
        with torch.inference_mode():
            alone = run.model(windows).sigmoid().numpy()[0]
        assert np.allclose(whole[row], alone, atol=1e-5)


def test_neither_batch_nor_order_changes_a_prediction(run, store, bins):
    whole = said(run, store, "typeA", bins, batch=256)
    assert np.allclose(said(run, store, "typeA", bins, batch=37), whole, atol=1e-5)
    order = np.random.default_rng(1).permutation(len(bins))[:100]
    mixed = Bins(bins.chroms, bins.chrom[order], bins.start[order])
    assert np.allclose(said(run, store, "typeA", mixed), whole[order], atol=1e-5)
    assert not np.allclose(said(run, store, "typeB", bins), whole, atol=1e-4)


def test_running_out_of_memory_names_the_largest_batch_of_a_trial(run, store, bins, monkeypatch):
    """Forward passes of more than 10 windows fail as a full card does."""
    encode = type(run.model.trunk).encode_windows

    def full(self, windows):
        if len(windows.ids) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(self, windows)

    monkeypatch.setattr(type(run.model.trunk), "encode_windows", full)
    with pytest.raises(
        UsageError, match=r"bins from 0 on: out of memory.*64 rows.*set --batch-size to 8"
    ):
        said(run, store, "typeB", bins, batch=64)
    assert len(said(run, store, "typeB", bins, batch=8)) == len(bins)


def test_blocks_come_one_by_one_and_the_model_is_left_as_it_was(run, store, bins):
    run.model.train()
    calls = []
    handle = run.model.trunk.register_forward_hook(lambda *_: None)
    original = run.model.head
    run.model.head = lambda *a: calls.append(1) or original(*a)
    try:
        blocks = predict_bins(run, store, "typeA", bins, batch=10)
        assert not calls
        next(blocks)
        assert len(calls) == 1
        blocks.close()
        assert run.model.training
    finally:
        handle.remove()
        del run.model.head
        run.model.eval()


def test_both_strands_are_the_mean_of_their_logits(run, store, bins):
    few = bins.take(slice(0, 8))
    one = said(run, store, "typeA", few)
    both = said(run, store, "typeA", few, both_strands=True)
    reader = run.reader(store)
    chrom = np.array([store.chroms.index(few.chroms[c]) for c in few.chrom])
    starts = few.start.astype(np.int64) - 200
    turned = logits_of(run.model, reader(0, chrom, starts, reverse=True)).numpy()
    logit = np.log(one / (1 - one))
    assert np.allclose(both, 1 / (1 + np.exp(-(logit + turned) / 2)), atol=1e-5)


def test_a_cell_type_without_states_is_refused_and_one_without_labels_is_not(run, store, bins):
    with pytest.raises(StoreError, match=r"no track of states. Found typeD"):
        predict_bins(run, store, "typeD", bins)
    with pytest.raises(StoreError, match=r"no such cell type"):
        predict_bins(run, store, "liver", bins)
    wide = Bins(bins.chroms, bins.chrom, bins.start, 100)
    with pytest.raises(
        UsageError, match=r"not those the model was made for. Found 100 bp; expected 200 bp"
    ):
        predict_bins(run, store, "typeA", wide)
    other = Bins(("chr9",), np.zeros(1, np.int16), np.zeros(1, np.int32))
    with pytest.raises(StoreError, match=r"no such chromosome"):
        predict_bins(run, store, "typeA", other)


def test_bins_of_another_assembly_are_refused(run, store):
    past = Bins(store.chroms, np.array([0, 2], np.int16), np.array([0, store.sizes[2] - 150]), 200)
    with pytest.raises(
        InputError, match=r"a bin ends past its chromosome; 1 on chr3 do.*two assemblies"
    ):
        next(iter(predict_bins(run, store, "typeA", past)))


def test_a_store_on_a_device_gives_the_same_and_a_controls_tracks_stay_where_they_are(
    run, store, bins, monkeypatch
):
    """What a card does, with tensors on the CPU in its place."""
    import epilm.finetuning.predict_bins as module
    from epilm.batches.placement import Placed, read_parts
    from epilm.tasks.binding.controls import controlled

    def placed(given, device, streams, signals):
        return Placed(read_parts(given, streams, signals).to(device), True, 0, "")

    monkeypatch.setattr(module, "place_store", placed)
    held = module._near(store, run, torch.device("cpu"), lambda step: None, "batch", None)
    assert isinstance(held.genome, torch.Tensor)
    few = bins.take(slice(40))
    assert np.array_equal(said(run, held, "typeA", few), said(run, store, "typeA", few))
    other = controlled(store, "typeA", "mean_of_cells", cells=["typeB"], seed=0)
    assert module._near(other, run, torch.device("cpu"), lambda step: None, "batch", None) is other


def test_a_store_without_room_on_the_gpu_is_said_with_what_a_batch_costs(
    run, store, bins, monkeypatch, caplog
):
    """A card without memory, the reading of a batch on the CPU."""
    import epilm.batches.placement as placement
    import epilm.finetuning.predict_bins as module

    monkeypatch.setattr(placement, "free_bytes", lambda device: 1000)
    few, told = bins.take(slice(40)), []
    read = module._reading(run, store, "typeA", few, both=True)
    near = (store, run, torch.device("cuda"), lambda step: read(slice(8)), "batch of 8 bins")
    assert module._near(*near, told.append) is store
    windows, turned = read(slice(8))
    size = placement.batch_bytes(windows) + placement.batch_bytes(turned)
    (line,) = told
    assert (
        "do not fit into 50% of the 1e-06 GB free on cuda: it stays on the host as memory maps"
        in line
    )
    assert "each batch of 8 bins costs" in line
    assert line.endswith(
        f"of the host and {size / 1e6:.3g} MB over the bus, and none is made ahead"
    )
    assert not caplog.records
    module._near(*near, None)  # from Python without `say`: not in silence either
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "each batch of 8 bins costs" in caplog.text


def test_a_declared_proxy_is_said(run, store, bins, tmp_path):
    declared = dataclasses.replace(
        store, states=dataclasses.replace(store.states, proxies={"typeA": "typeB"})
    )
    told = []
    write_bins(
        run,
        declared,
        "typeA",
        bins.take(slice(4)),
        tmp_path / "F.MAX.typeA.tab",
        factor="MAX",
        say=told.append,
    )
    assert told == ["WARNING: the states of typeA are those of typeB, a declared proxy"]


def test_a_model_survives_the_disk_and_a_store_of_other_states_is_refused(
    run, store, bins, tmp_path
):
    save_binding(tmp_path / "model", run)
    again = load_binding(tmp_path)
    few = bins.take(slice(0, 20))
    assert np.array_equal(said(again, store, "typeC", few), said(run, store, "typeC", few))
    renamed = dataclasses.replace(
        store, states=dataclasses.replace(store.states, names=("a", "b", "c", "d"))
    )
    with pytest.raises(
        StoreError, match=r"not those the model was made with. Found 4 states \(a, b, c"
    ):
        predict_bins(again, renamed, "typeA", bins)
    spec = ModelSpec(
        name="dbert",
        streams=("dna",),
        k=5,
        stride=5,
        encoder=EncoderSpec(size="tiny"),
        next_segment="none",
    )
    save_model(tmp_path / "plain", build_model(spec), spec)
    with pytest.raises(CheckpointError, match=r"no binding model.*epilm finetune dream"):
        load_binding(tmp_path / "plain")


def test_predictions_go_to_the_challenges_file_to_bigwig_and_to_parquet(run, store, bins, tmp_path):
    import pyarrow.parquet

    expected = said(run, store, "typeA", bins)[:, 1]
    mean = write_bins(run, store, "typeA", bins, tmp_path / "F.MAX.typeA.tab.gz", factor="MAX")
    assert mean == pytest.approx(expected.mean(), rel=1e-4)
    found = read_submission(tmp_path / "F.MAX.typeA.tab.gz", bins)
    assert np.allclose(found.scores, expected, atol=1e-6)
    with gzip.open(tmp_path / "F.MAX.typeA.tab.gz", "rt") as text:
        assert text.readline().split("\t")[:3] == ["chr2", "600", "800"]
    write_bins(run, store, "typeA", bins, tmp_path / "p.bw", factor="MAX")
    track = pybigtools.open(str(tmp_path / "p.bw"))
    assert track.values("chr2", 600, 650)[0] == pytest.approx(
        expected[0], abs=1e-5
    )  # one bin alone covers it
    write_bins(run, store, "typeA", bins, tmp_path / "p.parquet", factor="MAX")
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    assert np.allclose(table["score"].to_numpy(), expected, atol=1e-6)
    with pytest.raises(UsageError, match=r"the factor is not named. Found CTCF, MAX"):
        write_bins(run, store, "typeA", bins, tmp_path / "q.bw")
    with pytest.raises(UsageError, match=r"not made for this factor. Found MAXX. Did you mean MAX"):
        write_bins(run, store, "typeA", bins, tmp_path / "q.bw", factor="MAXX")
    assert not (tmp_path / "q.bw").exists()


def test_the_encoder_in_bf16_gives_logits_of_float32(run, store, bins):
    def autocast():
        return torch.autocast("cpu", torch.bfloat16)

    few = bins.take(slice(0, 40))
    coarse, fine = said(run, store, "typeA", few, autocast=autocast), said(run, store, "typeA", few)
    assert np.allclose(coarse, fine, atol=0.02)
    exact = torch.from_numpy(coarse)
    assert not torch.equal(exact.to(torch.bfloat16).float(), exact)
