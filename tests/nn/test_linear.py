"""The other way to multiply gives the same numbers, and is taken only where it fits."""

import pytest
import torch
from torch.nn import functional as F

from epilm.nn import linear
from epilm.nn.linear import Linear, product


@pytest.fixture
def everywhere(monkeypatch):
    """Take oneDNN for every product of this torch, whatever processor runs the tests."""
    if not (
        torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    ):
        pytest.skip("this torch has no oneDNN")
    linear.onednn_is_faster.cache_clear()
    monkeypatch.setattr(linear, "SMALLEST", 1)
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: True)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (0, 7), (2, 2, 3, 7)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_products_and_gradients_are_torchs(everywhere, shape, with_bias):
    g = torch.Generator().manual_seed(0)
    x, weight = torch.randn(*shape, generator=g), torch.randn(4, 7, generator=g)
    bias = torch.randn(4, generator=g) if with_bias else None
    found = []
    for multiply in (product, F.linear):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias) if t is not None]
        out = multiply(*leaves)
        assert out.shape == (*shape[:-1], 4)
        first = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), leaves)
        found.append((out, *first, *second))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_no_graph_is_made_where_none_is_wanted(everywhere):
    layer, x = Linear(7, 4), torch.randn(3, 7)
    assert layer(x).requires_grad
    with torch.no_grad():
        assert not layer(x).requires_grad
    layer.weight.requires_grad_(False)  # a frozen layer still hands gradients down
    x.requires_grad_()
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(3, 7))
    assert layer.weight.grad is None


def test_other_formats_and_wishes_take_torchs_road(everywhere, monkeypatch):
    def never(*_):
        raise AssertionError("oneDNN was called")

    monkeypatch.setattr(linear, "_multiply", never)
    layer, x = Linear(7, 4), torch.randn(3, 7)
    with pytest.raises(AssertionError, match="oneDNN"):
        layer(x)
    product(x.double(), layer.weight.double())
    monkeypatch.setattr(linear, "onednn_has_bf16", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with torch.backends.mkldnn.flags(enabled=False):
        layer(x)
    with torch._subclasses.fake_tensor.FakeTensorMode() as fake:
        F.linear(fake.from_tensor(x), fake.from_tensor(layer.weight))
        product(fake.from_tensor(x), fake.from_tensor(layer.weight))
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: False)
    layer(x)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (0, 7)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_bf16_that_onednn_has_not_is_the_same_arithmetic(monkeypatch, shape, with_bias):
    """Against float64 on the rounded numbers, rounded once: what the instructions give; and against
    torch's own.
    """
    monkeypatch.setattr(linear, "onednn_has_bf16", lambda: False)
    g = torch.Generator().manual_seed(0)
    numbers = [torch.randn(*shape, generator=g), torch.randn(4, 7, generator=g)]
    numbers += [torch.randn(4, generator=g)] * with_bias
    aim = torch.randn(*shape[:-1], 4, generator=g).bfloat16()

    def run(multiply, dtype=torch.float32):
        leaves = [t.to(dtype).requires_grad_() for t in numbers]
        out = multiply(*leaves)
        return out, *torch.autograd.grad(out, leaves, aim.to(out.dtype))

    with torch.autocast("cpu", torch.bfloat16):
        ours, torchs = run(product), run(F.linear)
    assert ours[0].grad_fn.name().startswith("_Rounded")
    exact = run(
        lambda *rest: F.linear(*(t + (t.bfloat16().double() - t).detach() for t in rest)),
        torch.float64,
    )
    for mine, other, true in zip(ours, torchs, exact, strict=True):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        torch.testing.assert_close(mine.double(), true, rtol=2**-8, atol=1e-5)
        torch.testing.assert_close(mine, other, rtol=2**-6, atol=2**-6)


def test_bf16_that_onednn_has_stays_with_torch(monkeypatch):
    monkeypatch.setattr(linear, "onednn_has_bf16", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert not Linear(7, 4)(torch.randn(3, 7)).grad_fn.name().startswith("_Rounded")
    monkeypatch.setattr(linear, "onednn_has_bf16", lambda: False)
    with torch.autocast("cpu", torch.float16):
        assert Linear(7, 4)(torch.randn(3, 7)).dtype == torch.float16
    assert not Linear(7, 4)(torch.randn(3, 7)).grad_fn.name().startswith("_Rounded")


def test_small_products_stay_with_torch(monkeypatch):
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(linear, "_multiply", lambda *_: 1 / 0)
    Linear(16, 16)(torch.zeros(8, 16))


def test_the_choice_is_made_by_the_processor_and_never_fails(monkeypatch):
    linear.onednn_is_faster.cache_clear()
    monkeypatch.setattr(linear, "cpu_flags", frozenset)
    assert linear.onednn_is_faster() is False
    linear.onednn_is_faster.cache_clear()
    monkeypatch.undo()
    assert linear.onednn_is_faster() in (True, False)


def test_an_encoder_is_the_same_on_both_roads(everywhere):
    from epilm.nn.encoder import SequenceEncoder
    from epilm.nn.vocabulary import MaskedHead

    torch.manual_seed(0)
    encoder = SequenceEncoder(69, 32, 2, 2, 64, max_positions=16, dropout=0.1).train()
    head = MaskedHead(32, 69, encoder.words.weight)
    ids = torch.randint(5, 69, (3, 16))
    found = []
    for enabled in (True, False):
        torch.manual_seed(1)
        encoder.zero_grad()
        with torch.backends.mkldnn.flags(enabled=enabled):
            loss = F.cross_entropy(head(encoder(ids)[0].flatten(0, 1)), ids.flatten())
            loss.backward()
        grads = [p.grad.clone() for p in encoder.parameters() if p.grad is not None]
        found.append([loss.detach(), *grads])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)
