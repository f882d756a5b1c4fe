"""Which kernel computes attention, by chip and number format, and the plain one that all are held
to.

Hopper: cuDNN's kernel first (with dropout 5 % of a step of 5,111 tokens faster than flash, 6 % of
144; measured on an H200), on other CUDA chips flash first. On a CPU torch's kernel takes no
dropout: with dropout two matrix products and a softmax, in fp32 from 256 tokens on in blocks
(`epilm.nn.attention_blocks`). Without dropout torch's own choice, except in bf16 up to 256 tokens,
where it takes twice to four times as long. The choice follows from device, format and shape alone.
Rows without their padding: `epilm.nn.packing`.
Needs torch only. Axes: N sequences, L tokens, D width of a head.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from epilm.errors import TrainingError
from epilm.nn.attention_blocks import BLOCK, attend_in_blocks
from epilm.nn.dropout import drop

Attention = Literal["auto", "plain", "sdpa", "flash", "cudnn"]

# On a CPU in bf16: up to here the plain way is the faster (measured on Zen 5, 64 to 256 tokens: 1.6
# to 5.8 times). Without dropout torch's kernel keeps no table of tokens by tokens for the way back:
# plain only while it is small. With dropout it has no such kernel, and takes 2.5 (802 tokens) to
# 3.7 times (514) of what blocks in fp32 take.
PLAIN_UP_TO, PLAIN_UP_TO_WITHOUT_DROPOUT = 640, 256
# With dropout: while tables are smaller, computing them again costs more than it spares.
BLOCKS_FROM = {torch.float32: 256, torch.bfloat16: PLAIN_UP_TO + 1}


class Kernels(NamedTuple):
    """What `attention_backend` chose: names in order of preference (none: torch's own), and a line
    on it.
    """

    order: tuple[str, ...]
    said: str


@lru_cache(maxsize=16)
def attention_backend(device: str, wish: Attention = "auto") -> Kernels:
    """Choose the kernels of a device.

    Parameters
    ----------
    device : str
        "cpu", "cuda", "cuda:1", "mps".
    wish : {"auto", "plain", "sdpa", "flash", "cudnn"}
        "sdpa": torch's own choice; "flash", "cudnn": that kernel first, others where it cannot.

    Raises
    ------
    TrainingError
        If a kernel of GPUs is asked for on another device.

    Examples
    --------
    >>> attention_backend("cpu").order, attention_backend("cpu", "plain").said
    ((), 'attention plain (train.attention)')
    """
    if wish not in get_args(Attention):
        raise TrainingError(
            "unknown attention kernel",
            where="train.attention",
            found=wish,
            expected=", ".join(get_args(Attention)),
        )
    cuda = torch.device(device).type == "cuda"
    if wish in ("flash", "cudnn"):
        if not cuda:
            raise TrainingError(
                f"the {wish} kernel runs on CUDA devices alone",
                where="train.attention",
                found=device,
                do="Set train.attention to auto.",
            )
        return Kernels(_ordered(wish), f"attention {wish} first (train.attention)")
    if wish != "auto":
        return Kernels((), f"attention {wish} (train.attention)")
    if not cuda:
        return Kernels(
            (),
            (
                "attention sdpa, plain with dropout or in bf16"
                if device == "cpu"
                else "attention sdpa"
            ),
        )
    hopper = torch.cuda.get_device_capability(device) == (9, 0)
    first = "cudnn" if hopper else "flash"
    return Kernels(
        _ordered(first), f"attention {first} first ({'Hopper' if hopper else 'not Hopper'})"
    )


def _ordered(first: str) -> tuple[str, ...]:
    """Flash takes no mask: where there is padding the next in line does the work."""
    return (first, *(name for name in ("flash", "efficient", "math") if name != first))


def _context(kernels: tuple[str, ...]) -> AbstractContextManager[Any]:
    if not kernels:
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    names = {
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "math": SDPBackend.MATH,
    }
    return sdpa_kernel([names[name] for name in kernels], set_priority=True)


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut (N, L, 3 H) into queries, keys and values (N, heads, L, D).

    Cut along the middle before heads and tokens change places: so the gradients of the three are
    joined again in one copy of whole rows (measured on an H200: 11 % of a step of a base model
    otherwise).

    Examples
    --------
    >>> q, k, v = split_heads(torch.arange(12.0).view(1, 2, 6), 2)
    >>> q[0].tolist(), v[0].tolist()
    ([[[0.0], [6.0]], [[1.0], [7.0]]], [[[4.0], [10.0]], [[5.0], [11.0]]])
    """
    q, k, v = (part.transpose(1, 2) for part in qkv.unflatten(-1, (3, heads, -1)).unbind(2))
    return q, k, v


def kernels_around(device: torch.device, wish: Attention) -> AbstractContextManager[Any]:
    """Open the choice of kernels that `attend` makes by itself, around code in which it cannot:
    compiled programs.
    """
    return _context(attention_backend(str(device), wish).order)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    dropout: float,
    wish: Attention = "auto",
    block: int = BLOCK,
) -> Tensor:
    """Mix values by attention.

    Parameters
    ----------
    q, k, v : float (N, heads, L, D)
        Fewer queries than keys are fine.
    mask : bool or float, broadcastable to (N, heads, L, L), or None
        True = may be attended; a float is added to the scores.
    dropout : float
        On the attention weights; 0 outside training.
    wish : {"auto", "plain", "sdpa", "flash", "cudnn"}
    block : int
        Pairs of tokens that `attend_in_blocks` works on at a time, where it does the work.

    Returns
    -------
    float (N, heads, L, D)
        As many as queries.

    Examples
    --------
    >>> x = torch.ones(1, 1, 3, 2)
    >>> attend(x, x, x, None, 0.0, "plain").flatten().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    if wish == "auto" and _blocks_are_faster(q, k, mask, dropout):
        hidden = None if mask is None else ~mask.expand(*q.shape[:2], *mask.shape[2:]).flatten(0, 1)
        tables = [table.flatten(0, 1).float() for table in (q, k, v)]
        mixed = attend_in_blocks(tables[0], tables[1], tables[2], dropout, hidden, block)
        return mixed.view(q.shape).to(q.dtype)
    if wish == "plain" or (wish == "auto" and _plain_is_faster(k, dropout)):
        return _plain(q, k, v, mask, dropout)
    if q.device.type != "cuda" or wish == "sdpa" or torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    with _context(attention_backend(str(q.device), wish).order):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


def _blocks_are_faster(q: Tensor, k: Tensor, mask: Tensor | None, dropout: float) -> bool:
    """Of what `attend_in_blocks` takes: if any, a mask of keys that is the same for all queries."""
    if q.device.type != "cpu" or q.dtype not in BLOCKS_FROM or torch.compiler.is_compiling():
        return False
    takes = mask is None or (mask.dtype == torch.bool and mask.ndim == 4 and mask.shape[2] == 1)
    return takes and q.shape == k.shape and 0 < dropout < 1 and q.shape[2] >= BLOCKS_FROM[q.dtype]


def _plain_is_faster(k: Tensor, dropout: float) -> bool:
    if k.device.type != "cpu":
        return False
    if k.dtype == torch.float32:
        return dropout > 0
    return k.dtype == torch.bfloat16 and k.shape[2] <= (
        PLAIN_UP_TO if dropout > 0 else PLAIN_UP_TO_WITHOUT_DROPOUT
    )


def _plain(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    n, heads, length, width = q.shape
    q, k, v = (x.reshape(n * heads, x.shape[2], width) for x in (q, k, v))  # (N * heads, L, D)
    scores = torch.baddbmm(q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=width**-0.5)
    if mask is not None:
        scores = _masked(scores.unflatten(0, (n, heads)), mask).flatten(0, 1)
    weights = scores.softmax(-1)
    return torch.bmm(drop(weights, dropout), v).view(n, heads, length, width)  # (N, heads, L, D)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask


def attention_weights(q: Tensor, k: Tensor, attend: Tensor | None) -> Tensor:
    """Attention as a table: softmax of scaled products, the plain way.

    Parameters
    ----------
    q, k : float (N, heads, L, D)
    attend : bool or float, broadcastable to (N, heads, L, L), or None
        True = may be attended; a float is added to the scores.

    Returns
    -------
    float (N, heads, L, L)
        Row = query, column = key; every row sums to 1.

    Examples
    --------
    >>> q = torch.zeros(1, 1, 2, 4)
    >>> attention_weights(q, q, torch.tensor([[[[True, False]]]])).tolist()
    [[[[1.0, 0.0], [1.0, 0.0]]]]
    """
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return (scores if attend is None else _masked(scores, attend)).softmax(-1)
