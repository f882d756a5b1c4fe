"""What each place of a row says: a head for rows that are laid at a TSS or at a peak's summit.

A mean over tokens says that a TATA box is there, and not that it stands 30 bp upstream.
Axes: B rows, L tokens, H hidden, P places, C channels.
"""

import torch
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.grouping import masked_mean
from epilm.models.pooled import trunk_of
from epilm.models.seeds import seeded
from epilm.nn.encoder import init_weights
from epilm.nn.heads import LabelHead
from epilm.tokens.state_tokens import real_tokens

PLACES, CHANNELS, DENSE = 16, 32, 64


def mean_by_place(x: Tensor, real: Tensor, places: int = PLACES) -> Tensor:
    """Mean of the tokens of each of P equal parts of a row, from its first k-mer to its last.

    Parameters
    ----------
    x : float tensor, shape (B, L, C)
    real : bool tensor, shape (B, L)
        Which tokens are k-mers.
    places : int
        P.

    Returns
    -------
    float tensor, shape (B, P, C)
        Zeros where a row has fewer k-mers than places.

    Examples
    --------
    >>> x = torch.tensor([[[9.0], [1.0], [3.0], [5.0], [7.0], [9.0]]])
    >>> real = torch.tensor([[False, True, True, True, True, False]])
    >>> mean_by_place(x, real, 2).flatten().tolist()
    [2.0, 6.0]
    """
    count = real.sum(1, keepdim=True)  # (B, 1)
    place = (real.cumsum(1) - 1) * places // count.clamp(min=1)  # (B, L)
    mine = place[:, None] == torch.arange(places, device=x.device)[:, None]  # (B, P, L)
    weights = (mine & real[:, None]).to(x.dtype)
    return weights @ x / weights.sum(-1, keepdim=True).clamp(min=1)


class PlacedModel(nn.Module):
    """Token vectors to C numbers each, their means in P places, two dense layers.

    The mean of all tokens' vectors stands beside the places.

    Parameters
    ----------
    trunk : EBERT
        Trained or not; not copied.
    outputs : int
    dropout : float
        Of the token vectors' numbers, and before the last layer.
    places, channels, dense : int
        P, C and the width of the first dense layer.

    Examples
    --------
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    >>> ids = torch.tensor([[2, 5, 9, 3, 0]])
    >>> tuple(PlacedModel(EBERT(encoder), 3)(Windows(ids, ids > 0)).shape)
    (1, 3)
    """

    def __init__(
        self,
        trunk: EBERT,
        outputs: int,
        dropout: float = 0.1,
        *,
        places: int = PLACES,
        channels: int = CHANNELS,
        dense: int = DENSE,
    ) -> None:
        super().__init__()
        self.trunk, self.places = trunk, places
        self.narrow = nn.Linear(trunk.hidden, channels)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(places * channels + trunk.hidden, dense)
        for layer in (self.narrow, self.dense):
            init_weights(layer)
        self.out = LabelHead(dense, outputs, dropout)

    def forward(self, windows: Windows) -> Tensor:
        """Score windows: (B, outputs)."""
        return self.head(self.trunk.encode_windows(windows), windows)

    def head(self, hidden: Tensor, windows: Windows) -> Tensor:
        """Score token vectors (B, L, H) of windows."""
        real = real_tokens(windows.ids, windows.mask)
        narrow = self.dropout(nn.functional.gelu(self.narrow(hidden)))  # (B, L, C)
        there = mean_by_place(narrow, real, self.places).flatten(1)  # (B, P C)
        pooled = torch.cat([there, masked_mean(hidden, real)], 1)
        logits: Tensor = self.out(nn.functional.gelu(self.dense(pooled)))
        return logits


def placed_from(
    model: EBERT | GeneBERT, outputs: int, *, dropout: float = 0.1, seed: int | None = None
) -> PlacedModel:
    """Put the head on a copy of a pre-trained model.

    Parameters
    ----------
    seed : int, optional
        The head's weights are a function of it, and torch's own state is left as it was.
    """
    trunk = trunk_of(model)
    with seeded(seed):
        return PlacedModel(trunk, outputs, dropout)
