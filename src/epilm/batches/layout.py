"""Regions to token strings: crop, tokenise, join, cut in pieces, put [CLS] and [SEP].

Every layout of A1 and A2 is made from three steps that know nothing of each
other: `RegionTokens` reads k-mer ids of regions, `pack` joins ragged rows end
to end, `wrap` closes them. All are index arithmetic on tensors; no step loops
over samples. Needs torch and numpy; used by `maker` alone.
Axes: N strings, n regions of one string, L tokens of a region, S of a string.
"""

from copy import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from epilm.store.arrays import as_tensor
from epilm.store.reader import Store
from epilm.tokens.kmers import CLS, N_SPECIAL, PAD, SEP, kmer_ids


def n_kmers(bases: Tensor, k: int, stride: int) -> Tensor:
    """Count whole k-mers in so many bases, int64, never negative.

    Examples
    --------
    >>> n_kmers(torch.tensor([515, 5, 0]), 6, 1).tolist()
    [510, 0, 0]
    """
    return ((bases - k).div(stride, rounding_mode="floor") + 1).clamp(min=0)


def n_bases(tokens: int, k: int, stride: int) -> int:
    """Count the bases that so many k-mers cover; 0 for none.

    Examples
    --------
    >>> n_bases(510, 6, 1), n_bases(51, 6, 1), n_bases(2, 6, 6), n_bases(0, 6, 1)
    (515, 56, 12, 0)
    """
    return (tokens - 1) * stride + k if tokens > 0 else 0


