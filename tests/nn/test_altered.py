"""Layers at the altered positions alone against the same layers on every copy, whole."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from epilm.nn.altered import Altered, added, convolved, every, pooled


def copies(width=23, channels=3, m=2, seed=0, hang=True):
    """Two sequences, stretches at every place (also half outside), and the copies written out."""
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randn(2, channels, width, generator=generator)
    first, last = (1 - m, width) if hang else (0, width - m + 1)
    start = torch.arange(first, last).repeat(2)
    of = torch.arange(len(start)) % 2
    values = torch.randn(len(start), channels, m, generator=generator)
    altered = Altered(whole, start, values, of)
    full = whole[of]
    for row, begin in enumerate(start.tolist()):
        for i in range(m):
            if 0 <= begin + i < width:
                full[row, :, begin + i] = altered.values[row, :, i]
    return altered, full


def test_copies_laid_out_are_the_copies():
    altered, full = copies()
    assert torch.equal(altered.laid_out(), full)


@pytest.mark.parametrize("padding", [0, 2, 5])
@pytest.mark.parametrize("dilation", [1, 3])
def test_a_convolution_is_the_same_with_its_padding(padding, dilation):
    torch.manual_seed(0)
    layer = nn.Conv1d(3, 4, 5, padding=padding, dilation=dilation)
    altered, full = copies()
    with torch.no_grad():
        assert torch.allclose(convolved(altered, layer).laid_out(), layer(full), atol=1e-6)


@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize("width", [20, 21, 23])
def test_a_maximum_is_the_same_also_over_what_is_left_at_the_end(width, ceil_mode):
    altered, full = copies(width)
    expected = F.max_pool1d(full, 4, ceil_mode=ceil_mode)
    assert torch.equal(pooled(altered, 4, ceil_mode).laid_out(), expected)


@pytest.mark.parametrize("m", [1, 4])
def test_the_largest_value_of_a_copy_may_lie_anywhere(m):
    altered, full = copies(m=m)
    assert torch.equal(altered.largest(), full.amax(2))
    lower = altered._replace(values=altered.values - 9)  # what was largest is gone
    assert torch.equal(lower.largest(), lower.laid_out().amax(2))


@pytest.mark.parametrize("step", [1, 2, 5])
def test_every_few_positions(step):
    altered, full = copies(m=1)
    assert torch.equal(every(altered, step).laid_out(), full[..., ::step])


def test_a_cropped_input_is_added():
    torch.manual_seed(0)
    layer = nn.Conv1d(3, 3, 5)
    altered, full = copies(hang=False)
    with torch.no_grad():
        both = added(convolved(altered, layer), altered, 2)
        assert torch.allclose(both.laid_out(), layer(full) + full[..., 2:-2], atol=1e-6)


def test_only_what_a_change_reaches_is_computed():
    layer = nn.Conv1d(1, 1, 7, padding=3)
    start, of = torch.tensor([10, 500]), torch.tensor([0, 0])
    altered = Altered(torch.zeros(1, 1, 1000), start, torch.ones(2, 1, 1), of)
    assert convolved(altered, layer).values.shape == (2, 1, 7)
