"""Region towers: 2-D networks that read the regions x factors matrix of a sample.

REGION_TOWERS has one entry a network; `build_region_tower` checks the geometry and
builds one. Library networks see the matrix as an image (A10), `native` and every
tower with prepare=native see it as it is. Every tower has `dim`, `forward`
(one vector a sample), `patches` and `encode` (both at once).
Axes: B samples, R regions, F factors, C values an entry, P patches, D the tower's width.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from epilm.errors import RecipeError, nearest
from epilm.nn.towers.image import PREPARE, Prepare, check_image, to_image
from epilm.nn.towers.library import LibraryTower
from epilm.nn.towers.t2t import T2TViT
from epilm.nn.towers.windowed import WindowedTower


@dataclass(frozen=True)
class TowerPlan:
    """The published sizes of one tower; `size` is the image's side, 0 for none."""

    family: Literal["native", "swin", "vit", "deit", "t2t"]
    size: int
    patch: int
    embed: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 0


_T, _S = (2, 2, 6, 2), (2, 2, 18, 2)
_NARROW, _WIDE = (3, 6, 12, 24), (4, 8, 16, 32)

# Sizes: protocols 2.5; the T2T ones from its paper.
REGION_TOWERS: dict[str, TowerPlan] = {
    "native": TowerPlan("native", 0, 0, 96, _T, _NARROW, 7),
    "swin_t_224": TowerPlan("swin", 224, 4, 96, _T, _NARROW, 7),
    "swin_s_224": TowerPlan("swin", 224, 4, 96, _S, _NARROW, 7),
    "swin_b_224": TowerPlan("swin", 224, 4, 128, _S, _WIDE, 7),
    "swin_t_384": TowerPlan("swin", 384, 4, 96, _T, _NARROW, 12),
    "swin_s_384": TowerPlan("swin", 384, 4, 96, _S, _NARROW, 12),
    "swin_b_384": TowerPlan("swin", 384, 4, 128, _S, _WIDE, 12),
    "vit_b_384": TowerPlan("vit", 384, 16, 768, (12,), (12,)),
    "vit_l_384": TowerPlan("vit", 384, 16, 1024, (24,), (16,)),
    "deit_s_224": TowerPlan("deit", 224, 16, 384, (12,), (6,)),
    "deit_b_224": TowerPlan("deit", 224, 16, 768, (12,), (12,)),
    "deit_b_384": TowerPlan("deit", 384, 16, 768, (12,), (12,)),
    "t2t_14": TowerPlan("t2t", 224, 16, 384, (14,), (6,)),
    "t2t_24": TowerPlan("t2t", 224, 16, 512, (24,), (8,)),
}


