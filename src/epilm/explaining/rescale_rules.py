"""DeepLIFT's rules of functions that are neither linear nor of one number: each adds up exactly.

A rule is a function whose way back gives, in place of gradients, what a change of its inputs from
the reference to the window is worth to the change of its output. What is a polynomial (a product,
a table of k-mers) takes the mean of its own gradient on the straight line between the two, which
Gauss and Legendre's nodes give exactly and which treats all factors alike. Softmax and layer norm
keep the shape of their own derivative, taken between the two: what softmax and norm do not see (a
number added to all, a scale) is worth nothing, and nothing overflows, which a quotient of sums of
exponentials does where scores are far apart.
Axes: 2 P rows, the windows first and their references behind, in the same order; T steps.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from epilm.errors import UsageError
from epilm.explaining.soft import kmer_probabilities

NARROW = 1e-6  # changes of an input below which a bend's own slope is taken


def no_rule(name: str) -> UsageError:
    """What is said where a network has no rule."""
    return UsageError(
        "DeepLIFT's rule does not hold in this network",
        where="--method deeplift",
        found=name,
        expected="linear layers, convolutions, functions of one number, maxima over an axis,"
        " products, attention, softmax, norms, an LSTM",
        do="Take --method integrated, or ism, which hold in any.",
    )


def _windows_alone(passed: Tensor) -> Tensor:
    """What is passed on to windows, and nothing to references, which stay."""
    return torch.cat([passed, torch.zeros_like(passed)])


class _Bend(torch.autograd.Function):
    """A function of one number; its gradient is the change of output by the change of input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Give function(x), and keep the slopes between the rows of each pair."""
        y = function(x)
        inputs, references = x.chunk(2)
        with torch.enable_grad():
            leaf = inputs.detach().requires_grad_()
            (own,) = torch.autograd.grad(function(leaf).sum(), leaf)
        run, rise = inputs - references, torch.sub(*y.chunk(2))
        ctx.save_for_backward(torch.where(run.abs() > NARROW, rise / run, own))
        return y

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        """Pass on to the windows alone: references stay."""
        (slopes,) = ctx.saved_tensors
        return _windows_alone(given.chunk(2)[0] * slopes), None


def bend(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of one number by its rule; as it is to what does not change.

    Examples
    --------
    From -1 to 3 a ReLU rises by 3 of 4:

    >>> x = torch.tensor([[3.0], [-1.0]], requires_grad=True)
    >>> torch.autograd.grad(bend(x, torch.relu)[0], x)[0].tolist()
    [[0.75], [0.0]]
    """
    apply: Any = _Bend.apply
    out: Tensor = apply(x, function) if x.requires_grad else function(x)
    return out


class _Largest(torch.autograd.Function):
    """Values picked from the last axis by their rank: each change goes to where the larger one of
    the two maxima stands.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, picked: Tensor) -> Tensor:
        """Give x (2 P, C, W) at places (2 P, C, L)."""
        y = x.gather(2, picked)
        (mine, theirs), (inputs, references) = picked.chunk(2), y.chunk(2)
        run = torch.sub(*x.chunk(2))
        top = torch.maximum(inputs, references)
        same = inputs == references  # two of -inf too, where all of an axis is hidden
        shares = []
        for at, change in ((mine, top - references), (theirs, inputs - top)):
            rise = torch.where(same, 0.0, change)
            # Where the rise is not 0 the run is at least as large, and of its sign.
            shares.append(torch.where(rise == 0, rise, rise / run.gather(2, at)))
        # What does not change has its own slope, as in a bend: it counts for other bases alone.
        shares[0] = torch.where(run.gather(2, mine) == 0, 1.0, shares[0])
        ctx.save_for_backward(mine, theirs, *shares)
        ctx.width = x.shape[2]
        return y

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        """Pass on to the windows alone."""
        mine, theirs, up, down = ctx.saved_tensors
        given = given.chunk(2)[0]
        passed = given.new_zeros(*given.shape[:2], ctx.width)
        passed.scatter_add_(2, mine, given * up).scatter_add_(2, theirs, given * down)
        return _windows_alone(passed), None


@lru_cache(maxsize=16)
def _nodes(degree: int) -> tuple[tuple[float, float], ...]:
    """Places between 0 and 1, and weights, that integrate the gradient of a polynomial exactly."""
    at, weights = np.polynomial.legendre.leggauss(-(-degree // 2))
    return tuple(zip(((at + 1) / 2).tolist(), (weights / 2).tolist()))


class _Straight(torch.autograd.Function):
    """A polynomial of tensors that change together; its gradient is the mean of its own on the
    straight line between the rows of each pair.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], degree: int, *given: Tensor) -> Tensor:
        """Give function(*given)."""
        ctx.function, ctx.degree = function, degree
        ctx.save_for_backward(*given)
        return function(*given)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        """Pass on to the windows alone."""
        pairs = [each.chunk(2) for each in ctx.saved_tensors]
        given = given.chunk(2)[0]
        totals: list[Tensor] = []
        for at, weight in _nodes(ctx.degree):
            between = [torch.lerp(theirs, mine, at).requires_grad_() for mine, theirs in pairs]
            with torch.enable_grad():
                parts = torch.autograd.grad(ctx.function(*between), between, given)
            parts = tuple(weight * part for part in parts)
            totals = [a + b for a, b in zip(totals, parts)] if totals else list(parts)
        return None, None, *(_windows_alone(total) for total in totals)


