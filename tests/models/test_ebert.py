"""EBERT and DBERT: what the state stream adds, what it must not change, and the sizes of the
paper.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from epilm.batch import Batch, Sequences, Windows
from epilm.errors import InputError, RecipeError
from epilm.models.ebert import EBERT
from epilm.models.from_spec import build_model, check_spec, parameter_table
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.sizes import ENCODER_SIZES, encoder_size
from epilm.nn.region import count_parameters
from epilm.objectives.combine import combine
from epilm.objectives.table import (
    MaskedStatesSpec,
    MaskSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)
from epilm.tokens.state_tokens import N_SPECIAL_STATES, PAD_STATE, UNKNOWN_STATE

STATES, TOKENS = 5, 20
ENCODER = EncoderSpec(
    size="tiny", hidden=16, layers=2, heads=2, ffn=32, max_positions=32, dropout=0.0
)
EB = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=3,
    stride=3,
    states=STATES,
    encoder=ENCODER,
    max_tokens=32,
)
DB = replace(EB, name="dbert", streams=("dna",), states=0)
OBJECTIVES = ObjectivesSpec(
    MaskSpec(),
    NextSegmentSpec(weight=0),
    MatchingSpec(weight=0),
    masked_states=MaskedStatesSpec(weight=1),
    alpha=0.5,
)


def batch(n=4, *, pad=0, states=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    width = TOKENS + 2
    ids = torch.randint(5, 69, (n, width), generator=g)
    ids[:, 0], ids[:, -1] = 2, 3
    known = torch.randint(UNKNOWN_STATE, N_SPECIAL_STATES + STATES, (n, width), generator=g)
    known[:, [0, -1]] = PAD_STATE
    hidden = torch.rand(n, width, generator=g) < 0.2
    hidden[:, [0, -1]] = False
    hidden[:, 3] = True
    labels = torch.where(hidden, ids, -100)
    state_labels = torch.full_like(ids, -100)
    state_labels[:, 3] = N_SPECIAL_STATES + torch.arange(n) % STATES
    ids = torch.where(hidden, 4, ids)

    def wide(table, fill):
        return nn.functional.pad(table, (0, pad), value=fill)

    ids, mask = wide(ids, 0), wide(torch.ones_like(ids, dtype=torch.bool), False)
    dna = Sequences(ids, torch.zeros_like(ids), mask, wide(labels, -100))
    made = Batch(
        rows=torch.arange(n),
        cells=torch.zeros(n, dtype=torch.int64),
        regions=torch.zeros((n, 0), dtype=torch.int64),
        dna=dna,
        owner=torch.arange(n),
    )
    if states:
        made = replace(made, states=wide(known, PAD_STATE), state_labels=wide(state_labels, -100))
    return made


@pytest.fixture
def ebert():
    return build_model(EB, seed=1).eval()


@pytest.fixture
def dbert():
    return build_model(DB, seed=1).eval()


def test_states_scored_by_a_table_of_their_own_leave_the_input_vectors_alone():
    own, tied = (build_model(replace(EB, state_output=how), seed=1) for how in ("own", "tied"))
    for model in (own, tied):
        model(batch()).state_logits.sum().backward()
    assert own.state_head.weight is own.state_table.weight
    assert tied.state_head.weight is tied.states.weight
    # No window shows a state that is not in the batch: only as an answer is it learned.
    never = N_SPECIAL_STATES + STATES - 1
    seen = replace(batch(), states=torch.full_like(batch().states, UNKNOWN_STATE))
    for model, moved in ((own, False), (tied, True)):
        model.zero_grad()
        model(seen).state_logits.square().sum().backward()
        assert bool(model.states.weight.grad[never].any()) is moved


def test_the_heads_see_hidden_tokens_alone(ebert):
    b = batch()
    out = ebert(b)
    chosen, centres = b.dna.labels != -100, b.state_labels != -100
    assert out.masked_logits.shape == (int(chosen.sum()), 69)
    assert out.state_logits.shape == (4, N_SPECIAL_STATES + STATES)
    assert torch.equal(out.masked_labels, b.dna.labels[chosen])
    assert torch.equal(out.state_labels, b.state_labels[centres])
    hidden = ebert.encode(b.dna.ids, b.dna.mask, b.states)
    assert torch.allclose(out.masked_logits, ebert.masked_head(hidden)[chosen], atol=1e-6)
    assert torch.allclose(out.state_logits, ebert.state_head(hidden)[centres], atol=1e-6)


@pytest.mark.parametrize("most", [None, 40])
@pytest.mark.parametrize("pad", [0, 3])
def test_scores_are_those_of_all_token_vectors(ebert, pad, most):
    """The last block works on hidden tokens alone: against the heads on every token's vector, and
    the same gradients.
    """
    b = batch(pad=pad)
    b = replace(b, dna=replace(b.dna, most=most), states_most=most)
    out = ebert(b)
    hidden = ebert.encode(b.dna.ids, b.dna.mask, b.states)
    plain = ebert.masked_head(hidden), ebert.state_head(hidden)
    labels = b.dna.labels, b.state_labels
    losses = []
    for logits, asked in zip(
        (out.masked_logits, out.state_logits), (out.masked_labels, out.state_labels), strict=True
    ):
        losses.append(nn.functional.cross_entropy(logits, asked))
        assert (asked != -100).sum() == (labels[len(losses) - 1] != -100).sum()
        assert most is None or len(asked) == most
    slow = [
        nn.functional.cross_entropy(x.flatten(0, 1), y.flatten())
        for x, y in zip(plain, labels, strict=True)
    ]
    grads = []
    for pair in (losses, slow):
        ebert.zero_grad()
        sum(pair).backward()
        grads.append([p.grad for p in ebert.parameters() if p.grad is not None])
    torch.testing.assert_close(losses, slow)
    torch.testing.assert_close(*grads, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("combine_by", ["sum", "concat"])
def test_without_states_it_is_dbert(combine_by):
    """A state table of zeros: the same hidden states as DBERT with the same weights."""
    ebert = build_model(replace(EB, state_combine=combine_by), seed=1).eval()
    dbert = build_model(DB, seed=2).eval()
    dbert.load_state_dict({k: v for k, v in ebert.state_dict().items() if k in dbert.state_dict()})
    b = batch(pad=3)
    of_dbert = dbert.encode(b.dna.ids, b.dna.mask)
    assert not torch.allclose(ebert.encode(b.dna.ids, b.dna.mask, b.states), of_dbert, atol=1e-3)
    with torch.no_grad():
        ebert.states.weight.zero_()
    assert torch.allclose(ebert.encode(b.dna.ids, b.dna.mask, b.states), of_dbert, atol=1e-6)
    assert torch.allclose(ebert(b).masked_logits, dbert(b).masked_logits, atol=1e-6)


def test_one_seed_gives_dbert_and_ebert_the_same_encoder(ebert, dbert):
    mine, other = ebert.state_dict(), dbert.state_dict()
    assert set(other) < set(mine)
    assert all(torch.equal(mine[name], other[name]) for name in other)


def test_dbert_is_the_encoder_alone(dbert):
    b = batch(pad=2)
    plain, _ = dbert.encoder(b.dna.ids, torch.zeros_like(b.dna.ids), b.dna.mask)
    assert torch.equal(dbert.encode(b.dna.ids, b.dna.mask), plain)
    assert dbert.states is None
    assert dbert.state_head is None
    assert dbert(b).state_logits is None


def test_states_reach_every_token(ebert):
    b = batch()
    other = b.states.clone()
    other[0, 5] = N_SPECIAL_STATES + (other[0, 5] + 1) % STATES
    one, two = (ebert.encode(b.dna.ids, b.dna.mask, s) for s in (b.states, other))
    assert ((one - two)[0].abs().sum(-1) > 0).all()
    assert torch.equal(one[1:], two[1:])


def test_no_states_are_unknown_states(ebert):
    b = batch(pad=2)
    real = b.dna.mask.clone()
    real[:, [0, TOKENS + 1]] = False
    unknown = torch.where(real, UNKNOWN_STATE, PAD_STATE)
    assert torch.equal(
        ebert.encode(b.dna.ids, b.dna.mask), ebert.encode(b.dna.ids, b.dna.mask, unknown)
    )


@pytest.mark.parametrize("combine_by", ["sum", "concat"])
def test_the_encoder_alone_can_stand_for_the_model_where_no_state_is_known(combine_by):
    ebert = build_model(replace(EB, state_combine=combine_by), seed=1).eval()
    with torch.no_grad():
        ebert.states.weight[PAD_STATE] = 0.3  # as after training: the tied head moves this row too
    words = ebert.encoder.words.weight.clone()
    b = batch(pad=2)
    alone = ebert.without_states()
    hidden, _ = alone(b.dna.ids, None, b.dna.mask)
    assert torch.allclose(
        hidden[b.dna.mask], ebert.encode(b.dna.ids, b.dna.mask)[b.dna.mask], atol=1e-6
    )
    assert torch.equal(ebert.encoder.words.weight, words)


def test_padding_does_not_change_the_answer(ebert):
    tight, wide = batch(), batch(pad=8)
    one, two = ebert(tight), ebert(wide)
    assert torch.allclose(one.masked_logits, two.masked_logits, atol=1e-5)
    assert torch.allclose(one.state_logits, two.state_logits, atol=1e-5)


def test_a_window_alone_gives_what_it_gives_in_a_batch(ebert):
    b = batch(6, pad=2)
    whole = ebert.encode(b.dna.ids, b.dna.mask, b.states)
    for n in range(6):
        alone = ebert.encode(b.dna.ids[n : n + 1], b.dna.mask[n : n + 1], b.states[n : n + 1])
        assert torch.allclose(alone[0], whole[n], atol=1e-5)


def test_concat_starts_as_the_sum_and_may_leave_it(ebert):
    joined = build_model(replace(EB, state_combine="concat"), seed=1).eval()
    b = batch()
    same = ebert.encode(b.dna.ids, b.dna.mask, b.states)
    assert torch.allclose(joined.encode(b.dna.ids, b.dna.mask, b.states), same, atol=1e-5)
    with torch.no_grad():
        joined.join.dense.weight[:, 16:] *= -1
    assert not torch.allclose(joined.encode(b.dna.ids, b.dna.mask, b.states), same, atol=1e-2)
    assert count_parameters(joined) == count_parameters(ebert) + 2 * 16 * 16 + 16


@pytest.mark.parametrize("combine_by", ["sum", "concat"])
@pytest.mark.parametrize("size", ["flat", "bfloat16"])
def test_every_part_learns(combine_by, size):
    model = build_model(replace(EB, state_combine=combine_by), seed=1)
    b = batch()
    with torch.autocast("cpu", torch.bfloat16, enabled=size == "bfloat16"):
        total, values = combine(model(b), b, OBJECTIVES)
    total.backward()
    still = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert still == [
        "encoder.pooler.weight",
        "encoder.pooler.bias",
    ]  # [CLS] is not used in pre-training
    assert {"masked_kmers/loss", "masked_states/loss", "masked_states/accuracy"} <= set(values)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_checkpointed_activations_give_the_same_gradients():
    spec = replace(EB, encoder=replace(ENCODER, checkpoint_activations=True))
    grads = []
    for each in (EB, spec):
        model = build_model(each, seed=1)
        b = batch()
        combine(model(b), b, OBJECTIVES)[0].backward()
        grads.append(model.states.weight.grad)
    assert torch.allclose(*grads, atol=1e-6)


def test_a_few_steps_learn_what_can_be_learned():
    """The state of a token is a function of its k-mer: a small model finds it."""
    model = build_model(EB, seed=1).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    alpha0 = replace(OBJECTIVES, alpha=0.0)
    losses = []
    for step in range(60):
        b = batch(32, seed=step)
        kmers = b.dna.ids.clone()
        kmers[:, 3] = 5 + torch.arange(32) % 60
        labels = torch.full_like(kmers, -100)
        labels[:, 3] = N_SPECIAL_STATES + (kmers[:, 3] - 5) % STATES
        b = replace(b, dna=replace(b.dna, ids=kmers), state_labels=labels)
        loss, _ = combine(model(b), b, alpha0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_the_size_of_the_paper():
    """About 98.1 M with 16 389 k-mers, 512 positions and 39 state rows; with heads and pooler about
    100 M.
    """
    spec = ModelSpec(
        name="ebert", streams=("dna", "states"), k=7, stride=7, states=36, max_tokens=150
    )
    with torch.device("meta"):
        model = build_model(spec)
    sizes = parameter_table(model)
    assert sum(p.numel() for p in model.encoder.blocks.parameters()) == 12 * 7_087_872
    assert tuple(model.encoder.words.weight.shape) == (16_389, 768)
    assert tuple(model.encoder.positions.weight.shape) == (512, 768)
    assert tuple(model.states.weight.shape) == (39, 768)
    pooler = count_parameters(model.encoder.pooler)
    assert (sizes["encoder"] - pooler + sizes["states"]) / 1e6 == pytest.approx(98.1, abs=0.05)
    assert sizes["total"] / 1e6 == pytest.approx(100, abs=0.2)


def test_the_large_size_is_the_one_the_paper_names_next():
    assert encoder_size(EncoderSpec(size="large")) == ENCODER_SIZES["large"]
    size = ENCODER_SIZES["large"]
    assert (size.layers, size.heads, size.hidden) == (24, 16, 1024)


def test_windows_go_in_as_they_are(ebert):
    b = batch()
    windows = Windows(b.dna.ids, b.dna.mask, b.states)
    assert torch.equal(ebert.encode_windows(windows), ebert.encode(b.dna.ids, b.dna.mask, b.states))


def test_states_of_another_shape_are_refused(ebert):
    b = batch()
    with pytest.raises(
        InputError, match=r"do not stand side by side. Found states \(4, 20\); expected \(4, 22\)"
    ):
        ebert.encode(b.dna.ids, b.dna.mask, b.states[:, 1:-1])


def test_a_state_head_needs_its_table(ebert):
    with pytest.raises(ValueError, match="needs the state table"):
        EBERT(ebert.encoder, state_head=ebert.state_head)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            replace(EB, states=0),
            r"model\.states: .*needs chromatin states.*Build the store with states",
        ),
        (replace(EB, states=255), "At most 254 states"),
        (replace(EB, streams=("dna",)), r"ebert reads dna and states.*dbert"),
        (
            replace(EB, streams=("dna", "factors")),
            r"model\.streams: the streams must be dna, and states where wanted",
        ),
        (replace(DB, streams=("dna", "states")), "dbert reads dna alone"),
        (ModelSpec(streams=("dna", "states"), factors=3), "factors and contacts where wanted"),
        (replace(EB, cell_embedding=True, cells=3), "must not know the cell type"),
        (replace(EB, fusion="concat"), "windows have no factor matrix"),
        (replace(EB, masked_factors=True), "windows have no factor matrix"),
        (replace(EB, contacts="bias"), "windows have no contacts"),
        (replace(EB, state_combine="product"), r"model\.state_combine.*Found product"),
        (replace(EB, tail="cut"), r"model\.tail"),
        (replace(EB, stride=0), "tokens must move on"),
        (replace(EB, stride=4), r"bases between two 3-mers would never be read.*model\.stride=3"),
    ],
)
def test_impossible_specs_are_refused(spec, message):
    with pytest.raises(RecipeError, match=message):
        check_spec(spec)


def test_the_position_table_holds_the_window():
    spec = replace(EB, max_tokens=48)
    assert build_model(spec).encoder.max_positions == 48


def test_starting_a_temperature_does_nothing(ebert):
    before = {k: v.clone() for k, v in ebert.state_dict().items()}
    ebert.start_temperature(0.07)
    assert ebert.log_temperature is None
    assert all(torch.equal(v, before[k]) for k, v in ebert.state_dict().items())
