"""What scores variants is opened by what it is; what says nothing to it is refused."""

import pytest

from epilm.errors import UsageError
from epilm.variants.open_models import no_answers_of_bases, open_model, open_scorers
from epilm.variants.pair_scores import PairScores
from epilm.variants.task_scorer import TaskScorer
from epilm.variants.variant_choices import VariantReading


def test_a_model_is_opened_as_what_it_is(world):
    folder = world["folder"]
    whole = open_model(folder / "model", lambda loaded: loaded, no_answers_of_bases, device="cpu")
    assert whole.spec.name == "dnabert"
    tuned = open_model(folder / "tuned", lambda loaded: None, no_answers_of_bases, device="cpu")
    assert isinstance(tuned, TaskScorer)
    both = open_scorers(
        folder / "model", folder / "m.jaspar", VariantReading(window=64), device="cpu"
    )
    (scores,) = both
    assert isinstance(scores, PairScores)
    assert {"llr_delta", "motif_AP1_delta"} <= set(scores.columns)


@pytest.mark.parametrize(
    ("model", "motifs", "options", "message"),
    [
        (None, "m.jaspar", {"cell": "liver"}, "--cell, --scores and --pooling are a model's"),
        ("model", None, {"motif_columns": "largest"}, "--motif-columns is of motifs"),
        ("model", None, {"cell": "liver"}, "a pre-trained model reads bases alone here"),
        ("model", None, {"distance": 5}, "--distance and --genes are of a model of splice sites"),
        ("tuned", None, {"scores": ["llr"]}, "a fine-tuned one has logits. Found llr"),
        ("tuned", None, {"store": "s"}, "--store or --cell"),
        (None, None, {"window": 40}, "--window says nothing here"),
        (None, None, {"shifts": (3,)}, "--shifts says nothing here"),
        (None, None, {"grid": 4}, "--grid says nothing here"),
    ],
)
def test_an_option_that_says_nothing_is_refused(world, model, motifs, options, message):
    paths = [None if name is None else world["folder"] / name for name in (model, motifs)]
    options = dict(options)
    places = {name: options.pop(name) for name in ("store", "cell") if name in options}
    with pytest.raises(UsageError, match=message):
        open_scorers(*paths, VariantReading(**options), device="cpu", **places)
