"""Swin, ViT and DeiT as `transformers` has them, with local ImageNet weights where given.

Nothing is ever downloaded: weights come from a folder that is checked first.
The library is imported when a tower is built, not before.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from epilm.errors import CheckpointError

Family = Literal["swin", "vit", "deit"]


class LibraryTower(nn.Module):
    """One of the library's networks on images.

    Parameters
    ----------
    family : {"swin", "vit", "deit"}
    size : (int, int)
        Pixels of the image; for "swin" a square.
    patch : (int, int)
        Pixels of a patch.
    embed, depths, heads, window
        As the published networks name them; ViT and DeiT use depths[0] and heads[0].
    channels : int
        Colours of the image.
    weights : str, optional
        Folder with `config.json` and `model.safetensors` or `pytorch_model.bin`, as saved by
        `save_pretrained`.

    Attributes
    ----------
    dim : int
        Width of what comes out.

    Raises
    ------
    CheckpointError
        If `weights` is no such folder, or holds another network.
    """

    def __init__(
        self,
        family: Family,
        size: tuple[int, int],
        patch: tuple[int, int],
        embed: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        window: int,
        channels: int = 3,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.family = family
        self.first = {"swin": 0, "vit": 1, "deit": 2}[family]  # special tokens before the patches
        wanted: dict[str, Any]
        network: Any
        config: Any
        if family == "swin":
            from transformers import SwinConfig, SwinModel

            wanted = {
                "image_size": size[0],
                "patch_size": patch[0],
                "embed_dim": embed,
                "depths": list(depths),
                "num_heads": list(heads),
                "window_size": window,
                "num_channels": channels,
            }
            network, config = SwinModel, SwinConfig
            self.dim = embed * 2 ** (len(depths) - 1)
        else:
            from transformers import DeiTConfig, DeiTModel, ViTConfig, ViTModel

            wanted = {
                "image_size": size if size[0] != size[1] else size[0],
                "patch_size": patch if patch[0] != patch[1] else patch[0],
                "hidden_size": embed,
                "num_hidden_layers": depths[0],
                "num_attention_heads": heads[0],
                "intermediate_size": 4 * embed,
                "num_channels": channels,
            }
            network, config = (ViTModel, ViTConfig) if family == "vit" else (DeiTModel, DeiTConfig)
            self.dim = embed
        # Swin's pooler is the mean and has no weights; the others' is a layer no loss would train.
        self.network = network(config(**wanted), add_pooling_layer=family == "swin")
        if weights is not None:
            pretrained = load_local(
                network, Path(weights), wanted, add_pooling_layer=family == "swin"
            )
            self.network.load_state_dict(pretrained.state_dict())

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, h, w) to one vector (B, dim) and the patches (B, P, dim).

        The vector is the mean for Swin and [CLS] for ViT and DeiT, after the last norm.
        """
        out = self.network(image)
        x = out.last_hidden_state
        return (out.pooler_output if self.family == "swin" else x[:, 0]), x[:, self.first :]


def load_local(network: Any, folder: Path, wanted: dict[str, Any], **kwargs: Any) -> nn.Module:
    """Open a folder of weights without touching the network, and check that it is the right model.

    Parameters
    ----------
    network : class
        A `PreTrainedModel`.
    folder : Path
    wanted : dict
        Configuration keys that must be as said.

    Raises
    ------
    CheckpointError
        If the folder or its files are missing, unreadable or describe another network.
    """
    config = folder / "config.json"
    do = (
        "Put a copy of the model (config.json and model.safetensors) there, or leave tower.weights"
        " out."
    )
    if not folder.is_dir():
        raise CheckpointError("no folder of tower weights", where=str(folder), do=do)
    files = [
        name for name in ("model.safetensors", "pytorch_model.bin") if (folder / name).is_file()
    ]
    if not config.is_file() or not files:
        raise CheckpointError(
            "the folder of tower weights is not complete",
            where=str(folder),
            found=", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "an empty folder",
            expected="config.json and model.safetensors (or pytorch_model.bin)",
            do=do,
        )
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError("config.json is no JSON", where=str(config), do=do) from error
    differing = [
        f"{key} {said[key]} (not {value})"
        for key, value in wanted.items()
        if key in said and _plain(said[key]) != _plain(value)
    ]
    if differing:
        raise CheckpointError(
            "the weights belong to another network than tower.name says",
            where=str(config),
            found=", ".join(differing),
            do="Choose the tower of that name, or other weights.",
        )
    # A file of tensors alone: `weights_only` reading is the library's default since torch 2.6.
    model, report = network.from_pretrained(
        str(folder), local_files_only=True, output_loading_info=True, dtype=torch.float32, **kwargs
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            "the weights miss parameters of the tower",
            where=str(folder),
            found=f"{len(missing)} missing, e.g. {missing[0]}",
            do=do,
        )
    return model


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
