"""Bases to k-mer ids and back, with the ids of DNABERT's vocabulary.

Base codes are A, C, G, T, N = 0..4 everywhere in epilm; DNABERT orders its
vocabulary A, T, C, G. The two orders meet in this module and nowhere else.
Pure functions, numpy arrays or torch tensors in, the same kind out.
Axes: W bases of a window, L tokens, N sequences. Needs numpy and torch; numba where it is there.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

from epilm.device import to_device
from epilm.errors import InputError
from epilm.tokens import _fused

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
N_SPECIAL = len(SPECIAL_TOKENS)
ALPHABET = "ATCG"  # DNABERT's order, src/transformers/dnabert-config/bert-config-6/vocab.txt
K_RANGE = range(1, 13)
_ROWS = 64  # windows at a time without numba: their intermediate arrays stay in the cache

# A, C, G, T, N -> DNABERT's digit; everything above 3 is no base.
DIGITS = np.array([0, 2, 3, 1], dtype=np.uint8)


def vocab_size(k: int) -> int:
    """Count the ids of a k-mer vocabulary: 4**k and the special tokens.

    Examples
    --------
    >>> [vocab_size(k) for k in (3, 4, 5, 6, 7)]
    [69, 261, 1029, 4101, 16389]
    """
    check_k(k)
    return 4**k + N_SPECIAL


def check_k(k: int, stride: int = 1) -> None:
    """Refuse a k or a stride that makes no vocabulary.

    Raises
    ------
    InputError
        If k is not in 1..12 (3 to 7 have published models) or stride is below 1.
    """
    if k not in K_RANGE:
        raise InputError("k is out of range", found=k, expected="a k of 3 to 7 (1 to 12 work)")
    if stride < 1:
        raise InputError("stride is out of range", found=stride, expected="at least 1")


def n_tokens(bases: int, k: int, stride: int = 1) -> int:
    """Count the tokens of so many bases: (W - k) // stride + 1, or 0.

    Examples
    --------
    >>> n_tokens(515, 6), n_tokens(70, 6), n_tokens(5, 6), n_tokens(12, 6, stride=6)
    (510, 65, 0, 2)
    """
    return max((bases - k) // stride + 1, 0)


def n_window_tokens(
    window_bp: int, k: int, stride: int, tail: Literal["drop", "pad"] = "drop"
) -> int:
    """Count the tokens of a window without special ones.

    Parameters
    ----------
    window_bp, k, stride : int
    tail : {"drop", "pad"}
        A last k-mer that is not whole is left out, or filled with N.

    Examples
    --------
    >>> [
    ...     n_window_tokens(w, 7, 7, tail)
    ...     for w, tail in ((1000, "drop"), (1000, "pad"), (1050, "pad"))
    ... ]
    [142, 143, 150]
    >>> [n_window_tokens(1000, k, s) for k, s in ((6, 1), (6, 6), (5, 5), (7, 1))]
    [995, 166, 200, 994]
    """
    whole = n_tokens(window_bp, k, stride)
    if tail == "drop" or window_bp < 1:
        return whole
    covered = (whole - 1) * stride + k if whole else 0
    return whole + -(-max(window_bp - covered, 0) // stride) if whole else 1


@overload
def kmer_ids(codes: Tensor, k: int, stride: int = 1) -> Tensor: ...
@overload
def kmer_ids(
    codes: np.ndarray, k: int, stride: int = 1, *, out: np.ndarray | None = None
) -> np.ndarray: ...
def kmer_ids(codes: Any, k: int, stride: int = 1, *, out: np.ndarray | None = None) -> Any:
    """Turn base codes into k-mer ids, without special tokens.

    Token i covers bases [i * stride, i * stride + k); bases after the last whole
    token are dropped. A k-mer that holds anything but A, C, G, T is [UNK].

    Parameters
    ----------
    codes : uint8 array or tensor, shape (..., W)
        A=0, C=1, G=2, T=3, above 3 no base.
    k, stride : int
        Width and step of a token in bases.
    out : int64 array (..., L), contiguous, optional
        Written into and returned; numpy only. Fresh pages of memory can cost more than the ids.

    Returns
    -------
    int64, same kind and device, shape (..., L)
        L = (W - k) // stride + 1, 0 where W < k.

    Raises
    ------
    InputError
        If k or stride is out of range.

    References
    ----------
    Ji et al., DNABERT, Bioinformatics 2021; id = 5 + sum of digit * 4**(k - 1 - i), A T C G = 0 1 2
    3.

    Examples
    --------
    >>> kmer_ids(np.array([[0, 1, 2, 3, 4, 0]], dtype=np.uint8), k=3)
    array([[16, 50,  1,  1]])
    >>> kmer_ids(torch.zeros(8, dtype=torch.uint8), k=6)
    tensor([5, 5, 5])
    """
    check_k(k, stride)
    if isinstance(codes, Tensor):
        if codes.device.type == "cpu":
            return torch.from_numpy(_kmer_ids_numpy(codes.numpy(), k, stride))
        return _kmer_ids_torch(codes, k, stride)
    return _kmer_ids_numpy(np.asarray(codes), k, stride, out)


def _kmer_ids_numpy(
    codes: np.ndarray, k: int, stride: int, out: np.ndarray | None = None
) -> np.ndarray:
    length = n_tokens(codes.shape[-1], k, stride)
    shape = (*codes.shape[:-1], length)
    if out is None:
        out = np.empty(shape, dtype=np.int64)
    elif out.shape != shape or out.dtype != np.int64 or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous int64 {shape}, not {out.dtype} {out.shape}")
    if 0 in shape:
        return out
    flat, rows = codes.reshape(-1, codes.shape[-1]), out.reshape(-1, length)
    if _fused.available():
        _fused.kmer_ids(np.ascontiguousarray(flat, dtype=np.uint8), k, stride, rows)
        return out
    for start in range(0, len(flat), _ROWS):
        part = slice(start, start + _ROWS)
        rows[part] = _kmer_ids_plain(flat[part], k, stride)
    return out


def _kmer_ids_plain(codes: np.ndarray, k: int, stride: int) -> np.ndarray:
    """Numpy alone: words of 1, 2, 4.. bases are joined to words of k (two or three passes, not
    k).
    """
    kind: type = np.uint16 if k <= 7 else np.uint32
    digits = DIGITS[codes & 3].astype(kind)
    ids = (_joined(digits, k)[..., ::stride] + N_SPECIAL).astype(np.int64)
    if codes.size and codes.max() > 3:
        bad = np.cumsum(codes > 3, axis=-1, dtype=np.int32)
        before = np.concatenate([np.zeros_like(bad[..., :1]), bad[..., :-k]], axis=-1)
        ids[(bad[..., k - 1 :] > before)[..., ::stride]] = UNK
    return ids


def _kmer_ids_torch(codes: Tensor, k: int, stride: int) -> Tensor:
    width = codes.shape[-1]
    if width < k:
        return torch.zeros((*codes.shape[:-1], 0), dtype=torch.int64, device=codes.device)
    digits = to_device(DIGITS, codes.device)[(codes & 3).long()].to(torch.int32)
    ids = _joined(digits, k)[..., ::stride].to(torch.int64) + N_SPECIAL
    bad = torch.cumsum(codes > 3, dim=-1, dtype=torch.int32)
    before = torch.nn.functional.pad(bad[..., : width - k], (1, 0))
    return torch.where((bad[..., k - 1 :] > before)[..., ::stride], UNK, ids)


def _joined(digits: Any, k: int) -> Any:
    """Words of k digits, base 4, from single digits; one a start position."""
    word, width, done, done_width = digits, 1, None, 0
    rest = k
    while rest:
        if rest & 1:  # append the present word to what is done
            if done is None:
                done, done_width = word, width
            else:
                done = _append(done, word, done_width, width)
                done_width += width
        rest >>= 1
        if rest:
            word, width = _append(word, word, width, width), 2 * width
    return done


def _append(left: Any, right: Any, left_width: int, right_width: int) -> Any:
    right = right[..., left_width:]
    return left[..., : right.shape[-1]] * (4**right_width) + right


def tokenize(sequence: str, k: int, stride: int = 1) -> list[str]:
    """Cut a sequence into its k-mers, upper case.

    Examples
    --------
    >>> tokenize("ACGTAC", 3)
    ['ACG', 'CGT', 'GTA', 'TAC']
    """
    check_k(k, stride)
    sequence = sequence.upper()
    return [sequence[i : i + k] for i in range(0, len(sequence) - k + 1, stride)]


def vocabulary(k: int) -> list[str]:
    """List the tokens in the order of their ids: the lines of DNABERT's vocab.txt.

    Examples
    --------
    >>> vocabulary(3)[4:9]
    ['[MASK]', 'AAA', 'AAT', 'AAC', 'AAG']
    """
    check_k(k)
    return [*SPECIAL_TOKENS, *("".join(bases) for bases in product(ALPHABET, repeat=k))]


def decode_ids(ids: Sequence[int] | np.ndarray | Tensor, k: int) -> list[str]:
    """Name token ids.

    Raises
    ------
    InputError
        If an id is outside the vocabulary.

    Examples
    --------
    >>> decode_ids([2, 5, 54, 68, 3], 3)
    ['[CLS]', 'AAA', 'GAT', 'GGG', '[SEP]']
    """
    size = vocab_size(k)
    names = []
    for value in np.asarray(ids).reshape(-1).tolist():
        if not 0 <= value < size:
            raise InputError(
                "a token id is outside the vocabulary",
                found=value,
                expected=f"0 to {size - 1} (k = {k})",
            )
        number = value - N_SPECIAL
        if number < 0:
            names.append(SPECIAL_TOKENS[value])
        else:
            names.append("".join(ALPHABET[number >> 2 * (k - 1 - i) & 3] for i in range(k)))
    return names


def wrap(
    ids: Tensor,
    lengths: Tensor | None = None,
    *,
    cls: bool = True,
    sep: bool = True,
    pad_to: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Put [CLS] before and [SEP] after each sequence, [PAD] behind.

    Parameters
    ----------
    ids : int64 (N, L)
        Tokens without special ones; what lies behind a sequence's length is ignored.
    lengths : int64 (N,), optional
        Tokens of each sequence; L where not given.
    cls, sep : bool
    pad_to : int, optional
        Width of the result; as wide as L allows where not given.

    Returns
    -------
    ids : int64 (N, pad_to)
    mask : bool (N, pad_to)
        True where there is a token.

    Raises
    ------
    InputError
        If a sequence does not fit into `pad_to`.

    Examples
    --------
    >>> ids, mask = wrap(torch.tensor([[7, 8, 9], [5, 0, 0]]), torch.tensor([3, 1]))
    >>> ids.tolist()
    [[2, 7, 8, 9, 3], [2, 5, 3, 0, 0]]
    >>> mask.sum(1).tolist()
    [5, 3]
    """
    out, _, mask = join_parts([(ids, lengths)], cls=cls, sep=sep, pad_to=pad_to)
    return out, mask


