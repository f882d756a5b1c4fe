"""What each switch of the model does, and the traps: A6, leaks between modalities, absent
regions.
"""

from dataclasses import replace

import pytest
import torch

from epilm.errors import RecipeError
from epilm.models.from_spec import build_model, check_spec, parameter_table
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec
from epilm.objectives.contrast import contrastive_micro_batches
from epilm.objectives.matching import contrast
from epilm.objectives.table import MatchingSpec


def outputs(toy, batch_changes=None, **changes):
    spec = toy.spec(**changes)
    model = build_model(spec, seed=0).eval()
    batch = toy.batch(spec)
    return model, replace(batch, **(batch_changes or {})), spec


@pytest.mark.parametrize("clean", [False, True])
def test_the_embedding_does_not_change_with_the_negative_pair(toy, clean):
    """A6: the pairs of pass 2 reach neither E_seq nor its projection."""
    spec = toy.spec()
    model = build_model(spec, seed=0).eval()
    batch = toy.batch(spec, clean=clean)
    other = replace(batch, pairs=toy.sequences(5, seed=99), pair_labels=1 - batch.pair_labels)
    one, two = model(batch), model(other)
    assert torch.equal(one.seq_embedding, two.seq_embedding)
    assert torch.equal(model._match(batch)[2], model._match(other)[2])
    assert not torch.equal(one.pair_logits, two.pair_logits)


def test_the_embeddings_for_matching_never_see_the_other_modality(toy):
    spec = toy.spec(fusion="cross_attention", masked_factors=True)
    model = build_model(spec, seed=0).eval()
    batch = toy.batch(spec)
    one = model(batch)
    two = model(replace(batch, factors=torch.randn_like(batch.factors)))
    assert torch.equal(one.seq_embedding, two.seq_embedding)
    assert not torch.equal(one.factor_prediction, two.factor_prediction)
    three = model(replace(batch, dna=toy.sequences(12, seed=5)))
    assert torch.equal(one.region_embedding, three.region_embedding)
    assert not torch.equal(one.factor_prediction, three.factor_prediction)


def test_hidden_entries_are_replaced_by_the_learned_value_and_marked(toy):
    spec = toy.spec(fusion="concat", masked_factors=True)
    model = build_model(spec, seed=0)
    with torch.no_grad():
        model.hidden_value.fill_(7.0)
    batch = toy.batch(spec)
    values, marks = model.matrix(batch).unbind(-1)
    assert (values[batch.factor_hidden] == 7.0).all()
    assert torch.equal(values[~batch.factor_hidden], batch.factors[~batch.factor_hidden])
    assert torch.equal(marks.bool(), batch.factor_hidden)


def test_clean_input_feeds_matching_and_masked_input_the_vocabulary(toy):
    """srm.input=clean: E_seq follows the clean pass, the masked head the masked one."""
    model, batch, _ = outputs(toy)
    clean = toy.sequences(12, seed=55, labels=False)
    masked_only, with_clean = model(batch), model(replace(batch, clean=clean))
    assert not torch.equal(masked_only.seq_embedding, with_clean.seq_embedding)
    assert torch.allclose(masked_only.masked_logits, with_clean.masked_logits, atol=1e-6)
    of_clean = model(replace(batch, dna=clean))
    assert torch.allclose(of_clean.seq_embedding, with_clean.seq_embedding, atol=1e-6)


def test_per_region_is_the_mean_over_present_regions(toy):
    model, batch, spec = outputs(toy)
    present = batch.regions.clone()
    present[0, 2:] = -1
    pooled = model.pool(model.read(batch.dna).tokens, batch.dna.mask).view(3, spec.regions, -1)
    got = model._match(replace(batch, regions=present))[2]
    assert torch.allclose(got[0], pooled[0, :2].mean(0), atol=1e-6)
    assert torch.allclose(got[1], pooled[1].mean(0), atol=1e-6)


def test_a_sample_of_padding_alone_stays_finite(toy):
    for changes in (
        {},
        {"streams": ("dna", "factors", "contacts"), "contacts": "bias"},
        {"fusion": "cross_attention", "masked_factors": True},
    ):
        model, batch, spec = outputs(toy, **changes)
        mask = batch.dna.mask.clone()
        mask[: spec.regions] = False
        regions = batch.regions.clone()
        regions[0] = -1
        out = model(replace(batch, regions=regions, dna=replace(batch.dna, mask=mask, labels=None)))
        for value in (out.seq_embedding, out.region_embedding, out.factor_prediction):
            assert value is None or torch.isfinite(value).all()


