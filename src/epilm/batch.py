"""What travels between batches, models and objectives: plain bundles of tensors.

`batches` makes a `Batch`; a model maps it to `Outputs`; each objective reads
both. A stream that a run does not use is None. Needs torch only.
Axes: B samples, R regions of a sample, N encoder inputs, L tokens, F factors,
P segment pairs, M masked positions, V vocabulary, D shared embedding width.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from epilm.device import to_device


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Give all tensors of a bundle, those of bundles within it too.

    Examples
    --------
    >>> ids = torch.tensor([[2, 5, 3]])
    >>> len(list(tensors_of(Sequences(ids, torch.zeros_like(ids), ids > 0))))
    3
    """
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for f in fields(value):
            yield from tensors_of(getattr(value, f.name))


def _moved(bundle: Any, device: torch.device) -> Any:
    """The bundle with all its tensors on a device."""
    values = {f.name: getattr(bundle, f.name) for f in fields(bundle)}
    moved = {
        name: _moved(value, device) if is_dataclass(value) else to_device(value, device)
        for name, value in values.items()
        if isinstance(value, Tensor) or is_dataclass(value)
    }
    return replace(bundle, **moved)


@dataclass(frozen=True)
class Sequences:
    """N token sequences for the sequence encoder.

    Attributes
    ----------
    ids : int64 (N, L)
        Token ids after masking, padded on the right with 0 ([PAD]).
    segments : int64 (N, L)
        Token type ids.
    mask : bool (N, L)
        True where there is a token, False on padding.
    labels : int64 (N, L) or None
        The original id on masked positions, -100 elsewhere.
    most : int or None
        No more labels than this: lets a head take that many rows without asking the device how many
        there are.
    full : bool
        Known without asking the device: there is no padding, so attention needs no mask.
    """

    ids: Tensor
    segments: Tensor
    mask: Tensor
    labels: Tensor | None = None
    most: int | None = None
    full: bool = False

    def to(self, device: torch.device | str) -> "Sequences":
        moved: Sequences = _moved(self, torch.device(device))
        return moved


@dataclass(frozen=True)
class Windows:
    """B windows of the genome in a cell type each, as an EBERT-like model reads them, nothing
    hidden.

    Attributes
    ----------
    ids : int64 (B, L)
        Tokens of the k-mers, special tokens and padding included; [UNK] where a base is N or off
        the chromosome.
    mask : bool (B, L)
        True where there is a token, False on padding.
    states : int64 (B, L) or None
        State ids (`tokens.state_tokens`): 0 on special tokens and padding, UNKNOWN_STATE where the
        track has no state.
    signals : float32 (B, L, S) or None
        Signals pooled to tokens; 0 on special tokens and padding.
    codes : uint8 (B, W) or None
        Bases A=0 C=1 G=2 T=3 N=4, for models that read bases.
    tracks : float32 (B, W, S) or None
        Signals base by base, for models that read bases.
    full : bool
        Known without asking the device: there is no padding.
    lengths : int64 (B,) or None
        Bases of each row of `codes`, where rows are of different lengths; N stands behind them.
    factors : float32 (B, 1, F) or None
        Normalised best motif scores of the bases themselves, for models that are fused with them.
    owner : int64 (N,) or None
        Where N rows are pieces of B longer ones: the row (0..B-1, ascending) that each is a piece
        of. What has a row a window has none.
    """

    ids: Tensor
    mask: Tensor
    states: Tensor | None = None
    signals: Tensor | None = None
    codes: Tensor | None = None
    tracks: Tensor | None = None
    full: bool = False
    lengths: Tensor | None = None
    factors: Tensor | None = None
    owner: Tensor | None = None

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def to(self, device: torch.device | str) -> "Windows":
        moved: Windows = _moved(self, torch.device(device))
        return moved


