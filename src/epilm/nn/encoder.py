"""A sequence encoder with BERT's arithmetic.

The numbers are those of `transformers.BertModel` on the same weights (post-norm,
exact gelu, layer-norm eps 1e-12); the work is less: one product gives queries,
keys and values, attention runs in torch's fused kernel; the vocabulary head (`nn.vocabulary`)
sees masked rows only. `epilm.hub.transformers` translates weights both ways.
Axes: N sequences, L tokens, H hidden. Needs torch only.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from epilm.errors import InputError
from epilm.nn.attention import Attention, attend, attention_weights, kernels_around, split_heads
from epilm.nn.dropout import Dropout
from epilm.nn.linear import Linear
from epilm.nn.norms import add_norm
from epilm.nn.packing import Packed, attend_packed, packed
from epilm.nn.rotary import Turns, turned, turns

EPS = 1e-12  # BERT's layer-norm epsilon; nn.LayerNorm's own default differs
INIT_STD = 0.02
WORTH_PACKING = 0.95  # share of tokens above which moving them costs more than the padding

Packing = Literal["auto", "off", "packed"]


class BlockKernels(NamedTuple):
    """The functions of a block that chips have kernels for.

    `SequenceEncoder.computed_by` exchanges them: a plan counts what they cost without computing.

    Attributes
    ----------
    attend : callable
        As `epilm.nn.attention.attend`.
    add_norm : callable
        As `epilm.nn.norms.add_norm`.
    """

    attend: Callable[..., Tensor] = attend
    add_norm: Callable[..., Tensor] = add_norm


class EncoderBlock(nn.Module):
    """Self-attention and feed-forward, each followed by a residual sum and a layer norm.

    Parameters
    ----------
    hidden, heads, ffn : int
        Widths; `hidden` is a multiple of `heads`.
    dropout, attention_dropout : float
        After each of the two parts, and on the attention weights.
    """

    def __init__(
        self, hidden: int, heads: int, ffn: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.attention: Attention = "auto"  # `SequenceEncoder.compute` sets it
        self.kernels = BlockKernels()
        self.qkv = Linear(hidden, 3 * hidden)
        self.out = Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, eps=EPS)
        self.up = Linear(hidden, ffn)
        self.down = Linear(ffn, hidden)
        self.ffn_norm = nn.LayerNorm(hidden, eps=EPS)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        need_weights: bool = False,
        pack: Packed | None = None,
        by: Turns | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Map (N, L, H) to (N, L, H); `mask` is a bool mask or an additive float bias.

        With `pack` from (T, H) to (T, H), tokens as they stand there. `by` turns queries and keys.
        With `rows` int64 (M,) to (M, H): every token is attended to, the rest is done for those
        tokens alone. With (N, T), places in each sequence, to (N, T, H): no other token attends.
        """
        of_each = rows if rows is not None and rows.ndim == 2 else None
        weights = None
        qkv = self.qkv(x) if by is None else turned(self.qkv(x), by, self.heads)
        if pack is not None:
            dropout = self.attention_dropout if self.training else 0.0
            mixed = attend_packed(qkv, pack, self.heads, dropout, self.attention)
        else:
            mixed, weights = self._mix(qkv, mask, need_weights, of_each)
        if of_each is not None:
            x = x.gather(1, of_each[..., None].expand(-1, -1, x.shape[-1]))
        elif rows is not None:
            x, mixed = (part.flatten(0, -2).index_select(0, rows) for part in (x, mixed))
        x = self.kernels.add_norm(x, self.out(mixed), self.attention_norm, self.dropout)
        update = self.down(F.gelu(self.up(x)))
        x = self.kernels.add_norm(x, update, self.ffn_norm, self.dropout)
        return x, weights

    def _mix(
        self, qkv: Tensor, mask: Tensor | None, need_weights: bool, of_each: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Attention of rows with their padding: (N, L, 3 H) to (N, L, H), or to those of tokens
        `of_each` (N, T).
        """
        n, length, width = qkv.shape
        hidden = width // 3
        q, k, v = split_heads(qkv, self.heads)
        if of_each is not None:
            length = of_each.shape[1]
            q = q.gather(2, of_each[:, None, :, None].expand(-1, self.heads, -1, q.shape[-1]))
        dropout = self.attention_dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = attention_weights(q, k, mask)
            mixed = F.dropout(weights, dropout) @ v
        else:
            # (N, heads, L, H / heads)
            mixed = self.kernels.attend(q, k, v, mask, dropout, self.attention)
        return mixed.transpose(1, 2).reshape(n, length, hidden), weights


def enlarge_positions(weight: Tensor, n: int, how: Literal["tile", "interpolate"]) -> Tensor:
    """Make n position rows out of the trained ones, so that no index goes beyond the table.

    "tile" repeats the rows from the start; "interpolate" stretches them linearly,
    first and last row staying where they are. Fewer rows than there are: the first n ("tile") or a
    squeezed table ("interpolate").

    Parameters
    ----------
    weight : float (P, H)
        The trained table (BERT: 512 rows).
    n : int
        Rows wanted, at least 1.
    how : {"tile", "interpolate"}

    Returns
    -------
    float (n, H)

    Raises
    ------
    ValueError
        If `how` is neither, or n < 1.

    Examples
    --------
    >>> table = torch.tensor([[0.0], [1.0], [2.0]])
    >>> enlarge_positions(table, 5, "tile").flatten().tolist()
    [0.0, 1.0, 2.0, 0.0, 1.0]
    >>> enlarge_positions(table, 5, "interpolate").flatten().tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    if n < 1:
        raise ValueError(f"at least one position is needed, not {n}")
    rows = weight.shape[0]
    if how == "tile":
        return weight[torch.arange(n, device=weight.device) % rows].clone()
    if how == "interpolate":
        if n == rows:
            return weight.clone()
        stretched = F.interpolate(weight.T[None].float(), size=n, mode="linear", align_corners=True)
        return stretched[0].T.to(weight.dtype).contiguous()
    raise ValueError(f"enlarge_positions: {how!r} is neither 'tile' nor 'interpolate'")


class SequenceEncoder(nn.Module):
    """Token ids to one vector a token.

    Parameters
    ----------
    vocab : int
        V; id 0 is padding.
    hidden, layers, heads, ffn : int
        BERT-base: 768, 12, 12, 3072.
    max_positions : int
        Rows of the position table: the longest input, special tokens included.
    segments : int
        Kinds of segment (type vocabulary).
    dropout : float
        After the embeddings and after both parts of every block.
    attention_dropout : float, optional
        On attention weights; `dropout` where not given, as BERT.
    rotary : bool
        Turn queries and keys by their place, beside the position table (`epilm.nn.rotary`); not
        BERT's arithmetic.
    stem : module, optional
        From ids (N, L) to (N, L, H), added to every token's vector (`embed`): `models.stem`. Not
        BERT's arithmetic.
    checkpoint_activations : bool
        Keep only the blocks' inputs while training and compute the rest again: slower, far less
        memory.

    Examples
    --------
    >>> encoder = SequenceEncoder(
    ...     vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16
    ... ).eval()
    >>> hidden, attentions = encoder(torch.tensor([[2, 5, 6, 3]]))
    >>> tuple(hidden.shape), attentions
    ((1, 4, 8), None)
    """

    def __init__(
        self,
        vocab: int,
        hidden: int,
        layers: int,
        heads: int,
        ffn: int,
        max_positions: int = 512,
        segments: int = 2,
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        checkpoint_activations: bool = False,
        rotary: bool = False,
        stem: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be a multiple of heads ({heads})")
        if rotary and hidden // heads % 2:
            raise ValueError(f"rotary positions need heads of even width, not {hidden // heads}")
        self.rotary, self.width_of_head = rotary, hidden // heads
        attention_dropout = dropout if attention_dropout is None else attention_dropout
        self.checkpoint_activations = checkpoint_activations
        self.packing: Packing = "auto"
        self.attention: Attention = "auto"
        self.words = nn.Embedding(vocab, hidden, padding_idx=0)
        self.positions = nn.Embedding(max_positions, hidden)
        self.types = nn.Embedding(segments, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPS)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            EncoderBlock(hidden, heads, ffn, dropout, attention_dropout) for _ in range(layers)
        )
        self.pooler = Linear(hidden, hidden)
        self.apply(init_weights)
        self.stem = stem
        if stem is not None:
            stem.apply(init_weights)  # of its layer; filters keep torch's own start

    @property
    def hidden(self) -> int:
        """H, the width of a token's vector."""
        return self.words.embedding_dim

    @property
    def vocab(self) -> int:
        """V, the number of token ids."""
        return self.words.num_embeddings

    @property
    def max_positions(self) -> int:
        """The longest input in tokens."""
        return self.positions.num_embeddings

    def forward(
        self,
        ids: Tensor | None,
        segments: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        attention_bias: Tensor | None = None,
        return_attentions: bool = False,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor] | None]:
        """Encode N sequences.

        Parameters
        ----------
        ids : int64 (N, L) or None
            Token ids; None with `inputs_embeds`.
        segments : int64 (N, L), optional
            Token type ids; 0 where not given.
        mask : bool (N, L), optional
            True where there is a token; padding is never attended. Not given: no padding.
        inputs_embeds : float (N, L, H), optional
            Word vectors in place of `ids` (soft k-mers, gradients with respect to the input).
        attention_bias : float, broadcastable to (N, heads, L, L), optional
            Added to the attention scores of every block.
        return_attentions : bool
            Also give the attention tables; they are computed without the fused kernel then.
        rows : int64 (M,) or (N, T), optional
            The tokens that are read, as places in the flattened (N, L), or T in each sequence; one
            may come twice. After the last attention the others are left out, three quarters of the
            products of the last block; with (N, T), outside training, they ask nothing in it
            either.

        Returns
        -------
        hidden : float (N, L, H), or with `rows` (M, H) or (N, T, H)
            Vectors on padding are finite and meaningless.
        attentions : list of float (N, heads, L, L), one a block, or None

        Raises
        ------
        InputError
            If L is more than the position table has rows.
        """
        if inputs_embeds is None:
            if ids is None:
                raise ValueError("give either ids or inputs_embeds")
            inputs_embeds = self.embed(ids)
        n_rows, length = inputs_embeds.shape[:2]
        if length > self.max_positions:
            raise InputError(
                "the input is longer than the encoder's position table",
                found=f"{length} tokens",
                expected=f"at most {self.max_positions}",
                do="Lower max_tokens, or enlarge the table (encoder.max_positions in the recipe).",
            )
        x = inputs_embeds + self.positions.weight[:length]
        x = x + (self.types.weight[0] if segments is None else self.types(segments))
        padded = mask is None or attention_bias is not None or return_attentions
        pack = None if padded or mask is None else self._pack(mask)
        if pack is not None:
            x = pack.take(x)
        x = self.dropout(self.norm(x))
        attend = None if pack is not None else attend_to(mask, attention_bias, dtype=x.dtype)
        by = None
        if self.rotary:
            by = turns(
                length, self.width_of_head, x.device, None if pack is None else pack.at % length
            )
        attentions: list[Tensor] = []
        places = rows  # in the flattened (N, L)
        if rows is not None and rows.ndim == 2:
            first = length * torch.arange(n_rows, device=rows.device)
            places = (rows + first[:, None]).flatten()
        last, at = 0, places  # the block that goes on with some tokens alone, and their places
        # A program is made for one shape, and how many rows are read may change with every batch.
        if places is not None and not self.compiled and len(places) < x.shape[:-1].numel():
            last = len(self.blocks)
            if pack is not None:
                at = pack.places(places)
            elif not (self.training or return_attentions or attention_bias is not None):
                at = rows  # dropout draws for every token that asks: training stays as it was
        # Inside a program the kernel is that of the moment it was made: chosen around it, not
        # within.
        with kernels_around(x.device, self.attention) if self.compiled else nullcontext():
            for n, block in enumerate(self.blocks, 1):
                # Only training's shapes come often enough for a program.
                run = block.forward if self.compiled and not self.training else block
                given = (x, attend, return_attentions, pack, by, at if n == last else None)
                if self.checkpoint_activations and self.training and torch.is_grad_enabled():
                    x, weights = checkpoint(run, *given, use_reentrant=False)
                else:
                    x, weights = run(*given)
                if return_attentions:
                    attentions.append(weights)
        x = x.to(inputs_embeds.dtype)  # fused sums leave it in that of autocast
        if not last:
            x = x if pack is None else pack.spread(x)
            x = x if places is None else x.flatten(0, 1).index_select(0, places)
        if rows is not None:
            x = x.view(*rows.shape, x.shape[-1])
        return x, attentions if return_attentions else None

    def embed(self, ids: Tensor) -> Tensor:
        """Words of tokens (N, L) and what the stem adds, before positions: (N, L, H)."""
        words = self.words(ids)
        return words if self.stem is None else words + self.stem(ids)

    def compute(self, attention: Attention = "auto", packing: Packing = "auto") -> None:
        """Choose how, not what, is computed: the kernel of attention, and whether padding is left
        out.
        """
        self.packing, self.attention = packing, attention
        for block in self.blocks:
            block.attention = attention  # type: ignore[assignment]

    @contextmanager
    def computed_by(self, kernels: BlockKernels) -> Iterator[None]:
        """Within, blocks compute by these functions; rows without their padding by `attend` still
        (`epilm.nn.packing`).
        """
        before = [(block, block.kernels) for block in self.blocks]
        try:
            for block in self.blocks:
                block.kernels = kernels  # type: ignore[assignment]
            yield
        finally:
            for block, its_own in before:
                block.kernels = its_own

    def compile_blocks(self, **how: Any) -> None:
        """Train through `torch.compile`, block by block: one small program serves all of them.

        Tables, heads and everything outside training stay as they are, so that shapes are few.
        `how` goes to `torch.compile`.
        """
        for block in self.blocks:
            block.compile(**{"dynamic": False, **how})

    @property
    def compiled(self) -> bool:
        """Whether blocks train through `torch.compile`; a copy's do not."""
        return any(block._compiled_call_impl is not None for block in self.blocks)

    def _pack(self, mask: Tensor) -> Packed | None:
        """Where the tokens are, if leaving the padding out is wanted and pays.

        By itself on a CPU alone: on a GPU counting tokens waits for the device. Never under
        compilation: shapes would change with every batch.
        """
        if self.packing == "off" or torch.compiler.is_compiling() or type(mask) is not Tensor:
            return None
        if self.compiled and self.training:
            return None
        if self.packing == "auto" and mask.device.type != "cpu":
            return None
        return packed(mask) if 0 < int(mask.sum()) < WORTH_PACKING * mask.numel() else None

    def pool(self, hidden: Tensor) -> Tensor:
        """BERT's pooler: tanh of a dense layer on the first token; (N, L, H) -> (N, H)."""
        return self.pooler(hidden[:, 0]).tanh()

    def enlarge(self, max_positions: int, how: Literal["tile", "interpolate"] = "tile") -> None:
        """Give the position table `max_positions` rows, made from those it has, in place."""
        if max_positions == self.max_positions:
            return
        weight = enlarge_positions(self.positions.weight.detach(), max_positions, how)
        self.positions = nn.Embedding(
            max_positions, self.hidden, device=weight.device, dtype=weight.dtype
        )
        with torch.no_grad():
            self.positions.weight.copy_(weight)


def attend_to(mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Join a padding mask and an additive bias to what the attention kernel takes.

    A sequence without any token (a padded region) attends to its first position, so
    that no row of a softmax is empty and nothing becomes NaN.

    Examples
    --------
    >>> attend_to(torch.tensor([[True, True], [False, False]]), None, torch.float32)[
    ...     :, 0, 0
    ... ].tolist()
    [[True, True], [True, False]]
    """
    if (
        mask is not None
        and mask.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and mask.all()
    ):
        mask = None  # the kernel without a mask is the faster one; looking is free on a CPU
    if mask is None:
        return None if bias is None else bias.to(dtype)
    first = torch.zeros_like(mask)
    first[:, 0] = True
    keys = (mask | (first & ~mask.any(1, keepdim=True)))[:, None, None, :]
    if bias is None:
        return keys
    return torch.where(
        keys, bias.to(dtype), torch.full((), -math.inf, dtype=dtype, device=mask.device)
    )


def init_weights(module: nn.Module) -> None:
    """Draw the weights of one module as BERT does: normal with sd 0.02, biases 0, padding row 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
