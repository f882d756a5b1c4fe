"""One optimiser step: micro-batches change nothing but the memory."""

import numpy as np
import pytest
import torch

import two_devices
from epilm.device import Place
from epilm.errors import TrainingError
from epilm.pretraining.step import Ahead, cut, held_by, optimiser_step
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec, TrainSpec
from epilm.training.ranks import Ranks
from toy_training import ToyModel, make_batch, toy_genebert, toy_objectives

PLACE = Place(torch.device("cpu"), False, ())


def one_step(
    micro,
    group=8,
    dropout=0.0,
    batch=16,
    make=make_batch,
    model=None,
    clip=0.0,
    place=PLACE,
    **objectives,
):
    model = model or ToyModel(dropout, contacts="contacts" in objectives)
    model.train()
    optimiser = Optimiser(model, OptimSpec())
    figures = optimiser_step(
        model,
        make,
        optimiser,
        np.arange(batch),
        step=3,
        lr=1e-3,
        objectives=toy_objectives(group, **objectives),
        train=TrainSpec(micro_batch=micro, seed=1),
        clip=clip,
        ranks=Ranks(),
        place=place,
    )
    grads = {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None  # the tower, where nothing is matched
    }
    return model, figures, grads


def test_an_exact_contrast_in_micro_batches_has_the_gradients_of_one_shot():
    # The samples hide unequal numbers of tokens: the loss is a mean over all that the step hides.
    assert (
        len(
            {
                int((make_batch(np.arange(a, a + 2), 3).dna.labels != -100).sum())
                for a in range(0, 16, 2)
            }
        )
        > 1
    )
    _, whole, expected = one_step(8)
    _, parts, found = one_step(2)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6, msg=name)
    for key in ("loss", "matching/loss", "masked_kmers/loss"):
        assert float(parts.values[key]) == pytest.approx(float(whole.values[key]), rel=1e-5)
    assert float(parts.norm) == pytest.approx(float(whole.norm), rel=1e-5)


