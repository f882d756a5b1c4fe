"""Every kernel and every layout of tokens gives what the plain way gives, with the padding in
place.
"""

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend

from epilm.errors import TrainingError
from epilm.nn import attention
from epilm.nn.attention import attend, attention_backend, attention_weights
from epilm.nn.encoder import SequenceEncoder
from epilm.nn.vocabulary import MaskedHead


def qkv(dtype=torch.float32, length=9):
    g = torch.Generator().manual_seed(0)
    return torch.randn(3, 2, 4, length, 8, generator=g).to(dtype)


@pytest.mark.parametrize("kind", ["none", "bool", "bias"])
@pytest.mark.parametrize("wish", ["auto", "plain", "sdpa"])
def test_every_wish_is_softmax_of_products_times_values(wish, kind):
    x = qkv().requires_grad_()
    mask = {
        "none": None,
        "bool": (torch.arange(9) < 6)[None, None, None],
        "bias": torch.linspace(-2, 2, 81).view(1, 1, 9, 9),
    }[kind]
    expected = attention_weights(x[0], x[1], mask) @ x[2]
    found = attend(*x, mask, 0.0, wish)
    torch.testing.assert_close(found, expected)
    cotangent = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    theirs, ours = (torch.autograd.grad(out, x, cotangent)[0] for out in (expected, found))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("wish", ["auto", "plain", "sdpa"])
@pytest.mark.parametrize("dropout", [0.0, 1e-9])
def test_some_queries_alone_give_what_they_give_among_all(wish, dropout):
    x, mask = qkv(length=300), (torch.arange(300) < 280)[None, None, None]
    for own in (None, mask):
        some = attend(x[0][:, :, 5:8], x[1], x[2], own, dropout, wish)
        torch.testing.assert_close(some, attend(*x, own, 0.0, "plain")[:, :, 5:8])


def test_dropout_of_the_plain_way_takes_weights_out_of_a_table_that_is_otherwise_the_same():
    x = qkv(length=8)  # as many tokens as a head is wide
    values = torch.eye(8).expand(x[2].shape)  # the mixture of these is the table itself
    torch.manual_seed(0)
    table = attend(x[0], x[1], values, None, 0.3, "plain")
    full = attend(x[0], x[1], values, None, 0.0, "sdpa")
    kept = table != 0
    assert 0.2 < 1 - kept.float().mean() < 0.4
    torch.testing.assert_close(table[kept], full[kept] / (1 - round(0.3 * 65536) / 65536))
    torch.manual_seed(0)
    torch.testing.assert_close(attend(*x, None, 0.3, "plain"), table @ x[2])


def test_a_cpus_ways_follow_from_format_length_and_dropout(monkeypatch):
    taken = []
    monkeypatch.setattr(attention, "_plain", lambda q, *_: taken.append("plain") or q)
    monkeypatch.setattr(attention, "attend_in_blocks", lambda q, *_: taken.append("blocks") or q)
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, *_, **__: taken.append("sdpa") or q
    )
    bias, padding = torch.zeros(1, 1, 256, 256), torch.ones(2, 1, 1, 256, dtype=torch.bool)
    for dtype, length, dropout, mask, way in (
        (torch.float32, 255, 0.1, None, "plain"),
        (torch.float32, 256, 0.1, None, "blocks"),
        (torch.float32, 256, 0.1, padding, "blocks"),
        (torch.float32, 256, 0.1, bias, "plain"),
        (torch.float32, 256, 0.0, None, "sdpa"),
        (torch.float64, 256, 0.1, None, "sdpa"),
        (torch.bfloat16, 640, 0.1, None, "plain"),
        (torch.bfloat16, 641, 0.1, None, "blocks"),
        (torch.bfloat16, 256, 0.0, None, "plain"),
        (torch.bfloat16, 257, 0.0, None, "sdpa"),
    ):
        attend(*qkv(dtype, length), mask, dropout)
        assert taken.pop() == way, (dtype, length, dropout)


