"""The exact large contrastive batch: equal to one shot, with dropout, with other losses, with
little memory.
"""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from epilm.objectives.contrast import contrastive_micro_batches
from epilm.objectives.matching import matching_loss


def towers(dtype, dropout):
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 4))
    two = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 4))
    return nn.ModuleList([one, two]).to(dtype)


def gradients(model):
    return [p.grad.clone() for p in model.parameters()]


def close(a, b, tolerance):
    return all(
        torch.allclose(x, y, rtol=tolerance, atol=tolerance) for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("sizes", [[12], [6, 6], [5, 4, 3], [1] * 12])
def test_equal_to_one_shot_without_dropout(dtype, tolerance, sizes):
    model = towers(dtype, 0.0)
    x = torch.randn(12, 6, dtype=dtype)
    loss = matching_loss(model[0](x), model[1](x))
    loss.backward()
    want = gradients(model)
    model.zero_grad()
    step = contrastive_micro_batches(
        x.split(sizes), lambda m: (model[0](m), model[1](m)), matching_loss
    )
    assert torch.allclose(step.loss, loss.detach(), rtol=tolerance)
    assert close(gradients(model), want, tolerance)
    assert step.embeddings[0].shape == (12, 4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_equal_to_one_shot_with_dropout_and_other_losses(dtype, tolerance):
    """One shot = all micro-batches kept in one graph, drawn in the same order."""
    model = towers(dtype, 0.3)
    temperature = nn.Parameter(torch.tensor(-1.0, dtype=dtype))
    micros = torch.randn(12, 6, dtype=dtype).split(3)

    def embed(m):
        return model[0](m), model[1](m)

    def loss_of(a, b, log_temperature):
        return 0.5 * matching_loss(a, b, temperature=log_temperature.exp())

    torch.manual_seed(7)
    parts = [embed(m) for m in micros]
    loss = loss_of(*(torch.cat(p) for p in zip(*parts, strict=True)), temperature)
    other = sum(a.square().mean() for a, _ in parts) / 4
    (loss + other).backward()
    want = [*gradients(model), temperature.grad.clone()]
    model.zero_grad()
    temperature.grad = None

    def forward(m):
        a, b = embed(m)
        return (a, b), a.square().mean() / 4

    torch.manual_seed(7)
    step = contrastive_micro_batches(micros, embed, loss_of, forward=forward, shared=(temperature,))
    assert torch.allclose(step.loss, loss.detach(), rtol=tolerance)
    assert close([*gradients(model), temperature.grad], want, tolerance)


def test_without_the_kept_random_state_it_would_not_be_equal():
    model = towers(torch.float64, 0.5)
    micros = torch.randn(12, 6, dtype=torch.float64).split(4)
    seen = []

    def embed(m):
        out = model[0](m), model[1](m)
        seen.append((torch.is_grad_enabled(), out[0].detach().clone()))
        return out

    contrastive_micro_batches(micros, embed, matching_loss)
    without = [x for grad, x in seen if not grad]
    with_graph = [x for grad, x in seen if grad]
    # The last micro-batch is embedded once; the others twice, with the same dropout.
    assert len(without) == 2
    assert len(with_graph) == 3
    assert all(torch.equal(a, b) for a, b in zip(without, with_graph[1:], strict=True))


def test_the_generator_goes_on_after_the_step():
    model = towers(torch.float64, 0.5)
    micros = torch.randn(8, 6, dtype=torch.float64).split(2)
    torch.manual_seed(1)
    for m in micros:
        model[0](m)
    want = torch.rand(1)
    torch.manual_seed(1)
    contrastive_micro_batches(micros, lambda m: (model[0](m), m[:, :4]), matching_loss)
    assert torch.equal(torch.rand(1), want)


def test_one_micro_batch_in_the_graph_at_a_time():
    """Tensors saved for backward: never more than one micro-batch's worth."""
    model = towers(torch.float64, 0.0)
    alive = peak = 0

    class Saved:
        def __init__(self, x):
            nonlocal alive, peak
            self.x = x
            alive += len(x) if x.dim() else 0
            peak = max(peak, alive)

        def __del__(self):
            nonlocal alive
            alive -= len(self.x) if self.x.dim() else 0

    def rows(n):
        nonlocal peak
        peak = 0
        x = torch.randn(64, 6, dtype=torch.float64)
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda s: s.x):
            contrastive_micro_batches(
                x.split(64 // n),
                lambda m: (model[0](m), model[1](m)),
                lambda a, b: (a * b).sum() * 1e-3 + (a @ b.T).mean(),
            )
        return peak

    assert rows(8) < 0.6 * rows(1)


def test_hooks_of_the_engine_are_used_and_the_last_backward_is_marked():
    model = towers(torch.float64, 0.0)
    micros = torch.randn(8, 6, dtype=torch.float64).split(2)
    log = []

    @contextmanager
    def around(final):
        log.append(final)
        yield

    calls = []

    def backward(loss):
        calls.append(float(loss.detach()))
        loss.backward()

    contrastive_micro_batches(
        micros,
        lambda m: (model[0](m), model[1](m)),
        matching_loss,
        backward=backward,
        around=around,
    )
    assert len(calls) == 4
    assert log == [False, False, False, False, True]


def test_autocast_inside_embed_keeps_its_gradients():
    model = towers(torch.float32, 0.0)
    micros = torch.randn(8, 6).split(4)

    def embed(m):
        with torch.autocast("cpu", torch.bfloat16):
            return model[0](m), model[1](m)

    contrastive_micro_batches(micros, embed, matching_loss)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
