"""Dense layers on processors where torch's own product leaves half of the chip idle, or nearly all
of it.

Torch multiplies fp32 matrices with MKL, which keeps AMD processors to AVX2; oneDNN, which torch
brings too, uses their AVX-512 (Zen 5: 2.1 times as fast, forward and backward). The choice
depends on the processor and the shapes alone, so that a run gives the same bits
each time. Where bf16 is asked for and oneDNN has no product for it (x86 without AVX-512), torch
multiplies element by element (a sixth to a hundredth of the speed of fp32); fp32 products of the
rounded numbers, rounded again, are the same arithmetic. Everywhere else `product` is
`torch.nn.functional.linear`. Needs torch only. Axes: M rows, K inputs, N outputs.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from epilm.device import cpu_flags

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
        Equal to `torch.nn.functional.linear` to rounding, gradients too.

    Examples
    --------
    >>> product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5]))
    tensor([[11.5000]])
    """
    if _emulates(x, weight):
        emulated: Tensor = _Rounded.apply(x, weight, bias)
        return emulated
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
    wished = bool(torch.backends.mkldnn.enabled) and not torch.is_autocast_enabled("cpu")
    return _plain(x, weight) and wished and onednn_is_faster()


def _emulates(x: Tensor, weight: Tensor) -> bool:
    """Whether this is a product in bf16 that torch would do element by element."""
    if (
        x.device.type != "cpu"
        or not torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()
    ):
        return False
    wished = torch.get_autocast_dtype("cpu") == torch.bfloat16 and x.dtype in (
        torch.float32,
        torch.bfloat16,
    )
    return wished and _plain(x, weight) and not onednn_has_bf16()


def _plain(*tensors: Tensor) -> bool:
    """Whether they hold numbers, all of them: not fake, not sharded."""
    return all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)


@lru_cache(maxsize=1)
def onednn_is_faster() -> bool:
    """Say whether fp32 products go to oneDNN: an AMD processor with AVX-512, and a torch that has
    both.

    No timing: a choice that depends on the moment would change a run's last bits.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    if not {"AuthenticAMD", "avx512f"} <= cpu_flags():
        return False
    try:
        # Not part of torch's documented interface (inductor calls it): try it before relying on it.
        x, weight = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
        return torch.equal(_multiply(x, weight, None), x @ weight.T)
    except (AttributeError, RuntimeError, TypeError):
        return False


@lru_cache(maxsize=1)
def onednn_has_bf16() -> bool:
    """Say whether torch gives bf16 products to oneDNN on this processor; True where it does not
    tell.
    """
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return True


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


class _Product(torch.autograd.Function):
    """x W^T + b of matrices; its gradients are products again, so they can be differentiated
    too.
    """

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


class _Rounded(torch.autograd.Function):
    """x W^T + b in bf16 as its instructions give it: rounded factors, sums in fp32, a rounded
    result; gradients alike.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x.bfloat16(), weight)
        with torch.autocast("cpu", enabled=False):
            return product(
                _rounded(x), _rounded(weight), None if bias is None else _rounded(bias)
            ).bfloat16()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad, wanted = _rounded(grads[0]), ctx.needs_input_grad  # (..., N)
        rows = grad.reshape(-1, grad.shape[-1])
        with torch.autocast("cpu", enabled=False):
            return (
                product(grad, _rounded(weight).t()).bfloat16() if wanted[0] else None,
                (
                    _rounded(product(rows.t(), x.reshape(-1, x.shape[-1]).float().t()))
                    if wanted[1]
                    else None
                ),
                _rounded(rows.sum(0)) if wanted[2] else None,
            )


def _rounded(x: Tensor) -> Tensor:
    """What is left of numbers in bf16, as fp32."""
    return x.bfloat16().float()


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
