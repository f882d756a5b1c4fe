"""The loop around a toy: killed, stopped, shared by two processes, and the same weights each
time.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from epilm.batch import Batch
from epilm.device import choose_place
from epilm.errors import TrainingError
from epilm.pretraining.loop import Data, run_pretrain
from epilm.training.failed_step import bundle_of, load_failed
from epilm.training.log import read_metrics
from epilm.training.optim_spec import OptimSpec, TrainSpec
from epilm.training.state import states, step_of
from toy_training import ToyModel, make_batch, toy_objectives


def run_here(out: Path, make=make_batch, steps: int = 3, dropout: float = 0.1, **train: object):
    out.mkdir(exist_ok=True)
    spec = TrainSpec(
        **{
            "steps": steps,
            "batch_size": 16,
            "micro_batch": 4,
            "device": "cpu",
            "precision": "fp32",
            "log_every": 1,
            "checkpoint_every": 1,
            "validate_every": 5,
            "seed": 3,
            **train,
        }
    )
    data = Data(
        lambda device: make,
        lambda step: np.random.default_rng([7, step]).permutation(64)[:16],
        lambda device: make_batch,
        np.arange(100, 116),
    )
    return run_pretrain(
        ToyModel(dropout),
        data,
        toy_objectives(8),
        OptimSpec(peak_lr=1e-2, warmup_steps=2),
        spec,
        out,
        choose_place("cpu", "fp32"),
    )


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(states(out / "checkpoints")[-1] / "model.safetensors")


def losses(out: Path, split: str = "train") -> list[float]:
    return [row["loss"] for row in read_metrics(out) if row["split"] == split]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An uninterrupted run of 14 steps, with dropout."""
    out = tmp_path_factory.mktemp("toy") / "whole"
    assert run_here(out, steps=14, dropout=0.2).completed
    return out


def test_it_learns_and_says_each_step_once(whole):
    rows = read_metrics(whole)
    assert [row["step"] for row in rows if row["split"] == "train"] == list(range(1, 15))
    assert [row["step"] for row in rows if row["split"] == "valid"] == [0, 5, 10, 14]
    assert losses(whole)[-1] < losses(whole)[0]
    valid = [row for row in rows if row["split"] == "valid"][-1]
    assert valid["matching/recall@1_chance"] == pytest.approx(1 / 16)
    assert {"lr", "tokens_per_second", "samples_per_second", "memory_gb", "seconds"} <= set(rows[1])


@pytest.mark.parametrize("fails", [1, 6, 13])
def test_a_run_that_fails_at_a_step_goes_on_to_the_same_bits(whole, tmp_path, fails):
    class Gone(Exception):
        pass

    def gone(rows, step):
        if step == fails:
            raise Gone
        return make_batch(rows, step)

    out = tmp_path / "run"
    with pytest.raises(Gone):
        run_here(out, gone, steps=14, dropout=0.2, checkpoint_every=4)
    outcome = run_here(out, steps=14, dropout=0.2, checkpoint_every=4)
    assert outcome.completed
    expected, found = last_weights(whole), last_weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert losses(out) == losses(whole)
    assert losses(out, "valid") == losses(whole, "valid")


def test_a_damaged_newest_state_is_said_and_the_one_before_gives_the_same_bits(
    whole, tmp_path, capfd
):
    class Gone(Exception):
        pass

    def gone(rows, step):
        if step == 9:
            raise Gone
        return make_batch(rows, step)

    out = tmp_path / "run"
    with pytest.raises(Gone):
        run_here(out, gone, steps=14, dropout=0.2, checkpoint_every=4)
    file = out / "checkpoints" / "step_00000008" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 64  # of an exponent: the weight becomes a huge number
    file.write_bytes(content)
    assert run_here(out, steps=14, dropout=0.2, checkpoint_every=4).completed
    said = capfd.readouterr().err
    assert f"warning: passed over a damaged state. {file}: the file is damaged" in said
    assert "going on from step 5 of 14" in said  # the best so far is kept beside the newest
    expected, found = last_weights(whole), last_weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert losses(out) == losses(whole)


@pytest.mark.parametrize("fails", [5, 10])
def test_the_first_line_after_a_resume_is_a_mean_since_the_line_before(tmp_path, fails):
    class Gone(Exception):
        pass

    def gone(rows, step):
        if step == fails:
            raise Gone
        return make_batch(rows, step)

    switches = {"steps": 12, "checkpoint_every": 3, "log_every": 4, "validate_samples": 0}
    run_here(tmp_path / "whole", **switches)
    with pytest.raises(Gone):
        run_here(tmp_path / "cut", gone, **switches)
    run_here(tmp_path / "cut", **switches)
    whole, cut = (
        [row for row in read_metrics(tmp_path / name) if row["split"] == "train"]
        for name in ("whole", "cut")
    )
    for key in ("step", "loss", "masked_kmers/loss", "matching/recall@1", "gradient_norm"):
        assert [row[key] for row in cut] == [row[key] for row in whole], key


def test_the_callers_random_generator_is_left_alone(tmp_path):
    before = torch.get_rng_state()
    assert run_here(tmp_path / "run").completed
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bad_loss_stops_the_run_and_keeps_what_was_saved(tmp_path):
    from epilm.errors import TrainingError

    def bad(rows, step):
        batch = make_batch(rows, step)
        if step == 2:
            batch.factors.fill_(float("inf"))
        return batch

    with pytest.raises(TrainingError, match="step 2: the loss is not finite"):
        run_here(tmp_path / "run", bad)
    assert [step_of(path) for path in states(tmp_path / "run" / "checkpoints")] == [1, 2]


