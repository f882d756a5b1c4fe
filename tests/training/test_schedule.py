"""The learning rate at steps that can be worked out by hand."""

import pytest

from epilm.errors import RecipeError
from epilm.training.optim_spec import OptimSpec
from epilm.training.schedule import lr_at

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
    with pytest.raises(RecipeError, match="Found step; expected linear, cosine or constant"):
        lr_at(5, OptimSpec(warmup_steps=0, decay="step"), 10)  # type: ignore[arg-type]
