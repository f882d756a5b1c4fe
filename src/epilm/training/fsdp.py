"""Weights, gradients and moments cut up over the processes (torch's FSDP2), and whole again.

A weight is gathered where it is computed with, one block of an encoder after another, and its
gradient is summed to where its part lies. What is computed is what whole weights give, to
rounding; states and models on disk are those of whole weights. Scalars stay whole everywhere, as
torch cuts none. Everything that gathers is done by all processes together, in the same order.
Needs torch only.
"""

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from epilm.errors import TrainingError
from epilm.nn.encoder import EncoderBlock
from epilm.training.ranks import Ranks


def is_cut(tensor: Tensor) -> bool:
    """Whether this process has a part of the tensor alone.

    Examples
    --------
    >>> is_cut(torch.zeros(3))
    False
    """
    return hasattr(tensor, "full_tensor")


def check_torch() -> None:
    """Refuse a torch without FSDP2, or with one that lacks what is used of it.

    Raises
    ------
    TrainingError
    """
    try:
        from torch.distributed.fsdp import FSDPModule, fully_shard

        lacking = [
            name
            for name, there in (
                ("ignored_params", "ignored_params" in inspect.signature(fully_shard).parameters),
                ("sums", hasattr(FSDPModule, "set_force_sum_reduction_for_comms")),
                ("factors", hasattr(FSDPModule, "set_gradient_divide_factor")),
            )
            if not there
        ]
    except ImportError:
        lacking = ["fully_shard"]
    if lacking:
        raise TrainingError(
            "this torch cannot cut a model up over processes",
            where="train.strategy",
            found=f"torch {torch.__version__} without {', '.join(lacking)} of FSDP2",
            do="Install torch 2.11 or newer, or set train.strategy to ddp.",
        )


def cut_up(model: nn.Module, device: torch.device) -> nn.Module:
    """Make a copy of a model whose weights are cut up over all processes of the group.

    Parameters
    ----------
    model : Module
        The same in every process; stays as it is, where it is.
    device : torch.device
        Of this process; the copy's parts go there.

    Returns
    -------
    Module
        With the same names. `forward` and `encode_contrasts` gather what they need; after the last
        one without a gradient call `let_go`. Gradients are sums over the processes. The numbers'
        format is autocast's, as with whole weights.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mine = copy.deepcopy(model)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    scalars = {weight for weight in mine.parameters() if weight.ndim == 0}
    for weight in scalars:
        weight.data = weight.data.to(device)
    parts: list[Any] = [part for part in mine.modules() if isinstance(part, EncoderBlock)]
    for part in parts:
        fully_shard(part, mesh=mesh)
    fully_shard(mine, mesh=mesh, ignored_params=scalars)
    for part in (*parts, mine):
        # Sums, as `Ranks.sum_`: a process's losses count for its share of the step already. gloo
        # has no multiplication on the way, so it is said to be a plain sum.
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)
    if hasattr(mine, "encode_contrasts"):
        register_fsdp_forward_method(mine, "encode_contrasts")
    mine.register_forward_hook(_no_leaf, prepend=True)
    return mine


def _no_leaf(module: nn.Module, given: Any, output: Any) -> None:
    """Give a weight out as something computed: FSDP puts a hook on all that a model gives, and on
    the weight itself they would pile up.
    """
    for name, value in vars(output).items():
        if isinstance(value, nn.Parameter) and torch.is_grad_enabled():
            setattr(output, name, value * 1.0)


def let_go(model: nn.Module) -> None:
    """Give back weights that were gathered and not given back: after a pass without gradient."""
    reshard: Any = getattr(model, "reshard", None)
    if reshard is not None:
        reshard()


def whole(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """Gather what is cut up; all processes call it, with the same names in the same order.

    Parameters
    ----------
    tensors : mapping
    keep : bool
        False: help the others and keep nothing.

    Returns
    -------
    dict
        What was cut up in the memory of the host; the others as they are. Empty without `keep`.
    """
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        part: Any = value
        full = part.full_tensor().detach().cpu() if is_cut(value) else value
        if keep:
            out[name] = full
    return out


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """Cut a whole tensor as another one is cut; the tensor itself where that one is whole.

    Examples
    --------
    >>> part_of(torch.arange(2), torch.zeros(2)).tolist()
    [0, 1]
    """
    if not is_cut(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    here = tensor.to(like.device)
    # Every process has the whole of it: nothing is sent.
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)


def sum_gradients(weights: Iterable[Tensor], total: Tensor, ranks: Ranks) -> None:
    """Sum gradients and the loss over the processes; those of cut weights were summed on the way
    back.

    A weight may have a gradient in some processes alone, where another has no rows or other ones; a
    weight that has none anywhere has none afterwards: the optimiser leaves it as it is.
    """
    if ranks.world == 1:
        return
    learning = [weight for weight in weights if weight.requires_grad and not is_cut(weight)]
    there = total.new_tensor([float(weight.grad is not None) for weight in learning])
    grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in learning]
    ranks.sum_([*grads, total, there])
    for weight, grad, count in zip(learning, grads, there.tolist(), strict=True):
        weight.grad = grad if count else None


def clip_gradients(weights: list[Tensor], clip: float, ranks: Ranks) -> Tensor:
    """Shorten the gradient to a length, that of all processes' parts together.

    Parameters
    ----------
    weights : list of Tensor
    clip : float
        The length; 0: as it is.
    ranks : Ranks

    Returns
    -------
    0-d tensor
        Its length before.

    Examples
    --------
    >>> weight = torch.zeros(2, requires_grad=True)
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> float(clip_gradients([weight], 1.0, Ranks()))
    5.0
    >>> weight.grad
    tensor([0.6000, 0.8000])
    """
    most = clip if clip > 0 else float("inf")
    grads: list[Any] = [weight.grad for weight in weights if weight.grad is not None]
    if not any(is_cut(grad) for grad in grads):
        return torch.nn.utils.clip_grad_norm_(weights, most)
    parts = [grad.to_local() if is_cut(grad) else grad for grad in grads]
    zero = parts[0].new_zeros(())
    here, everywhere = (
        sum((part.square().sum() for part, g in zip(parts, grads) if is_cut(g) == cut), zero)
        for cut in (True, False)
    )
    here = here.clone()
    ranks.sum_([here])
    norm = (here + everywhere).sqrt()
    scale = (most / (norm + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
    for part in parts:
        part.mul_(scale)
    return norm


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put back what a pass that does not count changed in the model's buffers."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