def test_old_states_go(tmp_path):
    run_here(tmp_path / "run", steps=5, keep_checkpoints=3)
    assert [step_of(path) for path in states(tmp_path / "run" / "checkpoints")] == [3, 4, 5]


def valid(out: Path, score: str) -> dict[int, float]:
    rows = read_metrics(out)
    return {row["step"]: row[score] for row in rows if row["split"] == "valid" and row["step"]}


@pytest.mark.parametrize("score", ["loss", "masked_kmers/accuracy"])
def test_the_state_of_the_best_validation_stays_beside_the_newest(tmp_path, score):
    out = tmp_path / "run"
    outcome = run_here(
        out, steps=14, validate_every=2, keep_checkpoints=1, best_by=score, dropout=0.2
    )
    scores = valid(out, score)
    assert list(scores) == [2, 4, 6, 8, 10, 12, 14]
    best = (min if score == "loss" else max)(scores, key=scores.get)  # the first of equals
    assert (outcome.best.step, outcome.best.value) == (best, pytest.approx(scores[best]))
    assert [step_of(path) for path in states(out / "checkpoints")] == sorted({best, 14})


def test_patience_ends_a_run_and_the_same_call_again_trains_no_more(tmp_path):
    out = tmp_path / "run"
    # 8 of 16 samples are among the 10 nearest by chance; all are soon, and more than all is none.
    how = {"validate_every": 1, "patience": 2, "best_by": "matching/recall@10"}
    outcome = run_here(out, steps=40, **how)
    scores = valid(out, "matching/recall@10")
    assert outcome.completed
    assert outcome.early
    assert outcome.step == outcome.best.step + 2 < 40
    assert list(scores)[-1] == outcome.step
    weights = last_weights(out)
    again = run_here(out, steps=40, **how)
    assert (again.step, again.early, again.best) == (outcome.step, True, outcome.best)
    # What is told of the run is told again, though no step was done.
    assert (again.train, again.valid) == (outcome.train, outcome.valid)
    assert again.train
    assert again.warnings == outcome.warnings
    assert all(torch.equal(weights[name], value) for name, value in last_weights(out).items())


def test_a_best_whose_weights_are_gone_is_looked_for_anew(tmp_path):
    out = tmp_path / "run"
    run_here(out, steps=2, validate_every=1)
    for state in states(out / "checkpoints")[:-1]:
        state.rename(out / "elsewhere")
    text = (out / "checkpoints/step_00000002/state.json").read_text()
    (out / "checkpoints/step_00000002/state.json").write_text(
        text.replace('"step": 2, "value"', '"step": 1, "value"')
    )
    outcome = run_here(out, steps=2, validate_every=1)
    assert outcome.step == 2


def test_what_a_failed_step_read_is_kept_and_gives_the_same_no_number_again(tmp_path):
    def poisoned(rows, step):
        batch = make_batch(rows, step)
        if step == 1:
            batch.factors[0, 0, 0] = float("nan")
        return batch

    out = tmp_path / "run"
    with pytest.raises(TrainingError, match="step 1: the loss is not finite") as caught:
        run_here(out, poisoned)
    folder = out / "failed_step"
    assert str(caught.value).endswith(f"What the step read is kept in {folder}.")
    kept = load_failed(folder)
    rows = np.random.default_rng([7, 1]).permutation(64)[:16].reshape(4, 4)
    assert (kept.about["step"], kept.about["rows"]) == (1, rows.tolist())
    expected = poisoned(rows[2], 1)
    again = bundle_of(Batch, kept.batches[2])
    assert torch.equal(again.dna.labels, expected.dna.labels)
    assert torch.allclose(again.factors, expected.factors, equal_nan=True)
    assert ToyModel(0.0)(again).region_embedding.isnan().any()
    assert step_of(states(out / "checkpoints")[-1]) == 1  # the run goes on from there
    assert run_here(out).completed


@pytest.mark.parametrize("future", [True, False])
def test_a_wrong_clock_changes_nothing(whole, tmp_path, monkeypatch, future):
    """Files dated years ahead or back, the newest state as the oldest, and a clock that stands."""

    def gone(rows, step):
        if step == 9:
            raise EOFError
        return make_batch(rows, step)

    out = tmp_path / "run"
    with pytest.raises(EOFError):
        run_here(out, gone, steps=14, dropout=0.2, checkpoint_every=4, keep_checkpoints=2)
    kept = states(out / "checkpoints")
    assert len(kept) > 1
    assert step_of(kept[-1]) == 8
    now = 4e9 if future else 9e8
    for number, folder in enumerate(kept):  # the older one is dated later
        for path in (*folder.iterdir(), folder):
            os.utime(path, (now - 1e6 * number, now - 1e6 * number))
    os.utime(out / "metrics.jsonl", (now, now))
    monkeypatch.setattr("time.time", lambda: now - 1e7)
    run_here(out, steps=14, dropout=0.2, checkpoint_every=4, keep_checkpoints=2)
    assert step_of(states(out / "checkpoints")[-1]) == 14
    expected, made = last_weights(whole), last_weights(out)
    assert all(torch.equal(expected[name], made[name]) for name in expected)
    assert losses(out) == losses(whole)
