"""From encoder inputs to samples: which of N sequences belong together, and one vector for each
sample.

Axes: B samples, N encoder inputs, P inputs of a sample (regions or pieces), L tokens, H hidden.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

from epilm.errors import RecipeError

Pooling = Literal["cls", "pooler", "mean"]


_EVENLY = ContextVar("evenly", default=False)


@contextmanager
def grouped_evenly() -> Iterator[None]:
    """Within, `by_sample` reads shapes alone: as many inputs a sample, whatever `owner` says.

    For tensors without numbers, of which a plan counts what they cost.

    Examples
    --------
    >>> with grouped_evenly():
    ...     by_sample(torch.zeros(5), torch.zeros(5, dtype=torch.int64), 2)[0].shape
    torch.Size([2, 3])
    """
    token = _EVENLY.set(True)
    try:
        yield
    finally:
        _EVENLY.reset(token)


def by_sample(x: Tensor, owner: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Put what belongs to N inputs in rows of samples, padded with zeros.

    Parameters
    ----------
    x : tensor, shape (N, ...)
    owner : int64 tensor, shape (N,)
        Sample of each input, ascending.
    samples : int
        B.

    Returns
    -------
    rows : tensor, shape (B, P, ...)
        P is the largest number of inputs of one sample.
    present : bool tensor, shape (B, P)

    Examples
    --------
    >>> rows, present = by_sample(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 1]), 2)
    >>> rows.tolist(), present.tolist()
    ([[1.0, 2.0], [3.0, 0.0]], [[True, True], [True, False]])
    """
    if _EVENLY.get():
        width = -(-x.shape[0] // samples)
        rows = torch.cat([x, x[: samples * width - x.shape[0]]])  # filled up with any rows
        rows = rows.reshape(samples, width, *x.shape[1:])  # (B, width, ...)
        return rows, torch.ones(rows.shape[:2], dtype=torch.bool)
    counts = torch.bincount(owner, minlength=samples)  # (B,)
    slot = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    width = int(counts.max())
    rows = x.new_zeros(samples, width, *x.shape[1:]).index_put((owner, slot), x)
    present = torch.arange(width, device=owner.device) < counts[:, None]
    return rows, present


def masked_mean(x: Tensor, present: Tensor) -> Tensor:
    """Mean over the second axis where `present`; zeros where nothing is.

    Examples
    --------
    >>> masked_mean(torch.tensor([[[2.0], [9.0]]]), torch.tensor([[True, False]])).tolist()
    [[2.0]]
    """
    x = torch.where(present[..., None], x, torch.zeros((), dtype=x.dtype, device=x.device))
    return x.sum(1) / present.sum(1, keepdim=True).clamp(min=1)


Join = Literal["mean", "max"]
AT_ONCE = 16  # pieces of a forward pass where they are learned from: the rest is computed again


def join_pieces(x: Tensor, owner: Tensor | None, how: Join) -> Tensor:
    """One vector a row from those of its pieces.

    Parameters
    ----------
    x : float tensor, shape (N, H)
    owner : int64 tensor, shape (N,), or None
        Row of each piece, ascending; None: every row is one piece.
    how : {"mean", "max"}

    Returns
    -------
    float tensor, shape (B, H)

    Examples
    --------
    >>> x, owner = torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1])
    >>> join_pieces(x, owner, "mean").tolist(), join_pieces(x, owner, "max").tolist()
    ([[2.0], [7.0]], [[3.0], [7.0]])
    """
    if owner is None:
        return x
    rows, present = by_sample(x, owner, int(owner[-1]) + 1)
    if how == "max":
        return rows.masked_fill(~present[..., None], -torch.inf).amax(1)
    return masked_mean(rows, present)


def in_groups(encode: Callable[..., Tensor], *inputs: Tensor, count: int = AT_ONCE) -> Tensor:
    """Encode many pieces, a group after the other, in the memory of one group.

    Where gradients are wanted a group is computed again on the way back, with the same dropout.

    Parameters
    ----------
    encode : function of tensors (n, ...)
        Gives a tensor (n, ...).
    *inputs : tensors (N, ...)
    count : int
        Pieces of a group.
    """
    parts = zip(*(each.split(count) for each in inputs), strict=True)
    if torch.is_grad_enabled():
        return torch.cat([checkpoint(encode, *part, use_reentrant=False) for part in parts])
    return torch.cat([encode(*part) for part in parts])


def pool_tokens(hidden: Tensor, mask: Tensor, how: Pooling, pooler: nn.Module) -> Tensor:
    """One vector an input (A13): the raw [CLS], BERT's tanh pooler of it, or the mean over tokens.

    The one pool of training, fine-tuning and `Loaded.embed`: the mean is over all that is not
    padding, [CLS] and [SEP] included.

    Parameters
    ----------
    hidden : float tensor, shape (N, L, H)
        Of the first token alone, (N, 1, H), for "cls" and "pooler".
    mask : bool tensor, shape (N, L)
    how : {"cls", "pooler", "mean"}
    pooler : nn.Module
        Dense layer (H -> H) of "pooler".

    Returns
    -------
    float tensor, shape (N, H)
    """
    if how == "cls":
        return hidden[:, 0]
    if how == "pooler":
        return pooler(hidden[:, 0]).tanh()
    if how == "mean":
        return masked_mean(hidden, mask)
    raise RecipeError(
        "unknown pooling", where="model.pooling", found=how, expected="cls | pooler | mean"
    )


def pooled_places(ids: Tensor, how: Pooling) -> Tensor | None:
    """Places (N, 1) of the token that a pooling reads in each row of (N, L); None where it reads
    all of them.

    Examples
    --------
    >>> pooled_places(torch.zeros(3, 4), "cls").tolist()
    [[0], [0], [0]]
    >>> pooled_places(torch.zeros(3, 4), "mean")
    """
    return None if how == "mean" else ids.new_zeros(len(ids), 1, dtype=torch.int64)


class ChunkPool(nn.Module):
    """One vector from the pieces of a long sequence, as DNABERT-XL.

    Parameters
    ----------
    hidden : int
        H, even.
    how : {"lstm", "mean", "max"}
        "lstm": last states of a bidirectional LSTM over the pieces' vectors, H / 2 from each
        direction. "mean", "max": of all, number by number.

    Examples
    --------
    >>> ChunkPool(4, "lstm")(torch.zeros(3, 4), torch.tensor([0, 0, 1]), 2).shape
    torch.Size([2, 4])
    """

    def __init__(self, hidden: int, how: Literal["lstm", "mean", "max"]) -> None:
        super().__init__()
        self.join: Join = "max" if how == "max" else "mean"
        self.lstm = (
            nn.LSTM(hidden, hidden // 2, batch_first=True, bidirectional=True)
            if how == "lstm"
            else None
        )

    def forward(self, x: Tensor, owner: Tensor, samples: int) -> Tensor:
        """Map (N, H) and owners (N,) to (B, H)."""
        rows, present = by_sample(x, owner, samples)  # (B, P, H), (B, P)
        if self.lstm is None and self.join == "max":
            return rows.masked_fill(~present[..., None], -torch.inf).amax(1)
        if self.lstm is None:
            return masked_mean(rows, present)
        # cuDNN wants lengths on the CPU; a sample without pieces is read as one zero piece.
        lengths = present.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
        last = self.lstm(packed)[1][0]  # (2, B, H / 2)
        return last.transpose(0, 1).reshape(samples, -1)
