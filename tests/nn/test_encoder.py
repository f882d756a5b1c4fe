"""The sequence encoder against `transformers.BertModel` on the same weights, and its switches."""

import copy

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel

from epilm.errors import InputError
from epilm.hub.transformers import from_bert_state, to_bert_state
from epilm.models.model_spec import EncoderSpec
from epilm.models.sizes import encoder_from_spec
from epilm.nn.encoder import SequenceEncoder, enlarge_positions
from epilm.nn.vocabulary import MaskedHead

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def pair(heads: int = 4, seed: int = 0) -> tuple[BertForMaskedLM, SequenceEncoder, MaskedHead]:
    """A BERT with random weights (biases too) and ours with the same."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=69,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=heads,
        intermediate_size=64,
        max_position_embeddings=40,
    )
    bert = BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in bert.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    found = from_bert_state(bert.state_dict(), heads)
    encoder = SequenceEncoder(69, 32, 3, heads, 64, max_positions=40)
    encoder.load_state_dict(found.encoder, strict=False)
    head = MaskedHead(32, 69, encoder.words.weight)
    head.load_state_dict(found.head)
    return bert, encoder.eval(), head.eval()


def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 69, (3, 17), generator=generator)
    mask = torch.arange(17) < torch.tensor([[17], [9], [1]])
    segments = (torch.arange(17) > 6).long().expand(3, 17)
    return {"ids": ids * mask, "segments": segments, "mask": mask}


def test_hidden_states_and_masked_lm_scores_are_those_of_bert_with_padding():
    bert, encoder, head = pair()
    x = inputs()
    with torch.no_grad():
        theirs = bert.bert(x["ids"], attention_mask=x["mask"].long(), token_type_ids=x["segments"])
        logits = bert(
            x["ids"], attention_mask=x["mask"].long(), token_type_ids=x["segments"]
        ).logits
        hidden, attentions = encoder(**x)
    assert attentions is None
    torch.testing.assert_close(hidden[x["mask"]], theirs.last_hidden_state[x["mask"]], **TOLERANCE)
    torch.testing.assert_close(head(hidden[x["mask"]]), logits[x["mask"]], **TOLERANCE)


def test_the_pooler_is_berts():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=69,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    bert = BertModel(config).eval()
    encoder = SequenceEncoder(69, 32, 1, 2, 64)
    encoder.load_state_dict(from_bert_state(bert.state_dict(), 2).encoder)
    ids = inputs()["ids"]
    with torch.no_grad():
        ours = encoder.eval().pool(encoder(ids)[0])
        torch.testing.assert_close(ours, bert(ids).pooler_output, **TOLERANCE)


def test_gradients_are_those_of_bert():
    bert, encoder, head = pair()
    x = inputs()
    labels = torch.where(x["mask"] & (x["ids"] % 3 == 0), x["ids"], -100)
    theirs = bert(
        x["ids"], attention_mask=x["mask"].long(), token_type_ids=x["segments"], labels=labels
    )
    theirs.loss.backward()
    hidden, _ = encoder(**x)
    chosen = labels != -100
    loss = torch.nn.functional.cross_entropy(head(hidden[chosen]), labels[chosen])
    loss.backward()
    torch.testing.assert_close(loss, theirs.loss, **TOLERANCE)
    torch.testing.assert_close(
        encoder.words.weight.grad, bert.bert.embeddings.word_embeddings.weight.grad, **TOLERANCE
    )
    ours = to_bert_state(
        {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
        | {name: p for name, p in encoder.named_parameters() if p.grad is None}
    )
    for name, parameter in bert.bert.named_parameters():
        torch.testing.assert_close(ours[f"bert.{name}"], parameter.grad, **TOLERANCE)


def test_attention_tables_are_berts_and_change_nothing():
    bert, encoder, _ = pair()
    bert.set_attn_implementation("eager")
    x = inputs()
    with torch.no_grad():
        theirs = bert.bert(
            x["ids"],
            attention_mask=x["mask"].long(),
            token_type_ids=x["segments"],
            output_attentions=True,
        )
        hidden, attentions = encoder(**x, return_attentions=True)
        plain, _ = encoder(**x)
    assert len(attentions) == 3
    for ours, peer in zip(attentions, theirs.attentions, strict=True):
        rows = x["mask"][:, None, :, None].expand_as(ours)
        torch.testing.assert_close(ours[rows], peer[rows], **TOLERANCE)
        torch.testing.assert_close(ours.sum(-1), torch.ones(3, 4, 17))
    torch.testing.assert_close(hidden[x["mask"]], plain[x["mask"]], **TOLERANCE)


def test_padding_does_not_reach_the_tokens():
    _, encoder, _ = pair()
    x = inputs()
    with torch.no_grad():
        padded, _ = encoder(**x)
        for row, length in enumerate([17, 9, 1]):
            alone, _ = encoder(
                x["ids"][row : row + 1, :length], x["segments"][row : row + 1, :length]
            )
            torch.testing.assert_close(padded[row, :length], alone[0], **TOLERANCE)


def test_a_sequence_without_a_token_is_finite_also_in_its_gradient():
    _, encoder, _ = pair()
    hidden, _ = encoder(
        torch.zeros(2, 5, dtype=torch.long),
        None,
        torch.tensor([[True] * 5, [False] * 5]),
        attention_bias=torch.zeros(2, 1, 1, 5),
    )
    hidden.sum().backward()
    assert hidden.isfinite().all()
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_an_attention_bias_is_added_to_the_scores():
    _, encoder, _ = pair()
    x = inputs()
    bias = torch.zeros(3, 1, 17, 17)
    with torch.no_grad():
        plain, _ = encoder(**x)
        same, _ = encoder(**x, attention_bias=bias)
        torch.testing.assert_close(same[x["mask"]], plain[x["mask"]], **TOLERANCE)
        bias[..., 3] = -1e9  # nobody looks at token 3: as if it were padding
        hidden_3 = x["mask"].clone()
        hidden_3[:, 3] = False
        expected, _ = encoder(x["ids"], x["segments"], hidden_3)
        got, _ = encoder(**x, attention_bias=bias)
    torch.testing.assert_close(got[:2][hidden_3[:2]], expected[:2][hidden_3[:2]], **TOLERANCE)


def test_word_vectors_can_stand_in_for_ids():
    _, encoder, _ = pair()
    x = inputs()
    with torch.no_grad():
        direct, _ = encoder(**x)
        soft, _ = encoder(None, x["segments"], x["mask"], inputs_embeds=encoder.words(x["ids"]))
    assert torch.equal(direct, soft)


def test_checkpointed_activations_give_the_same_gradients():
    _, encoder, _ = pair()
    saving = copy.deepcopy(encoder)
    saving.checkpoint_activations = True
    x = inputs()
    for model in (encoder, saving):
        model.train()
        torch.manual_seed(3)  # the same dropout
        model(**x)[0].square().sum().backward()
    for mine, other in zip(encoder.parameters(), saving.parameters(), strict=True):
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad)


def test_dropout_acts_in_training_alone():
    _, encoder, _ = pair()
    x = inputs()
    assert torch.equal(encoder(**x)[0], encoder(**x)[0])
    encoder.train()
    assert not torch.equal(encoder(**x)[0], encoder(**x)[0])


def test_the_head_shares_the_word_table_and_stores_it_once():
    _, encoder, head = pair()
    both = torch.nn.ModuleDict({"encoder": encoder, "head": head})
    assert "head.weight" not in both.state_dict()
    twin = copy.deepcopy(both)
    assert twin["head"].weight is twin["encoder"].words.weight
    both.load_state_dict({name: value + 1 for name, value in both.state_dict().items()})
    assert head.weight is encoder.words.weight
    names = [name for name, _ in both.named_parameters()]
    assert "encoder.words.weight" in names
    assert "head.weight" not in names


def test_the_first_weights_are_drawn_as_berts():
    torch.manual_seed(0)
    encoder = encoder_from_spec(EncoderSpec(size="small"), vocab=4101)
    assert encoder.words.weight[0].abs().sum() == 0
    assert encoder.words.weight.detach().std() == pytest.approx(0.02, rel=0.02)
    assert encoder.blocks[0].up.weight.detach().std() == pytest.approx(0.02, rel=0.05)
    assert encoder.blocks[0].up.bias.abs().sum() == 0
    assert encoder.norm.weight.eq(1).all()
    assert encoder.norm.eps == encoder.blocks[0].ffn_norm.eps == 1e-12


def test_a_longer_input_than_positions_is_refused():
    _, encoder, _ = pair()
    with pytest.raises(InputError, match=r"Found 41 tokens; expected at most 40"):
        encoder(torch.zeros(1, 41, dtype=torch.long))


@pytest.mark.parametrize("how", ["tile", "interpolate"])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 9, 5046])
def test_enlarged_positions_are_made_of_the_rows_there_are(how, n):
    table = torch.tensor([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [3.0, 8.0]])
    grown = enlarge_positions(table, n, how)
    assert grown.shape == (n, 2)
    assert 0 <= grown[:, 0].min() <= grown[:, 0].max() <= 3
    if how == "tile":
        assert torch.equal(grown, table[torch.arange(n) % 4])
    elif n > 1:
        torch.testing.assert_close(grown[:, 0], torch.linspace(0, 3, n), atol=1e-3, rtol=0)


def test_an_encoder_can_be_made_longer():
    _, encoder, _ = pair()
    ids = torch.randint(5, 69, (1, 100))
    before = encoder(ids[:, :40])[0]
    encoder.enlarge(100, "tile")
    assert torch.equal(encoder(ids[:, :40])[0], before)
    assert encoder(ids)[0].shape == (1, 100, 32)
    with pytest.raises(ValueError, match=r"neither 'tile' nor 'interpolate'"):
        enlarge_positions(torch.zeros(2, 2), 3, "stretch")


@pytest.mark.parametrize(
    "how", ["full", "padded", "packed", "rotary", "bias", "attentions", "checkpointed", "all"]
)
@pytest.mark.parametrize("of_each", [False, True])
def test_tokens_that_are_read_are_what_they_are_among_all(how, of_each):
    """Leaving the others out after the last attention, or before it, changes no vector that is
    read, and no gradient.
    """
    torch.manual_seed(0)
    encoder = SequenceEncoder(
        69, 32, 3, 4, 64, max_positions=40, dropout=0.0, rotary=how == "rotary"
    ).double()
    encoder.compute(packing="packed" if how == "packed" else "off")
    encoder.checkpoint_activations = how == "checkpointed"
    x = inputs()
    if how == "full":
        x["mask"] = None
    if how == "bias":
        x["attention_bias"] = torch.randn(3, 1, 17, 17, dtype=torch.float64)
    x["return_attentions"] = how == "attentions"
    rows = torch.tensor(
        [33, 5, 0, 5, 17, 34]
    )  # out of order, one twice, tokens of all three sequences; 33 is padding
    if how == "all":
        rows = torch.arange(3 * 17)
    asked = rows
    if of_each:
        encoder.eval()
        asked = torch.tensor([[16, 5, 0, 5], [0, 1, 2, 3], [9, 3, 0, 3]])  # 9 of the last: padding
        asked = torch.arange(17).expand(3, 17) if how == "all" else asked
        rows = (asked + 17 * torch.arange(3)[:, None]).flatten()
    real = torch.ones(51, dtype=torch.bool) if x["mask"] is None else x["mask"].flatten()
    weights = torch.randn(len(rows), 32, dtype=torch.float64) * real[rows, None]
    found = []
    for read in (asked, None):
        encoder.zero_grad()
        hidden, attentions = encoder(**x, rows=read)
        assert (attentions is None) == (how != "attentions")
        if read is None:
            hidden = hidden.flatten(0, 1)[rows]
        else:
            assert hidden.shape == (*asked.shape, 32)
            hidden = hidden.flatten(0, -2)
        assert hidden.shape == (len(rows), 32)
        assert torch.isfinite(hidden).all()
        (hidden * weights).sum().backward()
        grads = [p.grad for p in encoder.parameters() if p.grad is not None]
        found.append((hidden[real[rows]].detach(), grads))
    torch.testing.assert_close(*found, atol=1e-12, rtol=1e-9)


def test_no_layers_and_no_rows_are_fine_too():
    encoder = SequenceEncoder(69, 32, 2, 4, 64, max_positions=40).eval()
    x = inputs()
    with torch.no_grad():
        assert encoder(**x, rows=torch.zeros(0, dtype=torch.int64))[0].shape == (0, 32)
        encoder.blocks = torch.nn.ModuleList()
        rows = torch.tensor([20, 3])
        torch.testing.assert_close(encoder(**x, rows=rows)[0], encoder(**x)[0].flatten(0, 1)[rows])
        each = torch.tensor([[4], [0], [2]])
        read = encoder(**x)[0].gather(1, each[..., None].expand(-1, -1, 32))
        torch.testing.assert_close(encoder(**x, rows=each)[0], read)
