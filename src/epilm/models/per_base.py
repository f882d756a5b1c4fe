"""One answer a base from a trunk of k-mers: a block is cut into chunks that overlap.

A chunk is as long as the trunk reads. Of its tokens only those in the middle are kept, which have
the whole context on either side; the kept parts lie side by side, so that every base is answered
once, and no answer depends on what else is in the batch. A token answers the `stride` bases in its
middle: with k-mers at every base one, with k-mers side by side all k.
Axes: B windows, W bases, L tokens of a chunk, Q chunks of a window, H hidden, C outputs.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.errors import InputError
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.pooled import trunk_of
from epilm.models.seeds import seeded
from epilm.nn.heads import LabelHead
from epilm.tokens.kmers import CLS, SEP, UNK, kmer_ids

AT_ONCE = 64  # chunks of a forward pass where nothing is learned: they need no more memory
# Of a trunk's reach, at least so much must be kept, or the table of positions grows. Repeated rows
# confuse a trunk that knows places by the table alone; one with rotary positions has distances
# besides, and with chunks of twice the context each token is read twice (of 512 at 400 nt 4.7
# times). Counted, not timed.
LEAST_KEPT = {"table": 0.125, "rotary": 0.4}


class Chunks(NamedTuple):
    """How windows are cut.

    Attributes
    ----------
    kept : int
        Tokens of a chunk whose answers are kept.
    beside : int
        Tokens on either side of them that are read as well.
    positions : int
        Rows of the position table that a chunk needs.
    """

    kept: int
    beside: int
    positions: int


def chunks_for(
    context: int, stride: int, special: bool, positions: int, width: int, rotary: bool = False
) -> Chunks:
    """Say how windows are cut for a trunk.

    Parameters
    ----------
    context : int
        Bases seen beside each answered one, half on either side, at least.
    stride : int
        Bases from token to token.
    special : bool
        Whether a chunk begins with [CLS] and ends with [SEP].
    positions : int
        Rows of the trunk's position table. Where a context leaves less than an eighth of them for
        answers (with rotary positions two fifths), the table must grow: to the context and as much
        again.
    width : int
        Bases of a block; no more tokens are kept than it has.
    rotary : bool
        Whether the trunk turns queries and keys by their place.

    Examples
    --------
    >>> chunks_for(80, 1, True, 512, 5000), chunks_for(400, 1, True, 512, 5000)
    (Chunks(kept=430, beside=40, positions=512), Chunks(kept=110, beside=200, positions=512))
    >>> chunks_for(2000, 1, True, 512, 5000)
    Chunks(kept=2000, beside=1000, positions=4002)
    >>> chunks_for(400, 7, True, 512, 5000)
    Chunks(kept=452, beside=29, positions=512)
    >>> chunks_for(400, 1, True, 512, 5000, rotary=True)
    Chunks(kept=400, beside=200, positions=802)
    """
    beside = -(-(context // 2) // stride)
    most = -(-width // stride) + 1
    ends = 2 * special
    kept = positions - ends - 2 * beside
    if kept < LEAST_KEPT["rotary" if rotary else "table"] * (positions - ends):
        kept = min(2 * beside, most)
        return Chunks(kept, beside, kept + 2 * beside + ends)
    return Chunks(min(kept, most), beside, positions)


class PerBaseModel(nn.Module):
    """A trunk and one layer of answers, a base each.

    Parameters
    ----------
    trunk : EBERT
        Trained or not; not copied.
    outputs : int
    context : int
        Bases of a window beside its block, half on either side.
    k, stride : int
        Of the trunk's tokens.
    special : bool
        Whether the trunk reads [CLS] and [SEP].
    kept, beside : int
        See `Chunks`.
    dropout : float
        Before the layer.

    Examples
    --------
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=64)
    >>> cut = {"k": 3, "stride": 1, "special": True, "kept": 20, "beside": 5}
    >>> model = PerBaseModel(EBERT(encoder), 3, context=10, **cut).eval()
    >>> ids = torch.zeros(2, 1, dtype=torch.int64)
    >>> codes = torch.randint(0, 5, (2, 60), dtype=torch.uint8)
    >>> model(Windows(ids, ids == 0, codes=codes)).shape
    torch.Size([2, 50, 3])
    """

    def __init__(
        self,
        trunk: EBERT,
        outputs: int,
        *,
        context: int,
        k: int,
        stride: int,
        special: bool,
        kept: int,
        beside: int,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.trunk, self.outputs, self.context = trunk, outputs, context
        self.k, self.stride, self.special = k, stride, special
        self.kept, self.beside = kept, beside
        self.out = LabelHead(trunk.hidden, stride * outputs, dropout)

    def forward(self, windows: Windows) -> Tensor:
        """Answer each base of windows but the context / 2 at either end.

        Parameters
        ----------
        windows : Windows
            With `codes` (B, W), W above the context.

        Returns
        -------
        float (B, W - context, outputs)
            Logits.

        Raises
        ------
        InputError
            If a window is not wider than the context.
        """
        return self.head(self.encode_windows(windows), windows)

    def start_at(self, shares: Tensor) -> None:
        """Let the answers begin at the shares (C,) of the classes: see `models.dilated`."""
        with torch.no_grad():
            self.out.out.bias.copy_(shares.log().repeat(self.stride))

    def encode_windows(self, windows: Windows) -> Tensor:
        """Vectors (B, tokens, H) of the tokens that answer the block, in order."""
        ids, first, count = self._tokens(windows)
        cut = self._cut(ids, first, count, UNK)  # (B, Q, L)
        vectors = self._encode(cut.flatten(0, 1))  # (B Q, kept, H)
        return vectors.reshape(len(ids), cut.shape[1] * self.kept, -1)[:, :count]

    def _cut(self, rows: Tensor, first: int, count: int, beyond: int) -> Tensor:
        """Chunks (B, Q, L) of rows of tokens; beyond the window, where nothing is known,
        `beyond`.
        """
        left = first - self.beside
        right = left + -(-count // self.kept) * self.kept + 2 * self.beside
        padded = torch.nn.functional.pad(
            rows[:, max(left, 0) : max(right, 0)],
            (max(-left, 0), max(right - max(rows.shape[1], left), 0)),
            value=beyond,
        )
        return padded.unfold(1, self.kept + 2 * self.beside, self.kept)

    def chunk_places(self, windows: Windows) -> Tensor:
        """Which token of a window stands where in its chunks, (Q, L); -1 beyond the window."""
        ids, first, count = self._tokens(windows)
        return self._cut(torch.arange(ids.shape[1], device=ids.device)[None], first, count, -1)[0]

    def _tokens(self, windows: Windows) -> tuple[Tensor, int, int]:
        """Ids of all tokens of windows (B, L), the first that answers the block, and how many do.

        Token i answers the bases from i * stride + (k - stride) // 2 on, `stride` of them.
        """
        assert windows.codes is not None, "a reader that gives bases"
        codes = windows.codes
        block = codes.shape[1] - self.context
        if block < 1:
            raise InputError(
                "the window holds no base to answer",
                found=f"{codes.shape[1]} bp",
                expected=f"more than the context of {self.context} bp",
            )
        begin = self.context // 2 - self._middle
        first = begin // self.stride
        last = (begin + block - 1) // self.stride
        return kmer_ids(codes, self.k, self.stride), first, last - first + 1

    @property
    def _middle(self) -> int:
        """Bases of a token before those that it answers."""
        return max(self.k - self.stride, 0) // 2

    def _encode(self, ids: Tensor) -> Tensor:
        """Vectors of the kept tokens of chunks, (N, L) -> (N, kept, H)."""
        if self.special:
            ends = ids.new_tensor([[CLS], [SEP]]).expand(2, len(ids))[..., None]
            ids = torch.cat([ends[0], ids, ends[1]], 1)
        start = self.beside + self.special
        pieces = [ids] if torch.is_grad_enabled() else ids.split(AT_ONCE)
        vectors = []
        for piece in pieces:
            mask = torch.ones_like(piece, dtype=torch.bool)
            hidden = self.trunk.encode(piece, mask, full=True)
            vectors.append(hidden[:, start : start + self.kept])
        return torch.cat(vectors) if len(vectors) > 1 else vectors[0]

    def head(self, hidden: Tensor, windows: Windows) -> Tensor:
        """Answer the bases of the block from token vectors (B, tokens, H)."""
        assert windows.codes is not None, "a reader that gives bases"
        block = windows.codes.shape[1] - self.context
        answers = self.out(hidden).reshape(len(hidden), -1, self.outputs)
        begin = self.context // 2 - self._middle
        offset = begin - begin // self.stride * self.stride
        return answers[:, offset : offset + block]


def per_base_from(
    model: EBERT | GeneBERT,
    outputs: int,
    *,
    positions: int,
    seed: int | None = None,
    **reading: Any,
) -> PerBaseModel:
    """Put the head on a copy of a pre-trained model, its position table enlarged if chunks are
    longer than it reads (A1: the rows that were learned are repeated).

    Parameters
    ----------
    positions : int
        Rows that the table must have.
    seed : int, optional
        The head's weights are a function of it, and torch's own state is left as it was.
    **reading
        Arguments of `PerBaseModel` but the trunk and the outputs.
    """
    trunk = trunk_of(model)
    if positions > trunk.encoder.max_positions:
        trunk.encoder.enlarge(positions, "tile")

    with seeded(seed):
        return PerBaseModel(trunk, outputs, **reading)