def times(a: Tensor, b: Tensor, multiply: Callable[[Tensor, Tensor], Tensor] = torch.mul) -> Tensor:
    """Multiply: of two that change, half of the change of each by the sum of both ends of the
    other.

    Parameters
    ----------
    a, b : float (2 P, ...)
        Of as many axes where both change; of a product of matrices three or more.
    multiply : function
        Linear in each of the two.

    Raises
    ------
    UsageError
        If the rows of two that change do not stand side by side.

    Examples
    --------
    From 2 x 3 to 4 x 7:

    >>> a = torch.tensor([[4.0], [2.0]], requires_grad=True)
    >>> b = torch.tensor([[7.0], [3.0]], requires_grad=True)
    >>> [slope.tolist() for slope in torch.autograd.grad(times(a, b)[0], (a, b))]
    [[[5.0], [0.0]], [[3.0], [0.0]]]
    """
    if not (a.requires_grad and b.requires_grad):
        return multiply(a, b)
    mixed = a.ndim != b.ndim or len(a) != len(b) or (multiply is not torch.mul and a.ndim < 3)
    if mixed:
        raise no_rule(f"a product of {tuple(a.shape)} and {tuple(b.shape)}")
    apply: Any = _Straight.apply
    out: Tensor = apply(multiply, 2, a, b)
    return out


def _kmers(probabilities: Tensor, k: int, stride: int) -> Tensor:
    apply: Any = _Straight.apply
    out: Tensor = apply(lambda bases: kmer_probabilities(bases, k, stride), k, probabilities)
    return out


def _middle(log_shares: Tensor) -> Tensor:
    """Logarithmic mean of the shares of both rows of a pair, (P, ...): the change of a share by
    the change of its logarithm.
    """
    mine, theirs = log_shares.chunk(2)
    gap = torch.where(mine == theirs, 0.0, (mine - theirs).abs())  # -inf: hidden in both
    top = torch.maximum(mine, theirs).exp()
    return torch.where(gap == 0, top, top * -torch.expm1(-gap) / gap)


class _Softmax(torch.autograd.Function):
    """Shares of an axis. Its derivative diag(m) - m m' / sum(m), m of `_middle`, is that of the
    softmax itself with m in place of its shares: of two classes the rule of a sigmoid.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int) -> Tensor:
        """Give x.softmax(axis)."""
        ctx.axis = axis
        ctx.save_for_backward(_middle(x.log_softmax(axis)))
        return x.softmax(axis)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        """Pass on to the windows alone."""
        (middle,) = ctx.saved_tensors
        given = given.chunk(2)[0]
        whole = middle.sum(ctx.axis, keepdim=True)
        mean = (middle * given).sum(ctx.axis, keepdim=True) / whole
        return _windows_alone(middle * (given - mean)), None


class _LogSumExp(torch.autograd.Function):
    """Logarithm of a sum of exponentials: each change counts by the share of `_middle`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int) -> Tensor:
        """Give x.logsumexp(axis), the axis kept."""
        total = x.logsumexp(axis, keepdim=True)
        middle = _middle(x - total)
        ctx.save_for_backward(middle / middle.sum(axis, keepdim=True))
        return total

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        """Pass on to the windows alone."""
        (shares,) = ctx.saved_tensors
        return _windows_alone(given.chunk(2)[0] * shares), None


