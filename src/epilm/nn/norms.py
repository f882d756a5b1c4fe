"""The sum that closes each part of a block: norm(x + dropout(update)), fused where the chip has a
kernel for it.

On CUDA with triton one kernel does it, and the result is in the number format of the update: under
autocast the stream between blocks is bf16 then, its sums and statistics fp32 within the kernel.
Elsewhere, and in programs of `torch.compile`, torch's own operations. Needs torch only.
"""

import importlib.util
from functools import lru_cache

import torch
from torch import Tensor, nn

from epilm.nn.dropout import Dropout

WIDEST = 4096  # H that a program of the kernel can hold


def add_norm(x: Tensor, update: Tensor, norm: nn.LayerNorm, dropout: Dropout) -> Tensor:
    """Add an update to what a part of a block read, and normalise.

    Parameters
    ----------
    x, update : float (..., H)
    norm : LayerNorm over H
    dropout : Dropout
        Of the update, while it is in training mode.

    Returns
    -------
    float (..., H)

    Examples
    --------
    >>> x = torch.tensor([[1.0, 3.0]])
    >>> add_norm(x, torch.zeros(1, 2), nn.LayerNorm(2), Dropout(0.0))
    tensor([[-1.0000,  1.0000]], grad_fn=<NativeLayerNormBackward0>)
    """
    if not _fused(update):
        return norm(x + dropout(update))
    from epilm.nn.kernels_norm import AddNorm

    rate = dropout.p if dropout.training else 0.0
    rows = (part.reshape(-1, part.shape[-1]).contiguous() for part in (x.to(update.dtype), update))
    out: Tensor = AddNorm.apply(*rows, norm.weight, norm.bias, rate, norm.eps)
    return out.view(update.shape)


def _fused(update: Tensor) -> bool:
    if update.device.type != "cuda" or torch.compiler.is_compiling() or type(update) is not Tensor:
        return False
    return (
        update.shape[-1] <= WIDEST
        and update.numel() > 0
        and kernels_there(update.device.index or 0)
    )


@lru_cache(maxsize=8)
def kernels_there(device: int = 0) -> bool:
    """Whether a CUDA device can run the kernels: triton is installed, and the chip is an Ampere or
    later.
    """
    return (
        triton_there()
        and torch.cuda.is_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def triton_there() -> bool:
    """Whether triton is installed."""
    return importlib.util.find_spec("triton") is not None