def pack(
    values: Tensor, counts: Tensor, gaps: Tensor, gap: int, fill: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Join the n ragged rows of each string end to end.

    Parameters
    ----------
    values : (N, n, L)
    counts : int64 (N, n)
        How many values of each row count, at most L.
    gaps : bool (N, n)
        Where a row is followed by one `gap`.
    gap, fill : int
        What stands in a gap, and after the last row.
    width : int
        Length of the result; longer strings are cut.

    Returns
    -------
    string : (N, width), dtype of values
    slot : int64 (N, width)
        Row that each place came from; n - 1 after the end.
    total : int64 (N,)
        Length of each string before it was cut.

    Examples
    --------
    >>> v = torch.tensor([[[1, 2, 0], [3, 4, 5]]])
    >>> s, slot, total = pack(v, torch.tensor([[2, 3]]), torch.tensor([[True, False]]), 9, 0, 7)
    >>> s.tolist(), slot.tolist(), total.tolist()
    ([[1, 2, 9, 3, 4, 5, 0]], [[0, 0, 0, 1, 1, 1, 1]], [6])
    """
    n_strings, n, length = values.shape
    sizes = counts + gaps.to(torch.int64)
    ends = sizes.cumsum(1)
    position = torch.arange(width, device=values.device).expand(n_strings, width).contiguous()
    slot = torch.searchsorted(ends, position, right=True)
    inside = slot < n
    slot = slot.clamp(max=n - 1)
    offset = position - (ends - sizes).gather(1, slot)
    is_value = inside & (offset < counts.gather(1, slot))
    index = slot * length + offset.clamp(0, max(length - 1, 0))
    flat = values.reshape(n_strings, n * length)  # (N, n, L) -> (N, n * L)
    gathered = flat.gather(1, index) if length else torch.zeros_like(index, dtype=values.dtype)
    string = torch.where(is_value, gathered, torch.where(inside, gap, fill).to(values.dtype))
    return string, slot, ends[:, -1]


def wrap(string: Tensor, total: Tensor, width: int) -> Tensor:
    """Put [CLS] before and [SEP] after each string, [PAD] after that.

    Parameters
    ----------
    string : int64 (N, S)
    total : int64 (N,)
        Tokens that count; more than width - 2 are cut at the right end.
    width : int

    Returns
    -------
    int64 (N, width)

    Examples
    --------
    >>> wrap(torch.tensor([[7, 8, 9]]), torch.tensor([2]), 6).tolist()
    [[2, 7, 8, 3, 0, 0]]
    """
    room = width - 2
    total = total.clamp(max=room)[:, None]
    ids = torch.full((len(string), width), PAD, dtype=torch.int64, device=string.device)
    kept = min(room, string.shape[1])
    ids[:, 1 : 1 + kept] = string[:, :kept]
    position = torch.arange(width, device=string.device)[None, :]
    ids = torch.where(position <= total, ids, torch.where(position == total + 1, SEP, PAD))
    ids[:, 0] = CLS
    return ids


def join_pair(
    first: Tensor, n_first: Tensor, second: Tensor, n_second: Tensor, width: int
) -> tuple[Tensor, Tensor]:
    """Write [CLS] A [SEP] B [SEP].

    Parameters
    ----------
    first, second : int64 (N, S)
        Token strings, valid up to n_first and n_second (N,).
    width : int
        At least the longest sum plus 3.

    Returns
    -------
    ids : int64 (N, width)
    segments : int64 (N, width)
        0 through the first [SEP], 1 through the second, 0 on padding.

    Examples
    --------
    >>> a, b = torch.tensor([[7, 8]]), torch.tensor([[9, 0]])
    >>> ids, segments = join_pair(a, torch.tensor([2]), b, torch.tensor([1]), 8)
    >>> ids.tolist(), segments.tolist()
    ([[2, 7, 8, 3, 9, 3, 0, 0]], [[0, 0, 0, 0, 1, 1, 0, 0]])
    """
    length = max(first.shape[1], second.shape[1])
    both = torch.stack(
        [torch.nn.functional.pad(s, (0, length - s.shape[1])) for s in (first, second)], 1
    )
    counts = torch.stack([n_first, n_second], 1)
    gaps = (torch.arange(2, device=first.device) == 0).expand(len(first), 2)
    string, _, total = pack(both, counts, gaps, SEP, PAD, width - 2)
    ids = wrap(string, total, width)
    position = torch.arange(width, device=first.device)[None, :]
    segments = (position > n_first[:, None] + 1) & (position <= total[:, None] + 1)
    return ids, segments.to(torch.int64)


@dataclass(frozen=True)
class Strings:
    """N token strings, closed.

    Attributes
    ----------
    ids : int64 (N, L)
    slot : int64 (N, L)
        Region (0..R-1) that each token came from; 0 on [CLS] and padding.
    owner : int64 (N,)
        Sample of each string.
    part : int64 (N,)
        Number of the string inside its sample.
    """

    ids: Tensor
    slot: Tensor
    owner: Tensor
    part: Tensor


def other_strand(codes: Tensor, length: Tensor) -> Tensor:
    """Reverse complement of the first `length` bases of each row; N after them.

    Parameters
    ----------
    codes : uint8 (..., W)
    length : int64 (...)

    Examples
    --------
    >>> other_strand(torch.tensor([[0, 1, 4, 2, 2]], dtype=torch.uint8), torch.tensor([4])).tolist()
    [[1, 4, 2, 3, 4]]
    """
    at = length[..., None] - 1 - torch.arange(codes.shape[-1], device=codes.device)
    taken = codes.gather(-1, at.clamp(min=0))
    complement = torch.where(taken > 3, taken, 3 - taken)
    return torch.where(at < 0, torch.full_like(codes, 4), complement)


class RegionTokens:
    """K-mer ids of regions, read from the store and cropped around their centres.

    Parameters
    ----------
    store : Store
        Memory maps or tensors.
    k, stride : int
    """

    def __init__(self, store: Store, k: int, stride: int) -> None:
        self.store, self.k, self.stride = store, k, stride
        begin = store.flat_starts
        widths = np.asarray(store.regions["end"] - store.regions["start"], np.int64)
        self.longest = int(widths.max())
        self.starts = torch.from_numpy(begin).to(store.device)
        self.widths = torch.from_numpy(widths).to(store.device)
        chrom = np.asarray(store.regions["chrom"], np.int64)
        low = np.asarray(store.offsets, np.int64)[chrom]
        high = low + np.asarray(store.sizes, np.int64)[chrom]
        self._low, self._high = (torch.from_numpy(x).to(store.device) for x in (low, high))
        self._shift: Tensor | None = None
        self._turned: Tensor | None = None

    def shown(self, shift: Tensor | None, turned: Tensor | None) -> Self:
        """Give a reader of the same regions from places beside them, or from the other strand.

        Parameters
        ----------
        shift : int64, as many as the rows that will be read, optional
            What is read of a region begins so many bp to the right (left where negative), as far
            as its chromosome goes.
        turned : bool, as many, optional
            True: the reverse complement of what is read.
        """
        other = copy(self)
        other._shift, other._turned = shift, turned
        return other

    def bases(self, rows: Tensor, budget: int) -> tuple[Tensor, Tensor]:
        """Bases of regions, at most `budget` around the centre.

        Parameters
        ----------
        rows : int64, any shape
            Region rows; -1 gives nothing.
        budget : int
            In bp.

        Returns
        -------
        codes : uint8, shape rows.shape + (min(budget, longest region),)
            Valid up to `length`; after that whatever follows in the genome.
        length : int64, shape of rows
        """
        safe = rows.clamp(min=0)
        full = self.widths[safe]
        length = full.clamp(max=budget)
        start = self.starts[safe] + (full - length).div(2, rounding_mode="floor")
        if self._shift is not None:
            begin = torch.maximum(start + self._shift.view_as(start), self._low[safe])
            start = torch.minimum(begin, self._high[safe] - length)
        width = max(min(budget, self.longest), 1)
        codes = as_tensor(self.store.windows(_same_kind(start.reshape(-1), self.store), width))
        codes = codes.reshape(*rows.shape, width)  # (N * n, W) -> (N, n, W)
        if self._turned is not None:
            codes = torch.where(
                self._turned.view_as(rows)[..., None], other_strand(codes, length), codes
            )
        return codes, torch.where(rows < 0, 0, length)

    def tokens(self, rows: Tensor, budget: int) -> tuple[Tensor, Tensor]:
        """K-mer ids of regions, at most `budget` k-mers around the centre.

        Returns
        -------
        ids : int64, shape rows.shape + (L,)
        counts : int64, shape of rows
        """
        codes, length = self.bases(rows, n_bases(budget, self.k, self.stride))
        return self._ids(codes, length), n_kmers(length, self.k, self.stride)

    def _ids(self, codes: Tensor, length: Tensor) -> Tensor:
        """K-mer ids of rows of bases, of which `length` count."""
        return kmer_ids(codes, self.k, self.stride)

    def string(
        self, rows: Tensor, budget: int, *, sep: bool, raw: bool, width: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Join n regions of each row into one token string.

        Parameters
        ----------
        rows : int64 (N, n)
        budget : int
            K-mers (bases when `raw`) of one region, around its centre.
        sep : bool
            One [SEP] after each region (not when `raw`).
        raw : bool
            Join the bases first, so that k-mers run over the joints.
        width : int
            Tokens of the result.

        Returns
        -------
        string, slot : int64 (N, width)
        total : int64 (N,)
            Tokens before the cut, a last [SEP] not counted.
        """
        valid = rows >= 0
        if not raw:
            ids, counts = self.tokens(rows, budget)
            string, slot, total = pack(ids, counts, valid & sep, SEP, PAD, width)
            return string, slot, (total - int(sep)).clamp(min=0)
        codes, length = self.bases(rows, budget)
        n = n_bases(width, self.k, self.stride)
        joined, slot, total = pack(codes, length, torch.zeros_like(valid), 4, 4, n)
        ids = self._ids(joined, total)
        return ids, slot[:, :: self.stride][:, : ids.shape[1]], n_kmers(total, self.k, self.stride)


class TokenNumbers(RegionTokens):
    """The same strings with a number in place of each k-mer: where a token of a region went.

    Numbers begin at `N_SPECIAL` and go on along the rows of bases that were read last (`read`).
    """

    def _ids(self, codes: Tensor, length: Tensor) -> Tensor:
        flat = codes.reshape(-1, codes.shape[-1])  # (..., W) -> (rows, W)
        beyond = torch.arange(flat.shape[1], device=flat.device) >= length.reshape(-1, 1)
        self._codes = flat.masked_fill(beyond, 4)
        self._per_row = max((flat.shape[1] - self.k) // self.stride + 1, 0)
        shape = (*codes.shape[:-1], self._per_row)
        numbers = torch.arange(len(flat) * self._per_row, device=flat.device)
        return numbers.view(shape) + N_SPECIAL  # (rows * tokens) -> (..., tokens)

    def read(self) -> tuple[Tensor, int]:
        """Rows of bases read last, uint8 (n, W) with N beyond their ends, and tokens of a row."""
        return self._codes, self._per_row


def _same_kind(start: Tensor, store: Store) -> Tensor | np.ndarray:
    return start if isinstance(store.genome, Tensor) else start.numpy()
