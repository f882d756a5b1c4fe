"""A step over windows in pieces is the step in one piece: losses are means over all that it
hides.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.batches import WindowMaker
from epilm.device import Place
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.objectives.combine import combine
from epilm.objectives.states import truth_and_nearest
from epilm.objectives.table import (
    MaskedStatesSpec,
    MaskSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)
from epilm.pretraining.step import hidden_counts, optimiser_step, with_counts
from epilm.pretraining.validate import validate
from epilm.store.sample_spec import SampleSpec
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec, TrainSpec
from epilm.training.ranks import Ranks
from toy_tracks import toy_track_store

PLACE = Place(torch.device("cpu"), False, ())
OBJECTIVES = ObjectivesSpec(
    masked_kmers=MaskSpec(weight=0.3, scheme="iid"),
    masked_states=MaskedStatesSpec(weight=0.7),
    next_segment=NextSegmentSpec(weight=0),
    matching=MatchingSpec(weight=0),
)


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    # A third of the windows has no state at all, others lose k-mers to N: pieces hide unequal
    # numbers.
    store = toy_track_store(tmp_path_factory.mktemp("tracks"), n_share=0.3)
    codes = np.array(store.states.codes)
    codes[np.random.default_rng(0).random(codes.shape) < 1 / 3] = 255
    store = replace(store, states=replace(store.states, codes=codes))
    spec = ModelSpec(
        name="ebert",
        streams=("dna", "states"),
        k=4,
        stride=4,
        encoder=EncoderSpec(size="tiny", dropout=0.0),
    )
    samples = SampleSpec(unit="windows", window_bp=100, window_max_n=1.0, strands="both")
    return WindowMaker(store, spec, OBJECTIVES, samples, seed=0)


def one_step(maker, micro, steps=2):
    model = build_model(maker.spec, seed=1).train()
    optimiser = Optimiser(model, OptimSpec(eps=1e-4))
    for step in range(steps):
        figures = optimiser_step(
            model,
            maker,
            optimiser,
            np.arange(32) + 32 * step,
            step=step,
            lr=1e-3,
            objectives=OBJECTIVES,
            train=TrainSpec(micro_batch=micro),
            clip=1.0,
            ranks=Ranks(),
            place=PLACE,
        )
    return model, figures


def test_eight_times_four_windows_are_thirty_two(maker):
    pieces = torch.stack([hidden_counts(maker(np.arange(a, a + 4), 0)) for a in range(0, 32, 4)])
    assert len(set(pieces[:, 0].tolist())) > 3
    assert len(set(pieces[:, 1].tolist())) > 1
    whole, expected = one_step(maker, 32)
    parts, found = one_step(maker, 4)
    for key, value in expected.values.items():
        assert float(found.values[key]) == pytest.approx(float(value), rel=1e-6), key
    for (name, a), b in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-6, msg=name)


def test_each_loss_is_a_mean_over_what_is_hidden_and_alpha_mixes_the_two(maker):
    model = build_model(maker.spec, seed=1).train()
    batch = maker(np.arange(32), 0)
    out = model(batch)
    kmers = torch.nn.functional.cross_entropy(
        out.masked_logits, batch.dna.labels[batch.dna.labels != -100]
    )
    states = torch.nn.functional.cross_entropy(
        out.state_logits, batch.state_labels[batch.state_labels != -100]
    )
    _, figures = one_step(maker, 4, steps=1)
    assert float(figures.values["masked_kmers/loss"]) == pytest.approx(kmers.item(), rel=1e-5)
    assert float(figures.values["masked_states/loss"]) == pytest.approx(states.item(), rel=1e-5)
    assert float(figures.values["loss"]) == pytest.approx(
        0.3 * kmers.item() + 0.7 * states.item(), rel=1e-5
    )


def test_validation_does_not_depend_on_how_it_is_cut(maker):
    model = build_model(maker.spec, seed=1)
    rows = np.arange(40, 75)
    whole, _ = validate(model, maker, rows, OBJECTIVES, 35, PLACE)
    parts, _ = validate(model, maker, rows, OBJECTIVES, 4, PLACE)
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        assert parts[key] == pytest.approx(value, rel=1e-6), key
    labels = maker(rows, 0).state_labels
    truth = labels[labels != -100]
    assert whole["masked_states/accuracy_chance"] == pytest.approx(
        float(truth.bincount().max() / len(truth))
    )


def test_the_nearest_state_in_sight_is_what_a_flank_leaks(maker):
    """Where a centre's own bin shows beside its flank, naming the nearest state is right every
    time.
    """
    batch = maker(np.arange(200), 0)
    found = truth_and_nearest(batch)
    for (window, centre), (truth, nearest) in zip(
        (batch.state_labels != -100).nonzero().tolist(), found.tolist(), strict=True
    ):
        row = batch.states[window].tolist()
        assert truth == batch.state_labels[window, centre]
        seen = [(abs(at - centre), at) for at, state in enumerate(row) if state >= 3]
        assert nearest == (row[min(seen)[1]] if seen else row[0])


def test_a_step_that_hides_no_state_still_learns_kmers(maker):
    def bare(rows, step):
        batch = maker(rows, step)
        batch.state_labels[:] = -100
        return batch

    _, figures = one_step(bare_maker(maker, bare), 8, steps=1)
    assert float(figures.values["masked_states/loss"]) == 0
    assert math.isfinite(float(figures.values["loss"]))
    assert float(figures.values["loss"]) == pytest.approx(
        0.3 * float(figures.values["masked_kmers/loss"]), rel=1e-5
    )


def bare_maker(maker, call):
    class Bare:
        spec = maker.spec

        def __call__(self, rows, step):
            return call(rows, step)

    return Bare()


def test_a_fixed_number_of_rows_under_the_head_changes_no_loss_and_no_gradient(maker):
    """As in every step: counted once, rounded up, the rest ignored."""
    loaded = [[(None, maker(np.arange(a, a + 8), 0))] for a in (0, 8)]
    for pairs, fixed in zip(loaded, with_counts(loaded), strict=True):
        batch, other = pairs[0][1], fixed[0][1]
        n = int((batch.dna.labels != -100).sum())
        assert other.dna.most == min(-(-n // 64) * 64, batch.dna.labels.numel())
        found = []
        for each in (batch, other):
            model = build_model(maker.spec, seed=1).train()
            out = model(each)
            total, values = combine(out, each, OBJECTIVES)
            total.backward()
            found.append(
                [
                    total.detach(),
                    *values.values(),
                    *(p.grad for p in model.parameters() if p.grad is not None),
                ]
            )
        assert len(out.masked_labels) == other.dna.most > n
        for plain, static in zip(*found, strict=True):
            torch.testing.assert_close(static, plain, rtol=1e-5, atol=1e-7)


def test_the_head_sees_few_shapes(maker):
    """OneDNN and compiled programs keep something for every number of rows they ever saw."""
    seen = []
    model = build_model(maker.spec, seed=1).train()
    hook = model.masked_head.register_forward_hook(lambda head, rows, out: seen.append(len(out)))
    optimiser = Optimiser(model, OptimSpec())
    for step in range(8):
        optimiser_step(
            model,
            maker,
            optimiser,
            np.arange(64) + 64 * step,
            step=step,
            lr=1e-3,
            objectives=OBJECTIVES,
            train=TrainSpec(micro_batch=64),
            clip=1.0,
            ranks=Ranks(),
            place=PLACE,
        )
    hook.remove()
    hidden = [int(hidden_counts(maker(np.arange(64) + 64 * step, step))[0]) for step in range(8)]
    assert len(set(hidden)) > 5
    assert [-(-n // 64) * 64 for n in hidden] == seen


def test_one_question_says_what_is_hidden_and_whether_there_is_padding(maker):
    """Full batches go without a mask; one padded token anywhere keeps it."""
    batch = replace(maker(np.arange(8), 0), states_most=None)
    assert batch.dna.full  # windows are known to be: nobody is asked
    unknown = replace(batch, dna=replace(batch.dna, full=False))
    holes = batch.dna.mask.clone()
    holes[3, -1] = False
    padded = replace(batch, dna=replace(batch.dna, full=False, mask=holes))
    found = [
        pair[1] for pairs in with_counts([[(None, unknown), (None, padded)]]) for pair in pairs
    ]
    assert [each.dna.full for each in found] == [True, False]
    labels = int((batch.state_labels != -100).sum())
    assert labels <= found[0].states_most <= max(labels + 63, 64)
    model = build_model(maker.spec, seed=1).eval()
    with torch.no_grad():
        with_mask, without = model(unknown), model(found[0])
    torch.testing.assert_close(
        without.masked_logits[: len(with_mask.masked_logits)], with_mask.masked_logits
    )
    torch.testing.assert_close(
        without.state_logits[: len(with_mask.state_logits)], with_mask.state_logits
    )


def test_a_validation_without_a_state_has_no_score_of_states_and_says_so(maker, monkeypatch):
    """Accuracy 0.000 of nothing would look like a model that has learned nothing."""
    rows = np.arange(40, 50)
    plain = type(maker).__call__

    def stateless(self, *given):
        batch = plain(self, *given)
        return replace(batch, state_labels=torch.full_like(batch.state_labels, -100))

    monkeypatch.setattr(type(maker), "__call__", stateless)
    values, warnings = validate(build_model(maker.spec, seed=1), maker, rows, OBJECTIVES, 5, PLACE)
    assert np.isnan(values["masked_states/accuracy"])
    assert np.isnan(values["masked_states/loss"])
    assert values["loss"] == pytest.approx(0.3 * values["masked_kmers/loss"])
    assert (
        "masked_states: nothing is hidden in any of the 10 held-out samples, no state of theirs is"
        " known: it has no score, and the loss is that of the other objectives"
    ) in warnings
