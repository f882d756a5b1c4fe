"""A stem of base resolution beside the k-mers: a motif is one filter, wherever a token begins.

Tokens side by side lose the phase of a motif: 4**k words x k phases, of which nothing is shared.
Here the bases of a sequence are read from its token ids, so whatever hides a token hides its bases,
and every caller of the encoder gets them; a convolution over them, the largest answer within each
token's step, and a layer give a vector that is added to the token's.
Axes: N sequences, L tokens, P bases, s stride, C filters, H hidden. Needs torch and numpy.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.nn.linear import Linear
from epilm.tokens.kmers import CLS, DIGITS, MASK, N_SPECIAL, PAD, SEP, check_k

NO_BASE = 4  # N, as everywhere


def base_table(k: int) -> Tensor:
    """Bases of every token id: uint8 (4**k + 5, k), A=0 C=1 G=2 T=3, N in special tokens.

    Examples
    --------
    >>> from epilm.tokens.kmers import kmer_ids
    >>> ids = kmer_ids(np.array([0, 1, 2, 3], dtype=np.uint8), k=3)
    >>> base_table(3)[torch.from_numpy(ids)].tolist()
    [[0, 1, 2], [1, 2, 3]]
    """
    codes = np.argsort(DIGITS[:4]).astype(np.uint8)  # digit of the vocabulary -> base
    number = np.arange(4**k)
    digits = np.stack([number // 4 ** (k - 1 - at) % 4 for at in range(k)], 1)
    special = np.full((N_SPECIAL, k), NO_BASE, np.uint8)
    return torch.from_numpy(np.concatenate([special, codes[digits]]))


def bases_of_tokens(ids: Tensor, table: Tensor, stride: int) -> Tensor:
    """Read the bases of sequences from their tokens, as far as these tell them.

    Token i begins at base i * stride. A base under [MASK] is N, also where a neighbour shows it,
    and so is one that two tokens tell differently (one of them is a random one). What the last
    k-mer of a run holds beyond its own step stands in the steps of [SEP] and padding behind it;
    between two runs there is an N.

    Parameters
    ----------
    ids : int64 (N, L)
    table : uint8 (V, k)
        `base_table`.
    stride : int
        At most k.

    Returns
    -------
    uint8 (N, (L + ceil(k / stride) - 1) * stride)

    Examples
    --------
    >>> from epilm.tokens.kmers import kmer_ids, wrap
    >>> ids, _ = wrap(kmer_ids(torch.tensor([[0, 1, 2, 3, 3]], dtype=torch.uint8), 3))
    >>> bases_of_tokens(ids, base_table(3), 1).tolist()  # [CLS] ACG CGT GTT [SEP]
    [[4, 0, 1, 2, 3, 3, 4]]
    >>> ids[0, 2] = MASK
    >>> bases_of_tokens(ids, base_table(3), 1).tolist()  # C, G, T are the hidden token's
    [[4, 0, 4, 4, 4, 3, 4]]
    """
    k = table.shape[1]
    reach = -(-k // stride)  # steps that a token covers
    padded = F.pad(ids, (0, reach - 1), value=PAD)  # (N, S): steps, S = L + reach - 1
    ends = (padded == PAD) | (padded == CLS) | (padded == SEP)
    codes = table[padded]  # (N, S, k)
    codes = F.pad(codes, (0, reach * stride - k), value=NO_BASE)
    value = codes[..., :stride].clone()  # (N, S, s)
    # Bases of a [MASK]: all it covers.
    hidden = (padded == MASK)[..., None].expand_as(value).clone()
    differs = torch.zeros_like(hidden)
    open_ = torch.ones_like(ends)  # no end between this step and the token looked at
    for back in range(1, reach):
        before = F.pad(padded, (back, 0), value=PAD)[:, : padded.shape[1]]
        end_before = F.pad(ends, (back, 0), value=True)[:, : padded.shape[1]]
        # Behind a run its last tokens are looked for through [SEP] and padding.
        open_ = open_ & ~(end_before & ~ends)
        told = codes[:, : codes.shape[1] - back, back * stride : (back + 1) * stride]
        told = F.pad(told, (0, 0, back, 0), value=NO_BASE)
        covers = torch.arange(back * stride, (back + 1) * stride, device=ids.device) < k  # (s,)
        sees = open_[..., None] & covers
        hidden |= (before == MASK)[..., None] & sees
        told = torch.where(sees, told, NO_BASE)
        known, mine = told != NO_BASE, value != NO_BASE
        differs |= known & mine & (told != value)
        value = torch.where(mine, value, told)
    joint = ends & ~F.pad(ends, (0, 1), value=True)[:, 1:]
    return value.masked_fill(hidden | differs | joint[..., None], NO_BASE).flatten(1)


class BaseStem(nn.Module):
    """What bases add to the vectors of their tokens.

    Parameters
    ----------
    k, stride : int
        Of the tokens; stride at most k.
    filters : int
        C.
    width : int
        Bases that a filter reads.
    hidden : int
        H.

    Raises
    ------
    ValueError
        If the stride is above k, or filters or width are below 1.

    Examples
    --------
    >>> BaseStem(3, 3, filters=8, width=7, hidden=16)(torch.tensor([[2, 5, 69 - 1, 3, 0]])).shape
    torch.Size([1, 5, 16])
    """

    table: Tensor

    def __init__(self, k: int, stride: int, filters: int, width: int, hidden: int) -> None:
        super().__init__()
        check_k(k, stride)
        if stride > k or filters < 1 or width < 1:
            raise ValueError(f"no stem of stride {stride}, {filters} filters of {width} bases")
        self.stride, self.width = stride, width
        self.register_buffer("table", base_table(k), persistent=False)
        self.conv = nn.Conv1d(4, filters, width)
        self.dense = Linear(filters, hidden)

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (N, L) to (N, L, H); 0 on [CLS], [SEP] and padding."""
        codes = bases_of_tokens(ids, self.table, self.stride)  # (N, P)
        letters = torch.arange(4, device=ids.device)[:, None]
        hot = (codes[:, None] == letters).to(self.conv.weight.dtype)  # (N, 4, P), N is all 0
        return self.read(hot, ids)

    def read(self, bases: Tensor, ids: Tensor) -> Tensor:
        """Map bases (N, 4, P), or their probabilities, of tokens (N, L) to (N, L, H)."""
        length = ids.shape[1]
        left = (self.width - 1) // 2
        answers = self.conv(F.pad(bases, (left, self.width - 1 - left)))  # (N, C, P)
        answers = answers[..., : length * self.stride].relu()
        steps = answers.unflatten(-1, (length, self.stride))  # (N, C, L, s)
        added = self.dense(steps.amax(-1).transpose(1, 2))  # (N, L, H)
        real = (ids != PAD) & (ids != CLS) & (ids != SEP)
        return added * real[..., None]
