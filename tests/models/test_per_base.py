"""One answer a base from chunks of tokens: no seam, no base twice, whatever the cut."""

import pytest
import torch

from epilm.batch import Windows
from epilm.errors import InputError
from epilm.models.ebert import EBERT
from epilm.models.per_base import PerBaseModel, chunks_for, per_base_from
from epilm.nn.encoder import SequenceEncoder
from epilm.tokens.kmers import CLS, SEP, UNK, kmer_ids, vocab_size


def trunk_for(k, positions=64):
    torch.manual_seed(0)
    encoder = SequenceEncoder(
        vocab=vocab_size(k), hidden=8, layers=2, heads=2, ffn=16, max_positions=positions
    )
    return EBERT(encoder)


def windows(codes):
    nothing = torch.zeros(len(codes), 1, dtype=torch.int64)
    return Windows(nothing, nothing == 0, codes=codes)


def model_for(k, stride, context, kept, special=True):
    beside = -(-(context // 2) // stride)
    torch.manual_seed(1)
    return PerBaseModel(
        trunk_for(k),
        3,
        context=context,
        k=k,
        stride=stride,
        special=special,
        kept=kept,
        beside=beside,
    ).eval()


def slowly(model, codes):
    """Base by base: its token, the chunk that keeps it, its place in the token."""
    k, stride, half = model.k, model.stride, model.context // 2
    middle = max(k - stride, 0) // 2
    ids = kmer_ids(codes, k, stride)
    first = (half - middle) // stride
    out = []
    for base in range(codes.shape[1] - model.context):
        token = (half + base - middle) // stride
        chunk = (token - first) // model.kept
        left = first + chunk * model.kept - model.beside
        places = range(left, left + model.kept + 2 * model.beside)
        mine = [int(ids[0, p]) if 0 <= p < ids.shape[1] else UNK for p in places]
        if model.special:
            mine = [CLS, *mine, SEP]
        tensor = torch.tensor([mine])
        hidden = model.trunk.encode(tensor, torch.ones_like(tensor, dtype=torch.bool))
        vector = hidden[0, token - left + model.special]
        answers = model.out(vector).reshape(stride, 3)
        out.append(answers[half + base - middle - token * stride])
    return torch.stack(out)


@pytest.mark.parametrize(
    ("k", "stride", "context", "kept"),
    [(3, 1, 10, 7), (3, 1, 10, 40), (6, 1, 12, 9), (3, 3, 12, 4), (4, 2, 8, 5), (3, 1, 0, 5)],
)
@pytest.mark.parametrize("special", [True, False])
def test_every_base_is_answered_once_by_the_token_over_it(k, stride, context, kept, special):
    model = model_for(k, stride, context, kept, special)
    codes = torch.randint(0, 5, (1, context + 23), dtype=torch.uint8)
    with torch.no_grad():
        said = model(windows(codes))[0]
        torch.testing.assert_close(said, slowly(model, codes), atol=1e-5, rtol=1e-5)


def test_a_base_sees_its_context_on_either_side_of_every_seam():
    context = 10
    model = model_for(3, 1, context, 7).double()
    codes = torch.randint(0, 4, (1, context + 30), dtype=torch.uint8)
    reach = torch.zeros(30, codes.shape[1], dtype=torch.bool)
    with torch.no_grad():
        before = model(windows(codes))[0]
        for at in range(codes.shape[1]):
            changed = codes.clone()
            changed[0, at] = (changed[0, at] + 1) % 4
            reach[:, at] = (model(windows(changed))[0] - before).abs().amax(-1) > 0
    for base in range(30):
        assert reach[base, base : base + context + 1].all(), base


def test_answers_do_not_hang_on_what_else_is_in_the_batch(monkeypatch):
    model = model_for(3, 1, 10, 7)
    codes = torch.randint(0, 5, (3, 40), dtype=torch.uint8)
    with torch.inference_mode():
        together = model(windows(codes))
        apart = torch.cat([model(windows(codes[n : n + 1])) for n in range(3)])
        monkeypatch.setattr("epilm.models.per_base.AT_ONCE", 2)
        pieces = model(windows(codes))
    torch.testing.assert_close(apart, together, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(pieces, together, atol=1e-6, rtol=1e-5)


def test_a_short_table_is_enlarged_and_the_head_is_a_function_of_the_seed():
    cut = {"context": 200, "k": 3, "stride": 1, "special": True}
    chunks = chunks_for(200, 1, True, 64, 50)
    assert chunks.positions == chunks.kept + 2 * chunks.beside + 2 > 64
    trunk = trunk_for(3)
    made = [per_base_from(trunk, 3, seed=5, **cut, **chunks._asdict()) for _ in range(2)]
    assert trunk.encoder.max_positions == 64
    assert made[0].trunk.encoder.max_positions == chunks.positions
    torch.testing.assert_close(made[0].out.out.weight, made[1].out.out.weight)
    table = made[0].trunk.encoder.positions.weight
    torch.testing.assert_close(table[64:128], trunk.encoder.positions.weight)
    codes = torch.randint(0, 4, (1, 250), dtype=torch.uint8)
    assert made[0].eval()(windows(codes)).shape == (1, 50, 3)


def test_a_window_that_is_all_context_is_refused():
    with pytest.raises(InputError, match="the window holds no base to answer"):
        model_for(3, 1, 10, 7)(windows(torch.zeros(1, 10, dtype=torch.uint8)))


def test_answers_begin_at_the_shares_of_the_classes():
    model = model_for(3, 3, 12, 4)
    torch.nn.init.zeros_(model.out.out.weight)
    shares = torch.tensor([0.9, 0.06, 0.04])
    model.start_at(shares)
    said = model(windows(torch.zeros(1, 30, dtype=torch.uint8))).softmax(-1)
    torch.testing.assert_close(said[0], shares.expand(18, 3))
