"""Chromatin states as token ids, and which of them the model may not see.

A centre is hidden and predicted; what stands around it in the same bin would give it away, so
more is hidden than is scored. How much is the question: `mode`. A fixed flank, the paper's,
leaks wherever the centre is not in the middle of its bin; "whole_bin" does not.
Every draw is a function of (seed, key of the window, position), as in `tokens.masking`.
Axes: B windows, L tokens with special ones, T without, S states. Needs torch and numpy.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from epilm.errors import InputError
from epilm.tokens.kmers import CLS, SEP
from epilm.tokens.masking import IGNORED, TO_MASK, TO_RANDOM
from epilm.tokens.pooling import MISSING
from epilm.tokens.random import BITS, hash_bits, scaled, threshold

PAD_STATE, MASK_STATE, UNKNOWN_STATE = range(3)
SPECIAL_STATES = ("[PAD]", "[MASK]", "[UNKNOWN]")
N_SPECIAL_STATES = len(SPECIAL_STATES)
# One stream of draws a question; masking of k-mers has 0 to 2.
_CENTRE, _FATE, _RANDOM = 10, 11, 12

StateMode = Literal["flank", "whole_bin", "run"]
FlankRound = Literal["floor", "ceil"]
Replace = Literal["mask", "bert"]


def state_ids(codes: Any) -> Any:
    """Turn state codes into token ids: code i is 3 + i, none (255) is [UNKNOWN].

    Parameters
    ----------
    codes : uint8 array or tensor, any shape

    Returns
    -------
    int64, same kind, device and shape

    Examples
    --------
    >>> state_ids(torch.tensor([0, 35, 255], dtype=torch.uint8))
    tensor([ 3, 38,  2])
    >>> state_ids(np.array([0, 255], dtype=np.uint8))
    array([3, 2])
    """
    if isinstance(codes, Tensor):
        return (codes.to(torch.int64) + N_SPECIAL_STATES).masked_fill_(
            codes == MISSING, UNKNOWN_STATE
        )
    ids = codes.astype(np.int64) + N_SPECIAL_STATES
    ids[codes == MISSING] = UNKNOWN_STATE
    return ids


def real_tokens(ids: Tensor, mask: Tensor) -> Tensor:
    """Say which tokens are k-mers: no padding, no [CLS], no [SEP]; bool (B, L).

    Examples
    --------
    >>> real_tokens(
    ...     torch.tensor([[2, 9, 1, 3, 0]]), torch.tensor([[True, True, True, True, False]])
    ... )
    tensor([[False,  True,  True, False, False]])
    """
    return mask & (ids != CLS) & (ids != SEP)


def beside_tokens(values: Tensor, *, special_tokens: bool, width: int, fill: float = 0) -> Tensor:
    """Lay values of T tokens beside a window's L ids: `fill` on [CLS], [SEP] and padding.

    Parameters
    ----------
    values : tensor, shape (B, T) or (B, T, S)
        One value (or S) for each k-mer: states, bins, signals.
    special_tokens : bool
        Whether the ids begin with [CLS] and end with [SEP].
    width : int
        L.
    fill : number
        PAD_STATE for states, 0 for signals.

    Returns
    -------
    tensor, shape (B, L) or (B, L, S)

    Examples
    --------
    >>> beside_tokens(torch.tensor([[7, 8]]), special_tokens=True, width=6)
    tensor([[0, 7, 8, 0, 0, 0]])
    """
    first, tokens = int(special_tokens), values.shape[1]
    laid = values.new_full((values.shape[0], width, *values.shape[2:]), fill)
    laid[:, first : first + tokens] = values
    return laid


def flank_tokens(flank_bp: int, stride: int, how: FlankRound = "floor") -> int:
    """Count the tokens hidden on either side of a centre.

    Examples
    --------
    >>> [flank_tokens(100, k) for k in (7, 6, 5)], flank_tokens(100, 7, "ceil")
    ([14, 16, 20], 15)
    """
    return -(-flank_bp // stride) if how == "ceil" else flank_bp // stride


def draw_centres(
    allowed: Tensor, n_centres: int, *, keys: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw tokens of every window, each of the allowed ones with the same chance.

    Parameters
    ----------
    allowed : bool (B, L)
    n_centres : int
    keys : int64 (B,)
        One number a window; equal keys draw alike.
    seed : int

    Returns
    -------
    centres : int64 (B, n)
        n = n_centres, or L where a window is shorter.
    drawn : bool (B, n)
        False where a window has fewer allowed tokens; the centre means nothing there.

    Examples
    --------
    >>> draw_centres(torch.tensor([[False, True, False]]), 2, keys=torch.tensor([4]), seed=0)
    (tensor([[1, 0]]), tensor([[ True, False]]))
    """
    at = torch.arange(allowed.shape[1], device=allowed.device)
    none = 1 << BITS
    ranks = hash_bits(seed, _CENTRE, keys.to(allowed.device)[:, None], at).masked_fill_(
        ~allowed, none
    )
    n = min(n_centres, allowed.shape[1])
    if n == 1:
        best, centres = ranks.min(1, keepdim=True)
    else:
        best, centres = ranks.topk(n, dim=1, largest=False)
    return centres, best < none