@pytest.mark.parametrize("layout", ["per_region", "concat", "concat_budget", "chunk_rnn"])
def test_samples_do_not_mix(toy, layout):
    """A sample alone gives what it gives in a batch."""
    spec = toy.spec(layout=layout, next_segment="none")
    model = build_model(spec, seed=0).eval()
    batch = toy.batch(spec, labels=False)
    whole = model(batch)
    for b in range(3):
        mine = batch.owner == b
        alone = replace(
            batch,
            rows=batch.rows[b : b + 1],
            cells=batch.cells[b : b + 1],
            regions=batch.regions[b : b + 1],
            factors=batch.factors[b : b + 1],
            owner=torch.zeros(int(mine.sum()), dtype=torch.int64),
            dna=replace(
                batch.dna,
                ids=batch.dna.ids[mine],
                segments=batch.dna.segments[mine],
                mask=batch.dna.mask[mine],
            ),
        )
        assert torch.allclose(model(alone).seq_embedding[0], whole.seq_embedding[b], atol=1e-5)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("pooling", ("cls", "pooler", "mean")),
        ("projection", ("linear", "mlp", "none")),
        ("cell_embedding", (False, True)),
        ("projection_dim", (8, 4)),
        ("segment", ("pair", "region_index")),
    ],
)
def test_switches_change_the_embedding_or_the_parts(toy, key, values):
    seen = []
    for value in values:
        changes = {key: value}
        if value == "none":
            changes["encoder"] = EncoderSpec(hidden=16, layers=1, heads=2, ffn=32)
        model, batch, _ = outputs(toy, **changes)
        embedding = model(batch).seq_embedding
        seen.append(
            (
                tuple(embedding.shape),
                tuple(model.encoder.types.weight.shape),
                round(float(embedding.detach().double().sum()), 6),
            )
        )
    assert len(set(seen)) == len(values)


def test_the_cell_type_reaches_the_embedding_only_if_asked(toy):
    for wanted in (False, True):
        model, batch, _ = outputs(toy, cell_embedding=wanted)
        other = replace(batch, cells=(batch.cells + 1) % 3)
        assert torch.equal(model._match(batch)[2], model._match(other)[2]) != wanted


def test_long_inputs_enlarge_the_position_table(toy):
    assert build_model(toy.spec(layout="concat", max_tokens=40)).encoder.max_positions == 40
    assert build_model(toy.spec(max_tokens=10)).encoder.max_positions == 16


def test_contacts_bias_pulls_regions_together(toy):
    model, batch, _ = outputs(toy, streams=("dna", "factors", "contacts"), contacts="bias")
    other = replace(batch, contacts=batch.contacts * 9)
    assert not torch.allclose(model._match(batch)[2], model._match(other)[2], atol=1e-7)
    plain, batch, _ = outputs(toy)
    assert plain.contact_bias is None


def test_pairs_of_both_forms(toy):
    cross, batch, _ = outputs(toy, next_segment="cross")
    assert cross(batch).pair_logits.shape == (5, 2)
    bi, batch, _ = outputs(toy, next_segment="bi")
    out = bi(batch)
    vectors = bi.pool(bi.read(batch.dna).tokens, batch.dna.mask)
    a, b = vectors[[0, 1, 2]], vectors[[1, 5, 3]]
    want = bi.pair_head.score(torch.cat([a, b, (a - b).abs(), a * b], -1))
    assert torch.allclose(out.pair_logits, want, atol=1e-6)
    none, batch, _ = outputs(toy, next_segment="none")
    assert none(batch).pair_logits is None
    assert none.pair_head is None


def test_the_vocabulary_head_sees_masked_rows_only(toy):
    model, batch, _ = outputs(toy)
    out = model(batch)
    masked = int((batch.dna.labels != -100).sum() + (batch.pairs.labels != -100).sum())
    assert out.masked_logits.shape == (masked, 69)
    assert out.masked_labels.tolist() == [
        *batch.dna.labels[batch.dna.labels != -100].tolist(),
        *batch.pairs.labels[batch.pairs.labels != -100].tolist(),
    ]


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("pooling", ["cls", "pooler", "mean"])
def test_scores_and_embeddings_are_those_of_all_token_vectors(toy, pooling, clean):
    """The last block works on what is read alone: against the same model when it reads every
    token.
    """
    model, batch, spec = outputs(toy, pooling=pooling)
    batch = toy.batch(spec, clean=clean)
    out = model(batch)
    encoder = model.encoder

    def every(part):
        return encoder(part.ids, part.segments, part.mask)[0]

    rows = torch.cat([every(part)[part.labels != -100] for part in (batch.dna, batch.pairs)])
    torch.testing.assert_close(out.masked_logits, model.masked_head(rows))
    torch.testing.assert_close(out.pair_logits, model.pair_head(encoder.pool(every(batch.pairs))))
    source = batch.clean if clean else batch.dna
    pooled = model.pool(every(source), source.mask)
    embedding = model._samples(pooled, batch)[1]
    torch.testing.assert_close(out.seq_embedding, model.seq_projection(embedding))


