"""Rotary positions: distances alone in the scores, the same numbers with and without padding, in
every road of attention.
"""

import pytest
import torch

from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.nn.encoder import SequenceEncoder
from epilm.nn.rotary import turned, turns

CPU = torch.device("cpu")


def encoder(**more):
    torch.manual_seed(0)
    return SequenceEncoder(
        vocab=69, hidden=32, layers=2, heads=4, ffn=64, max_positions=64, rotary=True, **more
    ).eval()


def test_scores_are_those_of_complex_numbers_and_see_distances_alone():
    generator = torch.Generator().manual_seed(1)
    qkv = torch.randn(2, 9, 3 * 16, generator=generator)
    heads, half = 2, 4
    q, k, v = turned(qkv, turns(9, 8, CPU), heads).view(2, 9, 3, heads, 8).unbind(2)
    # The slow way: a pair of numbers is one complex number, and a place a power of e^(i rate).
    rates = 10_000.0 ** (-torch.arange(half).double() / half)
    places = torch.arange(9).double()
    plain = qkv.view(2, 9, 3, heads, 8).double()
    pairs = torch.complex(plain[..., :half], plain[..., half:])
    phases = torch.polar(torch.ones(9, half).double(), places[:, None] * rates)[None, :, None]
    for got, index in ((q, 0), (k, 1)):
        expected = pairs[:, :, index] * phases
        assert torch.allclose(
            torch.complex(got[..., :half], got[..., half:]), expected.to(torch.complex64), atol=1e-5
        )
    assert torch.equal(v, qkv.view(2, 9, 3, heads, 8)[:, :, 2])
    same = qkv[:, :1].expand(2, 9, 48)
    q, k, _ = turned(same, turns(9, 8, CPU), heads).view(2, 9, 3, heads, 8).unbind(2)
    scores = torch.einsum("nlhd,nmhd->nhlm", q, k)
    assert torch.allclose(scores[..., 1:, 1:], scores[..., :-1, :-1], atol=1e-4)


@pytest.mark.parametrize("front", [True, False])
def test_packed_and_padded_agree(front):
    model, generator = encoder(), torch.Generator().manual_seed(2)
    ids = torch.randint(5, 69, (6, 40), generator=generator)
    lengths = torch.tensor([40, 33, 20, 9, 2, 1])
    mask = torch.arange(40) < lengths[:, None]
    if not front:
        mask = mask.roll(
            1, 1
        )  # tokens need not begin at the front: a place is where the token stands
    outs = []
    for packing in ("off", "packed"):
        model.compute(packing=packing)
        outs.append(model(ids, mask=mask)[0][mask])
    assert torch.allclose(*outs, atol=1e-5)
    model.compute("plain", "off")
    assert torch.allclose(model(ids, mask=mask)[0][mask], outs[0], atol=1e-5)
    assert torch.allclose(
        model(ids, mask=mask, return_attentions=True)[0][mask], outs[0], atol=1e-5
    )


def test_gradients_agree_with_activation_checkpointing_and_the_state_is_berts():
    spec = ModelSpec(
        name="dbert",
        streams=("dna",),
        encoder=EncoderSpec(size="tiny", rotary=True),
        next_segment="none",
    )
    model = build_model(spec, seed=3)
    plain = build_model(
        ModelSpec(
            name="dbert", streams=("dna",), encoder=EncoderSpec(size="tiny"), next_segment="none"
        ),
        seed=3,
    )
    assert model.state_dict().keys() == plain.state_dict().keys()  # a turn has no weights
    ids = torch.randint(5, 4000, (2, 30), generator=torch.Generator().manual_seed(4))
    mask = torch.ones(2, 30, dtype=torch.bool)
    with torch.no_grad():
        assert not torch.allclose(model.encode(ids, mask), plain.encode(ids, mask), atol=1e-3)
    grads = []
    for kept in (False, True):
        model.encoder.checkpoint_activations = kept
        for part in model.encoder.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        for block in model.encoder.blocks:
            block.attention_dropout = 0.0
        model.train().zero_grad()
        model.encode(ids, mask).square().sum().backward()
        grads.append(model.encoder.words.weight.grad.clone())
    assert torch.allclose(*grads, atol=1e-5)


def test_odd_heads_are_refused():
    with pytest.raises(ValueError, match="even width"):
        SequenceEncoder(vocab=69, hidden=6, layers=1, heads=2, ffn=8, rotary=True)


def test_nothing_of_fake_or_inference_tensors_is_kept():
    from torch._subclasses.fake_tensor import FakeTensorMode

    model, ids = encoder(), torch.randint(5, 69, (2, 17))
    with FakeTensorMode(allow_non_fake_inputs=True):
        turns(17, 8, CPU)
    with torch.inference_mode():
        model(ids)
    model.train()
    model(ids)[0].sum().backward()  # as after a plan, or a prediction, in one process
    assert torch.isfinite(model.words.weight.grad).all()
