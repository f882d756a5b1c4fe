"""Region towers: geometry, the image forms, parity with a slow window attention, published
sizes.
"""

import math

import pytest
import torch

from epilm.errors import CheckpointError, RecipeError
from epilm.nn.region import REGION_TOWERS, build_region_tower, count_parameters
from epilm.nn.towers.image import to_image
from epilm.nn.towers.windowed import WindowAttention, WindowedTower

SWIN = {"embed": 8, "depths": (1, 1), "heads": (1, 2), "window": 2}
TINY = {
    "native": SWIN,
    "swin": SWIN,
    "vit": {"embed": 8, "depths": (1,), "heads": (2,)},
    "deit": {"embed": 8, "depths": (1,), "heads": (2,)},
    "t2t": {"embed": 8, "depths": (1,), "heads": (2,)},
}


def tiny(name, **kwargs):
    plan = REGION_TOWERS[name]
    given = {
        "regions": 10,
        "factors": 23,
        "prepare": "native" if plan.family == "native" else "resize",
    }
    return build_region_tower(name, **(given | TINY[plan.family] | kwargs))


@pytest.mark.parametrize("name", ["native", "swin_t_224", "vit_b_384", "deit_s_224", "t2t_14"])
def test_every_family_reads_a_matrix_and_learns_from_it(name):
    torch.manual_seed(0)
    tower = tiny(name)
    matrix = torch.randn(2, 10, 23)
    pooled, patches = tower.encode(matrix)
    assert pooled.shape == (2, tower.dim)
    assert patches.shape[::2] == (2, tower.dim)
    pooled.square().sum().backward()
    grads = [p.grad for p in tower.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)
    assert any(g.abs().sum() > 0 for g in grads)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("swin_t_224", 27.5),
        ("swin_s_224", 48.8),
        ("swin_b_224", 86.7),
        ("swin_b_384", 86.9),
        ("vit_b_384", 86.1),
        ("vit_l_384", 303.7),
        ("deit_s_224", 21.7),
        ("deit_b_224", 85.8),
        ("deit_b_384", 86.1),
        ("t2t_14", 21.1),
        ("t2t_24", 63.5),
        ("native", 27.5),
    ],
)
def test_published_sizes(name, millions):
    with torch.device("meta"):
        tower = build_region_tower(
            name, regions=10, factors=579, prepare="native" if name == "native" else "resize"
        )
    assert count_parameters(tower) / 1e6 == pytest.approx(millions, rel=0.012)


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


def test_channels_wants_three_statistics():
    tower = tiny("swin_t_224", prepare="channels")
    assert tower(torch.randn(1, 10, 23, 3)).shape == (1, 16)
    with pytest.raises(
        RecipeError, match=r"1 value an entry; expected 3 .*tower\.prepare to resize"
    ):
        tower(torch.randn(1, 10, 23))


def test_absent_regions_do_not_matter():
    tower = tiny("native").eval()
    matrix = torch.randn(2, 10, 23)
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[0, 7:] = False
    other = matrix.clone()
    other[0, 7:] = 99.0
    assert torch.equal(tower(matrix, mask), tower(other, mask))
    assert not torch.allclose(tower(matrix), tower(matrix, mask))


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


def test_local_weights_are_used(tmp_path):
    from transformers import ViTConfig, ViTModel

    saved = ViTModel(
        ViTConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=384,
        )
    )
    saved.save_pretrained(tmp_path)
    tower = tiny("vit_b_384", weights=str(tmp_path)).eval()
    image = torch.randn(1, 3, 384, 384)
    assert torch.equal(tower.network.encode(image)[0], saved.eval()(image).last_hidden_state[:, 0])
    with pytest.raises(CheckpointError, match=r"another network .* hidden_size 8 \(not 16\)"):
        tiny("vit_b_384", weights=str(tmp_path), embed=16)


def test_missing_weights_say_so(tmp_path):
    with pytest.raises(CheckpointError, match="no folder of tower weights"):
        tiny("swin_t_224", weights=str(tmp_path / "no"))
    with pytest.raises(CheckpointError, match=r"an empty folder; expected config\.json"):
        tiny("swin_t_224", weights=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("swin_x", {}, "Did you mean swin"),
        ("native", {"prepare": "resize"}, "reads the matrix as it is"),
        ("t2t_14", {"prepare": "native"}, "square image"),
        ("native", {"patch": (11, 4)}, "inside the matrix"),
        ("native", {"weights": "x"}, "published network on an image"),
        ("native", {"depths": (1,), "heads": (1, 2)}, "same length"),
        ("native", {"embed": 9, "depths": (1, 1), "heads": (2, 2)}, "multiple of its heads"),
        ("swin_t_224", {"prepare": "resize", "window": 12}, "7 x 7 tokens, window 12"),
        ("swin_t_224", {"prepare": "pad", "regions": 300}, "folded to 900 rows"),
        ("swin_t_224", {"prepare": "squeeze"}, "Known: channels"),
        ("native", {"factors": 0}, "Build the store with motifs"),
    ],
)
def test_impossible_geometry_is_refused_before_building(name, kwargs, message):
    with pytest.raises(RecipeError, match=message):
        build_region_tower(name, **({"regions": 10, "factors": 579} | kwargs))


def test_patch_and_prepare_change_the_tower():
    assert tiny("native", patch=(1, 4)).patches(torch.randn(1, 10, 23)).shape[1] == 15  # 3 x 5
    assert tiny("native", patch=(2, 8)).patches(torch.randn(1, 10, 23)).shape[1] == 6  # 2 x 3
    assert tiny("swin_t_224", prepare="native").patches(torch.randn(1, 10, 23)).shape[1] == 15
    assert tiny("vit_b_384", prepare="native").patches(torch.randn(1, 10, 23)).shape[1] == 60
