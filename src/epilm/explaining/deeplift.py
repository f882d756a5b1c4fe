"""What each base is worth beside shuffled copies of its window: DeepLIFT's rescale rule.

A window and a reference go through the network side by side. A layer that is linear passes on what
it is given; one that bends (a ReLU, a maximum) passes on the change of its output by the change of
its input, in place of a gradient. So the contributions of the bases add up to the difference of
the two outputs, whatever the network's depth, to rounding: it is checked. The rule is written for
each function that a network calls, not for kinds of modules, and no network is changed: where one
calls what has no rule (attention, a recurrent layer, products of two things that both change) it
is refused.
Axes: P pairs of window and reference, W bases, n explained bases.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from epilm.errors import UsageError
from epilm.explaining.attribution import Attribution
from epilm.explaining.frames import Frame
from epilm.explaining.mutagenesis import Codes, at_base
from epilm.explaining.soft import one_hot, soft_bases, turned
from epilm.explaining.subject import Subject
from epilm.tasks.shuffle import dinucleotide_shuffle

REFERENCES = 20
PAIRS = 8  # of a pass: their gradients are kept
NARROW = 1e-6  # changes of an input below which a bend's own slope is taken
MISSED = 1e-3  # share of the difference that a sum may miss; rounding leaves a thousandth of it

# Functions of one number: any of them has the rule.
BENDS = {
    *(F.relu, torch.relu, Tensor.relu, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu),
    *(F.softplus, F.mish, torch.sigmoid, Tensor.sigmoid, F.sigmoid, F.logsigmoid),
    *(torch.tanh, Tensor.tanh, F.tanh, torch.exp, Tensor.exp),
}
# What passes on changes as they are, where everything else that it reads stays.
LINEAR = {
    *("conv1d", "linear", "add", "__add__", "__radd__", "add_", "sub", "__sub__", "__rsub__"),
    *("neg", "__neg__", "cat", "stack", "transpose", "permute", "reshape", "view", "flatten"),
    *("unflatten", "flip", "__getitem__", "sum", "mean", "squeeze", "unsqueeze", "expand", "chunk"),
    *("split", "index_select", "gather", "contiguous", "float", "double", "to", "type", "pad"),
    *("masked_fill", "avg_pool1d", "unfold", "clone", "select", "narrow", "repeat"),
}
# Linear as long as one factor alone changes.
SCALED = {
    *("mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide", "matmul", "__matmul__"),
}
SAID = {"__get__", "size", "dim", "numel", "__len__", "is_floating_point", "stride"}  # no values


class Rescaled(TorchFunctionMode):
    """Within, what depends on the first P rows of a batch is changed beside the last P.

    Parameters
    ----------
    pairs : int
        P. Row i and row P + i are a pair, in every tensor that bends.

    Raises
    ------
    UsageError
        Where something is called that has no rule.

    Examples
    --------
    The slope from reference 0 to input 3 of a ReLU behind a shift is 1 / 3:

    >>> x = torch.tensor([[3.0], [0.0]], requires_grad=True)
    >>> with Rescaled(1):
    ...     y = torch.relu(x - 2)
    >>> torch.autograd.grad(y[0], x)[0][0]
    tensor([0.3333])
    """

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self.pairs = pairs

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function by its rule."""
        named = dict(kwargs or {})
        changing = _changing((*args, *named.values()))
        name = getattr(func, "__name__", str(func))
        if not changing or name in SAID:
            return func(*args, **named)
        if func in BENDS and changing == 1:
            named.pop("inplace", None)
            bend: Any = _Bend.apply
            return bend(self._paired(args[0], name), lambda x: func(x, *args[1:], **named))
        rule = RULES.get(name)
        if rule is not None and changing == 1:
            return rule(self._paired(args[0], name), *args[1:], **named)
        linear = name in LINEAR or (
            name in SCALED and changing == 1 and _scaled(name, args) and not named
        )
        if name in ("conv1d", "linear", "masked_fill", "gather", "index_select"):
            linear = changing == 1
        if name in ("batch_norm", "dropout"):
            linear = not _training(name, args, named) and changing == 1
        if not linear:
            raise no_rule(name.strip("_"))
        return func(*args, **named)

    def _paired(self, x: Tensor, name: str) -> Tensor:
        if len(x) != 2 * self.pairs:
            raise no_rule(f"{name} of {len(x)} rows where {2 * self.pairs} went in")
        return x


