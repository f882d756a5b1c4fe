"""Going on with the head of a fine-tuned model: at first it says what that one says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.cli import main
from epilm.errors import TrainingError, UsageError
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.fitted_shortcut import EPOCHS, regression
from epilm.finetuning.windows import reading_of
from epilm.tasks.binding import grid
from toy_binding import LARGE, QUICK, quick, said, toy_labels, toy_store

STILL = {"lr": 1e-12, "epochs": 1, "valid_chroms": ("chr2:0-6000",), "valid_negatives": 40}
OPEN = {"signals": ("accessibility",)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), chroms=LARGE)


@pytest.fixture(scope="module")
def taught(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("taught") / "run"
    quick(store, out=out, valid_chroms=("chr2:0-6000",), valid_negatives=40)
    return out


def answers(model, store):
    bins = grid({"chr3": store.sizes[2]}, step=200)
    return said(model, store, "typeC", bins)


@pytest.mark.parametrize("beside", [{}, OPEN, OPEN | {"shortcut": "signals"}])
def test_before_a_step_it_says_what_the_taught_one_says(store, taught, beside):
    kept, lines = quick(store, checkpoint=taught, head="kept", **beside, **STILL)
    expected = answers(load_finetuned(taught), store)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(answers(kept.model, store), expected, atol=1e-5)
    new = "; what reads accessibility begins at nothing" if beside else ""
    assert f"the head is kept too{new}" in lines
    fresh, lines = quick(store, checkpoint=taught, **beside, **STILL)
    assert np.abs(answers(fresh.model, store) - expected).max() > 0.05
    assert any("its head left (--head kept takes both)" in line for line in lines)


def test_a_pool_that_looks_at_the_bin_is_kept_with_its_window(store, tmp_path):
    part = {"valid_chroms": ("chr2:0-6000",), "valid_negatives": 40, "pool": "max+bin"}
    quick(store, out=tmp_path / "run", window_bp=400, **part)
    plain = {"window_bp": type(QUICK)().window_bp, "pool": "max"}  # as if not said
    kept, lines = quick(store, checkpoint=tmp_path / "run", head="kept", **STILL, **plain)
    assert "as the head was learned: window_bp 400, pool max+bin" in lines
    expected = answers(load_finetuned(tmp_path / "run"), store)
    np.testing.assert_allclose(answers(kept.model, store), expected, atol=1e-5)
    with pytest.raises(UsageError, match=r"Found around .*; expected .* \(windows of 400 bp\)"):
        quick(
            store, checkpoint=tmp_path / "run", head="kept", **STILL, window_bp=600, pool="max+bin"
        )


def test_its_signals_learn_from_there(store, taught):
    kept, _ = quick(store, checkpoint=taught, head="kept", **OPEN, **STILL | {"lr": 1e-3})
    assert kept.model.network.signal_convolution.weight.abs().max() > 0


def test_one_with_signals_goes_on_with_them(store, taught, tmp_path):
    own = OPEN | {"shortcut": "signals"}
    quick(
        store, out=tmp_path / "plus", checkpoint=taught, head="kept", **own, **STILL | {"lr": 1e-3}
    )
    before = load_finetuned(tmp_path / "plus").network
    assert before.shortcut.weight.abs().max() > 0
    again, lines = quick(store, checkpoint=tmp_path / "plus", head="kept", **own, **STILL)
    assert torch.allclose(again.model.network.shortcut.weight, before.shortcut.weight, atol=1e-6)
    assert "the head is kept too" in lines
    with pytest.raises(UsageError, match="reads other signals. Found no signals; expected access"):
        quick(store, checkpoint=tmp_path / "plus", head="kept", **STILL)
    with pytest.raises(UsageError, match="has a shortcut. Found --shortcut none"):
        quick(store, checkpoint=tmp_path / "plus", head="kept", **OPEN, shortcut="none", **STILL)


def test_fitted_what_the_taught_one_says_is_a_number_of_the_regression(store, taught):
    own = OPEN | {"shortcut": "signals", "shortcut_start": "fitted"}
    kept, lines = quick(store, checkpoint=taught, head="kept", **own, **STILL)
    assert any("beside what the kept head says" in line for line in lines)
    network, lesson = kept.model.network, kept.lesson
    reading = reading_of(kept.model, lesson.examples, lesson.store, torch.device("cpu"), print)
    steps = [rows for epoch in range(EPOCHS) for rows in lesson.draw.steps(epoch, 64)]
    rows = np.unique(np.concatenate(steps))
    other = load_finetuned(taught).network.eval()
    with torch.no_grad():
        windows = reading.windows(rows)
        logits = network.eval()(windows)[:, 0]
        inputs = torch.cat([network.straight(windows), other(windows)], 1).double()
    labels = torch.from_numpy(lesson.examples.labels_of(rows)[:, 0])
    *weights, bias = regression(inputs, labels, torch.ones(inputs.shape[1], dtype=bool))
    assert logits.numpy() == pytest.approx(inputs.numpy() @ weights + bias, abs=1e-4)
    assert weights[-1] != 0


def test_a_factor_of_which_nothing_new_is_known_stays_what_it_was(store, tmp_path):
    one, other = toy_labels(store), toy_labels(store, "JUND", state=2)
    part = {"valid_chroms": ("chr2:0-6000",), "valid_negatives": 40}
    quick(store, [one, other], out=tmp_path / "two", **part)
    learned = ~other.bins.inside(["chr2:0-6000", "chr3"])
    none = replace(other, values=np.where(learned[:, None], 0, other.values).astype(np.int8))
    own = OPEN | {"shortcut": "signals", "shortcut_start": "fitted"}
    kept, _ = quick(store, [one, none], checkpoint=tmp_path / "two", head="kept", **own, **STILL)
    was, now = answers(load_finetuned(tmp_path / "two"), store), answers(kept.model, store)
    np.testing.assert_allclose(now[:, 1], was[:, 1], atol=1e-5)
    assert np.abs(now[:, 0] - was[:, 0]).max() > 1e-3
    assert kept.model.network.shortcut.weight[1].abs().max() < 1e-9


def test_its_options_are_those_it_was_learned_with_where_none_are_said(store, taught):
    plain = type(QUICK)()
    unsaid = {"conv_channels": plain.conv_channels, "dense": plain.dense}
    kept, lines = quick(store, checkpoint=taught, head="kept", **unsaid, **STILL)
    assert kept.model.about["head"]["conv_channels"] == [32, 32]
    assert "as the head was learned: conv_channels (32, 32), dense 32" in lines
    with pytest.raises(UsageError, match=r"another make. Found pool mean; expected max"):
        quick(store, checkpoint=taught, head="kept", pool="mean", **STILL)
    with pytest.raises(UsageError, match=r"another make. Found dense 16; expected 32"):
        quick(store, checkpoint=taught, head="kept", dense=16, **STILL)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"checkpoint": "ebert"}, "no head to keep. Found --checkpoint ebert; expected a run of"),
        ({"init": "random"}, "no head to keep. Found --checkpoint .*run, --init random"),
        ({"labels": "JUND"}, "answers something else. Found outputs JUND; expected TF"),
    ],
)
def test_what_cannot_be_kept_is_refused(store, taught, tmp_path, more, message):
    more = {"checkpoint": taught} | more
    if "labels" in more:
        more["labels"] = toy_labels(store, more["labels"])
    with pytest.raises(UsageError, match=f"--head kept: .*{message}"):
        quick(store, out=tmp_path / "run", head="kept", **more, **STILL)
    assert not (tmp_path / "run").exists()


def test_a_run_with_it_is_another_run_than_one_without(store, taught, tmp_path):
    quick(store, out=tmp_path / "run", checkpoint=taught, head="kept", **STILL)
    with pytest.raises(TrainingError):
        quick(store, out=tmp_path / "run", checkpoint=taught, **STILL)


def test_sequences_go_on_with_their_head_from_the_command_line(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = ["".join("ACGT"[b] for b in rng.integers(0, 4, 40)) for _ in range(80)]
    lines = [f"{row}\t{number % 2}" for number, row in enumerate(rows)]
    data = tmp_path / "rows.tsv"
    data.write_text("\n".join(["sequence\tlabel", *lines]) + "\n")
    fasta = tmp_path / "rows.fa"
    fasta.write_text("".join(f">r{n}\n{row}\n" for n, row in enumerate(rows)))
    call = ["finetune", "sequences", "--data", str(data), "--device", "cpu", "--precision", "fp32"]
    first, then = str(tmp_path / "first"), str(tmp_path / "then")
    new = ["--size", "tiny", "--k", "3", "--epochs", "2", "--lr", "1e-3", "--out", first]
    assert main([*call, *new]) == 0
    kept = ["--checkpoint", first, "--head", "kept", "--epochs", "1", "--lr", "1e-12"]
    assert main([*call, *kept, "--out", then]) == 0
    said_of = {}
    for run in (first, then):
        assert main(["predict", run, str(fasta), "--out", f"{run}.tsv"]) == 0
        table = np.genfromtxt(f"{run}.tsv", names=True, delimiter="\t", dtype=None, encoding=None)
        said_of[run] = table[table.dtype.names[-1]]
    assert said_of[first] == pytest.approx(said_of[then], abs=1e-5)
    assert np.ptp(said_of[first]) > 0
    capsys.readouterr()
