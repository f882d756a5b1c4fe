"""Region towers: geometry, the image forms, parity with a slow window attention, published
sizes.
"""

import pytest
import torch

from epilm.errors import RecipeError
from epilm.nn.region import REGION_TOWERS, build_region_tower, count_parameters

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
