"""A small convolutional network over bases: what a model without pre-training must be compared with.

Shaped as the motif networks of the DeepBind family: wide first filters (motifs),
one layer over their arrangement, a maximum over the sequence. With `both_strands`
the logits are the mean over the sequence and its reverse complement.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASES = 4


def reverse_complement_codes(codes: Tensor, lengths: Tensor) -> Tensor:
    """Turn each row to its other strand, padding staying on the right.

    Parameters
    ----------
    codes : integer (N, W)
        Bases A=0 C=1 G=2 T=3 N=4; anything after `lengths` is padding.
    lengths : int64 (N,)

    Returns
    -------
    integer (N, W)

    Examples
    --------
    >>> reverse_complement_codes(torch.tensor([[0, 1, 4, 4]]), torch.tensor([2])).tolist()
    [[2, 3, 4, 4]]
    """
    at = lengths[:, None] - 1 - torch.arange(codes.shape[1], device=codes.device)
    turned = codes.gather(1, at.clamp(min=0))
    other = torch.where(turned < BASES, BASES - 1 - turned, turned)
    return torch.where(at >= 0, other, torch.full_like(other, BASES))


class SmallCNN(nn.Module):
    """Convolutions, a maximum over positions, two dense layers.

    Parameters
    ----------
    n_labels : int
    filters : int
        First-layer filters.
    width : int
        Their width in bp, odd.
    dropout : float
    both_strands : bool
        Average the logits of both strands.

    Examples
    --------
    >>> model = SmallCNN(2, filters=8).eval()
    >>> codes = torch.tensor([[0, 1, 2, 3] * 10])
    >>> tuple(model(codes, torch.tensor([40])).shape)
    (1, 2)
    """

    def __init__(
        self,
        n_labels: int = 2,
        filters: int = 64,
        width: int = 15,
        dropout: float = 0.3,
        both_strands: bool = True,
    ) -> None:
        super().__init__()
        self.both_strands = both_strands
        self.motifs = nn.Conv1d(BASES, filters, width, padding=width // 2)
        self.norm = nn.BatchNorm1d(filters)
        self.arrangement = nn.Conv1d(filters, filters, 7, padding=3)
        self.norm2 = nn.BatchNorm1d(filters)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(2 * filters, filters)
        self.out = nn.Linear(filters, n_labels)

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Score (N, W) codes of `lengths` (N,) bases; returns logits (N, n_labels)."""
        logits = self._one_strand(codes, lengths)
        if self.both_strands:
            logits = (logits + self._one_strand(reverse_complement_codes(codes, lengths), lengths)) / 2
        return logits

    def _one_strand(self, codes: Tensor, lengths: Tensor) -> Tensor:
        # N and padding are zero in all four channels.
        x = F.one_hot(codes.long(), BASES + 1)[..., :BASES].to(self.motifs.weight.dtype).transpose(1, 2)
        first = F.relu(self.norm(self.motifs(x)))  # (N, C, W)
        second = F.relu(self.norm2(self.arrangement(F.max_pool1d(first, 4, ceil_mode=True))))
        beyond = (torch.arange(codes.shape[1], device=codes.device) >= lengths[:, None])[:, None]
        best = first.masked_fill(beyond, 0.0).amax(2)
        both = torch.cat([best, second.amax(2)], 1)
        return self.out(self.dropout(F.relu(self.dense(self.dropout(both)))))
