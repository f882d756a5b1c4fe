"""What a model says of bins: each alone, in any batch and order, on both strands, in any format."""

import numpy as np
import torch

from epilm.batches.window_reader import WindowReader
from epilm.device import choose_place
from epilm.finetuning.scorer import ModelScorer, logits_of_windows, open_scorer
from epilm.tasks.binding import Bins
from epilm.tasks.binding.rows import CellBins
from toy_binding import CPU, said


def test_every_bin_is_its_window_read_alone_through_the_model(model, store, bins):
    whole = said(model, store, "typeB", bins)
    assert whole.shape == (len(bins), 2)
    reader = WindowReader(store, model.spec, 600, signals=model.reads.signals)
    for row in (0, 17, len(bins) - 1):
        chrom = store.chroms.index(bins.chroms[bins.chrom[row]])
        windows = reader([1], [chrom], [int(bins.start[row]) - 200])
        with torch.inference_mode():
            alone = model.network(windows).sigmoid().numpy()[0]
        assert np.allclose(whole[row], alone, atol=1e-5)


def test_neither_batch_nor_order_changes_a_prediction(model, store, bins):
    whole = said(model, store, "typeA", bins, batch=256)
    assert np.allclose(said(model, store, "typeA", bins, batch=37), whole, atol=1e-5)
    order = np.random.default_rng(1).permutation(len(bins))[:50]
    mixed = Bins(bins.chroms, bins.chrom[order], bins.start[order])
    assert np.allclose(said(model, store, "typeA", mixed), whole[order], atol=1e-5)
    assert not np.allclose(said(model, store, "typeB", bins), whole, atol=1e-4)


def test_blocks_come_one_by_one_and_the_model_is_left_as_it_was(model, store, bins, monkeypatch):
    import epilm.finetuning.scorer as module

    monkeypatch.setattr(module, "PIECE", 10)
    calls, head = [], model.network.head
    model.network.train()
    model.network.head = lambda *a: calls.append(1) or head(*a)
    try:
        examples = CellBins(bins, 0, tuple(store.chroms))
        blocks = ModelScorer(model, CPU, batch=10)(examples, store)
        assert not calls
        assert next(blocks).shape == (10, 2)
        assert len(calls) == 1
        blocks.close()
        assert model.network.training
    finally:
        del model.network.head
        model.network.eval()


def test_both_strands_are_the_mean_of_their_logits(model, store, bins):
    few = bins.take(slice(0, 8))
    one = said(model, store, "typeA", few)
    both = said(model, store, "typeA", few, both_strands=True)
    chroms = np.array([store.chroms.index(few.chroms[c]) for c in few.chrom])
    windows = model.reads.reader(store)(0, chroms, few.start.astype(np.int64) - 200, reverse=True)
    with torch.inference_mode():
        turned = logits_of_windows(model.network, windows).numpy()
    logit = np.log(one / (1 - one))
    assert np.allclose(both, 1 / (1 + np.exp(-(logit + turned) / 2)), atol=1e-5)


def test_the_trunk_in_bf16_gives_logits_of_float32(model, store, bins):
    few = bins.take(slice(0, 40))
    coarse = said(model, store, "typeA", few, choose_place("cpu", "bf16"))
    assert np.allclose(coarse, said(model, store, "typeA", few), atol=0.02)
    exact = torch.from_numpy(coarse)
    assert not torch.equal(exact.to(torch.bfloat16).float(), exact)


def test_progress_is_said_of_a_long_prediction(model, store, bins, monkeypatch):
    import epilm.finetuning.scorer as module

    clock = iter(range(0, 4000, 40))
    monkeypatch.setattr(module, "PIECE", 20)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    told = []
    scorer = open_scorer(model, device="cpu", say=told.append)
    list(scorer(CellBins(bins.take(slice(50)), 0, tuple(store.chroms)), store))
    assert [line for line in told if " of 50, " in line] == [
        "20 of 50, 0 a second",
        "40 of 50, 0 a second",
    ]