@pytest.mark.parametrize("matching", [0.5, 0.0], ids=["with matching", "contacts alone"])
@pytest.mark.parametrize("micro", [4, 2, 1])
def test_the_contrast_of_contacts_is_as_wide_as_its_batch_however_it_is_cut(micro, matching):
    switches = {"contacts": 0.3, "weight": matching, "batch": 8}
    _, whole, expected = one_step(8, **switches)
    _, parts, gradients = one_step(micro, **switches)
    # The plain computation: every embedding of the step at once.
    model = ToyModel(0.0, contacts=True)
    batch = make_batch(np.arange(8), 3)
    outputs = model(batch)
    scores = torch.nn.functional.normalize(outputs.seq_embedding, dim=-1) @ (
        torch.nn.functional.normalize(outputs.contact_embedding, dim=-1).T
    )
    scores = scores / model.log_temperature.exp()
    own = torch.arange(8)
    entropy = torch.nn.functional.cross_entropy
    by_hand = float((entropy(scores, own) + entropy(scores.T, own)).detach()) / 2
    assert by_hand > 0.5
    for figures in (whole, parts):
        assert float(figures.values["contacts/loss"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(parts.values["loss"]) == pytest.approx(float(whole.values["loss"]), rel=1e-5)
    assert float(parts.values["contacts/recall@1"]) == float(whole.values["contacts/recall@1"])
    assert float(gradients["contact.weight"].abs().max()) > 1e-4
    for name in expected:
        torch.testing.assert_close(gradients[name], expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("world", "batch", "group", "cut", "kind"),
    [
        (2, 8, 8, False, "toy"),
        (2, 16, 10, False, "toy"),
        (3, 16, 10, False, "toy"),
        (4, 16, 8, False, "toy"),
        (3, 16, 10, True, "toy"),
        (2, 6, None, True, "toy"),
        (3, 10, None, True, "fp32"),
        (2, 10, 10, True, "bf16"),
    ],
)
def test_several_processes_make_the_step_of_one(world, batch, group, cut, kind, tmp_path):
    """Contrasts of five and three micro-batches are dealt out unevenly; dropout is the same. The
    gradient's length is that of all, also where each process has a part of it.
    """
    switches: dict = {"contacts": 0.3 if group and kind == "toy" else 0.0}
    if kind != "toy":
        switches |= {"model": toy_genebert(0.3), "place": PLACE._replace(bf16=kind == "bf16")}
    switches |= {} if group else {"weight": 0.0}
    model, one, expected = one_step(2, group, dropout=0.3, batch=batch, clip=0.05, **switches)
    two_devices.spawn(two_devices.step, tmp_path / "two", world, batch, group, 0.05, cut, kind)
    values, gradients, weights = torch.load(tmp_path / "two", weights_only=True)
    for key in ("loss", "contacts/loss", "matching/loss", "contacts/recall@1"):
        if key in one.values:
            assert values[key] == pytest.approx(float(one.values[key]), rel=1e-5), key
    assert float(one.norm) > 0.1
    # torch adds up the squares of a large tensor in fp32 with an error of some 1e-5.
    assert values["gradient_norm"] == pytest.approx(float(one.norm), rel=1e-4)
    assert gradients.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(gradients[name], expected[name], rtol=1e-4, atol=1e-6, msg=name)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weights[name], weight.detach(), rtol=1e-3, atol=1e-4, msg=name)


def test_dropout_is_a_function_of_seed_step_and_place_not_of_the_global_generator():
    torch.manual_seed(1)
    a, _, grads = one_step(4, dropout=0.5)
    torch.manual_seed(2)
    b, _, again = one_step(4, dropout=0.5)
    assert all(torch.equal(grads[name], again[name]) for name in grads)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_last_contrast_may_be_smaller_and_counts_less():
    _, figures, grads = one_step(4, group=12, batch=16)  # 12 and 4
    assert figures.samples == 16
    assert all(torch.isfinite(grad).all() for grad in grads.values())


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_micro_batches_are_the_same_for_any_number_of_processes(world):
    rows = np.arange(100, 131)  # contrasts of 16 and 15, the last micro-batch of three
    parts = [cut(rows, 16, 4, Ranks(rank, world)) for rank in range(world)]
    whole = cut(rows, 16, 4, Ranks())
    for number, contrast in enumerate(whole):
        dealt = [micro for part in parts for micro in part[number]]
        assert [(m.offset, m.rows.tolist()) for m in dealt] == [
            (m.offset, m.rows.tolist()) for m in contrast
        ]
        sizes = held_by(sum(len(m.rows) for m in contrast), 4, world)
        assert sizes == [sum(len(m.rows) for m in part[number]) for part in parts]


def test_two_processes_share_each_contrast():
    rows = np.arange(24)
    parts = [cut(rows, 16, 4, Ranks(rank, 2)) for rank in (0, 1)]
    assert [[m.rows.tolist() for m in group] for group in parts[0]] == [
        [[0, 1, 2, 3], [4, 5, 6, 7]],
        [[16, 17, 18, 19]],
    ]
    assert [[m.offset for m in group] for group in parts[1]] == [[8, 12], [20]]


def test_clipping_shortens_the_gradient_and_reports_its_length_before():
    _, figures, grads = one_step(8, clip=1e-3)
    length = torch.sqrt(sum(grad.square().sum() for grad in grads.values()))
    assert float(length) == pytest.approx(1e-3, rel=1e-3)
    assert float(figures.norm) > 1e-2


def test_a_loss_that_is_no_number_stops_before_the_weights_move():
    model = ToyModel(0.0)
    before = [weight.detach().clone() for weight in model.parameters()]

    def poisoned(rows, step):
        batch = make_batch(rows, step)
        if 5 in rows:
            batch.factors[list(rows).index(5)] = float("nan")
        return batch

    with pytest.raises(
        TrainingError,
        match=r"step 3: the loss is not finite\. Found matching nan in rows 0, 1.*lr 0\.001",
    ):
        one_step(4, make=poisoned, model=model)
    assert all(torch.equal(x, y) for x, y in zip(before, model.parameters(), strict=True))


def test_tokens_are_counted():
    _, figures, _ = one_step(4)
    assert int(figures.tokens) == 16 * 3 * 12


def test_bf16_changes_the_arithmetic_and_not_the_weights_kind():
    outcomes = []
    for bf16 in (False, True):
        model = ToyModel(0.0).train()
        optimiser = Optimiser(model, OptimSpec())
        figures = optimiser_step(
            model,
            make_batch,
            optimiser,
            np.arange(16),
            step=0,
            lr=1e-3,
            objectives=toy_objectives(8),
            train=TrainSpec(micro_batch=4),
            clip=1.0,
            ranks=Ranks(),
            place=Place(torch.device("cpu"), bf16, ()),
        )
        outcomes.append(float(figures.values["loss"]))
        assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert outcomes[0] != outcomes[1]
    assert outcomes[0] == pytest.approx(outcomes[1], rel=0.02)


def test_without_a_contrast_of_its_own_each_micro_batch_is_one():
    _, figures, _ = one_step(4, group=None)
    _, same, _ = one_step(4, group=4)
    assert float(figures.values["matching/loss"]) == pytest.approx(
        float(same.values["matching/loss"])
    )


def test_a_fixed_temperature_does_not_move():
    model = ToyModel(0.0).train()
    optimiser = Optimiser(model, OptimSpec())
    for learn in (False, True):
        before = float(model.log_temperature.detach())
        optimiser_step(
            model,
            make_batch,
            optimiser,
            np.arange(8),
            step=0,
            lr=1e-2,
            objectives=toy_objectives(8, learn_temperature=learn),
            train=TrainSpec(micro_batch=4),
            clip=0.0,
            ranks=Ranks(),
            place=PLACE,
        )
        assert (float(model.log_temperature.detach()) != before) is learn


def test_a_batch_made_ahead_is_given_once_and_others_are_made_when_asked_for():
    made = []

    def make(rows, step):
        made.append((rows.tolist(), step))
        return make_batch(rows, step)

    ahead = Ahead(make)
    ahead.prepare(np.arange(4), 7)
    early, late = ahead(np.arange(4), 7), ahead(np.arange(4), 7)
    assert made == [([0, 1, 2, 3], 7)] * 2
    assert torch.equal(early.dna.ids, late.dna.ids)
    ahead.prepare(np.arange(4), 8)
    ahead(np.arange(4), 9)
    assert made[-1] == ([0, 1, 2, 3], 9)


def test_the_next_batches_are_made_before_the_weights_move():
    model = ToyModel(0.0).train()
    before = [weight.detach().clone() for weight in model.parameters()]
    seen = []
    optimiser_step(
        model,
        make_batch,
        Optimiser(model, OptimSpec()),
        np.arange(8),
        step=0,
        lr=1e-2,
        objectives=toy_objectives(8),
        train=TrainSpec(micro_batch=4),
        clip=0.0,
        ranks=Ranks(),
        place=PLACE,
        meanwhile=lambda: seen.append(
            all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        ),
    )
    assert seen == [True]
