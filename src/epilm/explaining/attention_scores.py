"""Where attention goes. This is not attribution: it says what is read, not what it is worth.

DNABERT-viz's scores of bases (last layer, from [CLS], summed over heads), and rollout through all
layers. Axes: N windows, heads, L tokens, T k-mers, W bases.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.explaining.frames import Frame
from epilm.explaining.subject import Subject, Values
from epilm.hub.load import find_encoder, find_trunk


def attention_maps(subject: Subject, windows: Windows) -> list[Tensor]:
    """Give the attention tables of all layers, each float (N, heads, L, L).

    Raises
    ------
    UsageError
        If the model has no attention.
    """
    if subject.bases:
        raise UsageError(
            "the model has no attention of one sequence to show",
            where=subject.where,
            found=type(subject.network).__name__,
            do="Take --method ism or gradients.",
        )
    trunk, encoder = find_trunk(subject.network), find_encoder(subject.network)
    with torch.inference_mode():
        if trunk is not None:
            vectors = trunk.embed_tokens(windows.ids, windows.mask, windows.states)
            _, tables = encoder(
                None, None, windows.mask, inputs_embeds=vectors, return_attentions=True
            )
        else:
            _, tables = encoder(windows.ids, None, windows.mask, return_attentions=True)
    assert tables is not None
    return tables


def from_first(tables: list[Tensor], special: bool) -> Tensor:
    """Sum the last layer's attention over heads: from [CLS] to each k-mer, (N, T).

    A model without [CLS] has the mean over all queries in its place.
    """
    summed = tables[-1].sum(1)  # (N, L, L)
    return summed[:, 0, 1:-1] if special else summed.mean(1)


def rollout(tables: list[Tensor], special: bool) -> Tensor:
    """Follow attention through all layers, half of each staying where it is: to each k-mer, (N, T).

    References
    ----------
    Abnar and Zuidema, Quantifying attention flow in transformers, ACL 2020.
    """
    size = tables[0].shape[-1]
    flow = torch.eye(size, device=tables[0].device).expand(len(tables[0]), size, size)
    for table in tables:
        mixed = (table.mean(1) + torch.eye(size, device=table.device)) / 2
        flow = mixed @ flow
    return flow[:, 0, 1:-1] if special else flow.mean(1)


def of_bases(tokens: NDArray[np.floating], k: int, stride: int, width: int) -> Values:
    """Give each base the mean over the k-mers that cover it.

    Parameters
    ----------
    tokens : float (T,)
    k, stride : int
    width : int
        W.

    Returns
    -------
    float64 (W,)
        NaN where no k-mer covers a base.

    Examples
    --------
    Protocol: three 3-mers over five bases.

    >>> of_bases(np.array([1.0, 2.0, 4.0]), 3, 1, 5).round(3).tolist()
    [1.0, 1.5, 2.333, 3.0, 4.0]
    """
    total, count = np.zeros(width), np.zeros(width)
    for number, value in enumerate(np.asarray(tokens, np.float64)):
        total[number * stride : number * stride + k] += value
        count[number * stride : number * stride + k] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def attention_scores(subject: Subject, frame: Frame, how: str = "attention") -> Values:
    """Score the explained bases of a window.

    Parameters
    ----------
    how : {"attention", "rollout"}
        DNABERT-viz's, or rollout.

    Returns
    -------
    float64 (n,)
        The window's scores have length 1 (L2), as in DNABERT-viz; mean over the strands that the
        model reads.
    """
    spec, total = subject.spec, np.zeros(frame.width)
    strands = subject.strands(frame)
    for reverse in strands:
        windows = subject.windows(frame.codes[None], frame, reverse).to(subject.place.device)
        tables = attention_maps(subject, windows)
        special = bool(spec.special_tokens)
        to = (rollout if how == "rollout" else from_first)(tables, special)
        real = int(windows.mask.sum()) - 2 * special  # padding is not attended to
        bases = of_bases(to[0, :real].cpu().numpy(), spec.k, spec.stride, frame.width)
        length = np.sqrt(np.nansum(bases**2))
        bases = bases / (length if length > 0 else 1)
        total += (bases[::-1] if reverse else bases) / len(strands)
    return total[frame.first : frame.last]