class _LayerNorm(torch.autograd.Function):
    """Centred numbers c times r, one by their root mean square. Centring is linear, the mean of c^2
    rises by twice the mean of c at its middle, r by its change, and the product is one of two that
    change: together r I - (2 / H) s c c', with r, c the means of both rows and s the fall of r for
    a rise of that mean of squares.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shape: Sequence[int],
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        """Give F.layer_norm(x, shape, weight, bias, eps)."""
        y, mean, scale = torch.native_layer_norm(x, list(shape), weight, bias, eps)
        (mine, theirs), (r, r0) = (x - mean).chunk(2), scale.chunk(2)
        # The change of r by that of c^2's mean, without the difference of two close numbers.
        ctx.save_for_backward((mine + theirs) / 2, (r + r0) / 2, (r * r0) ** 2 / (r + r0), weight)
        ctx.axes = tuple(range(-len(shape), 0))
        return y

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        """Pass on to the windows alone."""
        centred, scale, slope, weight = ctx.saved_tensors
        given = given.chunk(2)[0]
        given = given if weight is None else given * weight
        along = 2 * slope * (given * centred).mean(ctx.axes, keepdim=True)
        passed = scale * given - along * centred
        return _windows_alone(passed - passed.mean(ctx.axes, keepdim=True)), *(4 * [None])


def _max_pool1d(x: Tensor, *args: Any, **named: Any) -> Tensor:
    named.pop("return_indices", None)
    _, picked = F.max_pool1d(x, *args, **named, return_indices=True)
    largest: Any = _Largest.apply
    return largest(x, picked)


def _axis(x: Tensor, dim: Any, name: str) -> int:
    """Which axis, any but the rows."""
    axis = dim[0] if isinstance(dim, list | tuple) and len(dim) == 1 else dim
    if not isinstance(axis, int) or axis % x.ndim == 0:
        raise no_rule(f"{name} over axes {dim} of {x.ndim}")
    return axis % x.ndim


def _amax(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    axis = _axis(x, dim, "amax")
    last = x.movedim(axis, -1)
    rows = last.reshape(len(x), -1, last.shape[-1])  # (2 P, C, W)
    largest: Any = _Largest.apply
    best: Tensor = largest(rows, rows.argmax(2, keepdim=True)).view(last.shape[:-1])
    return best.unsqueeze(axis) if keepdim else best


def _logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    axis = _axis(x, dim, "logsumexp")
    apply: Any = _LogSumExp.apply
    out: Tensor = apply(x, axis)
    return out if keepdim else out.squeeze(axis)


def _softmax(x: Tensor, dim: Any, *_: Any, **__: Any) -> Tensor:
    apply: Any = _Softmax.apply
    out: Tensor = apply(x, _axis(x, dim, "softmax"))
    return out


def _log_softmax(x: Tensor, dim: Any, *_: Any, **__: Any) -> Tensor:
    return x - _logsumexp(x, dim, keepdim=True)


def _layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    apply: Any = _LayerNorm.apply
    out: Tensor = apply(x, normalized_shape, weight, bias, eps)
    return out


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Written out: the kernel's numbers to rounding."""
    if dropout_p or is_causal or enable_gqa:
        raise no_rule("attention with dropout, of what came before alone, or of shared heads")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = times(query * scale, key.transpose(-1, -2), torch.matmul)  # (2 P, heads, L, L)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    shares = _softmax(scores, -1) if scores.requires_grad else scores.softmax(-1)
    return times(shares, value, torch.matmul)


def _lstm(x: Tensor, *how: Any) -> tuple[Tensor, Tensor, Tensor]:
    """As `torch.lstm`, a step after the other; packed rows only where they are of one length."""
    packed = isinstance(how[0], Tensor)
    if packed:
        sizes, start, weights, bias, layers, dropout, training, both = how
        if (sizes != sizes[0]).any():
            raise no_rule("lstm of rows of unequal length")
        x = x.unflatten(0, (len(sizes), -1)).transpose(0, 1)  # (2 P, T, C)
    else:
        start, weights, bias, layers, dropout, training, both, batch_first = how
        if not batch_first or x.ndim != 3:
            raise no_rule("lstm whose first axis is not the rows")
    ways, each = (2 if both else 1), (4 if bias else 2)
    if len(weights) != layers * ways * each or (dropout and training):
        raise no_rule("lstm with a projection or with dropout")
    hidden, cells = [], []
    for layer in range(layers):
        said = []
        for way in range(ways):
            number = layer * ways + way
            own = weights[number * each : (number + 1) * each]
            steps, *last = _one_way(x, start[0][number], start[1][number], own, way == 1)
            said.append(steps)
            hidden.append(last[0])
            cells.append(last[1])
        x = torch.cat(said, 2)  # (2 P, T, ways H)
    if packed:
        x = x.transpose(0, 1).flatten(0, 1)
    return x, torch.stack(hidden), torch.stack(cells)


def _one_way(
    x: Tensor, hidden: Tensor, cell: Tensor, weights: Sequence[Tensor], reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of a layer: (2 P, T, C) to (2 P, T, H), and the last states."""
    bias = None if len(weights) == 2 else weights[2] + weights[3]
    entered = F.linear(x, weights[0], bias)
    said: list[Tensor] = []
    for step in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        asked, kept, new, shown = (entered[:, step] + F.linear(hidden, weights[1])).chunk(4, 1)
        added = times(bend(asked, torch.sigmoid), bend(new, torch.tanh))
        cell = times(bend(kept, torch.sigmoid), cell) + added
        hidden = times(bend(shown, torch.sigmoid), bend(cell, torch.tanh))
        said.append(hidden)
    return torch.stack(said[::-1] if reverse else said, 1), hidden, cell


ATTENTION = "scaled_dot_product_attention"
# By name of the function. Its first argument alone changes; of attention any do.
RULES: dict[str, Callable[..., Any]] = {
    ATTENTION: _attention,
    "max_pool1d": _max_pool1d,
    "amax": _amax,
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "layer_norm": _layer_norm,
    "lstm": _lstm,
    "kmer_probabilities": _kmers,
}
PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **dict.fromkeys(("mul", "__mul__", "__rmul__"), torch.mul),
    **dict.fromkeys(("matmul", "__matmul__", "bmm"), torch.matmul),
}
