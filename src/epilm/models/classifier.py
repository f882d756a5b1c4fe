"""A label for a sequence: the encoder, optionally with the motif matrix of the input itself (A20).

Fine-tuning uses the sequence alone by default, as the paper does. With a fusion the
factor scores of the one input stand in the first row of the matrix, the other rows are absent.
Axes: B inputs, N pieces (a long input is cut), L tokens, F factors, H hidden.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.batch import Sequences, Windows
from epilm.errors import RecipeError
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.grouping import (
    AT_ONCE,
    ChunkPool,
    Join,
    Pooling,
    by_sample,
    in_groups,
    join_pieces,
    pool_tokens,
    pooled_places,
)
from epilm.nn.encoder import SequenceEncoder
from epilm.nn.fusion import ConcatFusion, CrossAttentionFusion, build_fusion
from epilm.nn.heads import LabelHead
from epilm.nn.region import RegionTower


class SequenceClassifier(nn.Module):
    """Encoder, pooling, optional fusion with the factor matrix, one layer of labels.

    Parameters
    ----------
    encoder : SequenceEncoder
        Trained or not; not copied.
    n_labels : int
    pooling : {"cls", "pooler", "mean"}
    fusion : {"none", "concat", "cross_attention"}
        The last two need `tower`, and `factors` in every call.
    tower : RegionTower, optional
    regions : int
        Rows of the matrix the tower was built for.
    dropout : float
        Before the labels.
    chunks : ChunkPool, optional
        How pieces of one input are joined; their mean if not given.
    joined : module, optional
        A trained fusion of the same kind, instead of a new one.

    Raises
    ------
    RecipeError
        If the fusion has no tower or one of three statistics, or is unknown.

    Examples
    --------
    >>> encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    >>> ids = torch.tensor([[2, 5, 3], [2, 6, 3]])
    >>> inputs = Sequences(ids, torch.zeros_like(ids), torch.ones_like(ids, dtype=torch.bool))
    >>> SequenceClassifier(encoder, 2)(inputs).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        n_labels: int,
        pooling: Pooling = "cls",
        fusion: Literal["none", "concat", "cross_attention"] = "none",
        *,
        tower: RegionTower | None = None,
        regions: int = 10,
        dropout: float = 0.1,
        chunks: ChunkPool | None = None,
        joined: ConcatFusion | CrossAttentionFusion | None = None,
    ) -> None:
        super().__init__()
        if fusion != "none" and tower is None:
            raise RecipeError(
                f"fusion={fusion} needs a model that was built with the stream factors",
                found="a model of the sequence alone",
                do="Set fusion to none, or start from a checkpoint with a region tower.",
            )
        if fusion != "none" and tower is not None and tower.channels == 3:
            raise RecipeError(
                f"fusion={fusion} reads the best score of each motif alone, and this tower three"
                " statistics",
                found="a model with tower.prepare=channels",
                do="Set fusion to none, or pre-train with tower.prepare=resize.",
            )
        self.pooling: Pooling = pooling
        self.regions = regions
        self.encoder, self.chunks = encoder, chunks
        self.tower = tower if fusion != "none" else None
        width, heads = encoder.hidden, _heads(encoder)
        self.fusion = joined or build_fusion(
            fusion, width, tower.dim if tower is not None else 0, heads
        )
        self.head = LabelHead(width, n_labels, dropout)

    def forward(
        self,
        sequences: Sequences | Windows,
        factors: Tensor | None = None,
        owner: Tensor | None = None,
    ) -> Tensor:
        """Score B inputs.

        Parameters
        ----------
        sequences : Sequences or Windows
            N of them; `labels` are not used. Windows bring their factors with them.
        factors : float tensor, shape (B, 1, F), optional
            Normalised factor scores of each input; needed with a fusion, refused without.
        owner : int64 tensor, shape (N,), optional
            The input (0..B-1, ascending) each sequence is a piece of. Default: one each.

        Returns
        -------
        float tensor, shape (B, n_labels)

        Raises
        ------
        RecipeError
            If `factors` are missing or not wanted.
        """
        if isinstance(sequences, Windows):
            ids, mask, factors = sequences.ids, sequences.mask, sequences.factors
            owner = sequences.owner
            sequences = Sequences(ids, torch.zeros_like(ids), mask, full=sequences.full)
        if (factors is None) != (self.fusion is None):
            raise RecipeError(
                (
                    "the classifier was built with a fusion but got no factors"
                    if factors is None
                    else "the classifier got factors but was built without a fusion"
                ),
                do="Give factors exactly when fusion is concat or cross_attention.",
            )
        n = len(sequences.ids)
        samples = n if owner is None else int(owner.max()) + 1
        if not isinstance(self.fusion, CrossAttentionFusion):  # which attends to all tokens
            parts = sequences.ids, sequences.segments, sequences.mask
            many = owner is not None and n > AT_ONCE
            vectors = in_groups(self._vectors, *parts) if many else self._vectors(*parts)
            one = self._joined(vectors, owner, samples)
            if self.fusion is None:
                return self.head(one)
            assert factors is not None
            return self.head(self.fusion(one, self._read_matrix(factors)[0]))
        assert factors is not None
        patches = self._read_matrix(factors)[1]
        hidden, _ = self.encoder(sequences.ids, sequences.segments, sequences.mask)
        owner = torch.arange(n, device=sequences.ids.device) if owner is None else owner
        rows, present = by_sample(hidden, owner, samples)  # (B, P, L, H)
        masks = by_sample(sequences.mask, owner, samples)[0] & present[..., None]
        masks = masks.flatten(1)
        masks[:, 0] = True  # never an empty softmax
        tokens, seen = self.fusion(
            rows.flatten(1, 2), masks, patches
        )  # (B, P L, H), (B, patches, H)
        pieces = tokens.view(rows.shape)[present]  # (N, L, H)
        pooled = pool_tokens(pieces, sequences.mask, self.pooling, self.encoder.pooler)
        return self.head(self._joined(pooled, owner, samples) + seen.mean(1))

    def _vectors(self, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        """One vector a piece, (N, H)."""
        read = pooled_places(ids, self.pooling)
        hidden, _ = self.encoder(ids, segments, mask, rows=read)  # (N, L or 1, H)
        return pool_tokens(hidden, mask, self.pooling, self.encoder.pooler)

    def _joined(self, vectors: Tensor, owner: Tensor | None, samples: int) -> Tensor:
        """One vector an input, (B, H)."""
        if self.chunks is None:
            return join_pieces(vectors, owner, "mean")
        if owner is None:
            owner = torch.arange(len(vectors), device=vectors.device)
        return self.chunks(vectors, owner, samples)

    def _read_matrix(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        """The one row of the input in a matrix of R rows, the others absent."""
        assert self.tower is not None
        matrix = F.pad(factors, (0, 0, 0, self.regions - factors.shape[1]))  # (B, R, F)
        present = torch.zeros(matrix.shape[:2], dtype=torch.bool, device=matrix.device)
        present[:, : factors.shape[1]] = True
        if self.tower.channels == 2:  # pre-trained with hidden entries: none is hidden now
            matrix = torch.stack([matrix, torch.zeros_like(matrix)], -1)
        return self.tower.encode(matrix, present)


def classifier_from(
    model: GeneBERT | EBERT,
    n_labels: int,
    *,
    fusion: Literal["none", "concat", "cross_attention"] = "none",
    pooling: Pooling | None = None,
    dropout: float = 0.1,
    join: Join = "mean",
) -> SequenceClassifier:
    """A classifier on a copy of a pre-trained model's encoder (and tower).

    Parameters
    ----------
    model : GeneBERT or EBERT
        Left as it is. An EBERT reads sequences alone here, every state as unknown.
    n_labels : int
    fusion : {"none", "concat", "cross_attention"}
        A fusion of the same kind in `model` is taken over with its weights.
    pooling : optional
        The model's own by default.
    dropout : float
    join : {"mean", "max"}
        Of the pieces of a long input.
    """
    if isinstance(model, EBERT):
        return SequenceClassifier(
            model.without_states(),
            n_labels,
            pooling or model.pooling,
            fusion,
            dropout=dropout,
            chunks=_chunks_of(None, model.hidden, join),
        )
    parts = copy.deepcopy((model.encoder, model.tower, model.chunks, model.fusion))
    encoder, tower, chunks, trained = parts
    kinds = {"concat": ConcatFusion, "cross_attention": CrossAttentionFusion}
    joined = trained if fusion in kinds and isinstance(trained, kinds[fusion]) else None
    return SequenceClassifier(
        encoder,
        n_labels,
        pooling or model.pooling,
        fusion,
        tower=tower,
        regions=model.regions,
        dropout=dropout,
        chunks=_chunks_of(chunks, encoder.hidden, join),
        joined=joined,
    )


def _chunks_of(own: ChunkPool | None, hidden: int, join: Join) -> ChunkPool | None:
    """What joins the pieces of an input: the trunk's own layer, or what is asked for; None: their
    mean.

    Raises
    ------
    RecipeError
        If both are there.
    """
    if join == "mean":
        return own
    if own is not None:
        raise RecipeError(
            "the trunk joins the pieces of an input by a layer of its own",
            where="--join",
            found=join,
            expected="mean, which leaves it to that layer",
        )
    return ChunkPool(hidden, join)


def _heads(encoder: SequenceEncoder) -> int:
    return encoder.blocks[0].heads  # type: ignore[return-value]