def test_bf16_attention_is_that_of_fp32_to_its_rounding():
    x = qkv()
    torch.testing.assert_close(
        attend(*x.bfloat16(), None, 0.0).float(), attend(*x, None, 0.0), atol=2e-2, rtol=2e-2
    )


def test_a_chip_gets_its_kernels(monkeypatch):
    for capability, first in (((9, 0), "cudnn"), ((8, 0), "flash"), ((10, 0), "flash")):
        attention_backend.cache_clear()
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        found = attention_backend("cuda:0")
        assert found.order[0] == first
        assert found.order[-1] == "math"
        assert f"attention {first} first" in found.said
    assert attention_backend("cuda", "flash").order[:2] == ("flash", "efficient")
    assert attention_backend("cuda", "sdpa").order == ()
    attention_backend.cache_clear()


def test_the_chosen_kernels_are_those_torch_is_told():
    with attention._context(("math", "flash")):
        assert torch.backends.cuda.math_sdp_enabled()
        assert not torch.backends.cuda.mem_efficient_sdp_enabled()
    assert {
        b.name for b in (SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
    }  # names that exist
    assert torch.backends.cuda.mem_efficient_sdp_enabled()


@pytest.mark.parametrize("wish", ["flash", "cudnn"])
def test_a_gpu_kernel_on_a_cpu_is_refused(wish):
    with pytest.raises(
        TrainingError, match=rf"train.attention: the {wish} kernel runs on CUDA devices alone.*auto"
    ):
        attention_backend("cpu", wish)


def test_an_unknown_kernel_names_the_known():
    with pytest.raises(
        TrainingError, match=r"Found fast; expected auto, plain, sdpa, flash, cudnn"
    ):
        attention_backend("cpu", "fast")


@pytest.mark.parametrize("checkpointed", [False, True])
def test_tokens_without_their_padding_give_the_same_losses_and_gradients(checkpointed):
    torch.manual_seed(0)
    encoder = SequenceEncoder(
        69, 32, 2, 2, 64, max_positions=24, dropout=0.0, checkpoint_activations=checkpointed
    )
    head = MaskedHead(32, 69, encoder.words.weight)
    lengths = torch.tensor([24, 7, 1, 0, 13])
    mask = torch.arange(24) < lengths[:, None]
    ids = torch.randint(5, 69, mask.shape) * mask
    labels = torch.where(mask & (ids % 3 == 0), ids, -100)
    found = []
    for packing in ("off", "packed"):
        encoder.compute(packing=packing)
        encoder.zero_grad()
        hidden = encoder.train()(ids, None, mask)[0]
        loss = F.cross_entropy(head(hidden[labels != -100]), labels[labels != -100])
        loss.backward()
        found.append(
            [
                loss.detach(),
                hidden[mask].detach(),
                *(p.grad.clone() for p in encoder.parameters() if p.grad is not None),
            ]
        )
    assert len(found[0]) == len(found[1]) > 10
    for padded, short in zip(*found, strict=True):
        torch.testing.assert_close(short, padded, rtol=1e-5, atol=1e-6)
    assert not hidden[~mask].any()


def test_padding_is_left_out_where_there_is_some():
    mask = torch.arange(10) < torch.tensor([[10], [3]])
    encoder = SequenceEncoder(69, 8, 1, 2, 16, dropout=0.1)
    assert encoder.train()._pack(mask) is not None
    assert encoder.eval()._pack(mask) is not None
    assert encoder._pack(torch.ones(2, 10, dtype=torch.bool)) is None
    assert encoder._pack(torch.zeros(2, 10, dtype=torch.bool)) is None
    assert encoder._pack(mask.to("meta")) is None  # by itself on a CPU alone
    encoder.compute(packing="off")
    assert encoder.eval()._pack(mask) is None
