"""GeneBERT: a sequence encoder, a region tower, and what is learned from both.

Three passes at most. What matching needs comes first and in the same order in
`forward` and in `encode_contrasts`, so that a large contrastive batch can be embedded twice with
the same dropout. The embedding for matching never sees the other modality, nor the pairs of
the next-segment pass (trap A6), nor what the fusion made.
With streams=("dna",) the same class is DNABERT. Builders: `epilm.models.from_spec`.
Axes: B samples, R regions, N encoder inputs, L tokens, F factors, H hidden,
Dt the tower's width, D the shared embedding, P pairs, M masked tokens.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from epilm.batch import Batch, Outputs, Sequences
from epilm.models.grouping import (
    ChunkPool,
    Pooling,
    by_sample,
    masked_mean,
    pool_tokens,
)
from epilm.models.token_heads import answer_tokens, asked_of_tokens, keep_token_heads
from epilm.nn.encoder import SequenceEncoder
from epilm.nn.fusion import ConcatFusion, CrossAttentionFusion
from epilm.nn.heads import ContactBias, ContactEncoder, FactorHead, PairHead
from epilm.nn.region import RegionTower
from epilm.nn.vocabulary import MaskedHead, labelled

Layout = Literal["per_region", "concat", "concat_budget", "chunk_rnn"]


class Read(NamedTuple):
    """What one pass through the encoder gives.

    Attributes
    ----------
    tokens : float (N, L, H), or (N, 1, H)
        All of them only where the model reads more of a sequence than its first token.
    rows : float (M, H), labels : int64 (M,)
        Masked tokens and what stood there: the vocabulary head sees no other.
    """

    tokens: Tensor
    rows: Tensor
    labels: Tensor


class GeneBERT(nn.Module):
    """The model; every part but the encoder may be absent.

    Parameters
    ----------
    encoder : SequenceEncoder
    masked_head : MaskedHead
    layout : str
        How the sequences of a sample are laid out (A1): "per_region" N = B R and the mean
        over regions; "concat", "concat_budget" N = B; "chunk_rnn" pieces.
    pooling : {"cls", "pooler", "mean"}
    chunks : ChunkPool, optional
        For layout chunk_rnn.
    tower : RegionTower, optional
    seq_projection, region_projection : module, optional
        To the shared embedding.
    pair_head : PairHead, optional
    fusion, factor_head : optional
        Masked factor entries need both.
    contact_bias : ContactBias, optional
    contact_encoder : ContactEncoder, optional
    cells : nn.Embedding, optional
        Cell type vectors, added to the input of [CLS] (A15).
    token_heads : mapping of str to nn.Linear (H, M), optional
        What answers for each token of pass 1, by attribute (`models.token_heads`).
    regions : int
        R.
    temperature : float
        Where the learned temperature starts.
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        masked_head: MaskedHead,
        *,
        layout: Layout = "per_region",
        pooling: Pooling = "cls",
        chunks: ChunkPool | None = None,
        tower: RegionTower | None = None,
        seq_projection: nn.Module | None = None,
        region_projection: nn.Module | None = None,
        pair_head: PairHead | None = None,
        fusion: ConcatFusion | CrossAttentionFusion | None = None,
        factor_head: FactorHead | None = None,
        contact_bias: ContactBias | None = None,
        contact_encoder: ContactEncoder | None = None,
        cells: nn.Embedding | None = None,
        token_heads: Mapping[str, nn.Linear] | None = None,
        regions: int = 10,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        self.layout: Layout = layout
        self.pooling: Pooling = pooling
        self.regions = regions
        self.encoder, self.masked_head = encoder, masked_head
        self.chunks, self.cells = chunks, cells
        self.tower, self.seq_projection, self.region_projection = (
            tower,
            seq_projection,
            region_projection,
        )
        self.pair_head, self.fusion, self.factor_head = pair_head, fusion, factor_head
        self.contact_bias, self.contact_encoder = contact_bias, contact_encoder
        keep_token_heads(self, token_heads)
        self.log_temperature = (
            nn.Parameter(torch.tensor(math.log(temperature)))
            if seq_projection is not None
            else None
        )
        if factor_head is not None:
            # What stands where an entry is hidden, one value a factor.
            self.hidden_value = nn.Parameter(torch.zeros(factor_head.out.out_features))
            self.region_position = nn.Parameter(torch.randn(regions, encoder.hidden) * 0.02)

    def start_temperature(self, temperature: float) -> None:
        """Set the learned temperature; called once, before training."""
        if self.log_temperature is not None:
            with torch.no_grad():
                self.log_temperature.fill_(math.log(temperature))

    # --- pieces -------------------------------------------------------------

    def read(
        self, sequences: Sequences, cells: Tensor | None = None, *, whole: bool = False
    ) -> Read:
        """Encode N sequences; `cells` int64 (N,) adds the cell type's vector to [CLS].

        `whole`: all token vectors are asked for.
        """
        words = None
        if self.cells is not None and cells is not None:
            words = self.encoder.embed(sequences.ids)
            words[:, 0] += self.cells(cells)
        mask = None if sequences.full else sequences.mask
        at = labels = torch.zeros(0, dtype=torch.int64, device=sequences.ids.device)
        if sequences.labels is not None:
            at, labels = labelled(sequences.labels, sequences.most)
        n = len(sequences.ids)
        # Cross-attention attends to all tokens.
        fused = isinstance(self.fusion, CrossAttentionFusion)
        rows = None
        if not (fused or whole or self.pooling == "mean"):
            length = sequences.ids.shape[1]
            rows = torch.cat([length * torch.arange(n, device=at.device), at])
        hidden, _ = self.encoder(
            sequences.ids if words is None else None,
            sequences.segments,
            mask,
            inputs_embeds=words,
            rows=rows,
        )
        if rows is None:
            return Read(hidden, hidden.flatten(0, 1).index_select(0, at), labels)
        return Read(hidden[:n, None], hidden[n:], labels)

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """One vector an input: `Read.tokens` -> (N, H)."""
        return pool_tokens(hidden, mask, self.pooling, self.encoder.pooler)

    def _samples(self, pooled: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """From (N, H) to one vector a region (B, R or 1, H) and one a sample (B, H)."""
        size = len(batch)
        if self.layout == "per_region":
            present = batch.regions >= 0  # (B, R)
            states = pooled.view(size, -1, pooled.shape[-1])  # (B, R, H)
            if self.contact_bias is not None and batch.contacts is not None:
                states = self.contact_bias(states, batch.contacts, present)
            return states, masked_mean(states, present)
        if self.layout == "chunk_rnn":
            assert self.chunks is not None
            pooled = self.chunks(pooled, batch.owner, size)
        return pooled[:, None], pooled

    def matrix(self, batch: Batch) -> Tensor:
        """What the tower reads: (B, R, F), or (B, R, F, 2) with hidden entries replaced and
        marked.
        """
        assert batch.factors is not None
        if self.factor_head is None:
            return batch.factors
        hidden = batch.factor_hidden
        if hidden is None:
            hidden = torch.zeros_like(batch.factors, dtype=torch.bool)
        values = torch.where(hidden, self.hidden_value.to(batch.factors.dtype), batch.factors)
        return torch.stack([values, hidden.to(values.dtype)], -1)  # (B, R, F, 2)

    def _match(self, batch: Batch) -> tuple[Read, Tensor, Tensor]:
        """Pass of matching: what it read, region vectors (B, R or 1, H) and E_seq (B, H)."""
        source = batch.dna if batch.clean is None else batch.clean
        whole = bool(asked_of_tokens(self, batch)) and batch.clean is None
        read = self.read(source, batch.cells[batch.owner], whole=whole)
        states, embedding = self._samples(self.pool(read.tokens, source.mask), batch)
        return read, states, embedding

    # --- what is asked of the model -----------------------------------------

    def encode_contrasts(self, batch: Batch) -> Outputs:
        """What samples are contrasted by, (B, D) each where the model has it, and nothing else.

        Draws its random numbers as the beginning of `forward` does.
        """
        out = Outputs(log_temperature=self.log_temperature)
        embedding = self._match(batch)[2]
        if self.seq_projection is not None:
            out.seq_embedding = self.seq_projection(embedding)
        if self.tower is not None and batch.factors is not None:
            assert self.region_projection is not None
            region = self.tower(self.matrix(batch), batch.regions >= 0)
            out.region_embedding = self.region_projection(region)
        if self.contact_encoder is not None and batch.contacts is not None:
            out.contact_embedding = self.contact_encoder(batch.contacts)
        return out

    def encode_matching(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Projected sequence and region embeddings, (B, D) each (`encode_contrasts`)."""
        out = self.encode_contrasts(batch)
        assert out.seq_embedding is not None
        assert out.region_embedding is not None
        return out.seq_embedding, out.region_embedding

    def forward(self, batch: Batch) -> Outputs:
        """Everything the objectives may need from a batch."""
        out = Outputs(log_temperature=self.log_temperature)
        matched, states, embedding = self._match(batch)
        if self.seq_projection is not None:
            out.seq_embedding = self.seq_projection(embedding)
        if self.tower is not None and batch.factors is not None:
            pooled, patches = self.tower.encode(self.matrix(batch), batch.regions >= 0)
            assert self.region_projection is not None
            out.region_embedding = self.region_projection(pooled)
            if self.factor_head is not None:
                out.factor_prediction = self._factors(
                    matched.tokens, states, pooled, patches, batch
                )
        if self.contact_encoder is not None and batch.contacts is not None:
            out.contact_embedding = self.contact_encoder(batch.contacts)
        # Only now the passes that matching has no part in.
        of_all, dna = asked_of_tokens(self, batch), matched
        if batch.clean is not None:
            dna = self.read(batch.dna, batch.cells[batch.owner], whole=bool(of_all))
        answer_tokens(self, of_all, dna.tokens, out)
        masked = [(dna, batch.dna)]
        if batch.pairs is not None and self.pair_head is not None:
            pairs = self.read(batch.pairs)
            masked.append((pairs, batch.pairs))
            out.pair_logits = self.pair_head(self.encoder.pool(pairs.tokens))
            out.pair_labels = batch.pair_labels
        elif batch.pair_index is not None and self.pair_head is not None:
            vectors = self.pool(dna.tokens, batch.dna.mask)
            first, second = batch.pair_index.T
            out.pair_logits = self.pair_head(vectors[first], vectors[second])
            out.pair_labels = batch.pair_labels
        asked = [read for read, sequences in masked if sequences.labels is not None]
        if asked:
            out.masked_logits = self.masked_head(torch.cat([read.rows for read in asked]))
            out.masked_labels = torch.cat([read.labels for read in asked])
        return out

    def _factors(
        self, hidden: Tensor, states: Tensor, pooled: Tensor, patches: Tensor, batch: Batch
    ) -> Tensor:
        """Predict the factor matrix (B, R, F) from sequence and visible entries together."""
        assert self.factor_head is not None
        source = batch.dna if batch.clean is None else batch.clean
        regions, size = batch.regions.shape[1], len(batch)
        if isinstance(self.fusion, ConcatFusion):
            fused = self.fusion(states, pooled)  # (B, R or 1, H)
        else:
            assert self.fusion is not None
            # (N, L, H) -> (B, P, L, H) -> (B, P L, H): all tokens of a sample in a row
            rows, present = by_sample(hidden, batch.owner, size)
            masks, _ = by_sample(source.mask, batch.owner, size)
            masks = masks & present[..., None]
            if self.layout == "per_region":
                masks = masks & (batch.regions >= 0)[..., None]
            masks = masks.flatten(1)
            masks[:, 0] = True  # never an empty softmax
            tokens, seen = self.fusion(rows.flatten(1, 2), masks, patches)
            tokens = tokens.view(rows.shape)
            if self.layout == "per_region":
                fused = (
                    tokens[:, :, 0] if self.pooling != "mean" else _mean_tokens(tokens, source.mask)
                )
            else:
                fused = masked_mean(tokens[:, :, 0], present)[:, None]
            fused = fused + seen.mean(1, keepdim=True)
        return self.factor_head(fused.expand(-1, regions, -1) + self.region_position[:regions])


def _mean_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
    """(B, R, L, H) and (B R, L) -> (B, R, H)."""
    return masked_mean(tokens.flatten(0, 1), mask).view(*tokens.shape[:2], -1)
