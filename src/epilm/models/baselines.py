"""Networks over bases: what a model without pre-training must be compared with.

`SmallCNN` is shaped as the motif networks of the DeepBind family: wide first filters (motifs),
one layer over their arrangement, a maximum over the sequence. `FactorNet` is the published
CNN-biLSTM over bases and signals, for binding in a cell type. Both read both strands with one
set of weights and average the logits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.errors import InputError
from epilm.nn.altered import Altered, convolved, pooled

BASES = 4
POOL = 4  # positions joined between the layers of the small CNN


def base_channels(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """Give bases (N, W) a channel each, (N, 4, W); N is zero in all four.

    Examples
    --------
    >>> base_channels(torch.tensor([[2, 4]]), torch.float32)[0].T.tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    return F.one_hot(codes.long(), BASES + 1)[..., :BASES].to(dtype).transpose(1, 2)


def other_strand(bases: Tensor) -> Tensor:
    """Read stretches of bases (N, m) from the other strand; N stays N."""
    turned = bases.flip(1)
    return torch.where(turned < BASES, BASES - 1 - turned, turned)


def reverse_complement_codes(codes: Tensor, lengths: Tensor) -> Tensor:
    """Turn each row to its other strand, padding staying on the right.

    Parameters
    ----------
    codes : integer (N, W)
        Bases A=0 C=1 G=2 T=3 N=4; anything after `lengths` is padding.
    lengths : int64 (N,)

    Returns
    -------
    integer (N, W)

    Examples
    --------
    >>> reverse_complement_codes(torch.tensor([[0, 1, 4, 4]]), torch.tensor([2])).tolist()
    [[2, 3, 4, 4]]
    """
    at = lengths[:, None] - 1 - torch.arange(codes.shape[1], device=codes.device)
    turned = codes.gather(1, at.clamp(min=0))
    other = torch.where(turned < BASES, BASES - 1 - turned, turned)
    return torch.where(at >= 0, other, torch.full_like(other, BASES))


