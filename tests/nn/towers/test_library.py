"""Towers of the library start from local weights."""

import pytest
import torch

from epilm.errors import CheckpointError
from epilm.nn.region import REGION_TOWERS, build_region_tower

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
