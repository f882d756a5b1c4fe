"""Sequences of base probabilities in place of bases, so that gradients reach the bases.

A token's vector becomes the mean over all k-mers, each weighted by the product of the
probabilities of its k bases; on certain bases that is the model's own vector, to the last bit. The
stem and networks over bases read the probabilities themselves. Nothing of a model is changed:
hooks answer in place of its first layers while the context lasts.
Axes: N windows, W bases, L tokens, T of them whole k-mers, H hidden.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.explaining.subject import Subject
from epilm.hub.load import find_encoder
from epilm.models.dilated import DilatedCNN
from epilm.models.per_base import PerBaseModel
from epilm.models.stem import BaseStem, bases_of_tokens
from epilm.tokens.kmers import DIGITS, N_SPECIAL, UNK, kmer_ids, n_tokens

# Columns A, C, G, T in the order of the vocabulary's digits.
ORDER = np.argsort(DIGITS[:4]).tolist()


def one_hot(codes: Any) -> Tensor:
    """Give bases as probabilities, float32 (..., 4); an N is 0 in all four.

    Examples
    --------
    >>> one_hot(np.array([2, 4], np.uint8)).tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    bases = torch.from_numpy(np.asarray(codes).astype(np.int64))
    return (bases[..., None] == torch.arange(4)).float()


def turned(probabilities: Tensor) -> Tensor:
    """Read probabilities (N, W, 4) from the other strand."""
    return probabilities.flip(1, 2)


def kmer_probabilities(probabilities: Tensor, k: int, stride: int) -> Tensor:
    """Give every whole k-mer's probability at each place.

    Parameters
    ----------
    probabilities : float (N, W, 4)
        Of A, C, G, T.
    k, stride : int

    Returns
    -------
    float (N, T, 4**k)
        In the order of the vocabulary, special tokens left out.

    Examples
    --------
    >>> from epilm.tokens.kmers import kmer_ids
    >>> codes = np.array([[0, 1, 2, 3]], np.uint8)
    >>> kmer_probabilities(one_hot(codes), 3, 1).argmax(-1).tolist() == (
    ...     kmer_ids(codes, 3) - 5
    ... ).tolist()
    True
    """
    if has_torch_function_unary(probabilities):  # DeepLIFT has a rule for all k factors at once
        given = (probabilities,)
        out: Tensor = handle_torch_function(kmer_probabilities, given, probabilities, k, stride)
        return out
    tokens = n_tokens(probabilities.shape[1], k, stride)
    digits = probabilities[..., ORDER]
    cut = digits.unfold(1, k, stride)[:, :tokens]  # (N, T, 4, k)
    words: Tensor = _Words.apply(cut)
    return words


class _Words(torch.autograd.Function):
    """Products of one of four numbers of each of k bases, (N, T, 4, k) to (N, T, 4**k).

    The way back sums over one base after the other, from the last on: nothing as large as the table
    is made anew, and each base's gradient is read off on the way.
    """

    @staticmethod
    def forward(ctx: Any, cut: Tensor) -> Tensor:
        """Give the table."""
        ctx.save_for_backward(cut)
        return _first_words(cut)[-1]

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Tensor:
        """Give the gradient of each number."""
        (cut,) = ctx.saved_tensors
        out, left = torch.empty_like(cut), given[0]
        before = _first_words(cut[..., :-1]) if cut.shape[-1] > 1 else []
        for base in range(cut.shape[-1] - 1, 0, -1):
            table = left.unflatten(-1, (-1, 4))  # (N, T, words of the bases before, 4)
            out[..., base] = (before[base - 1][..., None, :] @ table).squeeze(-2)
            left = (table @ cut[..., base, None]).squeeze(-1)
        out[..., 0] = left
        return out


def _first_words(cut: Tensor) -> list[Tensor]:
    """Tables of the words of the first 1, 2, .. bases."""
    tables = [cut[..., 0]]
    for base in range(1, cut.shape[-1]):
        tables.append((tables[-1][..., None] * cut[..., None, :, base]).flatten(-2))
    return tables