def test_encode_matching_is_the_beginning_of_forward_with_dropout_on(toy):
    for clean in (False, True):
        spec = toy.spec(fusion="concat", masked_factors=True)
        model = build_model(spec, seed=0).train()
        batch = toy.batch(spec, clean=clean)
        torch.manual_seed(3)
        seq, reg = model.encode_matching(batch)
        torch.manual_seed(3)
        out = model(batch)
        assert torch.equal(seq, out.seq_embedding)
        assert torch.equal(reg, out.region_embedding)


def test_micro_batched_contrast_of_the_whole_model_equals_one_graph(toy):
    """With dropout and the other losses on, in float64."""
    spec, matching = toy.spec(), MatchingSpec()
    batches = [toy.batch(spec, seed=i) for i in range(3)]
    batches = [replace(b, factors=b.factors.double()) for b in batches]

    def loss_of(seq, reg, log_temperature):
        return contrast(seq, reg, log_temperature, matching)["loss"]

    def other(out):
        return torch.nn.functional.cross_entropy(out.masked_logits, out.masked_labels) / 3

    one = build_model(spec, seed=0).double().train()
    two = build_model(spec, seed=0).double().train()
    torch.manual_seed(4)
    step = contrastive_micro_batches(
        batches,
        two.encode_matching,
        loss_of,
        forward=lambda m: (lambda out: ((out.seq_embedding, out.region_embedding), other(out)))(
            two(m)
        ),
        shared=(two.log_temperature,),
    )
    # The same dropout in one graph: every micro-batch starts where its first pass started.
    torch.manual_seed(4)
    parts, others = [], []
    for i, batch in enumerate(batches):
        if i < 2:
            with torch.no_grad():
                state = torch.get_rng_state()
                one.encode_matching(batch)
                after = torch.get_rng_state()
            torch.set_rng_state(state)
        out = one(batch)
        if i < 2:
            torch.set_rng_state(after)
        parts.append((out.seq_embedding, out.region_embedding))
        others.append(other(out))
    loss = loss_of(*(torch.cat(x) for x in zip(*parts)), one.log_temperature)
    (loss + sum(others)).backward()
    assert torch.allclose(step.loss, loss.detach(), atol=1e-9)
    wanted = dict(one.named_parameters())
    compared = 0
    for name, p in two.named_parameters():
        if wanted[name].grad is None:
            assert p.grad is None or not p.grad.any()
            continue
        assert torch.allclose(p.grad, wanted[name].grad, atol=1e-9), name
        compared += 1
    assert compared > 40


def test_a_seed_makes_the_weights_and_leaves_torch_alone(toy):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b = build_model(toy.spec(), seed=5), build_model(toy.spec(), seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))


def test_the_paper_model_has_the_published_size():
    with torch.device("meta"):
        model = build_model(
            ModelSpec(factors=579, cells=17, tower=TowerSpec(name="swin_t_224", prepare="resize"))
        )
    table = parameter_table(model)
    assert table["encoder"] / 1e6 == pytest.approx(89.2, abs=0.3)
    assert table["tower"] / 1e6 == pytest.approx(27.5, abs=0.1)
    assert 116e6 < table["total"] < 119e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "per-region"}, r"model\.layout: .*Did you mean per_region"),
        ({"k": 8}, r"model\.k: .*Found 8; expected 3 to 7"),
        ({"streams": ("factors",)}, "streams must be dna"),
        ({"name": "dnabert"}, "dnabert reads dna alone"),
        ({"factors": 0}, "Build the store with motifs"),
        ({"fusion": "concat"}, "no objective would train the fusion"),
        ({"masked_factors": True}, "fusion=none keeps apart"),
        (
            {"streams": ("dna",), "fusion": "concat", "masked_factors": True},
            "fusion joins dna and factors",
        ),
        ({"contacts": "bias"}, "must be given together"),
        (
            {"contacts": "bias", "streams": ("dna", "contacts"), "layout": "concat"},
            "one vector a region",
        ),
        ({"next_segment": "bi", "layout": "concat"}, "compares regions encoded apart"),
        ({"cell_embedding": True, "cells": 0}, "no cell types"),
        (
            {
                "projection": "none",
                "projection_dim": 8,
                "tower": TowerSpec(embed=8, depths=(1,), heads=(1,)),
            },
            "same width",
        ),
        ({"regions": 0}, "needs a region"),
        ({"max_tokens": 2}, "at least 8"),
    ],
)
def test_impossible_specs_are_refused(toy, changes, message):
    with pytest.raises(RecipeError, match=message):
        build_model(toy.spec(**changes))
    check_spec(toy.spec())
