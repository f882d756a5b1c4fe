"""What a step costs, counted without computing, against textbook and autograd."""

from dataclasses import replace

import pytest
import torch

from epilm.device import Place
from epilm.models.from_spec import build_model
from epilm.nn.encoder import BlockKernels, EncoderBlock
from epilm.planning.cost import Cost, _count, _How, count, without_initialising
from epilm.pretraining.run_plan import for_store, make_plan
from epilm.recipes.recipe import load_recipe
from toy_store import toy_store
from toy_tracks import toy_track_store

FP32 = Place(torch.device("cpu"), False, ())
EBERT = ("samples.holdout_chroms=[]", "train.precision=fp32")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(150, 120, 60), factors=24)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"))


def test_compiled_blocks_are_counted_with_every_token(tracks):
    """Programs keep one shape: in the last block too."""
    recipe = for_store(load_recipe("ebert_base", "tiny", EBERT), tracks)
    data = make_plan(recipe, tracks)
    model, batch = build_model(recipe.model, seed=0), data.maker(data.rows_at(0)[:4], 0)
    cut, whole = (
        count(model, batch, (3, 1), FP32, exact=False, fused=False, compiled=compiled).at(1)
        for compiled in (False, True)
    )
    left_out = 2 * (batch.dna.ids.shape[1] - 3 - 1) * (64**2 + 2 * 64 * 256)
    assert whole.forward - cut.forward == pytest.approx(left_out, rel=1e-6)
    assert whole.kept > cut.kept


@pytest.mark.parametrize("checkpointed", [False, True])
def test_two_small_counts_are_the_count_of_all_layers(checkpointed, tracks):
    """Six blocks counted as they are: what is kept adds up, the largest temporaries are those of
    one block.
    """
    recipe = for_store(
        load_recipe(
            "ebert_base",
            "tiny",
            (
                *EBERT,
                "model.k=3",
                "model.stride=3",
                "model.max_tokens=350",
                "model.encoder.layers=6",
            ),
        ),
        tracks,
    )
    batch = (data := make_plan(recipe, tracks)).maker(data.rows_at(0)[:4], 0)
    model = build_model(recipe.model, seed=0).train()
    model.encoder.checkpoint_activations = checkpointed
    found = count(model, batch, (3, 1), FP32, exact=False, fused=False).at(4)
    whole = _count(model, batch, (12, 4), _How(FP32, False, False, False))
    for name in ("forward", "backward", "again", "kept", "working"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=1e-3), name


@pytest.mark.parametrize("attention", ["auto", "plain"])
def test_a_gpus_kernels_keep_sixteen_vectors_a_token_and_layer(attention, tracks):
    """In bf16, by hand: what is read (1), queries, keys, values (3), mixed (1), sums before both
    norms (2), what the feed-forward reads (1), its inner vectors before and after gelu (4 + 4); and
    a number a row and head, two a row and norm.
    """
    recipe = for_store(load_recipe("ebert_base", "tiny", EBERT), tracks)
    data = make_plan(recipe, tracks)
    model, batch = build_model(recipe.model, seed=0), data.maker(data.rows_at(0)[:4], 0)
    model.encoder.compute(attention)
    place = Place(torch.device("cpu"), True, ())
    costs = count(model, batch, (3, 1), place, exact=False, fused=True)
    tokens, hidden, heads = batch.dna.ids.shape[1], 64, 2
    # The plain way keeps tables in place of the number a row and head: softmax in fp32, what
    # dropout left (a byte), and the product of both in bf16.
    mixing = {"auto": heads * 4, "plain": heads * tokens * (4 + 1 + 2)}[attention]
    layer = costs.at(1, 2).kept - costs.at(1, 1).kept
    assert layer == pytest.approx(tokens * (16 * hidden * 2 + 4 * 4 + mixing), rel=1e-6)


def test_numbers_for_dropout_of_attention_are_counted_where_a_gpu_draws_them(store):
    """One for each pair of tokens, head and layer: on the way there and, without a table, again on
    the way back.
    """
    recipe = for_store(load_recipe("dnabert", "tiny"), store)  # no tower: it is counted in seconds
    data = make_plan(recipe, store)
    batch = data.maker(data.rows_at(0)[:2], 0)
    parts = (batch.dna, batch.clean, batch.pairs)
    tables = (
        2
        * 2
        * sum(p.ids.shape[0] * p.ids.shape[1] ** 2 for p in parts if p is not None)
        / len(batch)
    )

    def draws(attention="auto", fused=True, **encoder):
        spec = replace(recipe.model, encoder=replace(recipe.model.encoder, **encoder))
        model = build_model(spec, seed=0)
        model.encoder.compute(attention)
        one = count(model, batch, (3, 0), FP32, exact=True, fused=fused).at(1)
        return one.draws / tables, one.embed_draws > 0

    assert draws() == (2, True)
    assert draws("plain") == (1, True)
    assert draws(checkpoint_activations=True) == (3, True)
    assert draws(attention_dropout=0.0) == (0, False)
    assert draws(fused=False) == (0, False)


def test_counting_leaves_the_model_as_it_was(store):
    recipe = for_store(load_recipe("dnabert", "tiny"), store)
    data = make_plan(recipe, store)
    model = build_model(recipe.model, seed=0).eval()
    blocks, before = model.encoder.blocks, [p.clone() for p in model.parameters()]
    count(model, data.maker(data.rows_at(0)[:2], 0), (3, 0), FP32, exact=True, fused=True)
    assert not model.training
    assert model.encoder.blocks is blocks
    assert not model.encoder._forward_pre_hooks
    assert not model.encoder._forward_hooks
    assert all(block.kernels == BlockKernels() for block in blocks)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert blocks[0].attention_dropout > 0


def test_an_encoder_whose_blocks_compute_by_other_functions_is_not_counted(tracks):
    """What a block does past its `kernels` would be left out of the plan without a word."""
    recipe = for_store(load_recipe("ebert_base", "tiny", EBERT), tracks)
    data = make_plan(recipe, tracks)
    model, batch = build_model(recipe.model, seed=0), data.maker(data.rows_at(0)[:2], 0)

    class Other(EncoderBlock):
        def _mix(self, qkv, mask, need_weights, of_each):
            return qkv[..., : qkv.shape[-1] // 3], None

    for block in model.encoder.blocks:
        block.__class__ = Other
    with pytest.raises(AssertionError, match=r"past the counting versions of .*attend"):
        count(model, batch, (3, 1), FP32, exact=False, fused=True)


def test_weights_that_are_not_drawn_have_the_same_shapes():
    spec = load_recipe("dnabert", "tiny").model
    with without_initialising():
        empty = build_model(spec, seed=0)
    drawn = build_model(spec, seed=0)
    assert [p.shape for p in empty.parameters()] == [p.shape for p in drawn.parameters()]
    assert float(drawn.encoder.words.weight.detach().std()) > 0  # and drawing works again


def test_costs_add_up():
    assert Cost(1, 2, 3) + Cost(1, 1, 1) * 2 == Cost(3, 4, 5)
    assert Cost(1, 2, 3).step == 3