@contextmanager
def soft_bases(subject: Subject, windows: Windows, probabilities: Tensor) -> Iterator[None]:
    """Within, the subject's network reads probabilities in place of the windows' bases.

    Parameters
    ----------
    subject : Subject
    windows : Windows
        N of them, on the network's device; tokens that hold an N, and special ones, stay as they
        are.
    probabilities : float (N, W, 4)
        In the direction the windows are read.

    Raises
    ------
    UsageError
        If the network's first layer is not known here.
    """
    network = subject.network
    with ExitStack() as stack:
        if isinstance(network, PerBaseModel):
            stack.callback(_soft_chunks(network, windows, probabilities, subject.spec).remove)
        elif isinstance(network, DilatedCNN):
            read = probabilities.transpose(1, 2)  # (N, 4, W), N 0 in all four as in the network
            stack.callback(network.stem.register_forward_pre_hook(lambda *_: (read,)).remove)
        elif subject.bases:
            stack.callback(_soft_filters(subject, probabilities).remove)
        else:
            encoder = find_encoder(subject.network)
            spec = subject.spec
            words = _soft_words(windows, probabilities, encoder.words.weight, spec)
            stack.callback(encoder.words.register_forward_hook(lambda *_: words).remove)
            if encoder.stem is not None:
                added = _soft_stem(encoder.stem, windows.ids, probabilities, spec)
                stack.callback(encoder.stem.register_forward_hook(lambda *_: added).remove)
        yield


def _soft_words(windows: Windows, probabilities: Tensor, table: Tensor, spec: Any) -> Tensor:
    """Vectors of soft k-mers, those of other tokens as they are: (N, L, H)."""
    ids = windows.ids
    hard = torch.nn.functional.embedding(ids, table.detach())
    words = kmer_probabilities(probabilities, spec.k, spec.stride)
    soft = words @ table.detach()[N_SPECIAL:]  # (N, T, H)
    first = int(spec.special_tokens)
    soft = torch.nn.functional.pad(soft, (0, 0, first, ids.shape[1] - first - soft.shape[1]))
    whole = torch.zeros_like(ids, dtype=torch.bool)
    whole[:, first : first + words.shape[1]] = True
    return torch.where((whole & (ids >= N_SPECIAL))[..., None], soft, hard)


def _soft_chunks(model: PerBaseModel, windows: Windows, probabilities: Tensor, spec: Any) -> Any:
    """Hook of a trunk that reads windows in chunks: each piece of chunks is given the soft vectors
    of its own tokens.
    """
    encoder = find_encoder(model)
    if encoder.stem is not None:
        raise _unknown("a stem under answers to each base")
    assert windows.codes is not None
    table = encoder.words.weight.detach()
    ids = kmer_ids(windows.codes, spec.k, spec.stride)
    soft = kmer_probabilities(probabilities, spec.k, spec.stride) @ table[N_SPECIAL:]  # (N, T, H)
    words = torch.where((ids >= N_SPECIAL)[..., None], soft, table[ids])
    places = model.chunk_places(windows)  # (Q, L)
    cut = torch.where((places >= 0)[..., None], words[:, places.clamp(min=0)], table[UNK])
    cut = cut.flatten(0, 1)  # (N Q, L, H)
    done = 0

    def read(_: Any, given: tuple[Tensor, ...], hard: Tensor) -> Tensor:
        nonlocal done
        count, inside = len(given[0]), int(model.special)
        mine = cut[done : done + count]
        done += count
        if not inside:
            return mine
        return torch.cat([hard[:, :1], mine, hard[:, -1:]], 1)

    return encoder.words.register_forward_hook(read)


def _soft_stem(stem: Any, ids: Tensor, probabilities: Tensor, spec: Any) -> Tensor:
    """What the stem adds, from probabilities where its tokens tell a base: (N, L, H)."""
    if not isinstance(stem, BaseStem):
        raise _unknown(type(stem).__name__)
    told = bases_of_tokens(ids, stem.table, stem.stride)  # (N, P)
    before = stem.stride * int(spec.special_tokens)
    after = told.shape[1] - before - probabilities.shape[1]
    laid = torch.nn.functional.pad(probabilities, (0, 0, before, after))  # cuts where negative
    soft = laid * (told < 4)[..., None]
    return stem.read(soft.transpose(1, 2), ids)


def _soft_filters(subject: Subject, probabilities: Tensor) -> Any:
    """Hook of a network over bases: its filters read the strands one after the other."""
    filters = getattr(subject.network, "motifs", None)
    if not isinstance(filters, torch.nn.Conv1d):
        raise _unknown(type(subject.network).__name__)
    calls = 0

    def read(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal calls
        strand = turned(probabilities) if calls % 2 else probabilities
        calls += 1
        x = given[0]
        assert x.shape[2] == strand.shape[1], "a row is as long as its window"
        return (torch.cat([strand.transpose(1, 2).to(x.dtype), x[:, 4:]], 1),)

    return filters.register_forward_pre_hook(read)


def _unknown(name: str) -> UsageError:
    return UsageError(
        "no gradients reach the bases of this network",
        found=name,
        do="Take --method ism, deletions or occlusion, which need none.",
    )