class RegionTower(nn.Module):
    """A network on factor matrices.

    Parameters
    ----------
    network : module
        With `dim` and `encode(x) -> ((B, D), (B, P, D))`.
    prepare : str
        How the matrix becomes what the network reads.
    size : int
        Side of the image; 0 where the network reads the matrix itself.
    channels : int
        C.
    """

    def __init__(
        self,
        network: nn.Module,
        prepare: Prepare,
        size: int,
        channels: int,
        pad: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.network = network
        self.prepare: Prepare = prepare
        self.size, self.channels, self.pad = size, channels, pad
        self.dim: int = network.dim  # type: ignore[assignment]

    def encode(self, matrix: Tensor, region_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One vector a sample and its patches.

        Parameters
        ----------
        matrix : float tensor, shape (B, R, F) or (B, R, F, C)
        region_mask : bool tensor, shape (B, R), optional
            False on rows without a region (a padded tail): they are read as zeros.

        Returns
        -------
        pooled : float tensor, shape (B, D)
        patches : float tensor, shape (B, P, D)

        Raises
        ------
        RecipeError
            If the matrix has another number of values an entry than the tower.
        """
        x = matrix[..., None] if matrix.dim() == 3 else matrix
        if x.shape[-1] != self.channels:
            check_image(self.prepare, x.shape[1], x.shape[2], x.shape[-1], max(self.size, 1))
            raise RecipeError(
                "the matrix does not fit the tower",
                found=f"{x.shape[-1]} values an entry",
                expected=f"{self.channels}",
                do="Build the tower with that number of channels.",
            )
        if region_mask is not None:
            x = x * region_mask[:, :, None, None]
        if self.size:
            x = to_image(x, self.prepare, self.size)
        elif not isinstance(self.network, WindowedTower):  # ViT on the matrix itself: (B, C, R, F)
            x = F.pad(x.permute(0, 3, 1, 2), (0, self.pad[1], 0, self.pad[0]))
        return self.network.encode(x)  # type: ignore[operator]

    def forward(self, matrix: Tensor, region_mask: Tensor | None = None) -> Tensor:
        """One vector a sample, (B, D); see `encode`."""
        return self.encode(matrix, region_mask)[0]

    def patches(self, matrix: Tensor, region_mask: Tensor | None = None) -> Tensor:
        """The patches of the last stage, (B, P, D); see `encode`."""
        return self.encode(matrix, region_mask)[1]


def build_region_tower(
    name: str,
    *,
    regions: int,
    factors: int,
    prepare: Prepare = "native",
    patch: tuple[int, int] = (1, 4),
    embed: int | None = None,
    depths: tuple[int, ...] | None = None,
    heads: tuple[int, ...] | None = None,
    window: int | None = None,
    weights: str | None = None,
    channels: int | None = None,
) -> RegionTower:
    """Build one of REGION_TOWERS.

    Parameters
    ----------
    name : str
        Key of REGION_TOWERS.
    regions, factors : int
        R and F of the matrices to come.
    prepare : {"resize", "pad", "fold", "native", "channels"}
        How the matrix becomes an image (A10). "native": the matrix as it is, with new
        patches of `patch` entries; then Swin's sizes go to our windowed tower and ViT and DeiT
        get a new patch embedding.
    patch : (int, int)
        Regions and factors of a patch, for prepare=native.
    embed, depths, heads, window : optional
        Sizes in place of the published ones. ViT, DeiT and T2T take depths[0] and heads[0].
    weights : str, optional
        Local folder of ImageNet weights (Swin, ViT, DeiT on images only). Random otherwise.
    channels : int, optional
        Values an entry of the matrix: 1, 2 (score and masked indicator) or 3 (three
        statistics). Default 3 for prepare=channels, else 1.

    Returns
    -------
    RegionTower

    Raises
    ------
    RecipeError
        If name or geometry is impossible.
    CheckpointError
        If the weights cannot be used.

    Examples
    --------
    >>> import torch
    >>> tower = build_region_tower(
    ...     "native", regions=10, factors=40, embed=8, depths=(1, 1), heads=(1, 2)
    ... )
    >>> tuple(tower(torch.zeros(2, 10, 40)).shape)
    (2, 16)
    """
    plan = _check(name, regions, factors, prepare, patch, weights)
    channels = channels or (3 if prepare == "channels" else 1)
    sizes = TowerPlan(
        plan.family,
        plan.size,
        plan.patch,
        embed or plan.embed,
        tuple(depths or plan.depths),
        tuple(heads or plan.heads),
        window or plan.window,
    )
    _check_sizes(name, sizes)
    if prepare == "native":
        return _on_matrix(sizes, regions, factors, channels, patch)
    check_image(prepare, regions, factors, channels, plan.size)
    network: nn.Module
    if sizes.family == "t2t":
        network = T2TViT(sizes.size, sizes.embed, sizes.depths[0], sizes.heads[0])
    else:
        assert sizes.family != "native"
        side = (sizes.size, sizes.size)
        if sizes.family == "swin":
            _check_windows(name, sizes)
        network = LibraryTower(
            sizes.family,
            side,
            (sizes.patch, sizes.patch),
            sizes.embed,
            sizes.depths,
            sizes.heads,
            sizes.window,
            weights=weights,
        )
    return RegionTower(network, prepare, sizes.size, channels)


def _on_matrix(
    sizes: TowerPlan, regions: int, factors: int, channels: int, patch: tuple[int, int]
) -> RegionTower:
    network: nn.Module
    if sizes.family in ("native", "swin"):
        network = WindowedTower(
            regions, factors, channels, patch, sizes.embed, sizes.depths, sizes.heads, sizes.window
        )
        return RegionTower(network, "native", 0, channels)
    pad = (-regions % patch[0], -factors % patch[1])
    assert sizes.family in ("vit", "deit")
    network = LibraryTower(
        sizes.family,
        (regions + pad[0], factors + pad[1]),
        patch,
        sizes.embed,
        sizes.depths,
        sizes.heads,
        sizes.window,
        channels,
    )
    return RegionTower(network, "native", 0, channels, pad)


def _check(
    name: str, regions: int, factors: int, prepare: str, patch: tuple[int, int], weights: str | None
) -> TowerPlan:
    if name not in REGION_TOWERS:
        raise RecipeError(
            "unknown region tower",
            where="model.tower.name",
            found=name,
            do=nearest(name, REGION_TOWERS),
        )
    if prepare not in PREPARE:
        raise RecipeError(
            "unknown way to prepare the matrix",
            where="model.tower.prepare",
            found=prepare,
            do=nearest(prepare, PREPARE),
        )
    if regions < 1 or factors < 1:
        raise RecipeError(
            "a region tower needs a matrix",
            where="model",
            found=f"{regions} regions x {factors} factors",
            expected="at least 1 x 1",
            do="Build the store with motifs, or drop factors from model.streams.",
        )
    plan = REGION_TOWERS[name]
    if plan.family == "native" and prepare != "native":
        raise RecipeError(
            "the native tower reads the matrix as it is",
            where="model.tower.prepare",
            found=prepare,
            expected="native",
            do="For images choose a tower such as swin_t_224.",
        )
    if plan.family == "t2t" and prepare == "native":
        raise RecipeError(
            "T2T makes its tokens from a square image",
            where="model.tower.prepare",
            found=prepare,
            expected="resize, pad, fold or channels",
        )
    if prepare == "native" and (
        len(patch) != 2 or min(patch) < 1 or patch[0] > regions or patch[1] > factors
    ):
        raise RecipeError(
            "a patch must lie inside the matrix",
            where="model.tower.patch",
            found=tuple(patch),
            expected=f"two numbers, at least 1 and at most {(regions, factors)}",
        )
    if weights is not None and (prepare == "native" or plan.family in ("native", "t2t")):
        raise RecipeError(
            "ImageNet weights need the published network on an image",
            where="model.tower.weights",
            found=f"{name} with prepare={prepare}",
            do="Set tower.prepare to resize and name a Swin, ViT or DeiT tower.",
        )
    return plan


def _check_sizes(name: str, sizes: TowerPlan) -> None:
    if len(sizes.depths) != len(sizes.heads):
        raise RecipeError(
            "every stage needs a depth and a number of heads",
            where="model.tower",
            found=f"depths {sizes.depths}, heads {sizes.heads}",
            do="Give both the same length.",
        )
    if min(*sizes.depths, *sizes.heads, sizes.embed) < 1:
        raise RecipeError("tower sizes must be at least 1", where="model.tower", found=sizes)
    if sizes.family not in ("native", "swin") and len(sizes.depths) != 1:
        raise RecipeError(
            f"{name} has one stage",
            where="model.tower.depths",
            found=sizes.depths,
            expected="one number",
        )
    for stage, heads in enumerate(sizes.heads):
        if (width := sizes.embed * 2**stage) % heads:
            raise RecipeError(
                "a stage's width must be a multiple of its heads",
                where="model.tower.heads",
                found=f"width {width}, {heads} heads in stage {stage + 1}",
            )


def _check_windows(name: str, sizes: TowerPlan) -> None:
    """The library's Swin fails in the forward pass where a stage is smaller than its window."""
    last = math.ceil(sizes.size / sizes.patch / 2 ** (len(sizes.depths) - 1))
    if last < sizes.window:
        raise RecipeError(
            "the last stage of the tower is smaller than its window",
            where="model.tower.window",
            found=(
                f"{last} x {last} tokens, window {sizes.window} ({name}, {len(sizes.depths)}"
                " stages)"
            ),
            expected=f"a window of at most {last}",
            do="Lower tower.window, use fewer stages, or take native.",
        )


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers of a module, shared ones once.

    Examples
    --------
    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in dict.fromkeys(module.parameters()) if p.requires_grad)