@dataclass(frozen=True)
class Batch:
    """B samples, every stream a model may ask for.

    Attributes
    ----------
    rows : int64 (B,)
        Row numbers in the table of samples: masks and draws are a function of them.
    cells : int64 (B,)
        Cell type numbers.
    regions : int64 (B, R)
        Region rows of the store, -1 where a short tail was padded.
    dna : Sequences
        Pass 1, masked. Its N sequences belong to samples by `owner`; with layout
        per_region N = B * R (region r of sample b is sequence b * R + r), with
        concat and concat_budget N = B, with chunk_rnn N = the pieces of all samples
        in order.
    owner : int64 (N,)
        The sample (0..B-1) that each sequence of `dna` belongs to.
    clean : Sequences or None
        The same sequences unmasked (matching on clean input).
    factors : float (B, R, F), (B, R, F, 3) or None
        Normalised factor matrix, masked entries already 0. With tower.prepare=channels
        three statistics of each motif, each normalised for itself.
    factor_hidden : bool (B, R, F) or None
        True where an entry was masked.
    factor_targets : float (B, R, F) or None
        The matrix before masking.
    contacts : float (B, R, R) or None
        Contact sub-matrix, symmetric, 0 where unknown.
    pairs : Sequences or None
        Pass 2, [CLS] A [SEP] B [SEP], masked (next segment, form cross).
    pair_labels : int64 (P,) or None
        1 where B follows A. With form bi: of the pairs in `pair_index`.
    pair_index : int64 (P, 2) or None
        Form bi: indices into the sequences of `dna`.
    states : int64 (B, L) or None
        Windows (N = B, R = 0): the state id of every token of `dna`, hidden ones replaced.
    state_labels : int64 (B, L) or None
        The original state id where it is to be predicted, -100 elsewhere.
    states_most : int or None
        No more states than this have a label, as `Sequences.most`.
    motif_sites : bool (N, L, M) or None
        Whether the middle of a site of each motif (or cluster of motifs) that is asked about, on
        either strand, lies in the token of `dna`.
    starts : int64 (B,) or None
        Windows: first base on the chromosome; may be negative. `chroms` int64 (B,): chromosome
        numbers.
    """

    rows: Tensor
    cells: Tensor
    regions: Tensor
    dna: Sequences
    owner: Tensor
    clean: Sequences | None = None
    factors: Tensor | None = None
    factor_hidden: Tensor | None = None
    factor_targets: Tensor | None = None
    contacts: Tensor | None = None
    pairs: Sequences | None = None
    pair_labels: Tensor | None = None
    pair_index: Tensor | None = None
    states: Tensor | None = None
    state_labels: Tensor | None = None
    states_most: int | None = None
    motif_sites: Tensor | None = None
    chroms: Tensor | None = None
    starts: Tensor | None = None

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def to(self, device: torch.device | str) -> "Batch":
        moved: Batch = _moved(self, torch.device(device))
        return moved


@dataclass
class Outputs:
    """What a model says about a batch; each objective takes what it needs.

    Attributes
    ----------
    masked_logits : float (M, V), masked_labels : int64 (M,)
        Vocabulary scores on the masked positions alone, passes 1 and 2 together.
    pair_logits : float (P, 2), pair_labels : int64 (P,)
    seq_embedding, region_embedding, contact_embedding : float (B, D)
        Projected, not normalised.
    log_temperature : float () or None
        Natural logarithm of the temperature of the matching loss.
    factor_prediction : float (B, R, F)
    state_logits : float (M, Vs), state_labels : int64 (M,)
        Scores of all state ids on the states to be predicted alone.
    motif_logits : float (N, L, M)
        Whether a motif has a site at the token.
    """

    masked_logits: Tensor | None = None
    masked_labels: Tensor | None = None
    pair_logits: Tensor | None = None
    pair_labels: Tensor | None = None
    seq_embedding: Tensor | None = None
    region_embedding: Tensor | None = None
    contact_embedding: Tensor | None = None
    log_temperature: Tensor | None = None
    factor_prediction: Tensor | None = None
    state_logits: Tensor | None = None
    state_labels: Tensor | None = None
    motif_logits: Tensor | None = None


class TokenAnswer(NamedTuple):
    """What an objective asks of every token of `Batch.dna`, and where its parts stand.

    Attributes
    ----------
    asked : str
        Name of the objective; of the field of `Batch` with the truth, bool (N, L, M); and of the
        field of a model's spec with M, 0 where it is not asked.
    head : str
        Attribute of a model: nn.Linear (H, M).
    said : str
        Field of `Outputs` with what the head says, float (N, L, M).
    bias : float
        Logit that the head begins at.
    counted : str
        Who says M, for a recipe that says it itself.
    """

    asked: str
    head: str
    said: str
    bias: float
    counted: str


TOKEN_ANSWERS = (
    TokenAnswer(
        "motif_sites",
        "motif_head",
        "motif_logits",
        # One in a thousand: about how many tokens hold the middle of one motif's site. They are
        # rare: begin there, so that the first steps are not spent on it.
        -7.0,
        "the store says how many motifs there are",
    ),
)
