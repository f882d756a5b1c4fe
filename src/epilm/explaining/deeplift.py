"""What each base is worth beside shuffled copies of its window: DeepLIFT's rescale rule.

A window and a reference go through the network side by side. A layer that is linear passes on what
it is given; one that bends (a ReLU, a maximum) passes on the change of its output by the change of
its input, in place of a gradient; of a product each factor has half of it (`rescale_rules`). So the
contributions of the bases add up to the difference of the two outputs, whatever the network's
depth, to rounding: it is checked. The rule is written for each function that a network calls, not
for kinds of modules, and no network is changed: where one calls what has no rule it is refused.
Axes: P pairs of window and reference, W bases, n explained bases.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from epilm.explaining.attribution import Attribution
from epilm.explaining.frames import Frame
from epilm.explaining.mutagenesis import Codes, at_base
from epilm.explaining.rescale_rules import ATTENTION, PRODUCTS, RULES, bend, no_rule, times
from epilm.explaining.soft import one_hot, soft_bases, turned
from epilm.explaining.subject import Subject
from epilm.nn.dropout import Dropout
from epilm.nn.encoder import BlockKernels, SequenceEncoder
from epilm.tasks.shuffle import dinucleotide_shuffle

REFERENCES = 20
PAIRS = 8  # of a pass: their gradients are kept
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
    *("masked_fill", "avg_pool1d", "unfold", "clone", "select", "narrow", "repeat", "where"),
    *("unbind", "index_put", "_pack_padded_sequence", "_linear_pointwise"),
}
# Of those, what is linear as long as its first argument alone changes.
ALONE = {
    *("conv1d", "linear", "_linear_pointwise", "masked_fill", "gather", "index_select"),
}
# Linear as long as one factor alone changes.
SCALED = {*PRODUCTS, "div", "__truediv__", "true_divide"}
# No values of what changes.
SAID = {
    *("__get__", "size", "dim", "numel", "__len__", "is_floating_point", "stride", "new_zeros"),
}


class Rescaled(TorchFunctionMode):
    """Within, what depends on the first P rows of a batch is changed beside the last P.

    Parameters
    ----------
    pairs : int
        P. Row i and row P + i are a pair, in every tensor that bends; where rows are cut, the
        pieces of one after those of the other.

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
            return bend(self._paired(args[0], name), lambda x: func(x, *args[1:], **named))
        if name in PRODUCTS and changing == 2 and not named:
            a, b = (self._paired(each, name) for each in args)
            return times(a, b, PRODUCTS[name])
        if name == ATTENTION or (name in RULES and changing == 1 and _changing(args[:1])):
            for each in args:
                if _changing((each,)):
                    self._paired(each, name)
            return RULES[name](*args, **named)
        linear = name in LINEAR or (
            name in SCALED and changing == 1 and _scaled(name, args) and not named
        )
        if name in ALONE:
            linear = changing == 1
        if name in ("batch_norm", "dropout"):
            linear = not _training(name, args, named) and changing == 1
        if not linear:
            raise no_rule(name.strip("_"))
        return func(*args, **named)

    def _paired(self, x: Tensor, name: str) -> Tensor:
        # Pieces of a row, or its tokens, may lie one after the other: the halves stay the halves.
        if x.ndim == 0 or len(x) % (2 * self.pairs):
            rows = len(x) if x.ndim else 1
            raise no_rule(f"{name} of {rows} rows where {2 * self.pairs} went in")
        return x


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
    hot = one_hot(frame.codes)  # (W, 4)
    others = one_hot(np.stack(reference_copies(frame.codes, references, seed)))  # (R, W, 4)
    worth, outputs = torch.zeros(4, frame.width, dtype=torch.float64), []
    pairs = max(1, min(subject.batch // 2, PAIRS))
    for first in range(0, references, pairs):
        here = others[first : first + pairs]
        slopes, said = window_multipliers(subject, frame, hot.expand_as(here), here)
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


def window_multipliers(
    subject: Subject, frame: Frame, inputs: Tensor, references: Tensor
) -> tuple[Tensor, Tensor]:
    """Give what each base is worth in place of those of a reference, the mean over the strands.

    Parameters
    ----------
    subject : Subject
    frame : Frame
    inputs, references : float (P, W, 4)
        Bases as probabilities; an N stands where the frame has one.

    Returns
    -------
    multipliers : float (P, W, 4)
        See `multipliers`.
    outputs : float (2, P)
    """
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

        with _still(subject.network), _in_the_open(subject.network):
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


@contextmanager
def _in_the_open(network: nn.Module) -> Iterator[None]:
    """Within, encoders compute by functions that have a rule, and rows of tokens stay rows."""
    with ExitStack() as stack:
        for encoder in network.modules():
            if isinstance(encoder, SequenceEncoder):
                stack.callback(encoder.compute, encoder.attention, encoder.packing)
                encoder.compute("sdpa", "off")
                stack.enter_context(encoder.computed_by(BlockKernels(add_norm=_add_norm)))
        yield


def _add_norm(x: Tensor, update: Tensor, norm: nn.LayerNorm, dropout: Dropout) -> Tensor:
    """As `epilm.nn.norms.add_norm`, of torch's own operations on every chip."""
    out: Tensor = norm(x + dropout(update))
    return out
