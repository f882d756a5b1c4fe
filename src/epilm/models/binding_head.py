"""Is a factor bound in this window, in this cell type? Two convolutions and two dense layers on
token vectors.

EBERT+ is this head with signals: accessibility and mappability pooled to tokens
(`tokens.pooling`) stand beside the token vectors, after the encoder. Without signals it is the
head of EBERT, on a model without a state stream that of DBERT.
Axes: B windows, L tokens, H hidden, S signals, C channels. Source: protocols 5.8.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.errors import InputError, RecipeError, nearest
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.grouping import Join, join_pieces
from epilm.models.pooled import trunk_of
from epilm.models.seeds import seeded
from epilm.tokens.state_tokens import real_tokens

TokenPool = Literal["max", "mean", "attention", "bin", "max+bin"]
BIN_POOLS = ("bin", "max+bin")
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def _check_bin(
    signals: int,
    straight: Sequence[int],
    middle: tuple[int, int],
    pool: TokenPool,
    around: tuple[int, int],
) -> None:
    """Refuse a shortcut or a pool that does not know which tokens are the bin's."""
    if any(not 0 <= number < signals for number in straight) or (
        straight and not 0 <= middle[0] < middle[1]
    ):
        raise RecipeError(
            "impossible shortcut",
            where="head.shortcut",
            found=f"signals {straight}, tokens {list(middle)}",
            expected=f"numbers below {signals}, and a bin of one token at least",
        )
    if pool in BIN_POOLS and not 0 <= around[0] < around[1]:
        raise RecipeError(
            "the pool looks at the bin, and no token of it is named",
            where="head.around",
            found=f"tokens {list(around)}, pool {pool}",
            expected="the first token of the bin and the one after its last",
        )


