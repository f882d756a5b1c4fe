"""Attention in windows equals the plain one under a mask."""

import math

import pytest
import torch

from epilm.nn.towers.windowed import WindowAttention, WindowedTower


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("grid", "window"), [((9, 3), (4, 3)), ((8, 7), (4, 3))])
def test_window_attention_equals_the_plain_one(grid, window, shifted):
    """Dense attention over all tokens with everything outside the own window at -inf."""
    torch.manual_seed(1)
    layer = WindowAttention(8, 2, grid, window, shifted).double()
    x = torch.randn(2, *grid, 8, dtype=torch.float64)
    got = layer(x)
    columns, rows = grid
    place = [(c, r) for c in range(columns) for r in range(rows)]
    of = [
        tuple((p + b) // w for p, b, w in zip(at, layer.before, window, strict=True))
        for at in place
    ]
    q, k, v = layer.qkv(x.flatten(1, 2)).view(2, len(place), 3, 2, 4).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) / 2.0
    for i, a in enumerate(place):
        for j, b in enumerate(place):
            if of[i] != of[j]:
                scores[..., i, j] = -math.inf
            else:
                at = (
                    (a[0] - b[0] + window[0] - 1) * (2 * window[1] - 1)
                    + a[1]
                    - b[1]
                    + window[1]
                    - 1
                )
                scores[..., i, j] += layer.bias[:, at]
    want = layer.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(2, len(place), 8)).view_as(x)
    assert torch.allclose(got, want, atol=1e-12)
    assert shifted == (sum(layer.before) > 0)


def test_many_regions_get_windows_on_both_axes():
    tower = WindowedTower(20, 30, patch=(1, 2), embed=4, depths=(2,), heads=(1,), window=4)
    assert tower.layers[1].attention.window == (4, 4)
    assert tower.layers[1].attention.before == (2, 2)
    assert tower.encode(torch.randn(1, 20, 30, 1))[1].shape == (1, 300, 4)
