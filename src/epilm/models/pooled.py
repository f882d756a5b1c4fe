"""One vector a window and one layer of labels: BERT's head on a trunk that reads windows.

The trunk keeps its stream of states; `models.classifier` is the same head on the sequence alone,
with the motif matrix beside it where a model has one.
Axes: B windows, L tokens, H hidden.
"""

import copy

from torch import Tensor, nn

from epilm.batch import Windows
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.grouping import Pooling, pool_tokens
from epilm.models.seeds import seeded
from epilm.models.token_heads import keep_token_heads
from epilm.nn.heads import LabelHead


class PooledModel(nn.Module):
    """Trunk, pooling, one layer.

    Parameters
    ----------
    trunk : EBERT
        Trained or not; not copied.
    outputs : int
    pooling : {"cls", "pooler", "mean"}
    dropout : float
        Before the layer.

    Examples
    --------
    >>> import torch
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    >>> ids = torch.tensor([[2, 5, 9, 3, 0]])
    >>> tuple(PooledModel(EBERT(encoder), 3)(Windows(ids, ids > 0)).shape)
    (1, 3)
    """

    def __init__(
        self, trunk: EBERT, outputs: int, pooling: Pooling = "cls", dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.trunk, self.pooling = trunk, pooling
        self.out = LabelHead(trunk.hidden, outputs, dropout)

    def forward(self, windows: Windows) -> Tensor:
        """Score windows: (B, outputs)."""
        return self.head(self.trunk.encode_windows(windows), windows)

    def head(self, hidden: Tensor, windows: Windows) -> Tensor:
        """Score token vectors (B, L, H) of windows."""
        pooled = pool_tokens(hidden, windows.mask, self.pooling, self.trunk.encoder.pooler)
        logits: Tensor = self.out(pooled)
        return logits


def trunk_of(model: EBERT | GeneBERT) -> EBERT:
    """Copy what reads windows, without the heads of pre-training; of a GeneBERT the encoder."""
    if isinstance(model, GeneBERT):
        return EBERT(copy.deepcopy(model.encoder), pooling=model.pooling)
    trunk = copy.deepcopy(model)
    trunk.masked_head = trunk.state_head = trunk.state_table = None
    keep_token_heads(trunk)
    return trunk


def pooled_from(
    model: EBERT | GeneBERT, outputs: int, *, dropout: float = 0.1, seed: int | None = None
) -> PooledModel:
    """Put the head on a copy of a pre-trained model.

    Parameters
    ----------
    seed : int, optional
        The head's weights are a function of it, and torch's own state is left as it was.
    """
    trunk = trunk_of(model)
    with seeded(seed):
        return PooledModel(trunk, outputs, trunk.pooling, dropout)
