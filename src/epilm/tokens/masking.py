"""Which tokens are hidden, and what stands in their place: DNABERT's masking, exactly.

Every maskable token is drawn as a centre with probability p; a centre hides the
span of tokens around it; of the hidden ones 80 % become [MASK], 10 % a random id
and 10 % stay, each token for itself. The label is the original id.
Every draw is a function of (seed, key of the sequence, position): the same
sequence is masked the same way in any batch, on any device, after any restart.
Axes: N sequences, L tokens. Needs torch; numba where it is there. Source:
DNABERT examples/run_pretrain.py, mask_tokens.
"""

from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from epilm.errors import InputError
from epilm.tokens import _fused
from epilm.tokens.kmers import MASK, N_SPECIAL, vocab_size
from epilm.tokens.random import hash_bits, scaled, state, threshold

IGNORED = -100  # the label of a token that is not scored
TO_MASK, TO_RANDOM = 0.8, 0.1  # the rest stays as it is
_ROWS = 64  # sequences at a time without numba: their intermediate tables stay in the cache
# One stream of draws a question.
_CENTRE, _FATE, _RANDOM = 0, 1, 2

Scheme = Literal["dnabert_span", "iid"]
RateMode = Literal["nominal", "exact"]
RandomFrom = Literal["vocab", "kmers_only"]


class RateSchedule(Protocol):
    """The part of `objectives.masked.MaskSpec` that a rate depends on."""

    @property
    def rate(self) -> float: ...
    @property
    def late_rate(self) -> float: ...
    @property
    def late_from_step(self) -> int: ...


def rate_at(step: int, spec: RateSchedule) -> float:
    """Say the masking rate of a training step: 15 %, then 20 % from step 100 000.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> spec = SimpleNamespace(rate=0.15, late_rate=0.20, late_from_step=100_000)
    >>> rate_at(99_999, spec), rate_at(100_000, spec)
    (0.15, 0.2)
    """
    return spec.rate if step < spec.late_from_step else spec.late_rate


def rate_to_probability(rate: float, k: int, mode: RateMode = "nominal") -> float:
    """Turn a rate of hidden tokens into the probability of a centre.

    "nominal" is DNABERT's rate / k: spans overlap, so fewer tokens than `rate` are
    hidden, 1 - (1 - p)**k. "exact" solves that for p.

    Parameters
    ----------
    rate : float
        Wanted share of hidden tokens, 0 to below 1.
    k : int
        Tokens a centre hides (`span_tokens`; k in DNABERT).
    mode : {"nominal", "exact"}

    Raises
    ------
    InputError
        If the rate is outside [0, 1), or the mode is unknown.

    Examples
    --------
    >>> round(rate_to_probability(0.15, 6), 5)
    0.025
    >>> (
    ...     round(rate_to_probability(0.15, 6, "exact"), 5),
    ...     round(rate_to_probability(0.20, 3, "exact"), 5),
    ... )
    (0.02672, 0.07168)
    """
    if not 0 <= rate < 1:
        raise InputError(
            "the masking rate is out of range", found=rate, expected="0 or more, below 1"
        )
    if mode == "nominal":
        return rate / k
    if mode == "exact":
        return 1 - (1 - rate) ** (1 / k)
    raise InputError("unknown mask.rate_mode", found=mode, expected="nominal or exact")


def expected_rate(probability: float, span: int) -> float:
    """Say the share of tokens hidden far from the ends: 1 - (1 - p)**span.

    Examples
    --------
    >>> round(expected_rate(0.025, 6), 4), round(expected_rate(0.0375, 4), 4)
    (0.1409, 0.1418)
    """
    return 1 - (1 - probability) ** span


def span_offsets(span: int) -> tuple[int, int]:
    """Say how many tokens before and after a centre its span reaches.

    DNABERT's pattern: one more after than before where the span is even.

    Examples
    --------
    >>> [span_offsets(k) for k in (3, 4, 5, 6, 7)]
    [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)]
    """
    if span < 1:
        raise InputError("mask.span_tokens is out of range", found=span, expected="at least 1")
    return (span - 1) // 2, span // 2


def grow_spans(centres: Tensor, maskable: Tensor, span: int) -> Tensor:
    """Hide the span around every centre, within the sequence and never on a special token.

    Parameters
    ----------
    centres, maskable : bool (N, L)
    span : int
        Tokens of a span.

    Returns
    -------
    bool (N, L)
        Overlapping spans merge. A span may pass over an inner [SEP], as in DNABERT;
        the [SEP] itself stays.

    Examples
    --------
    >>> inner = torch.ones(1, 22, dtype=torch.bool)
    >>> inner[:, [0, 21]] = False
    >>> centres = torch.zeros_like(inner)
    >>> centres[0, 10] = True
    >>> grow_spans(centres, inner, 6)[0].nonzero().flatten().tolist()
    [8, 9, 10, 11, 12, 13]
    """
    left, right = span_offsets(span)
    chosen = (centres & maskable).to(torch.float32)[:, None]
    # Token j is hidden where a centre lies in [j - right, j + left].
    padded = torch.nn.functional.pad(chosen, (right, left))
    return (torch.nn.functional.max_pool1d(padded, span, stride=1)[:, 0] > 0) & maskable


