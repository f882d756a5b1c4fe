"""The head that scores masked tokens against the encoder's own words, on the rows that are asked
about.

Axes: N sequences, L tokens, M rows, H hidden, V vocabulary. Needs torch only.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.nn.encoder import EPS, init_weights
from epilm.nn.linear import Linear, product

ALIGNED = 64  # columns of a product that the matrix units of a GPU take without a rest


def labelled(labels: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Find the tokens that have a label: `rows` for `SequenceEncoder.forward`, and what stands
    there.

    Parameters
    ----------
    labels : int64 (N, L)
        -100 where nothing is to be predicted.
    most : int, optional
        Take this many rows, whatever the labels are: shapes stay, and nothing waits for the
        device. Rows too many come last and carry -100. Never less than there are labels.

    Returns
    -------
    at : int64 (M,)
        Places in the flattened (N, L).
    labels : int64 (M,)

    Examples
    --------
    >>> labels = torch.tensor([[-100, 7, 8]])
    >>> [part.tolist() for part in labelled(labels)]
    [[1, 2], [7, 8]]
    >>> [part.tolist() for part in labelled(labels, 3)]
    [[1, 2, 0], [7, 8, -100]]
    """
    flat = labels.flatten()
    if most is None:
        at = (flat != -100).nonzero()[:, 0]
    else:
        at = (flat == -100).to(torch.uint8).argsort(stable=True)[:most]
    return at, flat.index_select(0, at)


def aligned_product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Rows times a weight with zeros up to a multiple of `ALIGNED` outputs, and those left out
    again: x W^T + b.

    A vocabulary of 4^k k-mers and 5 special tokens is odd, for which cuBLAS has slow kernels alone
    (measured on an H200: 14 of 258 ms of a step).

    Examples
    --------
    >>> aligned_product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5]))
    tensor([[11.5000]])
    """
    outputs = weight.shape[0]
    spare = -outputs % ALIGNED
    return F.linear(x, F.pad(weight, (0, 0, 0, spare)), F.pad(bias, (0, spare)))[..., :outputs]


class MaskedHead(nn.Module):
    """Vocabulary scores of chosen rows: dense, gelu, layer norm, the word table transposed, a bias.

    The word table is the encoder's own parameter. It is trained through both and
    stored once: the head's part of a state dict does not hold it.

    Parameters
    ----------
    hidden, vocab : int
    weight : Parameter (V, H)
        `encoder.words.weight`.

    Examples
    --------
    >>> words = nn.Embedding(69, 8)
    >>> head = MaskedHead(8, 69, words.weight)
    >>> tuple(head(torch.zeros(3, 8)).shape), sorted(head.state_dict())
    ((3, 69), ['bias', 'dense.bias', 'dense.weight', 'norm.bias', 'norm.weight'])
    """

    def __init__(self, hidden: int, vocab: int, weight: Tensor) -> None:
        super().__init__()
        if tuple(weight.shape) != (vocab, hidden):
            raise ValueError(f"the tied weight is {tuple(weight.shape)}, not {(vocab, hidden)}")
        self.dense = Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPS)
        self.bias = nn.Parameter(torch.zeros(vocab))
        self.dense.apply(init_weights)
        self.weight = weight
        self.register_state_dict_post_hook(_drop_tied)

    def forward(self, rows: Tensor) -> Tensor:
        """Score (M, H) rows; returns logits (M, V)."""
        rows = self.norm(F.gelu(self.dense(rows)))
        if rows.device.type == "cuda":
            return aligned_product(rows, self.weight, self.bias)
        return product(rows, self.weight, self.bias)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        metadata: Any,
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, metadata, strict, missing, unexpected, errors
        )
        if f"{prefix}weight" in missing:  # stored once, under the encoder
            missing.remove(f"{prefix}weight")


def _drop_tied(module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: Any) -> None:
    state.pop(f"{prefix}weight", None)
