"""An answer for two loci: the same trunk over each, and what they have in common.

Windows of 2 B rows are B pairs: first all first loci, then all second ones. The vectors u and v of
a pair become [u + v, |u - v|, u v], which is the same whichever locus comes first, or
[u, v, |u - v|, u v], which is not. Axes: B pairs, L tokens, H hidden.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.errors import InputError
from epilm.models.baselines import SmallCNN
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.grouping import Join, Pooling, join_pieces, pool_tokens
from epilm.models.pooled import trunk_of
from epilm.models.seeds import seeded

Combine = Literal["symmetric", "ordered"]
PARTS: dict[str, int] = {"symmetric": 3, "ordered": 4}


def combined(vectors: Tensor, how: Combine) -> Tensor:
    """Join the vectors of both loci, (2 B, H) -> (B, 3 H) or (B, 4 H).

    Raises
    ------
    InputError
        If the rows are not pairs.

    Examples
    --------
    >>> combined(torch.tensor([[1.0], [4.0]]), "symmetric").tolist()
    [[5.0, 3.0, 4.0]]
    >>> combined(torch.tensor([[1.0], [4.0]]), "ordered").tolist()
    [[1.0, 4.0, 3.0, 4.0]]
    """
    if len(vectors) % 2:
        raise InputError("the model answers pairs of loci", found=f"{len(vectors)} of them")
    u, v = vectors.chunk(2)
    both = [u + v] if how == "symmetric" else [u, v]
    return torch.cat([*both, (u - v).abs(), u * v], 1)


class LocusHead(nn.Module):
    """Two layers on what the vectors of both loci have in common."""

    def __init__(self, hidden: int, outputs: int, combine: Combine, dropout: float) -> None:
        super().__init__()
        self.combine: Combine = combine
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(PARTS[combine] * hidden, hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """Score pairs: (2 B, H) -> (B, outputs)."""
        x = self.dropout(combined(vectors, self.combine))
        logits: Tensor = self.out(self.dropout(torch.relu(self.dense(x))))
        return logits


class SiameseModel(nn.Module):
    """Trunk, pooling, two layers on both loci together.

    Parameters
    ----------
    trunk : EBERT
        Trained or not; not copied.
    outputs : int
    pooling : {"cls", "pooler", "mean"}
    combine : {"symmetric", "ordered"}
    dropout : float
    join : {"mean", "max"}
        Of the vectors of the pieces of one long locus, where loci are cut.

    Examples
    --------
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    >>> ids = torch.tensor([[2, 5, 9, 3], [2, 6, 7, 3]])
    >>> tuple(SiameseModel(EBERT(encoder), 2)(Windows(ids, ids > 0)).shape)
    (1, 2)
    """

    def __init__(
        self,
        trunk: EBERT,
        outputs: int,
        pooling: Pooling = "cls",
        combine: Combine = "symmetric",
        dropout: float = 0.1,
        join: Join = "mean",
    ) -> None:
        super().__init__()
        self.trunk, self.pooling, self.join = trunk, pooling, join
        self.pair = LocusHead(trunk.hidden, outputs, combine, dropout)

    def forward(self, windows: Windows) -> Tensor:
        """Score pairs of windows: (B, outputs)."""
        return self.head(self.trunk.encode_windows(windows), windows)

    def head(self, hidden: Tensor, windows: Windows) -> Tensor:
        """Score token vectors (2 B, L, H) of both loci."""
        vectors = pool_tokens(hidden, windows.mask, self.pooling, self.trunk.encoder.pooler)
        logits: Tensor = self.pair(join_pieces(vectors, windows.owner, self.join))
        return logits


class SiameseCNN(nn.Module):
    """The small CNN over each locus, both strands, and two layers on both together.

    Examples
    --------
    >>> ids = torch.zeros(4, 1, dtype=torch.int64)
    >>> codes = torch.tensor([[0, 1, 2, 3] * 10] * 4)
    >>> tuple(SiameseCNN(2)(Windows(ids, ids > 0, codes=codes)).shape)
    (2, 2)
    """

    def __init__(
        self, outputs: int, combine: Combine = "symmetric", dropout: float = 0.3, filters: int = 64
    ) -> None:
        super().__init__()
        self.reader = SmallCNN(outputs, filters, dropout=dropout)
        self.reader.out = nn.Identity()  # type: ignore[assignment]
        self.pair = LocusHead(filters, outputs, combine, dropout)

    def forward(self, windows: Windows) -> Tensor:
        """Score pairs of windows with `codes`: (B, outputs)."""
        assert windows.codes is not None, "a reader that gives bases"
        logits: Tensor = self.pair(self.reader(windows.codes, windows.lengths))
        return logits


def siamese_from(
    model: EBERT | GeneBERT,
    outputs: int,
    *,
    combine: Combine = "symmetric",
    dropout: float = 0.1,
    join: Join = "mean",
    seed: int | None = None,
) -> SiameseModel:
    """Put the head of pairs on a copy of a pre-trained model.

    Parameters
    ----------
    seed : int, optional
        The head's weights are a function of it, and torch's own state is left as it was.
    """
    trunk = trunk_of(model)
    with seeded(seed):
        return SiameseModel(trunk, outputs, trunk.pooling, combine, dropout, join)
