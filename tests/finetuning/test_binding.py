"""Rows of every epoch, parts that share no base, the best epoch, a run that was killed, and what is
refused.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from epilm.errors import CheckpointError, InputError, StoreError, TrainingError, UsageError
from epilm.finetuning.binding import BindingSpec, finetune_binding
from epilm.finetuning.binding_data import Draw, join_labels, validation_rows
from epilm.finetuning.binding_loop import collapsed, masked_bce, near, score_factors
from epilm.finetuning.binding_plan import make_plan
from epilm.finetuning.binding_run import load_binding
from epilm.finetuning.binding_split import split_bins
from epilm.finetuning.binding_start import prepare_binding
from epilm.finetuning.finetune import finetune
from epilm.finetuning.predict_bins import predict_bins
from epilm.hub.checkpoint import save_model
from epilm.models.build import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tasks.binding import BinLabels, Bins
from epilm.tokens.random import scrambled
from toy_binding import QUICK, toy_labels, toy_store

replace = dataclasses.replace


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",))


def rows_of(store, *tables, cells=()):
    return join_labels(
        tables, chroms=store.chroms, sizes=store.sizes, cell_types=store.cell_types, cells=cells
    )


def quick(store, labels=None, out=None, checkpoint="ebert", **changes):
    lines = []
    result = finetune_binding(
        labels if labels is not None else toy_labels(store),
        store,
        checkpoint,
        out,
        replace(QUICK, **changes),
        size="tiny",
        say=lines.append,
    )
    return result, lines


# -- rows


def test_an_epoch_is_every_positive_once_and_ten_negatives_each_drawn_anew(store):
    rows = rows_of(store, toy_labels(store, ambiguous=0.1, state=0))
    bins = np.flatnonzero(rows.chrom == 0)
    draw = Draw(rows, bins, [0, 2], negatives=2, seed=3)
    first, second = draw.epoch(0), draw.epoch(1)
    for epoch in (first, second):
        labels = rows.take(epoch)[3][:, 0]
        assert sorted(epoch[labels == 1].tolist()) == sorted(draw.positives.tolist())
        assert (labels >= 0).all()
        assert len(np.unique(epoch)) == len(epoch) == len(draw)
        assert set((epoch % 3).tolist()) == {0, 2}
        assert np.isin(epoch // 3, bins).all()
        for cell in (0, 2):  # each cell type has the same share
            mine = labels[epoch % 3 == cell]
            assert (mine == 0).sum() == 2 * (mine == 1).sum()
    assert not np.array_equal(np.sort(first), np.sort(second))
    again = Draw(rows, bins, [0, 2], negatives=2, seed=3).epoch(1)
    assert np.array_equal(again, second)
    assert not np.array_equal(Draw(rows, bins, [0, 2], negatives=2, seed=4).epoch(1), second)


def test_negatives_are_the_first_unbound_bins_of_a_shuffle_that_is_never_listed(store):
    rows = rows_of(store, toy_labels(store, ambiguous=0.3))
    bins = np.flatnonzero(rows.chrom < 2)
    draw = Draw(rows, bins, [1], negatives=1, seed=5)
    shuffle = bins[scrambled(np.arange(len(bins)), len(bins), 5, 0xD0, 7, 1)]
    unbound = shuffle[rows.values[shuffle, 1, 0] == 0][: len(draw.positives)]
    epoch = draw.epoch(7)
    drawn = epoch[rows.take(epoch)[3][:, 0] == 0] // 3
    assert sorted(drawn.tolist()) == sorted(unbound.tolist())


def test_a_capped_epoch_walks_through_all_positives_in_turn(store):
    rows = rows_of(store, toy_labels(store))
    draw = Draw(rows, np.flatnonzero(rows.chrom == 0), [0], negatives=1, per_epoch=30)
    total = len(draw.positives)
    epochs = [draw.epoch(e) for e in range(-(-total // 30))]
    met = np.concatenate([e[rows.take(e)[3][:, 0] == 1] for e in epochs])
    assert all(len(e) == 60 for e in epochs)
    assert set(met.tolist()) == set(draw.positives.tolist())
    assert len(met) < total + 30


def test_too_few_negatives_are_said(store):
    rows = rows_of(store, toy_labels(store))
    draw = Draw(rows, np.flatnonzero(rows.chrom == 0), [0], negatives=50)
    assert "every epoch has all of them" in draw.notes[0]
    assert len(draw.epoch(0)) == len(draw) == (rows.chrom == 0).sum()


def test_factors_side_by_side_have_missing_labels_where_one_has_no_bin_or_cell(store):
    both = toy_labels(store, "A", 1)
    one = toy_labels(store, "B", 2, cells=["typeB"]).take(np.arange(100, 300))
    rows = rows_of(store, both, one)
    assert rows.values.shape == (len(both), 3, 2)
    assert (rows.values[:, [0, 2], 1] == -1).all()
    assert np.array_equal(rows.values[100:300, 1, 1], one.values[:, 0])
    assert (rows.values[300:, :, 1] == -1).all()
    assert "missing labels are masked" in rows.notes[-1]


def test_labels_of_another_genome_or_cell_are_refused(store):
    labels = toy_labels(store)
    past = Bins(("chr3",), np.zeros(1, np.int16), np.array([19_900], np.int32))
    with pytest.raises(
        InputError, match=r"chr3:19900-20100; expected an end of at most 20000.*two assemblies"
    ):
        rows_of(store, BinLabels(past, ("typeA",), np.ones((1, 1), np.int8), "TF"))
    other = Bins(("1",), np.zeros(1, np.int16), np.array([600], np.int32))
    with pytest.raises(InputError, match="no bin of the labels lies on a chromosome of the store"):
        rows_of(store, BinLabels(other, ("typeA",), np.ones((1, 1), np.int8), "TF"))
    with pytest.raises(InputError, match=r"not in the store. Found liver.*--cell-map"):
        rows_of(store, replace(labels, cells=("typeA", "liver", "typeC")))
    with pytest.raises(InputError, match=r"a factor comes twice. Found TF, TF"):
        rows_of(store, labels, labels)
    part = replace(labels, bins=replace(labels.bins, chroms=("chr1", "chr2", "chr9")))
    assert (
        "on chromosomes that the store has not (chr9) are left out" in rows_of(store, part).notes[0]
    )


# -- parts


def test_training_windows_do_not_reach_into_what_is_judged(store):
    rows = rows_of(store, toy_labels(store))
    split = split_bins(
        rows, valid=["chr1:10000-14000"], test=["chr1:20000-24000", "chr8"], window_bp=1000
    )
    start, chr1 = rows.start, rows.chrom == 0
    for bins, low, high in ((split.valid, 10_000, 14_000), (split.test, 20_000, 24_000)):
        assert (start[bins].min(), start[bins].max() + 200) == (low, high)
        learned = start[split.train][chr1[split.train]]
        assert ((learned + 600 <= low) | (learned - 400 >= high)).all()
    assert "windows reach into a validation or test region" in split.notes[0]
    assert set(rows.chrom[split.train].tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"valid": ["chr2"], "test": ["chr2:0-500"]},
            "valid and test overlap. Found chr2 and chr2:0-500",
        ),
        ({"train": ["chr1"], "valid": ["chr2"], "test": ["chr1:0-900"]}, "train and test overlap"),
        ({"train": ["chr1", "chr2"], "valid": ["chr2"]}, "train and valid overlap"),
        (
            {"valid": ["chr11"]},
            (
                "no bin on a valid chromosome. Found chr11; expected among chr1, chr2, chr3. Choose"
                " with --valid"
            ),
        ),
        ({"valid": []}, "early stopping needs a validation part"),
        ({"valid": ["chr2:0-100"]}, "the valid part has no bin"),
    ],
)
def test_parts_that_overlap_or_are_empty_are_refused(store, parts, words):
    rows = rows_of(store, toy_labels(store))
    with pytest.raises((UsageError, InputError)) as error:
        split_bins(rows, **parts)
    assert words in str(error.value)


def test_validation_takes_all_bound_and_the_same_sample_of_unbound_bins(store):
    rows = rows_of(store, toy_labels(store, ambiguous=0.1))
    bins = np.flatnonzero(rows.chrom == 1)
    all_of_them, none = validation_rows(rows, bins, [0, 1])
    some, said = validation_rows(rows, bins, [0, 1], negatives=50)
    labels = rows.take(some)[3][:, 0]
    assert (labels == 0).sum() == 50
    assert (labels == 1).sum() == (rows.values[bins][:, :2] == 1).sum()
    assert set(some.tolist()) < set(all_of_them.tolist())
    assert not none
    assert "its precision is higher" in said[0]
    assert np.array_equal(some, validation_rows(rows, bins, [0, 1], negatives=50)[0])
    empty = replace(rows, values=np.zeros_like(rows.values))
    with pytest.raises(
        InputError, match="no validation bin is bound: no epoch could be called the best"
    ):
        validation_rows(empty, bins, [0])


def test_a_test_cell_type_is_not_learned_from_and_bins_of_n_are_left_out(tmp_path):
    store = toy_store(tmp_path, n_share=0.5)
    plan = make_plan([toy_labels(store)], store, QUICK)
    assert [plan.rows.cells[c] for c in plan.train_cells] == ["typeA", "typeB"]
    genome = np.asarray(
        store.bases(
            plan.rows.chrom[plan.split.train].astype(np.int64),
            plan.rows.start[plan.split.train],
            200,
        )
    )
    assert (genome < 4).any(1).all()
    assert any("hold N alone" in note for note in plan.notes)
    with pytest.raises(UsageError, match="a cell type is for test and for training"):
        make_plan([toy_labels(store)], store, replace(QUICK, train_cells=("typeC",)))


# -- learning


def test_states_tell_where_a_factor_binds_in_a_cell_type_and_on_a_chromosome_not_seen(
    store, tmp_path
):
    result, lines = quick(store, out=tmp_path / "run")
    assert result.metrics["TF"]["auprc_dg"] > 0.95
    assert any(line.startswith("device cpu") for line in lines)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "metrics.json",
        "metrics.jsonl",
        "model",
        "run.json",
    ]
    run = load_binding(tmp_path / "run")
    labels = toy_labels(store)
    here = labels.bins.inside(["chr3"])
    said = np.concatenate(
        [b.probabilities for b in predict_bins(run, store, "typeC", labels.bins.take(here))]
    )
    truth = labels.of("typeC")[here]
    assert said[truth == 1, 0].mean() > 0.7 > 0.3 > said[truth == 0, 0].mean()
    about = run.about
    assert about["cells"] == ["typeA", "typeB"]
    assert about["train_chroms"] == ["chr1"]
    assert about["state_names"] == list(store.states.names)
    assert about["state_bin"] == 200
    assert result.best_epoch == about["best_epoch"]


def test_a_run_that_was_stopped_ends_with_the_same_weights_as_one_that_was_not(store, tmp_path):
    settings = {
        "epochs": 3,
        "dropout": 0.2,
        "strands": "both",
        "positives_per_epoch": 60,
        "patience": 0,
    }
    whole, _ = quick(store, out=tmp_path / "whole", **settings)

    class Stop(Exception):
        pass

    def say(line):
        if line.startswith("epoch 3"):
            raise Stop

    options = {"settings": replace(QUICK, **settings), "size": "tiny"}
    with pytest.raises(Stop):
        finetune_binding(toy_labels(store), store, "ebert", tmp_path / "cut", say=say, **options)
    assert not (tmp_path / "cut" / "model").exists()
    lines = []
    second = finetune_binding(
        toy_labels(store), store, "ebert", tmp_path / "cut", say=lines.append, **options
    )
    assert "going on after epoch 2 of 3" in lines
    one, other = (load_file(tmp_path / n / "model" / "model.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    losses = [[row["loss"] for row in r.history] for r in (whole, second)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    again, lines = quick(store, out=tmp_path / "cut", **settings)  # complete: nothing is done
    assert lines[-1].startswith("the run is complete: best epoch")
    assert again.best_epoch == second.best_epoch
    _, lines = quick(
        store, out=tmp_path / "cut", **settings, micro_batch=8
    )  # what out of memory is cured with
    assert lines[-1].startswith("the run is complete: best epoch")
    with pytest.raises(
        TrainingError, match=r"another run. Found settings.lr was 0.002, is 0.1.*--overwrite"
    ):
        quick(store, out=tmp_path / "cut", **settings | {"lr": 0.1})


def test_micro_batches_make_the_same_step_and_the_best_epoch_is_kept(store):
    settings = {"positives_per_epoch": 40, "epochs": 2}
    one, _ = quick(store, **settings)
    other, _ = quick(store, micro_batch=16, **settings)
    for a, b in zip(one.run.model.parameters(), other.run.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-4)
    scores = [row["valid_auprc_dg"] for row in one.history]
    assert one.best_epoch == int(np.argmax(scores)) + 1
    assert one.metrics["TF"]["auprc_dg"] == max(scores)


def test_a_store_without_room_on_the_gpu_is_said_with_what_a_micro_batch_costs(store, monkeypatch):
    """A card without memory; only the reading is done, on the host."""
    import epilm.batches.placement as placement

    monkeypatch.setattr(placement, "free_bytes", lambda device: 1000)
    settings, told = replace(QUICK, micro_batch=8), []
    plan = make_plan([toy_labels(store)], store, settings)
    run, _ = prepare_binding("ebert", store, settings, factors=plan.rows.factors, size="tiny")
    assert near(store, run, plan, settings, torch.device("cuda"), told.append) is store
    cells, chroms, starts, _ = plan.rows.take(plan.draw.epoch(0)[:8])
    size = placement.batch_bytes(run.reader(store).plain(cells, chroms, starts - 200, None))
    assert (
        "free on cuda: it stays on the host as memory maps, each micro-batch of 8 windows costs"
        in told[0]
    )
    assert told[0].endswith(
        f"of the host and {size / 1e6:.3g} MB over the bus, and none is made ahead"
    )


def test_several_factors_are_learned_at_once_and_what_is_not_known_is_masked(store):
    a = toy_labels(store, "A", 1)
    b = toy_labels(store, "B", 2, cells=["typeA", "typeC"])
    result, _ = quick(store, [a, b], epochs=3, positives_per_epoch=150)
    assert result.run.factors == ("A", "B")
    assert result.metrics["A"]["auprc_dg"] > 0.7
    assert result.metrics["B"]["n"] < result.metrics["A"]["n"]
    logits = torch.randn(3, 2, requires_grad=True)
    masked_bce(logits, torch.tensor([[1, -1], [0, -1], [-1, 1]])).backward()
    assert (logits.grad != 0).tolist() == [[True, False], [True, False], [False, True]]


def test_the_factornet_like_network_learns_in_the_same_loop(store, tmp_path):
    result, lines = quick(
        store,
        out=tmp_path / "net",
        checkpoint="factornet",
        signals=("accessibility", "mappability"),
        positives_per_epoch=20,
        epochs=1,
    )
    assert any("FactorNet" in line for line in lines)
    run = load_binding(tmp_path / "net")
    assert run.bases
    labels = toy_labels(store)
    block = next(iter(predict_bins(run, store, "typeC", labels.bins, batch=8)))
    assert block.probabilities.shape == (8, 1)
    assert np.allclose(
        block.probabilities,
        next(iter(predict_bins(result.run, store, "typeC", labels.bins, batch=8))).probabilities,
        atol=1e-6,
    )


def test_a_loss_that_is_no_number_stops_the_run(store):
    with pytest.raises(
        TrainingError,
        match=(
            r"not finite: epoch|epoch \d+, step \d+: the loss or its gradient is not finite.*rows"
        ),
    ):
        quick(store, lr=1e30, clip=0.0, warmup=0)


def test_a_model_that_says_one_thing_is_named():
    flat = np.full((50, 1), -2.3, np.float32)
    labels = np.zeros((50, 1), np.int8)
    labels[:5] = 1
    assert "flat scores" in score_factors(labels, flat, ["TF"])["TF"]["collapse"]
    below_half = np.random.default_rng(0).normal(-4, 0.5, 50).astype(np.float32)
    assert collapsed(below_half) is None


# -- what it starts from


SPEC = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=7,
    stride=7,
    states=4,
    cells=4,
    max_tokens=150,
    encoder=EncoderSpec(size="tiny"),
    next_segment="none",
)


@pytest.fixture(scope="module")
def checkpoint(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "model"
    extra = {
        "state_names": list(store.states.names),
        "state_bin": 200,
        "holdout_chroms": ["chr3"],
        "cell_types": ["typeA"],
    }
    save_model(folder, build_model(SPEC, seed=9), SPEC, extra)
    return folder


def test_one_switch_between_pretrained_weights_and_their_random_twin(store, checkpoint):
    source = build_model(SPEC, seed=9).encoder.state_dict()
    start = {"factors": ("TF",)}
    warm, told = prepare_binding(checkpoint, store, QUICK, **start)
    cold, said = prepare_binding(checkpoint, store, QUICK, init="random", **start)
    same, _ = prepare_binding(checkpoint, store, QUICK, init="random", **start)
    assert all(torch.equal(source[n], t) for n, t in warm.model.trunk.encoder.state_dict().items())
    assert warm.about["pretraining"]["holdout_chroms"] == ["chr3"]
    assert cold.about["pretraining"] is None
    shapes = [{n: t.shape for n, t in run.model.state_dict().items()} for run in (warm, cold)]
    assert shapes[0] == shapes[1]
    assert not torch.equal(
        cold.model.trunk.encoder.words.weight, warm.model.trunk.encoder.words.weight
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(cold.model.parameters(), same.model.parameters(), strict=True)
    )
    assert "random weights in the shape of" in said[0]
    assert "random" not in told[0]


def test_what_is_frozen_does_not_move(store, checkpoint):
    before = build_model(SPEC, seed=9)
    settings = {"positives_per_epoch": 20, "epochs": 1}
    result, _ = quick(store, checkpoint=checkpoint, freeze="encoder", **settings)
    trunk = result.run.model.trunk
    assert all(
        torch.equal(before.encoder.state_dict()[n], t)
        for n, t in trunk.encoder.state_dict().items()
    )
    result, _ = quick(store, checkpoint=checkpoint, freeze="embeddings", **settings)
    trunk = result.run.model.trunk
    assert torch.equal(trunk.states.weight, before.states.weight)
    assert torch.equal(trunk.encoder.words.weight, before.encoder.words.weight)
    assert not torch.equal(trunk.encoder.blocks[0].up.weight, before.encoder.blocks[0].up.weight)


def test_the_head_takes_larger_steps_than_the_encoder(store):
    """AdamW's first step moves a weight by the rate, whatever its gradient: ten times as far in the
    head.
    """
    start = prepare_binding("ebert", store, QUICK, factors=("TF",), size="tiny")[0].model
    before = {name: weight.clone() for name, weight in start.named_parameters()}
    changes = {
        "epochs": 1,
        "positives_per_epoch": 21,
        "batch_size": 64,
        "warmup": 0,
        "weight_decay": 0.0,
        "decay": "constant",
        "lr": 1e-4,
        "eps": 1e-12,
    }
    moved = {}
    for multiplier in (1.0, 10.0):
        result, _ = quick(store, head_lr_multiplier=multiplier, **changes)
        assert result.history[0]["step"] == 1
        for name, weight in result.run.model.named_parameters():
            moved[multiplier, name] = float((weight - before[name]).abs().max().detach())
    for name in ("dense.weight", "convolutions.0.weight", "out.bias"):
        assert moved[1.0, name] == pytest.approx(1e-4, rel=0.02)
        assert moved[10.0, name] == pytest.approx(1e-3, rel=0.02)
    assert moved[10.0, "trunk.encoder.blocks.0.up.weight"] == pytest.approx(1e-4, rel=0.02)
    with pytest.raises(UsageError, match="no head"):
        quick(
            store,
            checkpoint="factornet",
            head_lr_multiplier=2.0,
            signals=("accessibility", "mappability"),
        )


def test_the_shortcut_takes_larger_steps_still(store):
    """As above: two times as far as the head, which goes five times as far as the encoder."""
    signals = {"signals": ("accessibility",), "shortcut": "signals"}
    settings = dataclasses.replace(QUICK, **signals)
    start = prepare_binding("ebert", store, settings, factors=("TF",), size="tiny")[0].model
    before = {name: weight.clone() for name, weight in start.named_parameters()}
    result, _ = quick(
        store,
        epochs=1,
        positives_per_epoch=21,
        batch_size=64,
        warmup=0,
        weight_decay=0.0,
        decay="constant",
        lr=1e-4,
        eps=1e-12,
        head_lr_multiplier=5.0,
        shortcut_lr_multiplier=2.0,
        **signals,
    )
    moved = {
        n: float((w - before[n]).abs().max().detach())
        for n, w in result.run.model.named_parameters()
    }
    assert moved["shortcut.weight"] == pytest.approx(1e-3, rel=0.02)
    assert moved["dense.weight"] == pytest.approx(5e-4, rel=0.02)
    assert moved["trunk.encoder.blocks.0.up.weight"] == pytest.approx(1e-4, rel=0.02)
    with pytest.raises(UsageError, match="no shortcut to learn at a rate of its own"):
        quick(store, shortcut_lr_multiplier=2.0)


def test_a_store_of_other_states_is_refused(store, checkpoint, tmp_path):
    other = toy_store(tmp_path, n_states=6)
    with pytest.raises(
        CheckpointError, match=r"not those of the pre-training. Found 6 states .*expected 4"
    ):
        prepare_binding(checkpoint, other, QUICK, factors=("TF",))
    wide = toy_store(tmp_path, bin=400, seed=1)
    with pytest.raises(CheckpointError, match="in bins of 400 bp; expected 4"):
        prepare_binding(checkpoint, wide, QUICK, factors=("TF",))
    bare = toy_store(tmp_path, n_states=0, seed=2)
    with pytest.raises(UsageError, match="EBERT reads states and the store has none"):
        prepare_binding("ebert", bare, QUICK, factors=("TF",))
    run, _ = prepare_binding("random", bare, QUICK, factors=("TF",))
    assert run.spec.name == "dbert"


def test_a_cell_type_without_a_track_names_the_cure(store, tmp_path):
    labels = toy_labels(store)
    with_lonely = replace(labels, cells=("typeA", "typeB", "typeD"))
    with pytest.raises(
        StoreError,
        match=r"no track of states. Found typeD.*--states typeD=FILE.*--cell-map typeD=SOURCE",
    ):
        quick(store, with_lonely, test_cells=())
    with pytest.raises(
        StoreError, match=r"no accessibility. Found typeD.*--accessibility typeD=FILE"
    ):
        quick(store, with_lonely, checkpoint="dbert", test_cells=(), signals=("accessibility",))
    bare = toy_store(tmp_path, signals=())
    with pytest.raises(
        StoreError, match=r"no such signal. Found accessibility; expected none.*--signals"
    ):
        quick(bare, signals=("accessibility",))


def test_it_is_no_checkpoint(store, tmp_path):
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        quick(store, checkpoint=tmp_path / "none")
    spec = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))
    save_model(tmp_path / "dnabert", build_model(spec), spec)
    with pytest.raises(CheckpointError, match="binding needs EBERT or DBERT"):
        quick(store, checkpoint=tmp_path / "dnabert")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "--epochs: impossible value. Found 0"),
        ({"negatives": 0}, "--negatives-per-positive"),
        ({"freeze": "half"}, "expected none, embeddings, encoder, or layers:N"),
        ({"metric": "f1"}, "auprc_dg, ap or auroc"),
        ({"positives_per_epoch": 0}, "--positives-per-epoch"),
        ({"signals": ("accessibility:median",)}, "not a signal"),
        ({"head_lr_multiplier": 0.0}, "--head-lr-multiplier"),
        ({"shortcut_lr_multiplier": -1.0}, "--shortcut-lr-multiplier"),
        ({"window_bp": 150}, "the window is narrower than a bin. Found 150; expected at least 200"),
    ],
)
def test_impossible_settings_are_refused(store, change, words):
    with pytest.raises(UsageError) as error:
        quick(store, **change)
    assert words in str(error.value)


def test_finetune_reaches_it_by_the_name_dream(store):
    with pytest.raises(UsageError, match="binding needs a store"):
        finetune("dream", toy_labels(store))
    with pytest.raises(UsageError, match="belong to the task dream"):
        finetune("tfbs", "x", factor="CTCF")
    settings = replace(QUICK, epochs=1, positives_per_epoch=10)
    result = finetune(
        "dream",
        toy_labels(store),
        store=store,
        settings=settings,
        size="tiny",
        say=lambda line: None,
    )
    assert result.run.factors == ("TF",)
    assert json.dumps(result.run.about)
    assert isinstance(BindingSpec(**result.run.about["settings"]), BindingSpec)
