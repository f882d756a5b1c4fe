"""A factor matrix as an image."""

import math

import pytest
import torch

from epilm.nn.towers.image import to_image


@pytest.mark.parametrize("prepare", ["resize", "pad", "fold"])
def test_image_forms_differ(prepare):
    matrix = torch.randn(1, 10, 579, 1)
    image = to_image(matrix, prepare, 224)
    assert image.shape == (1, 3, 224, 224)
    assert torch.equal(image[:, 0], image[:, 2])
    others = [
        to_image(matrix, other, 224) for other in ("resize", "pad", "fold") if other != prepare
    ]
    assert not any(torch.equal(image, other) for other in others)


@pytest.mark.parametrize("how", ["resize", "channels", "pad", "fold"])
@pytest.mark.parametrize(
    ("regions", "factors", "size"),
    [(10, 579, 224), (10, 579, 384), (10, 2000, 224), (600, 30, 224)],
)
def test_every_factor_reaches_the_image(how, regions, factors, size):
    if how == "pad" and regions * math.ceil(factors / size) > size:
        pytest.skip("refused: the matrix does not fit")
    matrix = torch.ones(1, regions, factors, 3 if how == "channels" else 1, requires_grad=True)
    image = to_image(matrix, how, size)
    image.sum().backward()
    weight = matrix.grad.sum((0, 1, 3))
    assert (matrix.grad > 0).all()
    if how in ("resize", "channels") and factors > 2 * size:  # an equal part each, but at the edges
        inside = weight[10:-10] / weight[10:-10].mean()
        assert (inside - 1).abs().max() < 0.2
    if how in ("resize", "channels"):  # means of ones
        torch.testing.assert_close(image, torch.ones_like(image), rtol=1e-5, atol=1e-5)


def test_what_shrinks_to_less_than_half_is_the_mean_under_a_triangle():
    """Slow and plain: pixel i stands at (i + 1/2) s - 1/2 and weighs entries by 1 - |j - i| / s."""
    matrix = torch.randn(1, 1, 23, 1, dtype=torch.float64)
    image = to_image(matrix, "resize", 7)[0, 0, 0]
    step = 23 / 7
    for pixel in range(7):
        centre = (pixel + 0.5) * step - 0.5
        weights = (1 - (torch.arange(23) - centre).abs() / step).clamp(min=0).double()
        expected = (matrix.flatten() * weights).sum() / weights.sum()
        assert float(image[pixel]) == pytest.approx(float(expected), abs=1e-6)


def test_pad_keeps_every_value_once():
    matrix = torch.arange(1.0, 5791.0).view(1, 10, 579, 1)
    image = to_image(matrix, "pad", 224)[0, 0]
    assert image[image > 0].tolist() == matrix.flatten().tolist()


def test_two_channels_are_value_value_indicator():
    image = to_image(torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4)], -1), "resize", 8)
    assert image[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]
