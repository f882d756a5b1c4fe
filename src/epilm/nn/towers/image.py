"""How a factor matrix becomes an image (A10): resize, pad, fold, channels.

What 2-D networks made for photographs need is (B, 3, S, S); a matrix is (B, R, F, C).
Geometry is checked before anything is built. Axes: B samples, R regions, F factors,
C values an entry (1: the score; 2: score and masked indicator; 3: three statistics),
S pixels a side.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.errors import RecipeError, nearest

Prepare = Literal["resize", "pad", "fold", "native", "channels"]
PREPARE = get_args(Prepare)


def check_image(how: str, regions: int, factors: int, channels: int, size: int) -> None:
    """Refuse a matrix that cannot become an image of `size` pixels this way.

    Raises
    ------
    RecipeError
        Naming the sizes and the cure.

    Examples
    --------
    >>> check_image("pad", 10, 579, 1, 224)
    """
    if how not in PREPARE:
        raise RecipeError("unknown tower.prepare", found=how, do=nearest(how, PREPARE))
    if how == "channels" and channels != 3:
        raise RecipeError(
            "tower.prepare=channels shows three statistics of each motif as the three colours",
            found=f"a matrix with {channels} value{'s' * (channels != 1)} an entry",
            expected="3 (best score, count, sum)",
            do="Give the matrix as (B, R, F, 3), or set tower.prepare to resize.",
        )
    if how != "channels" and channels not in (1, 2):
        raise RecipeError(
            f"tower.prepare={how} takes one score an entry",
            found=f"a matrix with {channels} values an entry",
            do="Set tower.prepare to channels.",
        )
    if how == "pad" and regions * math.ceil(factors / size) > size:
        raise RecipeError(
            "the matrix does not fit into the image of the tower",
            found=(
                f"{regions} regions x {factors} factors folded to"
                f" {regions * math.ceil(factors / size)} rows"
            ),
            expected=f"at most {size} rows of {size}",
            do="Set tower.prepare to resize or fold, or use a tower of 384 pixels.",
        )


def _stretch(x: Tensor, size: int) -> Tensor:
    """Stretch (B, C, H, W) bilinearly to (B, C, size, size), so that every entry counts.

    A pixel reads the two entries next to it. Where a side shrinks to less than half (579 factors in
    224 pixels), some entries are next to none (131 factors): there each pixel is a weighted mean
    over all the entries that it stands for.
    """
    return F.interpolate(
        x,
        size=(size, size),
        mode="bilinear",
        align_corners=False,
        antialias=max(x.shape[2:]) > 2 * size,
    )


def to_image(matrix: Tensor, how: Prepare, size: int) -> Tensor:
    """Turn factor matrices into square images.

    Parameters
    ----------
    matrix : float tensor, shape (B, R, F, C)
        C = 1: the value fills all three colours. C = 2: value, value, masked
        indicator. C = 3 (with `how` "channels"): as it is.
    how : str
        "resize" and "channels" stretch R x F bilinearly to S x S, as the paper says; a side that
        shrinks to less than half is antialiased, or entries would not reach the image.
        "pad" keeps the values as they are, in the middle of zeros; rows longer than
        S are folded into several lines. "fold" writes all R * F values row by row into
        a near-square and stretches that.
    size : int
        S.

    Returns
    -------
    float tensor, shape (B, 3, S, S)

    Examples
    --------
    >>> to_image(torch.arange(1.0, 7.0).view(1, 2, 3, 1), "pad", 4)[0, 0]
    tensor([[0., 0., 0., 0.],
            [1., 2., 3., 0.],
            [4., 5., 6., 0.],
            [0., 0., 0., 0.]])
    """
    b, regions, factors, channels = matrix.shape
    x = matrix.permute(0, 3, 1, 2)  # (B, C, R, F)
    if how == "pad":
        lines = math.ceil(factors / size)
        width = math.ceil(factors / lines)
        # (B, C, R * lines, width)
        x = F.pad(x, (0, lines * width - factors)).reshape(b, channels, regions * lines, width)
        top, left = (size - regions * lines) // 2, (size - width) // 2
        x = F.pad(x, (left, size - width - left, top, size - regions * lines - top))
    elif how == "fold":
        height = math.ceil(math.sqrt(regions * factors))
        width = math.ceil(regions * factors / height)
        x = F.pad(x.flatten(2), (0, height * width - regions * factors)).view(
            b, channels, height, width
        )
        x = _stretch(x, size)
    else:
        x = _stretch(x, size)
    if channels == 3:
        return x
    colours = torch.tensor([0, 0, channels - 1], device=x.device)
    return x.expand(-1, 3, -1, -1) if channels == 1 else x[:, colours]
