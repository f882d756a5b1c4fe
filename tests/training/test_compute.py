"""What does not work on this machine ends a run with a cure, and the way of computing changes no
loss.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.device import batch_fits, choose_place, is_out_of_memory
from epilm.errors import TrainingError
from epilm.nn.encoder import SequenceEncoder
from epilm.pretraining import folder as runs
from epilm.pretraining.loop import Data, run_pretrain
from epilm.training import compute
from epilm.training.compute import (
    check_compiler,
    choose_compute,
    compiled,
    weights_fit,
)
from epilm.training.log import read_metrics
from epilm.training.optim_spec import OptimSpec, TrainSpec
from toy_training import ToyModel, make_batch, toy_objectives


class Small(ToyModel):
    """A model on a device with room for so many samples."""

    def __init__(self, room: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.room, self.error = room, error
        self.checked: list[int] = []

    def forward(self, batch):
        self.checked.append(len(batch))
        if len(batch) > self.room:
            raise self.error(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return super().forward(batch)


def run(out, model, **train):
    out.mkdir(exist_ok=True)
    spec = TrainSpec(
        **{
            "steps": 2,
            "batch_size": 24,
            "micro_batch": 12,
            "device": "cpu",
            "validate_samples": 0,
            "log_every": 1,
            **train,
        }
    )
    data = Data(lambda device: make_batch, lambda step: np.arange(24) + step)
    return run_pretrain(
        model,
        data,
        toy_objectives(12),
        OptimSpec(peak_lr=1e-2, warmup_steps=1),
        spec,
        out,
        choose_place("cpu", "fp32"),
    )


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_out_of_memory_names_the_largest_micro_batch_that_fits(tmp_path, error):
    model = Small(5, error)
    before = [weight.clone() for weight in model.parameters()]
    with pytest.raises(
        TrainingError,
        match=(
            r"step 0: out of memory\. Found micro-batch 12 on cpu .*largest micro-batch that fitted"
            r" in a trial is 4: "
            r"set train\.micro_batch to 4.*checkpoint_activations"
        ),
    ):
        run(tmp_path / "run", model)
    assert model.checked[1:] == [6, 4]  # divisors of 12: the batch stays whole micro-batches
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert run(tmp_path / "again", Small(5), micro_batch=4).completed


def test_where_not_one_sample_fits_the_cure_is_another(tmp_path):
    with pytest.raises(TrainingError, match="Not even one sample fits: take a smaller size"):
        run(tmp_path / "run", Small(0))


def test_other_errors_stay_what_they_are(tmp_path):
    class Broken(ToyModel):
        def forward(self, batch):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run(tmp_path / "run", Broken())
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_a_compiler_that_fails_is_a_message():
    class Failed(torch._dynamo.exc.BackendCompilerFailed):
        def __init__(self):
            RuntimeError.__init__(
                self, "InvalidCxxCompiler: No working C++ compiler found\nlong trace"
            )

    with (
        pytest.raises(
            TrainingError,
            match=r"train\.compile: the model cannot be compiled here.*No working C\+\+.*off",
        ),
        compiled(),
    ):
        raise Failed
    with pytest.raises(ValueError, match="mine"), compiled():
        raise ValueError("mine")


def test_a_missing_compiler_shows_before_the_first_step(monkeypatch, tmp_path):
    def without(_):
        def call(*_):
            raise torch._dynamo.exc.TorchDynamoException("no compiler")

        return call

    monkeypatch.setattr(torch, "compile", without)
    with pytest.raises(TrainingError, match=r"train\.compile"):
        check_compiler(torch.device("cpu"))
    model = Small(12)
    with pytest.raises(TrainingError, match=r"train\.compile"):
        run(tmp_path / "run", model, compile="blocks")
    assert model.checked == []


def test_the_recipes_choice_reaches_every_encoder(capsys):
    model = torch.nn.Module()
    model.one = SequenceEncoder(69, 8, 2, 2, 16)
    said = choose_compute(model, TrainSpec(attention="plain", packing="off"), torch.device("cpu"))
    assert said == "attention plain (train.attention); packing off; compile off (cpu)"
    assert [block.attention for block in model.one.blocks] == ["plain", "plain"]
    assert model.one.packing == "off"


@pytest.mark.parametrize(
    ("wish", "device", "hidden", "fused", "want"),
    [
        ("auto", "cpu", 768, False, (False, "off (cpu)")),
        ("auto", "cuda", 768, True, (False, "off (the fused kernels are faster)")),
        (
            "auto",
            "cuda",
            128,
            False,
            (False, "off (an encoder of width 128 is too narrow for it to pay)"),
        ),
        ("blocks", "cpu", 64, False, (True, "blocks (train.compile)")),
        ("off", "cuda", 768, False, (False, "off (train.compile)")),
    ],
)
def test_what_is_compiled_follows_from_wish_chip_and_width(
    monkeypatch, wish, device, hidden, fused, want
):
    monkeypatch.setattr(compute, "kernels_there", lambda device: fused)
    assert compute._compiles(TrainSpec(compile=wish), hidden, torch.device(device)) == want


def test_compiled_blocks_are_the_same_function_and_one_program(monkeypatch):
    """Traced whole: a break in the graph would be an error."""
    monkeypatch.setattr("epilm.nn.dropout.CPU_FORMATS", ())  # programs draw as torch does
    torch.manual_seed(0)
    encoder = SequenceEncoder(69, 16, 3, 2, 32, max_positions=16, dropout=0.1)
    ids = torch.randint(5, 69, (4, 12))

    def run():
        encoder.zero_grad(set_to_none=True)
        torch.manual_seed(1)
        out = encoder(ids)[0]
        out.square().sum().backward()
        return [out.detach(), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]

    plain = run()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    encoder.compile_blocks(backend="aot_eager", fullgraph=True)
    assert encoder.compiled
    for a, b in zip(run(), plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert (
        torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1
    )  # three blocks, one program
    again = run()[0]
    torch.manual_seed(1)
    with torch.no_grad():  # an exact contrast embeds without gradients first: the same dropout
        torch.testing.assert_close(encoder(ids)[0], again)
    encoder.eval()
    assert tuple(encoder(ids[:1, :5])[0].shape) == (1, 5, 16)


def test_a_kernel_of_gpus_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(
        TrainingError, match=r"train\.attention: the cudnn kernel runs on CUDA devices alone"
    ):
        run(tmp_path / "run", ToyModel(), attention="cudnn")


def test_a_run_of_an_older_version_goes_on(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    old = {"name": "x", "train": {"steps": 3}}
    (tmp_path / "recipe.json").write_text(json.dumps(old))
    (tmp_path / "store.json").write_text("{}")
    now = {"name": "x", "train": {"steps": 3, "attention": "auto", "packing": "auto"}}
    assert runs.compare(tmp_path, now, {}) == "resumed"
    with pytest.raises(TrainingError, match=r"train\.packing = off"):
        runs.compare(tmp_path, now | {"train": now["train"] | {"packing": "off"}}, {})


def test_plain_and_fused_attention_train_alike(tmp_path):
    """A whole run with each, on a real model and store."""
    from epilm.batches import WindowMaker
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec
    from epilm.objectives.table import MatchingSpec, NextSegmentSpec, ObjectivesSpec
    from epilm.store.sample_spec import SampleSpec
    from toy_tracks import toy_track_store

    store = toy_track_store(tmp_path / "store")
    spec = ModelSpec(
        name="dbert",
        streams=("dna",),
        k=4,
        pad_to_max=True,
        max_tokens=128,
        encoder=EncoderSpec(size="tiny", dropout=0.0),
        next_segment="none",
    )
    objectives = ObjectivesSpec(
        next_segment=NextSegmentSpec(weight=0), matching=MatchingSpec(weight=0)
    )
    maker = WindowMaker(store, spec, objectives, SampleSpec(unit="windows", window_bp=100), seed=0)
    train = TrainSpec(
        steps=4, batch_size=8, micro_batch=4, device="cpu", validate_samples=0, log_every=1
    )
    found = []
    for choice in ({}, {"attention": "plain"}, {"packing": "packed"}, {"packing": "off"}):
        out = tmp_path / "-".join(("run", *choice.values()))
        out.mkdir()
        run_pretrain(
            build_model(maker.spec, seed=0),
            Data(lambda device: maker, lambda step: np.arange(8) + 8 * step),
            objectives,
            OptimSpec(peak_lr=1e-3, warmup_steps=1),
            replace(train, **choice),
            out,
            choose_place("cpu", "fp32"),
        )
        rows = [row for row in read_metrics(out) if row["split"] == "train"]
        found.append([row["loss"] for row in rows])
    for losses in found[1:]:
        assert losses == pytest.approx(found[0], rel=1e-5)


def test_running_out_of_memory_names_the_largest_batch_of_a_trial():
    tried = []

    def again(n):
        tried.append(n)
        if n > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with (
        pytest.raises(
            TrainingError,
            match=r"epoch 1, step 2: out of memory.*Found 100 rows on cpu.*set --batch-size to 12",
        ),
        batch_fits(
            100, again, option="--batch-size", where="epoch 1, step 2", device=torch.device("cpu")
        ),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
    assert tried == [50, 25, 12]
    with (
        pytest.raises(RuntimeError, match="another"),
        batch_fits(8, again, option="-", where="-", device=torch.device("cpu")),
    ):
        raise RuntimeError("another")


def test_weights_that_do_not_fit_are_not_blamed_on_the_batch():
    with (
        pytest.raises(
            TrainingError,
            match=(
                r"out of memory while the model was built\. Found .*can't allocate memory.*no"
                r" micro-batch helps: take a smaller --size"
            ),
        ),
        weights_fit(),
    ):
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )
    with pytest.raises(RuntimeError, match="another"), weights_fit():
        raise RuntimeError("another")