class BindingModel(nn.Module):
    """Token vectors and signals through convolutions to one logit a factor.

    Parameters
    ----------
    trunk : EBERT
        Trained or not; not copied.
    signals : int
        S, the signals of a window; 0 = none (EBERT, DBERT), 2 in the paper's EBERT+.
    conv_channels : sequence of int
        One convolution each.
    kernel : int
        Tokens of a convolution.
    activation : {"relu", "gelu", "tanh"}
    pool : {"max", "mean", "attention", "bin", "max+bin"}
        Over the k-mers of a window; bin is the maximum over those of `around`, max+bin both
        maxima side by side.
    dense : int
        Width of the first dense layer.
    dropout : float
        After every convolution and dense layer.
    outputs : int
        Factors asked about at once.
    shortcut : sequence of int
        Signals whose best values, over the window and over the bin, also go straight to the logits;
        none in the paper.
    means : sequence of int
        Signals whose means, over the window and over the bin, go there too.
    middle : (int, int)
        First token of the bin, and the one after its last, for the shortcut.
    around : (int, int)
        The same of the bin and some bases beside it, for the pools that look there.

    Attributes
    ----------
    join : {"mean", "max"}
        Of what the pool gives for the pieces of one long row, where rows are cut.

    Raises
    ------
    RecipeError
        If a width is not positive, or a name unknown.

    Notes
    -----
    [CLS], [SEP] and padding are no neighbours of a k-mer: their vectors and signals are 0 at the
    entrance of every convolution, as a convolution's own padding is, and the pool does not see
    them. That is the same as cutting them out, whatever the windows of a batch look like. The
    convolution over [vector, signals] is kept as two that are added: the same function. Each starts
    at the scale of its own inputs, so that two signals are heard beside 768 numbers. The shortcut
    is there because the pool hides a site: among hundreds of tokens another one has the largest
    number of nearly every channel, and no gradient reaches the site: measured in
    docs/results-papers-recipes.md. Its weights begin at 0. So are the pools of the bin there: a
    perfect motif's maximum says less the more bases it is taken over.

    Examples
    --------
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> trunk = EBERT(
    ...     SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    ... )
    >>> ids = torch.tensor([[2, 5, 9, 3, 0]])
    >>> windows = Windows(ids, ids > 0, signals=torch.zeros(1, 5, 2))
    >>> tuple(BindingModel(trunk, signals=2)(windows).shape)
    (1, 1)
    """

    join: Join = "mean"

    def __init__(
        self,
        trunk: EBERT,
        *,
        signals: int = 0,
        conv_channels: Sequence[int] = (128, 128),
        kernel: int = 5,
        activation: Literal["relu", "gelu", "tanh"] = "relu",
        pool: TokenPool = "max",
        dense: int = 128,
        dropout: float = 0.1,
        outputs: int = 1,
        shortcut: Sequence[int] = (),
        means: Sequence[int] = (),
        middle: tuple[int, int] = (0, 0),
        around: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise RecipeError(
                "unknown value",
                where="head.activation",
                found=activation,
                do=nearest(activation, ACTIVATIONS),
            )
        if pool not in get_args(TokenPool):
            raise RecipeError(
                "unknown value",
                where="head.pool",
                found=pool,
                do=nearest(pool, get_args(TokenPool)),
            )
        if not conv_channels or min(*conv_channels, kernel, dense, outputs) < 1 or signals < 0:
            raise RecipeError(
                "impossible widths",
                where="head",
                found=(
                    f"conv_channels {list(conv_channels)}, kernel {kernel}, dense {dense}, outputs"
                    f" {outputs}, signals {signals}"
                ),
                expected="a convolution at least, and widths of 1 or more",
            )
        straight = [*shortcut, *means]
        _check_bin(signals, straight, middle, pool, around)
        self.trunk = trunk
        self.signals = signals
        widths = [trunk.hidden, *conv_channels]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, kernel, padding="same") for a, b in pairwise(widths)
        )
        self.signal_convolution = (
            nn.Conv1d(signals, conv_channels[0], kernel, padding="same", bias=False)
            if signals
            else None
        )
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout)
        self.pool, self.around = pool, slice(*around)
        self.attention = nn.Linear(widths[-1], 1) if pool == "attention" else None
        self.dense = nn.Linear(widths[-1] * (2 if pool == "max+bin" else 1), dense)
        self.out = nn.Linear(dense, outputs)
        self.short, self.means, self.middle = tuple(shortcut), tuple(means), slice(*middle)
        self.shortcut = nn.Linear(2 * len(straight), outputs, bias=False) if straight else None
        if self.shortcut is not None:
            nn.init.zeros_(self.shortcut.weight)

    def forward(self, windows: Windows, other: Windows | None = None) -> Tensor:
        """Score windows.

        Parameters
        ----------
        windows : Windows
            With `signals` of S values a token where the model was built with signals.
        other : Windows, optional
            The same windows read from the other strand; the logits of both are averaged.

        Returns
        -------
        float (B, outputs)
            Logits: a sigmoid makes them probabilities of the classes as they were sampled for
            training.

        Raises
        ------
        InputError
            If the signals are missing or of another number.
        """
        logits = self.head(self.trunk.encode_windows(windows), windows)
        return logits if other is None else (logits + self(other)) / 2

    def head(self, hidden: Tensor, windows: Windows) -> Tensor:
        """Score token vectors (B, L, H) of windows; returns (B, outputs)."""
        real = real_tokens(windows.ids, windows.mask)[:, None]  # (B, 1, L)
        x = self.convolutions[0](hidden.transpose(1, 2) * real)  # (B, C, L)
        if self.signal_convolution is not None:
            values = self._signals(windows).transpose(1, 2).to(hidden.dtype) * real
            x = x + self.signal_convolution(values)
        for n, convolution in enumerate(self.convolutions):
            if n:
                x = convolution(x * real)
            x = self.dropout(self.activation(x))
        pooled = join_pieces(self._pooled(x, real), windows.owner, self.join)
        logits: Tensor = self.out(self.dropout(self.activation(self.dense(pooled))))
        if self.shortcut is not None:
            logits = logits + self.shortcut(self.straight(windows).to(hidden.dtype))
        return logits

    def straight(self, windows: Windows) -> Tensor:
        """What the shortcut reads, (B, 2 short + 2 means): best values of `short` and means of
        `means` over the window, and the same over the bin.
        """
        real = real_tokens(windows.ids, windows.mask)[..., None]
        values = self._signals(windows) * real  # (B, L, S); real (B, L, 1)
        summaries = []
        for part, there in ((values, real), (values[:, self.middle], real[:, self.middle])):
            if self.short:
                summaries.append(part[..., list(self.short)].amax(1))
            if self.means:
                summaries.append(part[..., list(self.means)].sum(1) / there.sum(1).clamp(min=1))
        return torch.cat(summaries, 1)

    def _signals(self, windows: Windows) -> Tensor:
        n_signals = 0 if windows.signals is None else windows.signals.shape[-1]
        if windows.signals is None or n_signals != self.signals:
            raise InputError(
                "the model reads signals that the windows do not have",
                found=f"{n_signals} signals",
                expected=f"{self.signals}",
                do="Use a store with the signals it was trained on, or a model without signals.",
            )
        return windows.signals

    def _pooled(self, x: Tensor, real: Tensor) -> Tensor:
        """One vector a window, (B, C, L) -> (B, C), of max+bin (B, 2 C); 0 for a window without any
        k-mer.
        """
        if self.pool == "max":
            return best_of(x, real)
        if self.pool in BIN_POOLS:
            middle = best_of(x[..., self.around], real[..., self.around])
            return middle if self.pool == "bin" else torch.cat([best_of(x, real), middle], 1)
        if self.attention is None:
            return (x * real).sum(-1) / real.sum(-1).clamp(min=1)
        scores = self.attention(x.transpose(1, 2)).transpose(1, 2)  # (B, 1, L)
        scores = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
        return ((x * real) * scores.softmax(-1)).sum(-1)


def best_of(x: Tensor, real: Tensor) -> Tensor:
    """Largest value of each channel over real tokens, (B, C, L) -> (B, C); 0 where there is none.

    Examples
    --------
    >>> x = torch.tensor([[[1.0, 5.0, 3.0]], [[1.0, 5.0, 3.0]]])
    >>> best_of(x, torch.tensor([[[True, False, True]], [[False] * 3]])).tolist()
    [[3.0], [0.0]]
    """
    best = x.masked_fill(~real, -torch.inf).amax(-1)
    return best.masked_fill(~real.any(-1), 0.0)


def binding_from(
    model: EBERT | GeneBERT, *, seed: int | None = None, join: Join = "mean", **head: Any
) -> BindingModel:
    """Put a new head on a copy of a pre-trained model, without its heads of pre-training.

    The twin that starts from random weights is `binding_from(build_model(spec, seed=...), ...)`.

    Parameters
    ----------
    model : EBERT or GeneBERT
        Left as it is. Of a GeneBERT or DNABERT the sequence encoder alone is taken, as a DBERT.
    seed : int, optional
        The head's weights are a function of it, and torch's own state is left as it was.
    join : {"mean", "max"}
        See `BindingModel`.
    **head
        Arguments of `BindingModel` but the trunk.
    """
    trunk = trunk_of(model)
    with seeded(seed):
        made = BindingModel(trunk, **head)
    made.join = join
    return made
