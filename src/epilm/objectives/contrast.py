"""An exact large contrastive batch in micro-batches (goals row 14).

A contrastive loss needs every sample of the batch at once, its graph does not:
embed all without graph, take the loss's gradient with respect to the embeddings,
then embed each micro-batch again with graph and push that gradient through. The state
of the random generators is kept per micro-batch, so dropout is the same both times.
One micro-batch, the last, keeps its first graph: n - 1 extra forwards, not n.

Source: Gao et al. 2021, "Scaling deep contrastive learning batch size under
memory limited setup" (GradCache).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

Micro = TypeVar("Micro")
Embeddings = tuple[Tensor, ...]


@dataclass
class ContrastStep:
    """What `contrastive_micro_batches` found out.

    Attributes
    ----------
    loss : 0-d float tensor, detached
        The contrastive loss of the whole batch (with the weight the caller put in).
    embeddings : tuple of float tensors (B, D), detached
        Of all samples, micro-batches in order.
    """

    loss: Tensor
    embeddings: Embeddings


class _Random:
    """State of the CPU generator and of the device in use."""

    def __init__(self) -> None:
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        self.mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)
        if self.mps is not None:
            torch.mps.set_rng_state(self.mps)


def _always(final: bool) -> AbstractContextManager[Any]:
    return nullcontext()


def contrastive_micro_batches(
    micros: Sequence[Micro],
    embed: Callable[[Micro], Embeddings],
    contrast_loss: Callable[..., Tensor],
    *,
    forward: Callable[[Micro], tuple[Embeddings, Tensor | None]] | None = None,
    shared: Embeddings = (),
    backward: Callable[[Tensor], Any] = torch.Tensor.backward,
    around: Callable[[bool], AbstractContextManager[Any]] = _always,
) -> ContrastStep:
    """Accumulate the gradients of one large contrastive batch, a micro-batch at a time.

    Parameters
    ----------
    micros : sequence
        The micro-batches (anything `embed` takes), held once; at least one.
    embed : micro -> tuple of (b, D) tensors
        First pass, for example `model.encode_matching`. Must draw its random numbers
        (dropout) before and in the same order as `forward`.
    contrast_loss : (*embeddings of all micro-batches, *shared) -> 0-d tensor
        Called once. Multiply by the objective's weight inside. May gather over devices.
    forward : micro -> (same tuple as embed, 0-d tensor or None), optional
        Second pass, with graph; the tensor holds the other losses of this micro-batch (divide
        by the number of micro-batches there), and is added to what is back-propagated. Default:
        `embed` without other losses.
    shared : tuple of tensors
        Parameters `contrast_loss` itself needs a gradient for (the log temperature).
    backward : 0-d tensor -> None
        Replaces `loss.backward()` (an engine's manual_backward, a gradient scaler).
    around : final -> context manager
        Entered around every forward-with-graph and every backward; `final` is True for the
        last backward of the step. DDP: `lambda final: nullcontext() if final else ddp.no_sync()`.
        Autocast belongs inside `embed` and `forward`, not around this function.

    Returns
    -------
    ContrastStep
        Gradients are accumulated where `backward` puts them.

    Notes
    -----
    Loss and gradients equal those of the batch in one shot (with the same dropout) up to rounding.
    Memory: one micro-batch's graph, or two at the moment the last one is evaluated with other
    losses.

    Examples
    --------
    >>> weight = torch.ones(2, requires_grad=True)
    >>> batch = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> step = contrastive_micro_batches(
    ...     batch.split(1), lambda x: (x * weight, x), lambda a, b: (a @ b.T).logsumexp(1).mean()
    ... )
    >>> one_shot = torch.ones(2, requires_grad=True)
    >>> ((batch * one_shot) @ batch.T).logsumexp(1).mean().backward()
    >>> torch.allclose(weight.grad, one_shot.grad)
    True
    """
    assert micros, "a contrastive step needs at least one micro-batch"

    def embed_only(micro: Micro) -> tuple[Embeddings, Tensor | None]:
        return embed(micro), None

    second = forward or embed_only
    states: list[_Random] = []
    first: list[Embeddings] = []
    with torch.no_grad():
        for micro in micros[:-1]:
            states.append(_Random())
            first.append(tuple(embed(micro)))
    # Casts cached without graph would cut the second pass off from the weights.
    torch.clear_autocast_cache()
    only = len(micros) == 1
    with around(only):
        kept, kept_extra = second(micros[-1])
    after = _Random()

    first.append(tuple(x.detach() for x in kept))
    leaves = tuple(torch.cat(parts).requires_grad_() for parts in zip(*first, strict=True))
    shared_leaves = tuple(x.detach().clone().requires_grad_() for x in shared)
    loss = contrast_loss(*leaves, *shared_leaves)
    wanted = torch.autograd.grad(loss, (*leaves, *shared_leaves), allow_unused=True)
    pieces = [
        tuple(None if grad is None else grad[start:stop] for grad in wanted[: len(leaves)])
        for start, stop in _spans([len(parts[0]) for parts in first])
    ]

    extra = [
        _dot((parameter,), (grad,))
        for parameter, grad in zip(shared, wanted[len(leaves) :], strict=True)
    ]
    with around(only):
        _push(kept, pieces[-1], [kept_extra, *extra], backward)
    del kept, kept_extra
    for i, micro in enumerate(micros[:-1]):
        states[i].restore()
        with around(i == len(micros) - 2):
            again, other = second(micro)
            _push(again, pieces[i], [other], backward)
        del again, other
    after.restore()
    return ContrastStep(loss.detach(), tuple(x.detach() for x in leaves))


def _spans(lengths: list[int]) -> list[tuple[int, int]]:
    stops = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return [(stop - length, stop) for length, stop in zip(lengths, stops, strict=True)]


def _dot(tensors: Embeddings, grads: Sequence[Tensor | None]) -> Tensor | None:
    """A scalar whose gradient with respect to `tensors` is `grads`."""
    parts = [
        (x * grad).sum()
        for x, grad in zip(tensors, grads, strict=True)
        if grad is not None and x.requires_grad
    ]
    return sum(parts[1:], parts[0]) if parts else None


def _push(
    embeddings: Embeddings,
    grads: Sequence[Tensor | None],
    others: Sequence[Tensor | None],
    backward: Callable[[Tensor], Any],
) -> None:
    terms = [term for term in (_dot(embeddings, grads), *others) if term is not None]
    if terms:
        backward(sum(terms[1:], terms[0]))
