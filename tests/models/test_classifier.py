"""Fine-tuning's classifier: fusions (A20), pieces of long inputs, what it takes from a model."""

import pytest
import torch

from epilm.errors import RecipeError
from epilm.models.classifier import SequenceClassifier, classifier_from
from epilm.models.from_spec import build_model
from epilm.models.model_spec import TowerSpec


@pytest.fixture
def model(toy):
    return build_model(toy.spec(), seed=0)


@pytest.mark.parametrize("fusion", ["none", "concat", "cross_attention"])
@pytest.mark.parametrize("pooling", ["cls", "pooler", "mean"])
def test_every_fusion_learns(toy, model, fusion, pooling):
    classifier = classifier_from(model, 3, fusion=fusion, pooling=pooling).eval()
    factors = None if fusion == "none" else torch.randn(6, 1, 13)
    logits = classifier(toy.sequences(6), factors)
    assert logits.shape == (6, 3)
    logits.logsumexp(1).sum().backward()
    assert classifier.encoder.words.weight.grad.abs().sum() > 0
    if factors is not None:
        assert not torch.allclose(logits, classifier(toy.sequences(6), factors + 1.0))


def test_the_model_is_left_alone(toy, model):
    before = model.encoder.words.weight.clone()
    classifier = classifier_from(model, 2)
    with torch.no_grad():
        classifier.encoder.words.weight.zero_()
    assert torch.equal(model.encoder.words.weight, before)


def test_the_input_is_one_row_and_the_others_are_absent(model):
    classifier = classifier_from(model, 2, fusion="concat").eval()
    factors = torch.randn(2, 1, 13)
    padded = torch.cat([factors, torch.zeros(2, 3, 13)], 1)
    present = torch.tensor([[True, False, False, False]]).expand(2, -1)
    assert torch.equal(classifier._read_matrix(factors)[0], model.tower.eval()(padded, present))


@pytest.mark.parametrize("layout", ["per_region", "chunk_rnn"])
@pytest.mark.parametrize("fusion", ["none", "cross_attention"])
def test_pieces_of_an_input_are_joined(toy, layout, fusion):
    model = build_model(toy.spec(layout=layout), seed=0)
    classifier = classifier_from(model, 2, fusion=fusion).eval()
    owner = torch.tensor([0, 0, 1, 2, 2, 2])
    factors = None if fusion == "none" else torch.zeros(3, 1, 13)
    logits = classifier(toy.sequences(6), factors, owner)
    assert logits.shape == (3, 2)


def test_a_trained_fusion_is_taken_over(toy):
    model = build_model(toy.spec(fusion="concat", masked_factors=True), seed=0)
    same = classifier_from(model, 2, fusion="concat")
    assert torch.equal(same.fusion.layers[0].weight, model.fusion.layers[0].weight)
    assert same.eval()(toy.sequences(2), torch.zeros(2, 1, 13)).shape == (2, 2)
    assert classifier_from(model, 2, fusion="none").fusion is None
    assert classifier_from(model, 2, fusion="none").tower is None


def test_wrong_use_says_so(toy, model):
    with pytest.raises(RecipeError, match="got no factors"):
        classifier_from(model, 2, fusion="concat")(toy.sequences(2))
    with pytest.raises(RecipeError, match="built without a fusion"):
        classifier_from(model, 2)(toy.sequences(2), torch.zeros(2, 1, 13))
    with pytest.raises(RecipeError, match="model of the sequence alone"):
        SequenceClassifier(model.encoder, 2, fusion="concat")


def test_a_tower_of_three_statistics_fuses_with_nothing(toy):
    tower = TowerSpec(
        "swin_t_224", prepare="channels", embed=8, depths=(1, 1, 1, 1), heads=(1, 1, 2, 2)
    )
    model = build_model(toy.spec(tower=tower), seed=0)
    assert classifier_from(model, 2).tower is None  # the sequence alone is read as ever
    with pytest.raises(
        RecipeError, match=r"best score of each motif alone.*prepare=channels.*fusion to none"
    ):
        classifier_from(model, 2, fusion="concat")