def around(
    ids: Tensor, centres: Tensor, drawn: Tensor, *, bins: Tensor | None, mode: StateMode, flank: int
) -> Tensor:
    """Say what must be hidden for the centres, themselves included.

    Parameters
    ----------
    ids : int64 (B, L)
        State ids, nothing hidden.
    centres, drawn : int64, bool (B, n)
        Of `draw_centres`.
    bins : int64 (B, L) or None
        The bin of each token; needed by "whole_bin".
    mode : {"flank", "whole_bin", "run"}
    flank : int
        Tokens on either side, for "flank".

    Returns
    -------
    bool (B, L)
        False on special tokens and padding.

    Examples
    --------
    >>> ids = torch.tensor([[0, 4, 4, 4, 5, 5, 0]])
    >>> at, yes = torch.tensor([[3]]), torch.tensor([[True]])
    >>> around(ids, at, yes, bins=None, mode="flank", flank=1)[0].nonzero().flatten().tolist()
    [2, 3, 4]
    >>> around(ids, at, yes, bins=None, mode="run", flank=0)[0].nonzero().flatten().tolist()
    [1, 2, 3]
    """
    if mode == "flank":
        coordinate = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        low, high = centres - flank, centres + flank
    elif mode == "whole_bin":
        assert bins is not None, "whole_bin needs the bins of the tokens"
        coordinate = bins
        low = high = bins.gather(1, centres)
    else:
        coordinate = torch.zeros_like(ids)
        coordinate[:, 1:] = (ids[:, 1:] != ids[:, :-1]).cumsum(1)  # the number of each run
        low = high = coordinate.gather(1, centres)
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    for n in range(centres.shape[1]):  # of a window, not of a batch: one unless asked for more
        hidden |= (
            (coordinate >= low[:, n, None]) & (coordinate <= high[:, n, None]) & drawn[:, n, None]
        )
    return hidden & (ids != PAD_STATE)


