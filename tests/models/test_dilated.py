"""SpliceAI's dilated network, layer by layer: contexts, widths and weights counted by hand, the
published padding and cropping as a peer.
"""

import pytest
import torch
import torch.nn.functional as F

from epilm.batch import Windows
from epilm.errors import InputError, UsageError
from epilm.models.dilated import PRESETS, DilatedCNN, context_of, widths


def windows(codes):
    nothing = torch.zeros(len(codes), 1, dtype=torch.int64)
    return Windows(nothing, nothing == 0, codes=codes)


def published(model, codes):
    """The same weights as the paper's code runs them: every layer padded to its input's width, all
    skips summed, the context cropped at the end.
    """

    def same(conv, x):
        reach = conv.dilation[0] * (conv.kernel_size[0] - 1)
        return F.conv1d(
            F.pad(x, (reach // 2, reach - reach // 2)),
            conv.weight,
            conv.bias,
            dilation=conv.dilation,
        )

    x = model.stem(F.one_hot(codes.long(), 5)[..., :4].float().transpose(1, 2))
    total = model.skips[0](x)
    for group, skip in zip(model.groups, list(model.skips)[1:], strict=True):
        for unit in group:
            y = same(unit.conv1, F.relu(unit.norm1(x)))
            x = x + same(unit.conv2, F.relu(unit.norm2(y)))
        total = total + skip(x)
    half = model.context // 2
    return model.out(total[..., half : total.shape[-1] - half]).transpose(1, 2)


def randomised(context, channels=4):
    torch.manual_seed(0)
    model = DilatedCNN(3, context, channels).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            for value in (module.weight, module.bias, module.running_mean):
                torch.nn.init.normal_(value, 0.5, 0.5)
    return model


# The stem 4 x 32 + 32; a skip 32 x 32 + 32; the last layer 32 x 3 + 3; a convolution of width w
# 32 x 32 x w + 32 with the 64 numbers of its norm, eight of them a group.
def counted(*group_widths):
    groups = sum(8 * (32 * 32 * w + 32 + 64) for w in group_widths)
    return 160 + 1056 * (1 + len(group_widths)) + groups + 99


@pytest.mark.parametrize(
    ("context", "count"),
    [
        (80, counted(11)),
        (256, counted(11, 23)),
        (400, counted(11, 11)),
        (2000, counted(11, 11, 21)),
        (10000, counted(11, 11, 21, 41)),
    ],
)
def test_context_widths_and_weights_are_those_counted_by_hand(context, count):
    assert context_of(PRESETS[context]) == context
    model = DilatedCNN(3, context)
    assert sum(weight.numel() for weight in model.parameters()) == count
    assert len(model.skips) == 1 + len(PRESETS[context])
    assert sum(len(group) for group in model.groups) == 4 * len(PRESETS[context])
    seen = []
    for group in model.groups:
        group.register_forward_hook(lambda _, __, out: seen.append(out.shape[-1]))
    logits = model.eval()(windows(torch.zeros(1, context + 3, dtype=torch.uint8)))
    assert logits.shape == (1, 3, 3)
    assert seen == widths(context, 3)[1:]


def test_the_known_number_of_weights_of_the_largest():
    # 160 + 5 x 1056 + 2 x 90,880 + 172,800 + 336,640 + 99
    assert counted(11, 11, 21, 41) == 696_739
    assert widths(10000, 5000) == [15000, 14920, 14600, 13000, 5000]


@pytest.mark.parametrize("context", [80, 256, 400])
def test_it_is_the_published_network_without_its_padding(context):
    model = randomised(context)
    codes = torch.randint(0, 5, (1, context + 20), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(
            model(windows(codes)), published(model, codes), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("context", [80, 256, 400, 2000])
def test_a_base_is_told_by_its_context_and_nothing_beyond(context):
    model = DilatedCNN(3, context, channels=2).double().eval()
    for weight in model.parameters():  # nothing cancels, no unit is silent: every path counts
        torch.nn.init.uniform_(weight, 0.1, 0.3)
    kept = []

    def keep(_module, _inputs, out):
        out.retain_grad()
        kept.append(out)

    model.stem.register_forward_hook(keep)
    logits = model(windows(torch.randint(0, 4, (1, context + 9), dtype=torch.uint8)))
    logits[0, 3].sum().backward()
    seen = kept[0].grad[0].abs().amax(0).nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (3, 3 + context)


def test_blocks_of_any_width_say_the_same_of_a_base():
    model = randomised(80)
    codes = torch.randint(0, 5, (1, 80 + 60), dtype=torch.uint8)
    with torch.no_grad():
        whole = model(windows(codes))
        parts = [model(windows(codes[:, at : at + 80 + 20])) for at in (0, 20, 40)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_other_contexts_and_windows_without_a_base_are_refused():
    with pytest.raises(UsageError, match="no such context.*80, 256, 400, 2000, 10000"):
        DilatedCNN(3, 100)
    with pytest.raises(InputError, match="the window holds no base to answer"):
        DilatedCNN(3, 80)(windows(torch.zeros(1, 80, dtype=torch.uint8)))


def test_answers_begin_at_the_shares_of_the_classes():
    model = DilatedCNN(3, 80)
    torch.nn.init.zeros_(model.out.weight)
    model.start_at(torch.tensor([0.9, 0.06, 0.04]))
    said = model(windows(torch.zeros(2, 90, dtype=torch.uint8))).softmax(-1)
    torch.testing.assert_close(said[0, 0], torch.tensor([0.9, 0.06, 0.04]))
