"""Settings of learning: what is refused, by the name of its option, and what a schedule leaves."""

from dataclasses import replace

import pytest

from epilm.errors import UsageError
from epilm.tasks.binding.binding_options import BindingOptions
from epilm.training.learning import (
    Learning,
    check_learning,
    optim_of,
    option_name,
    schedule_warnings,
)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epochs", 0, "--epochs: impossible value. Found 0; expected at least 1"),
        ("batch_size", 0, "--batch-size: impossible value"),
        ("micro_batch", 0, "--micro-batch: impossible value"),
        ("lr", 0.0, "--lr: impossible value. Found 0.0; expected above 0"),
        ("lr", float("nan"), "--lr: impossible value"),
        ("head_lr_multiplier", 0.0, "--head-lr-multiplier: impossible value"),
        ("warmup", -0.1, "--warmup: impossible value"),
        ("dropout", 1.0, "--dropout: impossible value. Found 1.0; expected 0 to below 1"),
        ("label_smoothing", 1.0, "--label-smoothing: impossible value"),
        ("weight_decay", -1.0, "--weight-decay: impossible value"),
        ("patience", -1, "--patience: impossible value"),
        ("thaw_after", -1, "--thaw-after: impossible value"),
        ("thaw_after", 5, "--thaw-after: impossible value. Found 5; expected 0, or below the 5"),
        ("layer_lr_decay", 0.0, "--layer-lr-decay: impossible value"),
        ("layer_lr_decay", 1.1, "--layer-lr-decay: impossible value. Found 1.1; expected above 0"),
        (
            "freeze",
            "layers:two",
            "--freeze: impossible value. Found layers:two; expected none, emb",
        ),
    ],
)
def test_an_impossible_value_is_refused_by_its_option(field, value, words):
    with pytest.raises(UsageError) as error:
        check_learning(replace(Learning(), **{field: value}))
    assert words in str(error.value)


@pytest.mark.parametrize("freeze", ["none", "embeddings", "encoder", "layers:0", "layers:11"])
def test_what_may_be_frozen(freeze):
    check_learning(Learning(freeze=freeze))


def test_rates_of_layers_that_never_learn_are_refused():
    spec = Learning(freeze="encoder", layer_lr_decay=0.8)
    with pytest.raises(UsageError, match=r"--layer-lr-decay: .* --freeze encoder lets no layer"):
        check_learning(spec)
    check_learning(replace(spec, thaw_after=1))


def test_an_option_may_be_called_otherwise_than_its_field():
    assert option_name(BindingOptions, "negatives") == "--negatives-per-positive"
    assert option_name(BindingOptions, "train_chroms") == "--train"
    assert option_name(BindingOptions, "micro_batch") == "--micro-batch"


def test_a_warmup_below_one_is_a_share_and_above_it_steps():
    assert optim_of(Learning(warmup=0.25), 80).warmup_steps == 20
    assert optim_of(Learning(warmup=25.0), 80).warmup_steps == 25
    assert schedule_warnings(Learning(warmup=80.0), 80)[0].startswith("--warmup 80 is not shorter")
    assert not schedule_warnings(Learning(warmup=79.0, lr=1e-2), 80)


def test_a_run_that_cannot_move_a_weight_far_enough_is_warned_of():
    short = Learning(lr=1e-4, batch_size=320)
    (said,) = schedule_warnings(short, 250)
    assert said.startswith("--lr 0.0001 over 250 steps moves a weight by at most 0.025: too little")
    assert "from random weights" in said
    assert not schedule_warnings(short, 501)
    assert not schedule_warnings(replace(short, head_lr_multiplier=25.0), 250)
    assert not schedule_warnings(short, 250, pretrained=True)  # what BERT is fine-tuned with
    assert "what was pre-trained" in schedule_warnings(short, 19, pretrained=True)[0]
    both = schedule_warnings(replace(short, warmup=400.0), 250)
    assert [line.split()[0] for line in both] == ["--warmup", "--lr"]
