"""A step that is no number stops, with what it was; vectors that are all alike are seen."""

import pytest
import torch
from torch.nn import functional as F

from epilm.errors import TrainingError
from epilm.training.watch import check_finite, mean_cosine

ONE, NAN, INF = torch.tensor(1.0), torch.tensor(float("nan")), torch.tensor(float("inf"))
GOOD = ([0, 1], {"a/loss": ONE, "a/recall": NAN})  # a score may be undefined


def check(total, norm, *micros):
    check_finite(total, norm, micros, step=7, lr=0.5)


def test_a_step_of_numbers_goes_on():
    check(ONE, ONE, GOOD)


@pytest.mark.parametrize(
    ("total", "norm", "micros", "message"),
    [
        (NAN, ONE, [GOOD, ([5], {"a/loss": NAN})], r"step 7: the loss.*Found a nan in rows 5 \(lr"),
        (INF, ONE, [([5], {"a/loss": ONE, "b/loss": INF})], "Found b inf in rows 5 "),
        (NAN, ONE, [(range(9), {"a/loss": NAN})], r"rows 0, 1, 2, 3, 4, 5, 6, 7, \.\.\. "),
        (NAN, ONE, [GOOD], "Found in another process"),
        (ONE, INF, [GOOD], "the gradient is not finite. Found gradient norm inf, losses finite"),
    ],
)
def test_what_is_no_number_names_objective_and_rows(total, norm, micros, message):
    with pytest.raises(TrainingError, match=message):
        check(total, norm, *micros)


def test_the_mean_cosine_is_that_of_all_pairs():
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    pairs = [
        float(F.cosine_similarity(rows[a], rows[b], dim=0))
        for a in range(6)
        for b in range(6)
        if a != b
    ]
    assert mean_cosine(rows) == pytest.approx(sum(pairs) / 30, abs=1e-6)
    longer = rows * torch.arange(1, 7)[:, None]
    assert mean_cosine(longer) == pytest.approx(mean_cosine(rows), abs=1e-7)
    assert torch.isnan(torch.tensor(mean_cosine(rows[:1])))