def mask_tokens(
    ids: Tensor,
    maskable: Tensor,
    *,
    k: int,
    rate: float,
    keys: Tensor,
    seed: int,
    scheme: Scheme = "dnabert_span",
    rate_mode: RateMode = "nominal",
    random_from: RandomFrom = "vocab",
    span_tokens: int | None = None,
    vocab: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Hide tokens and say what they were.

    Parameters
    ----------
    ids : int64 (N, L)
        Token ids with special tokens and padding.
    maskable : bool (N, L)
        False on special tokens and padding: never drawn, never hidden.
    k : int
        Width of a k-mer; the length of a span where `span_tokens` is not given.
    rate : float
        Share of tokens to hide (`rate_at`).
    keys : int64 (N,)
        One number a sequence; equal keys are masked alike, so put epoch and pass into it.
    seed : int
    scheme : {"dnabert_span", "iid"}
        "iid" hides single tokens, as BERT does.
    rate_mode : {"nominal", "exact"}
        See `rate_to_probability`.
    random_from : {"vocab", "kmers_only"}
        Where the random 10 % come from: all ids, special ones too, as DNABERT, or k-mers.
    span_tokens : int, optional
        2 * k - 1 hides k whole bases; DNABERT's k hides one.
    vocab : int, optional
        Number of ids; 4**k + 5 where not given.

    Returns
    -------
    masked_ids, labels : int64 (N, L)
        `labels` holds the original id where a token was chosen, -100 elsewhere.

    Raises
    ------
    InputError
        If a rate, mode, scheme or span is out of range.

    Examples
    --------
    >>> ids = torch.tensor([[2, *range(5, 25), 3, 0]])
    >>> masked, labels = mask_tokens(ids, ids >= 5, k=6, rate=0.15, keys=torch.tensor([3]), seed=0)
    >>> hidden = labels[0] != -100
    >>> bool((masked[0] == ids[0])[~hidden].all()), bool((labels[0] == ids[0])[hidden].all())
    (True, True)
    """
    how = draws(
        k=k,
        rate=rate,
        seed=seed,
        scheme=scheme,
        rate_mode=rate_mode,
        random_from=random_from,
        span_tokens=span_tokens,
        vocab=vocab,
    )
    if ids.device.type == "cpu" and _fused.available():
        return _mask_compiled(ids, maskable, keys, how)
    if ids.device.type != "cpu" or len(ids) <= _ROWS:
        return _mask_plain(ids, maskable, keys, how)
    tables = zip(ids.split(_ROWS), maskable.split(_ROWS), keys.split(_ROWS), strict=True)
    masked, labels = zip(*(_mask_plain(*part, how) for part in tables), strict=True)
    return torch.cat(masked), torch.cat(labels)


def draws(
    *,
    k: int,
    rate: float,
    seed: int,
    scheme: Scheme = "dnabert_span",
    rate_mode: RateMode = "nominal",
    random_from: RandomFrom = "vocab",
    span_tokens: int | None = None,
    vocab: int | None = None,
) -> _fused.Draws:
    """Turn the switches of `mask_tokens` into numbers, and refuse impossible ones."""
    span = mask_span(k, scheme, span_tokens)
    probability = rate_to_probability(rate, span, rate_mode)
    if random_from not in ("vocab", "kmers_only"):
        raise InputError(
            "unknown mask.random_from", found=random_from, expected="vocab or kmers_only"
        )
    lowest = 0 if random_from == "vocab" else N_SPECIAL
    return _fused.Draws(
        bases=(state(seed, _CENTRE), state(seed, _FATE), state(seed, _RANDOM)),
        span=span_offsets(span),
        limits=(threshold(probability), threshold(TO_MASK), threshold(TO_MASK + TO_RANDOM)),
        random_range=(lowest, (vocab_size(k) if vocab is None else vocab) - lowest),
    )


def mask_span(k: int, scheme: Scheme = "dnabert_span", span_tokens: int | None = None) -> int:
    """Say how many tokens a centre hides under a scheme.

    Examples
    --------
    >>> mask_span(6), mask_span(6, "iid"), mask_span(6, span_tokens=11)
    (6, 1, 11)
    """
    if scheme == "iid":
        return 1
    if scheme != "dnabert_span":
        raise InputError("unknown mask.scheme", found=scheme, expected="dnabert_span or iid")
    span = k if span_tokens is None else span_tokens
    span_offsets(span)  # refuses an empty span
    return span


def _mask_plain(
    ids: Tensor, maskable: Tensor, keys: Tensor, how: _fused.Draws
) -> tuple[Tensor, Tensor]:
    keys, at = keys.to(ids.device)[:, None], torch.arange(ids.shape[1], device=ids.device)
    centre, fate, random_bits = (hash_bits(keys, at, start=base) for base in how.bases)
    hidden = grow_spans(centre < how.limits[0], maskable, sum(how.span) + 1)
    lowest, high = how.random_range
    masked = torch.where(hidden & (fate < how.limits[2]), lowest + scaled(high, random_bits), ids)
    masked = torch.where(hidden & (fate < how.limits[1]), MASK, masked)
    return masked, torch.where(hidden, ids, IGNORED)


def _mask_compiled(
    ids: Tensor, maskable: Tensor, keys: Tensor, how: _fused.Draws
) -> tuple[Tensor, Tensor]:
    source = np.ascontiguousarray(ids.numpy(), dtype=np.int64)
    allowed, numbers = np.ascontiguousarray(maskable.numpy()), np.ascontiguousarray(keys.numpy())
    masked, labels = np.empty_like(source), np.empty_like(source)
    _fused.mask_tokens(source, allowed, numbers.astype(np.int64, copy=False), how, masked, labels)
    return torch.from_numpy(masked), torch.from_numpy(labels)
