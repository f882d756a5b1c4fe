"""EBERT: one vector a token from its k-mer and its chromatin state, and what is learned from both.

The two vectors are summed (or joined by a layer) before BERT's positions; the rest is the
encoder GeneBERT has. Without a state stream the same class is DBERT, with the same arithmetic: a
state table of zeros gives DBERT's numbers. The heads see hidden tokens alone.
Builders: `epilm.models.from_spec`. On top for binding sites: `epilm.models.binding_head`.
Axes: B windows, L tokens, H hidden, V k-mer ids, Vs state ids, M masked tokens.
"""

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from epilm.batch import Batch, Outputs, Windows
from epilm.errors import InputError
from epilm.models.grouping import AT_ONCE, Pooling, in_groups
from epilm.models.token_heads import answer_tokens, asked_of_tokens, keep_token_heads
from epilm.nn.encoder import SequenceEncoder
from epilm.nn.vocabulary import MaskedHead, labelled
from epilm.tokens.kmers import PAD
from epilm.tokens.state_tokens import PAD_STATE, UNKNOWN_STATE, real_tokens

Combine = Literal["sum", "concat"]


class StateJoin(nn.Module):
    """K-mer and state vectors side by side, through one layer back to H.

    The layer starts as the sum of the two, so that it can only learn to be more than that.

    Examples
    --------
    >>> join = StateJoin(2)
    >>> join(torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])).tolist()
    [11.0, 22.0]
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(2 * hidden, hidden)
        with torch.no_grad():
            self.dense.weight.copy_(torch.cat([torch.eye(hidden), torch.eye(hidden)], 1))
            self.dense.bias.zero_()

    def forward(self, words: Tensor, states: Tensor) -> Tensor:
        """(..., H) and (..., H) to (..., H)."""
        return self.dense(torch.cat([words, states], -1))


class EBERT(nn.Module):
    """The model; every part but the encoder may be absent.

    Parameters
    ----------
    encoder : SequenceEncoder
    masked_head : MaskedHead, optional
        Scores k-mers; not needed once pre-training is over.
    states : nn.Embedding (Vs, H), optional
        Vectors of state ids; none makes the model DBERT.
    state_head : MaskedHead, optional
        Scores states; tied to `states`, or to `state_table`.
    state_table : nn.Embedding (Vs, H), optional
        Vectors that `state_head` scores with, where they are not those of `states`.
    token_heads : mapping of str to nn.Linear (H, M), optional
        What answers for each token, by attribute (`models.token_heads`).
    combine : {"sum", "concat"}
        How a token's two vectors become one.
    pooling : {"cls", "pooler", "mean"}
        How a classifier on top makes one vector of many (`epilm.models.classifier`).

    Attributes
    ----------
    log_temperature : None
        There is no matching loss.
    """

    log_temperature = None

    def __init__(
        self,
        encoder: SequenceEncoder,
        masked_head: MaskedHead | None = None,
        *,
        states: nn.Embedding | None = None,
        state_head: MaskedHead | None = None,
        state_table: nn.Embedding | None = None,
        token_heads: Mapping[str, nn.Linear] | None = None,
        combine: Combine = "sum",
        pooling: Pooling = "cls",
    ) -> None:
        super().__init__()
        if states is None and state_head is not None:
            raise ValueError("a state head needs the state table it is tied to")
        self.combine: Combine = combine
        self.pooling: Pooling = pooling
        self.encoder, self.masked_head = encoder, masked_head
        # The table first: a tensor shared with the head is called by its name.
        self.states, self.state_table, self.state_head = states, state_table, state_head
        keep_token_heads(self, token_heads)
        self.join = (
            StateJoin(encoder.hidden) if states is not None and combine == "concat" else None
        )

    @property
    def hidden(self) -> int:
        """H, the width of a token's vector."""
        return self.encoder.hidden

    def start_temperature(self, temperature: float) -> None:
        """Do nothing: what starts a run calls this on every model."""

    def embed_tokens(self, ids: Tensor, mask: Tensor, states: Tensor | None = None) -> Tensor:
        """Vectors (B, L, H) that go into the encoder, before positions; see `encode`."""
        vectors = self._joined(ids, mask, states)
        return vectors if self.encoder.stem is None else vectors + self.encoder.stem(ids)

    def _joined(self, ids: Tensor, mask: Tensor, states: Tensor | None) -> Tensor:
        """K-mer and state of each token as one vector, (B, L, H)."""
        words = self.encoder.words(ids)
        if self.states is None:
            return words
        if states is None:
            states = torch.where(real_tokens(ids, mask), UNKNOWN_STATE, PAD_STATE)
        if self.join is not None:
            return self.join(words, self.states(states))
        return words + self.states(states)

    def encode(
        self,
        ids: Tensor,
        mask: Tensor,
        states: Tensor | None = None,
        *,
        full: bool = False,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Turn tokens into vectors.

        Parameters
        ----------
        ids : int64 (B, L)
            Token ids, special ones and padding included.
        mask : bool (B, L)
            True where there is a token.
        states : int64 (B, L), optional
            State ids, PAD_STATE on special tokens and padding. Not given: unknown on every k-mer. A
            model without a state stream does not read them.
        full : bool
            The mask is known to be True everywhere: attention goes without it.
        rows : int64 (M,) or (B, T), optional
            The tokens that are read, as places in the flattened (B, L), or T in each row.

        Returns
        -------
        float (B, L, H), or with `rows` (M, H) or (B, T, H)
            Vectors on padding are finite and meaningless.

        Raises
        ------
        InputError
            If L is more than the position table has rows, or `states` has another shape than `ids`.
        """
        if states is not None and self.states is not None and states.shape != ids.shape:
            raise InputError(
                "states and tokens do not stand side by side",
                found=f"states {tuple(states.shape)}",
                expected=f"{tuple(ids.shape)}",
            )
        embedded = self.embed_tokens(ids, mask, states)
        return self.encoder(None, None, None if full else mask, inputs_embeds=embedded, rows=rows)[
            0
        ]

    def encode_windows(self, windows: Windows) -> Tensor:
        """Token vectors (B, L, H) of windows as a `WindowReader` gives them."""
        if windows.owner is not None and len(windows) > AT_ONCE and windows.states is None:
            return in_groups(self.encode, windows.ids, windows.mask)
        return self.encode(windows.ids, windows.mask, windows.states, full=windows.full)

    def without_states(self) -> SequenceEncoder:
        """A copy of the encoder that gives, on its own, what `encode` gives where no state is
        known.

        What the unknown state adds to a k-mer goes into the word table, once. Padding's row is left
        as it is.
        """
        encoder = copy.deepcopy(self.encoder)
        if self.states is None:
            return encoder
        words = encoder.words.weight
        ids = torch.arange(len(words), device=words.device)[None]
        mask = ids != PAD
        with torch.no_grad():
            words.copy_(torch.where(mask[0, :, None], self._joined(ids, mask, None)[0], words))
        return encoder

    def forward(self, batch: Batch) -> Outputs:
        """Scores of what is hidden: `batch.dna.labels` and `batch.state_labels` say what that
        is.
        """
        out, dna = Outputs(), batch.dna
        kmers = states = None
        if dna.labels is not None and self.masked_head is not None:
            kmers = labelled(dna.labels, dna.most)
        if batch.state_labels is not None and self.state_head is not None:
            states = labelled(batch.state_labels, batch.states_most)
        asked = [scored[0] for scored in (kmers, states) if scored is not None]
        rows = (
            torch.cat(asked) if asked else None
        )  # a token under both heads is computed once for each
        of_all = asked_of_tokens(self, batch)
        hidden = self.encode(
            dna.ids, dna.mask, batch.states, full=dna.full, rows=None if of_all else rows
        )
        if of_all:
            answer_tokens(self, of_all, hidden, out)
            hidden = hidden if rows is None else hidden.flatten(0, 1).index_select(0, rows)
        if kmers is not None:
            assert self.masked_head is not None
            out.masked_logits, out.masked_labels = (
                self.masked_head(hidden[: len(kmers[0])]),
                kmers[1],
            )
        if states is not None:
            assert self.state_head is not None
            out.state_logits, out.state_labels = (
                self.state_head(hidden[len(hidden) - len(states[0]) :]),
                states[1],
            )
        return out