class SmallCNN(nn.Module):
    """Convolutions, a maximum over positions, two dense layers.

    Parameters
    ----------
    n_labels : int
    filters : int
        First-layer filters.
    width : int
        Their width in bp, odd.
    dropout : float
    both_strands : bool
        Average the logits of both strands.

    Examples
    --------
    >>> model = SmallCNN(2, filters=8).eval()
    >>> codes = torch.tensor([[0, 1, 2, 3] * 10])
    >>> tuple(model(codes, torch.tensor([40])).shape)
    (1, 2)
    """

    def __init__(
        self,
        n_labels: int = 2,
        filters: int = 64,
        width: int = 15,
        dropout: float = 0.3,
        both_strands: bool = True,
    ) -> None:
        super().__init__()
        self.both_strands = both_strands
        self.motifs = nn.Conv1d(BASES, filters, width, padding=width // 2)
        self.norm = nn.BatchNorm1d(filters)
        self.arrangement = nn.Conv1d(filters, filters, 7, padding=3)
        self.norm2 = nn.BatchNorm1d(filters)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(2 * filters, filters)
        self.out = nn.Linear(filters, n_labels)

    def forward(self, codes: Tensor | Windows, lengths: Tensor | None = None) -> Tensor:
        """Score (N, W) codes of `lengths` (N,) bases, or windows with `codes`; returns logits (N,
        n_labels).
        """
        if isinstance(codes, Windows):
            windows = codes
            assert windows.codes is not None, "a reader that gives bases"
            codes, lengths = windows.codes, windows.lengths
        if lengths is None:  # all are as long as the array is wide
            lengths = torch.full((len(codes),), codes.shape[1], device=codes.device)
        logits = self._one_strand(codes, lengths)
        if self.both_strands:
            logits = (
                logits + self._one_strand(reverse_complement_codes(codes, lengths), lengths)
            ) / 2
        return logits

    def _one_strand(self, codes: Tensor, lengths: Tensor) -> Tensor:
        x = base_channels(codes, self.motifs.weight.dtype)  # padding is N
        first = F.relu(self.norm(self.motifs(x)))  # (N, C, W)
        second = F.relu(self.norm2(self.arrangement(F.max_pool1d(first, POOL, ceil_mode=True))))
        beyond = (torch.arange(codes.shape[1], device=codes.device) >= lengths[:, None])[:, None]
        best = first.masked_fill(beyond, 0.0).amax(2)
        return self._answer(torch.cat([best, second.amax(2)], 1))

    def _answer(self, both: Tensor) -> Tensor:
        return self.out(self.dropout(F.relu(self.dense(self.dropout(both)))))

    @property
    def reach(self) -> int:
        """Bases on either side of a change that anything before the maximum sees it from."""
        (first,), (second,) = self.motifs.kernel_size, self.arrangement.kernel_size
        return first // 2 + POOL * (second // 2 + 1)

    def answer_altered(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """Score copies of a window of which each has other bases (N, m) from `start` (N,) on; see
        `models.local_answers`.
        """
        assert windows.codes is not None, "a reader that gives bases"
        codes, length = windows.codes, windows.lengths
        of = torch.zeros_like(start)
        if length is None:
            length = torch.full((1,), codes.shape[1], device=codes.device)
        n, real = len(start), int(length)  # behind it is padding: the maximum does not see it
        if self.both_strands:  # a window more, and its copies
            codes = torch.cat([codes, reverse_complement_codes(codes, length)])
            start = torch.cat([start, real - bases.shape[1] - start])
            bases = torch.cat([bases, other_strand(bases)])
            of = torch.cat([of, of + 1])
        kind = self.motifs.weight.dtype
        x = Altered(base_channels(codes, kind), start, base_channels(bases, kind), of)
        first = convolved(x, self.motifs).each(lambda y: F.relu(self.norm(y)))
        second = convolved(pooled(first, POOL, ceil_mode=True), self.arrangement)
        second = second.each(lambda y: F.relu(self.norm2(y)))
        best = Altered(first.whole[..., :real], first.start, first.values, of).largest()
        logits = self._answer(torch.cat([best, second.largest()], 1))
        return (logits[:n] + logits[n:]) / 2 if self.both_strands else logits


class FactorNet(nn.Module):
    """Bases and signals of a window through filters, a bidirectional LSTM and two dense layers.

    Parameters
    ----------
    tracks : int
        S, signals beside the four bases; 0 = sequence alone.
    outputs : int
        Factors asked about at once.
    window_bp : int
        W; the layer after the LSTM reads all its steps, so the width is part of the model.
    filters, width : int
        First layer, and its width in bp.
    pool : int
        Bases joined by the maximum.
    lstm, dense : int
        Units of each direction; width of the dense layers.
    dropout, dropout_late : float
        After the filters; after the LSTM.
    both_strands : bool
        Average the logits of both strands.

    References
    ----------
    Quang and Xie, FactorNet, Methods 2019, and uci-cbcl/FactorNet (protocols 7): filters 128 x 34,
    dense 128 a position, pool 17, biLSTM 64, dropout .5, dense 128. Its 14 meta features (RNA,
    annotation) are not read.

    Examples
    --------
    >>> model = FactorNet(tracks=1, window_bp=100, filters=8, lstm=4, dense=8).eval()
    >>> codes = torch.randint(0, 4, (2, 100), dtype=torch.uint8)
    >>> ids = torch.zeros(2, 1, dtype=torch.int64)
    >>> tuple(model(Windows(ids, ids > 0, codes=codes, tracks=torch.zeros(2, 100, 1))).shape)
    (2, 1)
    """

    def __init__(
        self,
        tracks: int = 0,
        outputs: int = 1,
        window_bp: int = 1000,
        *,
        filters: int = 128,
        width: int = 34,
        pool: int = 17,
        lstm: int = 64,
        dense: int = 128,
        dropout: float = 0.1,
        dropout_late: float = 0.5,
        both_strands: bool = True,
    ) -> None:
        super().__init__()
        steps = (window_bp - width + 1) // pool
        if steps < 1:
            raise InputError(
                "the window is too short for the filters",
                found=f"{window_bp} bp",
                expected=f"at least {width + pool - 1}",
            )
        self.tracks, self.window_bp, self.both_strands = tracks, window_bp, both_strands
        self.steps_bp = pool
        self.motifs = nn.Conv1d(BASES + tracks, filters, width)
        self.mix = nn.Conv1d(filters, filters, 1)  # the dense layer of every position
        self.pool = nn.MaxPool1d(pool)
        self.lstm = nn.LSTM(filters, lstm, batch_first=True, bidirectional=True)
        self.dropout, self.dropout_late = nn.Dropout(dropout), nn.Dropout(dropout_late)
        self.dense = nn.Linear(2 * lstm * steps, dense)
        self.dense2 = nn.Linear(dense, dense)
        self.out = nn.Linear(dense, outputs)

    def forward(self, windows: Windows) -> Tensor:
        """Score windows with `codes` (B, W) and, where the model reads any, `tracks` (B, W, S).

        Returns
        -------
        float (B, outputs)
            Logits.

        Raises
        ------
        InputError
            If codes or tracks are missing, or the windows are of another width.
        """
        n_tracks = 0 if windows.tracks is None else windows.tracks.shape[-1]
        width = None if windows.codes is None else windows.codes.shape[1]
        if windows.codes is None or n_tracks != self.tracks or width != self.window_bp:
            raise InputError(
                "the network reads bases and signals that the windows do not have",
                found=f"{width} bp, {n_tracks} signals",
                expected=f"{self.window_bp} bp, {self.tracks} signals",
            )
        kind = self.motifs.weight.dtype
        x = base_channels(windows.codes, kind)
        if windows.tracks is not None:
            x = torch.cat([x, windows.tracks.to(kind).transpose(1, 2)], 1)  # (B, 4 + S, W)
        logits = self._one_strand(x)
        if self.both_strands:
            logits = (logits + self._one_strand(_turned(x))) / 2
        return logits

    def _one_strand(self, x: Tensor) -> Tensor:
        x = self.dropout(F.relu(self.motifs(x)))
        return self._answer(self.pool(F.relu(self.mix(x))))  # (B, filters, steps)

    def _answer(self, x: Tensor) -> Tensor:
        return self._dense(self.lstm(x.transpose(1, 2))[0])  # (B, steps, 2 lstm)

    def _dense(self, x: Tensor) -> Tensor:
        x = self.dropout_late(x)
        return self.out(F.relu(self.dense2(F.relu(self.dense(x.flatten(1))))))

    @property
    def reach(self) -> int:
        """Bases on either side of a change that anything before the LSTM sees it from."""
        (width,) = self.motifs.kernel_size
        return width - 1 + self.steps_bp

    def answer_altered(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """Score copies of a window of which each has other bases (N, m) from `start` (N,) on; see
        `models.local_answers`. Each direction of the LSTM goes on from the first step that any copy
        changes: cheapest where these lie near each other.
        """
        assert windows.codes is not None, "a reader that gives bases"
        of = torch.zeros_like(start)
        kind = self.motifs.weight.dtype
        whole = base_channels(windows.codes, kind)
        if windows.tracks is not None:
            whole = torch.cat([whole, windows.tracks.to(kind).transpose(1, 2)], 1)
        same = Altered(whole, start, whole.new_zeros(len(bases), whole.shape[1], 0), of)
        values = same.read(start, bases.shape[1])  # signals are those of the window
        values[:, :BASES] = base_channels(bases, kind)
        if self.both_strands:  # a window more, and its copies
            begin = whole.shape[2] - bases.shape[1] - start
            whole, values = torch.cat([whole, _turned(whole)]), torch.cat([values, _turned(values)])
            start, of = torch.cat([start, begin]), torch.cat([of, of + 1])
        x = convolved(Altered(whole, start, values, of), self.motifs).each(F.relu)
        x = pooled(convolved(x, self.mix).each(F.relu), self.steps_bp)
        steps = x.laid_out().transpose(1, 2)  # (N, steps, C), first all of the one strand
        n, strands = len(bases), len(whole)
        said = [
            self._steps_of(
                x.whole[i].T, *(part[n * i : n * i + n] for part in (steps, x.start, x.end))
            )
            for i in range(strands)
        ]
        return self._dense(torch.cat(said)).unflatten(0, (strands, n)).mean(0)

    def _steps_of(self, same: Tensor, copies: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Both directions of the LSTM over copies (N, steps, C) of one sequence (steps, C), which
        they leave between `start` and `end`: (N, steps, 2 lstm).
        """
        before, behind = int(start.min()), len(same) - int(end.max())
        forward = self._on_from(same, copies, before, "")
        backward = self._on_from(same.flip(0), copies.flip(1), behind, "_reverse")
        return torch.cat([forward, backward.flip(1)], 2)

    def _on_from(self, same: Tensor, copies: Tensor, step: int, way: str) -> Tensor:
        """One direction of the LSTM over copies that are alike before a step, (N, steps, lstm)."""
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = [getattr(self.lstm, name + way) for name in names]
        none = same.new_zeros(1, 1, self.lstm.hidden_size)

        def run(x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return torch.lstm(x, (hidden, cell), weights, True, 1, 0.0, False, False, True)

        said, hidden, cell = none, none, none
        if step:
            said, hidden, cell = run(same[None, :step], none, none)
        wide = [state.expand(-1, len(copies), -1).contiguous() for state in (hidden, cell)]
        rest, _, _ = run(copies[:, step:], *wide)
        return torch.cat([said[:, :step].expand(len(copies), -1, -1), rest], 1)


def _turned(x: Tensor) -> Tensor:
    """Bases and signals (N, 4 + S, W) from the other strand: A C G T turned round is T G C A, the
    bases' complement; signals are only turned in place.
    """
    return torch.cat([x[:, :BASES].flip(1, 2), x[:, BASES:].flip(2)], 1)
