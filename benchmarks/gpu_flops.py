"""How many operations a training step is, written down once: what every MFU of `benchmarks.gpu`
divides by.

A multiplication and an addition are two operations. Counted: matrix products, attention, the
tower's convolutions. Counted once forward and twice backward; tokens that are there, not padding;
the vocabulary heads, and what follows the last attention, on the tokens that are read alone (blocks
that are compiled do more). Not counted: anything done a second time (activation checkpointing, the
second embedding of an exact contrast), norms, softmax, gelu, embeddings, the optimiser.
`tests/benchmarks/test_gpu_flops.py` compares it with torch's FlopCounterMode.
Axes: l tokens of a sequence, H hidden, F feed-forward, V words, M hidden tokens.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from epilm.batch import Batch, Sequences
from epilm.models.ebert import EBERT
from epilm.nn.fusion import CrossAttentionFusion
from epilm.tokens.masking import IGNORED

FORWARD_AND_BACKWARD = 3


def encoder_flops(
    lengths: torch.Tensor, hidden: int, ffn: int, layers: int, read: int | None = None
) -> float:
    """Forward operations of the encoder on sequences of these lengths (tokens, int64 (N,)), of
    which `read` tokens are read.

    A layer: query, key, value and output products 4 H^2, feed-forward 2 H F a token; scores and
    their sum l H each a token.

    Examples
    --------
    >>> encoder_flops(torch.tensor([2]), hidden=1, ffn=3, layers=1)  # 2 * 2 * (4 + 6) + 4 * 2 * 2
    56.0
    >>> encoder_flops(torch.tensor([2]), hidden=1, ffn=3, layers=1, read=1)  # 2 * (1 + 6) less
    42.0
    """
    tokens, squares = float(lengths.sum()), float((lengths.double() ** 2).sum())
    spared = 0.0 if read is None else max(0.0, tokens - read) * 2 * (hidden**2 + 2 * hidden * ffn)
    return (
        layers * (2 * tokens * (4 * hidden**2 + 2 * hidden * ffn) + 4 * squares * hidden) - spared
    )


def head_flops(rows: int, hidden: int, words: int) -> float:
    """Forward operations of a vocabulary head on hidden tokens alone.

    Examples
    --------
    >>> head_flops(3, hidden=2, words=5)
    84.0
    """
    return 2.0 * rows * (hidden**2 + hidden * words)


def linear_flops(module: nn.Module | None, rows: int) -> float:
    """Forward operations of the dense layers of a small head on so many rows."""
    if module is None:
        return 0.0
    return 2.0 * rows * sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


def tower_flops(model: Any, batch: Batch) -> float:
    """Forward operations of the region tower: torch's own count on one sample, times the
    samples.
    """
    if getattr(model, "tower", None) is None or batch.factors is None:
        return 0.0
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.tower(model.matrix(batch)[:1].float())
    return float(counter.get_total_flops()) * len(batch)


def step_flops(model: Any, batch: Batch) -> float:
    """Operations of forward and backward pass on one batch.

    Parameters
    ----------
    model : EBERT or GeneBERT
    batch : Batch
        As the maker gives it, labels included.

    Returns
    -------
    float
    """
    encoder = model.encoder
    size = (encoder.hidden, encoder.blocks[0].up.out_features, len(encoder.blocks))
    total = 0.0
    for part in (batch.dna, batch.clean, batch.pairs):
        if part is not None:
            total += encoder_flops(part.mask.sum(1), *size, read=_read(model, batch, part))
            total += head_flops(_hidden(part), encoder.hidden, encoder.vocab)
    if batch.state_labels is not None and getattr(model, "states", None) is not None:
        rows = int((batch.state_labels != IGNORED).sum())
        total += head_flops(rows, encoder.hidden, model.states.num_embeddings)
    if batch.pairs is not None:
        total += linear_flops(getattr(model, "pair_head", None), len(batch.pairs.ids))
    for name in ("seq_projection", "region_projection"):
        total += linear_flops(getattr(model, name, None), len(batch))
    return FORWARD_AND_BACKWARD * (total + tower_flops(model, batch))


def _read(model: Any, batch: Batch, part: Sequences) -> int | None:
    """Tokens whose vectors something reads; None where all are."""
    if isinstance(model, EBERT):
        if model.motif_head is not None and batch.motif_sites is not None:
            return None
        states = batch.state_labels if model.state_head is not None else None
        return _hidden(part) + (0 if states is None else int((states != IGNORED).sum()))
    if model.pooling == "mean" or isinstance(model.fusion, CrossAttentionFusion):
        return None
    return _hidden(part) + len(part.ids)


def _hidden(part: Sequences) -> int:
    return 0 if part.labels is None else int((part.labels != IGNORED).sum())