def no_rule(name: str) -> UsageError:
    """What is said where a network has no rule."""
    return UsageError(
        "DeepLIFT's rule does not hold in this network",
        where="--method deeplift",
        found=name,
        expected="convolutions, linear layers, norms that have learned, functions of one number and"
        " maxima",
        do="Take --method integrated, or ism, which hold in any.",
    )


def _changing(given: Sequence[Any]) -> int:
    """How many of the tensors depend on the bases; those of a list count as one."""
    count = 0
    for each in given:
        if isinstance(each, Tensor):
            count += each.requires_grad
        elif isinstance(each, list | tuple):
            count += _changing(each) > 0
    return count


def _scaled(name: str, args: Sequence[Any]) -> bool:
    """Whether what changes is a factor, and not divided by."""
    divides = "div" in name
    return not divides or (isinstance(args[0], Tensor) and args[0].requires_grad)


def _training(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> bool:
    at = {"batch_norm": 5, "dropout": 2}[name]
    return bool(named.get("training", args[at] if len(args) > at else name == "dropout"))


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
        passed = given.chunk(2)[0] * slopes
        return torch.cat([passed, torch.zeros_like(passed)]), None


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
        shares = []
        for at, rise in ((mine, top - references), (theirs, inputs - top)):
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
        return torch.cat([passed, torch.zeros_like(passed)]), None


def _max_pool1d(x: Tensor, *args: Any, **named: Any) -> Tensor:
    named.pop("return_indices", None)
    _, picked = F.max_pool1d(x, *args, **named, return_indices=True)
    largest: Any = _Largest.apply
    return largest(x, picked)


def _amax(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    axis = dim[0] if isinstance(dim, list | tuple) and len(dim) == 1 else dim
    if x.ndim != 3 or axis not in (2, -1):
        raise no_rule(f"amax over axes {dim} of {x.ndim}")
    largest: Any = _Largest.apply
    best: Tensor = largest(x, x.argmax(2, keepdim=True))
    return best if keepdim else best.squeeze(2)


def _logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """By the rules of exp and log, from below the larger of the two largest."""
    top = x.detach().amax(dim, keepdim=True)
    top = torch.cat(2 * [torch.maximum(*top.chunk(2))])
    bend: Any = _Bend.apply
    total = bend(x - top, torch.exp).sum(dim, keepdim=True)
    out: Tensor = bend(total, torch.log) + top
    return out if keepdim else out.squeeze(dim)


RULES: dict[str, Callable[..., Tensor]] = {
    "max_pool1d": _max_pool1d,
    "amax": _amax,
    "logsumexp": _logsumexp,
}


def multipliers(
    function: Callable[[Tensor], Tensor], inputs: Tensor, references: Tensor
) -> tuple[Tensor, Tensor]:
    """Give what a change of each number from its reference is worth to a function.

    Parameters
    ----------
    function : function, float (2 P, ...) to (2 P,)
        Rows independent of each other; weights that want no gradient.
    inputs, references : float (P, ...)

    Returns
    -------
    multipliers : float (P, ...)
        Times (inputs - references), summed: the difference of the two outputs.
    outputs : float (2, P)
        Of inputs and of references.

    Raises
    ------
    UsageError
        If the function calls what has no rule.

    References
    ----------
    Shrikumar, Greenside, Kundaje, Learning important features through propagating activation
    differences, ICML 2017; maxima as in Lundberg and Lee's DeepSHAP.

    Examples
    --------
    >>> inputs, zero = torch.tensor([[3.0, 1.0]]), torch.zeros(1, 2)
    >>> slopes, outputs = multipliers(lambda x: torch.relu(x.sum(1) - 2), inputs, zero)
    >>> slopes, outputs[0] - outputs[1]
    (tensor([[0.5000, 0.5000]]), tensor([2.]))
    """
    pairs = len(inputs)
    both = torch.cat([inputs, references]).detach().requires_grad_()
    with torch.enable_grad():
        with Rescaled(pairs):
            said = function(both)
        (slopes,) = torch.autograd.grad(said[:pairs].sum(), both)
    return slopes[:pairs], said.detach().reshape(2, pairs)


def reference_copies(codes: Codes, copies: int, seed: int) -> list[Codes]:
    """Shuffle the bases of a window, their dinucleotides kept; an N stays where it stands.

    Examples
    --------
    >>> codes = np.array([4, 0, 1, 2, 3, 0, 4, 1], np.uint8)
    >>> copy = reference_copies(codes, 1, 0)[0]
    >>> np.flatnonzero(copy == 4).tolist(), np.bincount(copy).tolist()
    ([0, 6], [2, 2, 1, 1, 2])
    """
    known = codes < 4
    out = []
    for copy in range(copies):
        other = codes.copy()
        if known.sum() > 1:
            rng = np.random.default_rng([seed, copy])
            other[known] = dinucleotide_shuffle(codes[known], rng)
        out.append(other)
    return out


def deeplift(
    subject: Subject, frame: Frame, references: int = REFERENCES, seed: int = 0
) -> Attribution:
    """Attribute by DeepLIFT's rescale rule, the mean over dinucleotide-shuffled references.

    Parameters
    ----------
    subject : Subject
    frame : Frame
    references : int
    seed : int

    Returns
    -------
    Attribution
        `scores` of what stands there beside the references; they add up to `output` less
        `baseline`, the mean output of the references. `worth`: what each base would add in its
        place, the multipliers as they are.

    Raises
    ------
    UsageError
        If the rule does not hold in the network.
    """
    if not subject.bases:
        raise no_rule("a transformer of k-mers: attention multiplies what changes by what changes")
    hot = one_hot(frame.codes)  # (W, 4)
    others = one_hot(np.stack(reference_copies(frame.codes, references, seed)))  # (R, W, 4)
    worth, outputs = torch.zeros(4, frame.width, dtype=torch.float64), []
    pairs = max(1, min(subject.batch // 2, PAIRS))
    for first in range(0, references, pairs):
        here = others[first : first + pairs]
        slopes, said = _of_window(subject, frame, hot.expand_as(here), here)
        # Base b in place of the reference: its multiplier, less that of what the reference has.
        own = (slopes * here).sum(-1, keepdim=True)
        worth += (slopes - own).double().sum(0).T / references
        outputs.append(said)
    output, baseline = torch.cat(outputs, 1).double().mean(1).tolist()
    values = worth.numpy()
    values[:, frame.codes > 3] = np.nan
    scores = at_base(values, frame.codes)
    part = slice(frame.first, frame.last)
    done = Attribution(values[:, part], scores[part], output, baseline, float(np.nansum(scores)))
    if not done.error <= MISSED * max(abs(output), abs(baseline), 1.0):
        raise no_rule(
            f"contributions of {done.total:.6g} for a difference of {output - baseline:.6g}"
        )
    return done


def _of_window(
    subject: Subject, frame: Frame, inputs: Tensor, references: Tensor
) -> tuple[Tensor, Tensor]:
    """Multipliers (P, W, 4) of a window's output, the mean over the strands it is read from."""
    device = subject.place.device
    same = np.repeat(frame.codes[None], 2 * len(inputs), 0)
    strands = subject.strands(frame)
    slopes, said = torch.zeros_like(inputs), torch.zeros(2, len(inputs))
    for reverse in strands:
        with torch.no_grad():
            windows = subject.windows(same, frame, reverse).to(device)

        def read(bases: Tensor, windows: Any = windows, reverse: bool = reverse) -> Tensor:
            with soft_bases(subject, windows, turned(bases) if reverse else bases):
                return subject.logits(windows)[:, subject.output]

        with _still(subject.network):
            one = multipliers(read, inputs.to(device), references.to(device))
        slopes += one[0].cpu() / len(strands)
        said += one[1].cpu() / len(strands)
    return slopes, said


@contextmanager
def _still(network: nn.Module) -> Iterator[None]:
    """Within, weights are constants: only what depends on the bases changes."""
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in learned:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learned:
            weight.requires_grad_(True)