def join_parts(
    parts: Sequence[tuple[Tensor, Tensor | None]],
    *,
    cls: bool = True,
    sep: bool = True,
    pad_to: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Join the parts of each sequence: [CLS] A [SEP] B [SEP] ... [PAD].

    Parameters
    ----------
    parts : sequence of (ids int64 (N, L_p), lengths int64 (N,) or None)
        Tokens without special ones.
    cls, sep : bool
        Whether [CLS] opens the whole and [SEP] closes each part.
    pad_to : int, optional
        Width of the result; as wide as the parts allow where not given.

    Returns
    -------
    ids, parts : int64 (N, pad_to)
        Token ids, and the number of the part each belongs to: [CLS] to part 0, a [SEP] to
        the part it closes, padding to part 0. With two parts these are BERT's segment ids.
    mask : bool (N, pad_to)

    Raises
    ------
    InputError
        If a sequence does not fit into `pad_to`.

    Examples
    --------
    >>> a, b = torch.tensor([[7, 8]]), torch.tensor([[9, 0]])
    >>> ids, segments, mask = join_parts([(a, None), (b, torch.tensor([1]))])
    >>> ids.tolist(), segments.tolist()
    ([[2, 7, 8, 3, 9, 3, 0]], [[0, 0, 0, 0, 1, 1, 0]])
    """
    first = parts[0][0]
    n, device = first.shape[0], first.device
    widest = int(cls) + sum(ids.shape[1] + int(sep) for ids, _ in parts)
    room = widest if pad_to is None else pad_to
    if widest <= room and all(lengths is None for _, lengths in parts):
        return _join_full(parts, cls, sep, room)
    full = max(widest, room)  # written at full width, then cut where nothing is lost
    out = torch.full(
        (n, full + 1), PAD, dtype=torch.int64, device=device
    )  # one column for what has no place
    part_of = torch.zeros_like(out)
    end = torch.full((n,), int(cls), dtype=torch.int64, device=device)
    if cls:
        out[:, 0] = CLS
    for number, (ids, lengths) in enumerate(parts):
        at = torch.arange(ids.shape[1], device=device)
        length = (
            torch.full((n,), ids.shape[1], device=device) if lengths is None else lengths.to(device)
        )
        where = torch.where(at < length[:, None], end[:, None] + at, full)
        out.scatter_(1, where, ids.to(torch.int64))
        part_of.scatter_(1, where, number)
        end = end + length
        if sep:
            out.scatter_(1, end[:, None], SEP)
            part_of.scatter_(1, end[:, None], number)
            end = end + 1
    if widest > room and (longest := int(end.max())) > room:
        raise InputError(
            "a sequence does not fit",
            found=f"{longest} tokens with special ones",
            expected=f"at most {room}",
        )
    mask = torch.arange(room, device=device) < end[:, None]
    return out[:, :room].contiguous(), part_of[:, :room].contiguous(), mask


def _join_full(
    parts: Sequence[tuple[Tensor, Tensor | None]], cls: bool, sep: bool, room: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Join parts that are all as long as their tables are wide: plain slices."""
    n, device = parts[0][0].shape[0], parts[0][0].device
    out = torch.empty((n, room), dtype=torch.int64, device=device)
    part_of = torch.zeros_like(out)
    end = int(cls)
    out[:, :end] = CLS
    for number, (ids, _) in enumerate(parts):
        start, end = end, end + ids.shape[1]
        out[:, start:end] = ids
        if sep:
            out[:, end] = SEP
            end += 1
        part_of[:, start:end] = number
    out[:, end:] = PAD
    mask = torch.ones((n, room), dtype=torch.bool, device=device)
    mask[:, end:] = False
    return out, part_of, mask
