"""Dense layers in fp32 on processors where torch's own product leaves half of the chip idle.

Torch multiplies fp32 matrices with MKL, which keeps AMD processors to AVX2; oneDNN, which torch
brings too, uses their AVX-512 (Zen 5: 2.1 times as fast, forward and backward). The choice
depends on the processor and the shapes alone, so that a run gives the same bits
each time. Everywhere else `product` is `torch.nn.functional.linear`. Needs torch only.
Axes: M rows, K inputs, N outputs.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Multiplications from which oneDNN's start-up (12 us) is paid back: measured on Zen 5.
SMALLEST = 1 << 21


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply rows with a weight: x W^T + b, the way that is faster here.

    Parameters
    ----------
    x : float (..., K)
    weight : float (N, K)
    bias : float (N,), optional

    Returns
    -------
    float (..., N)
        Equal to `torch.nn.functional.linear` to fp32 rounding, gradients too.

    Examples
    --------
    >>> product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5]))
    tensor([[11.5000]])
    """
    if not _fits(x, weight):
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    out: Tensor = _Product.apply(rows, weight, bias)
    return out.view(*x.shape[:-1], weight.shape[0])


def _fits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN takes this product, and is the faster one."""
    if x.dtype != torch.float32 or x.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    if x.numel() * weight.shape[0] < SMALLEST or torch.compiler.is_compiling():
        return False
    plain = type(x) in (Tensor, nn.Parameter) and type(weight) in (
        Tensor,
        nn.Parameter,
    )  # not fake, not sharded
    wished = bool(torch.backends.mkldnn.enabled) and not torch.is_autocast_enabled("cpu")
    return plain and wished and onednn_is_faster()


@lru_cache(maxsize=1)
def onednn_is_faster() -> bool:
    """Say whether fp32 products go to oneDNN: an AMD processor with AVX-512, and a torch that has both.

    No timing: a choice that depends on the moment would change a run's last bits.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if "AuthenticAMD" not in text or " avx512f " not in text:
            return False
        # Not part of torch's documented interface (inductor calls it): try it before relying on it.
        x, weight = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
        return torch.equal(_multiply(x, weight, None), x @ weight.T)
    except (OSError, AttributeError, RuntimeError, TypeError):
        return False


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


class _Product(torch.autograd.Function):
    """x W^T + b of matrices; its gradients are products again, so they can be differentiated too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (grad,) = grads  # (M, N)
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            product(grad, weight.t()) if wanted[0] else None,
            product(grad.t(), x.t()) if wanted[1] else None,
            grad.sum(0) if wanted[2] else None,
        )


class Linear(nn.Linear):
    """`torch.nn.Linear`, its weights and its numbers, through `product`.

    Examples
    --------
    >>> layer = Linear(2, 3)
    >>> tuple(layer(torch.zeros(5, 2)).shape), sorted(layer.state_dict())
    ((5, 3), ['bias', 'weight'])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) to (..., N)."""
        return product(x, self.weight, self.bias)