def mask_states(
    ids: Tensor,
    known: Tensor | None = None,
    *,
    keys: Tensor,
    seed: int,
    stride: int,
    n_states: int,
    bins: Tensor | None = None,
    among: Tensor | None = None,
    mode: StateMode = "flank",
    n_centres: int = 1,
    flank_bp: int = 100,
    flank_round: FlankRound = "floor",
    replace: Replace = "mask",
) -> tuple[Tensor, Tensor]:
    """Hide states and say what the centres were.

    Parameters
    ----------
    ids : int64 (B, L)
        State ids: PAD_STATE on special tokens and padding, which are never hidden.
    known : bool (B, L), optional
        Tokens that may be centres. Those without a state never are.
    keys : int64 (B,)
        One number a window; equal keys are masked alike, so put epoch and pass into it.
    seed : int
    stride : int
        Bases from one token to the next: a flank of 100 bp is 100 / stride tokens.
    n_states : int
        S.
    bins : int64 (B, L), optional
        The bin most of each token lies in (`pooling.token_bins`); needed by mode "whole_bin".
    among : bool (B, L), optional
        Where centres are drawn first: the masked k-mers, as in the paper. A window without a
        known state there draws from all.
    mode : {"flank", "whole_bin", "run"}
        What is hidden with a centre: `flank_bp` on either side (the paper; its neighbours in the
        bin can remain), its bin, or the run of equal states it stands in.
    n_centres : int
        Tokens to predict in a window; fewer where fewer have a state.
    flank_bp : int
    flank_round : {"floor", "ceil"}
        How flank_bp / stride becomes a number of tokens.
    replace : {"mask", "bert"}
        Always [MASK], or 80 % [MASK], 10 % a random state and 10 % unchanged, each hidden token for
        itself.

    Returns
    -------
    masked, labels : int64 (B, L)
        `labels` holds the original id at centres and -100 elsewhere.

    Raises
    ------
    InputError
        If a mode is unknown, a number out of range, or "whole_bin" has no bins.

    Examples
    --------
    >>> ids = torch.tensor([[0, 4, 4, 4, 5, 5, 2, 0]])
    >>> centre = torch.tensor([[False, False, False, True, False, False, False, False]])
    >>> mask_states(ids, centre, keys=torch.tensor([1]), seed=0, stride=100, n_states=3)
    (tensor([[0, 4, 1, 1, 1, 5, 2, 0]]), tensor([[-100, -100, -100,    4, -100, -100, -100, -100]]))
    """
    _check(mode, n_centres, flank_bp, flank_round, replace, bins)
    allowed = ids >= N_SPECIAL_STATES
    if known is not None:
        allowed = allowed & known
    if among is not None:
        first = allowed & among
        allowed = torch.where(first.any(1, keepdim=True), first, allowed)
    centres, drawn = draw_centres(allowed, n_centres, keys=keys, seed=seed)
    flank = flank_tokens(flank_bp, stride, flank_round)
    hidden = around(ids, centres, drawn, bins=bins, mode=mode, flank=flank)
    masked = ids.masked_fill(hidden, MASK_STATE)
    if replace == "bert":
        masked = torch.where(hidden, _like_bert(ids, n_states, keys, seed), ids)
    scored = torch.full_like(ids, IGNORED)
    scored.scatter_(1, centres, torch.where(drawn, ids.gather(1, centres), IGNORED))
    return masked, scored


def _like_bert(ids: Tensor, n_states: int, keys: Tensor, seed: int) -> Tensor:
    """80 % [MASK], 10 % a random state, 10 % as it was."""
    keys, at = keys.to(ids.device)[:, None], torch.arange(ids.shape[1], device=ids.device)
    fate = hash_bits(seed, _FATE, keys, at)
    random = N_SPECIAL_STATES + scaled(n_states, hash_bits(seed, _RANDOM, keys, at))
    kept = torch.where(fate < threshold(TO_MASK + TO_RANDOM), random, ids)
    return kept.masked_fill_(fate < threshold(TO_MASK), MASK_STATE)


def _check(
    mode: str, n_centres: int, flank_bp: int, flank_round: str, replace: str, bins: Tensor | None
) -> None:
    choices = (
        ("mode", mode, StateMode),
        ("flank_round", flank_round, FlankRound),
        ("replace", replace, Replace),
    )
    for key, value, known in choices:
        if value not in get_args(known):
            raise InputError(
                f"unknown masked_states.{key}", found=value, expected=" or ".join(get_args(known))
            )
    if n_centres < 1 or flank_bp < 0:
        raise InputError(
            "masked_states is out of range",
            found=f"n_centres {n_centres}, flank_bp {flank_bp}",
            expected="at least 1 centre and a flank of 0 or more",
        )
    if mode == "whole_bin" and bins is None:
        raise InputError("masked_states.mode whole_bin needs the bin of every token", found="none")
