"""Which validation is the best, by hand."""

import pytest

from epilm.errors import RecipeError
from epilm.pretraining.best import Best, check_score


def after(score: str, values: list[float | None], samples: int = 8) -> Best:
    best = Best(score)
    for number, value in enumerate(values, 1):
        best = best.after(10 * number, {score: value, "samples": samples})
    return best


@pytest.mark.parametrize(
    ("score", "values", "step", "since"),
    [
        ("loss", [3.0, 2.0, 4.0], 20, 1),
        ("matching/loss", [3.0, 2.0, 1.0], 30, 0),
        ("motif_sites/recall", [0.1, 0.4, 0.3, 0.2], 20, 2),
        ("loss", [2.0, 2.0, 2.0], 10, 2),  # equal is not better
        ("loss", [float("nan"), 2.0, float("inf"), None], 20, 2),
        ("loss", [float("nan")], None, 1),
    ],
)
def test_least_loss_or_most_of_anything_else(score, values, step, since):
    best = after(score, values)
    assert (best.step, best.since) == (step, since)
    assert Best(**best.to_json()) == best


def test_patience_counts_validations_in_a_row():
    best = after("loss", [3.0, 2.0, 4.0, 5.0])
    assert best.spent(2)
    assert not best.spent(3)
    assert not best.spent(None)


def test_scores_over_other_samples_are_not_compared():
    best = after("loss", [1.0, 2.0]).after(30, {"loss": 5.0, "samples": 16})
    assert (best.step, best.value, best.since) == (30, 5.0, 0)


def test_a_score_that_the_validation_does_not_give_is_named():
    known = ["loss", "matching/recall@1", "matching/recall@1_chance", "samples", "seconds"]
    check_score("matching/recall@1", known)
    for score in ("matching/recall@1_chance", "seconds", "accuracy"):
        with pytest.raises(RecipeError, match=rf"train.best_by: .* no such score\. Found {score}"):
            check_score(score, known)
