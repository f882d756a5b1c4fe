"""The learning rate at steps that can be worked out by hand."""

import pytest

from epilm.errors import RecipeError
from epilm.training.optim_spec import OptimSpec
from epilm.training.schedule import lr_at, moves, schedule_warnings

PAPER = OptimSpec()


@pytest.mark.parametrize(
    ("step", "lr"),
    [
        (0, 4e-8),
        (4999, 2e-4),
        (9999, 4e-4),
        (10_000, 4e-4),
        (65_000, 2e-4),
        (119_999, 4e-4 / 110_000),
    ],
)
def test_the_papers_schedule(step, lr):
    assert lr_at(step, PAPER, 120_000) == pytest.approx(lr)


@pytest.mark.parametrize(("decay", "half"), [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_half_way_down(decay, half):
    spec = OptimSpec(peak_lr=1.0, warmup_steps=0, decay=decay)
    assert lr_at(50, spec, 100) == pytest.approx(half)
    assert lr_at(100, spec, 100) == pytest.approx(0.0 if decay != "constant" else 1.0)


def test_warm_up_longer_than_the_run_still_rises():
    spec = OptimSpec(peak_lr=1.0, warmup_steps=100)
    assert [lr_at(step, spec, 3) for step in range(3)] == pytest.approx([0.01, 0.02, 0.03])


def test_unknown_decay_is_named():
    with pytest.raises(
        RecipeError, match="Found step; expected linear, cosine, constant or halving"
    ):
        lr_at(5, OptimSpec(warmup_steps=0, decay="step"), 10)  # type: ignore[arg-type]


def test_the_sum_of_the_rates_is_that_of_all_steps():
    spec = OptimSpec(peak_lr=1e-3, warmup_steps=400, decay="cosine")
    every = sum(lr_at(step, spec, 5000) for step in range(5000))
    assert moves(spec, 5000) == pytest.approx(every, rel=1e-3)
    assert moves(spec, 700) == pytest.approx(sum(lr_at(step, spec, 700) for step in range(700)))


@pytest.mark.parametrize(
    ("spec", "steps", "begins"),
    [
        (PAPER, 120_000, []),
        (PAPER, 10_000, ["optim.warmup_steps 10000 is not shorter than the run of 10000 steps"]),
        (OptimSpec(peak_lr=1e-4, warmup_steps=20), 300, ["the learning rates of all 300 steps"]),
        (OptimSpec(name="muon", peak_lr=1e-4, warmup_steps=20), 300, []),
    ],
)
def test_what_cannot_teach_is_said(spec, steps, begins):
    said = schedule_warnings(spec, steps)
    assert len(said) == len(begins)
    assert all(line.startswith(start) for line, start in zip(said, begins, strict=True))
