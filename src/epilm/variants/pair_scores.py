"""Variants as two whole windows each: read on both strands and several shifts, then joined.

Axes: N changes, S strands and shifts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from epilm.errors import UsageError
from epilm.shards import digest, digest_of_weights
from epilm.tasks.reference import Reference
from epilm.variants.haplotypes import Change, Windowing, make_pairs, reason_of_window
from epilm.variants.scorers import Codes, PairScorer, Said, Values
from epilm.variants.task_scorer import TaskScorer

MOTIF_WINDOW = 200  # bp, where motifs alone are asked for: what no motif reaches is not read
# What follows the name of a score.
SIDES = {
    "ref": "of REF, mean over strands and shifts",
    "alt": "of ALT, mean over strands and shifts",
    "delta": "ALT less REF",
    "strands": "how far the two strands' deltas are apart",
}
OF_STRANDS = "_strands"


class PairScores:
    """Pair scorers on the same windows, as a `ChangeScorer`.

    Parameters
    ----------
    scorers : sequence of PairScorer
        One at least.
    windowing : Windowing

    Attributes
    ----------
    columns
        NAME_ref, NAME_alt, NAME_delta and NAME_strands of a score of each haplotype; NAME and
        NAME_strands of a distance.
    """

    def __init__(self, scorers: Sequence[PairScorer], windowing: Windowing) -> None:
        self.scorers, self.windowing = list(scorers), windowing
        self.columns: dict[str, str] = {}
        self.ranked: dict[str, str] = {}
        self.words: dict[str, tuple[str, ...]] = {}
        for scorer in scorers:
            for name in scorer.sides:
                self.columns |= {f"{name}_{side}": f"{name} {text}" for side, text in SIDES.items()}
                self.ranked[f"{name}_delta"] = name
            for name in scorer.between:
                text = f"{name} distance of REF and ALT, mean over strands and shifts"
                self.columns[name] = text
                self.columns[name + OF_STRANDS] = f"{name}: how far the two strands are apart"
                self.ranked[name] = name

    @property
    def notes(self) -> list[str]:
        """See `ChangeScorer`."""
        return [note for scorer in self.scorers for note in scorer.notes]

    @property
    def windows(self) -> str:
        """See `ChangeScorer`."""
        width, shifts, grid = self.windowing
        on_grid = f" on a grid of {grid} bp" if grid > 1 else ""
        return f"{width} bp windows{on_grid}, both strands, shifts {' '.join(map(str, shifts))}"

    @property
    def device(self) -> torch.device | None:
        """See `ChangeScorer`."""
        return next((s.device for s in self.scorers if s.network is not None), None)

    def reason(self, bases: Codes, change: Change) -> str | None:
        """See `ChangeScorer`."""
        return reason_of_window(bases, change, self.windowing)

    def identity(self) -> dict[str, Any]:
        """See `ChangeScorer`."""
        width, shifts, grid = self.windowing
        names = [name for s in self.scorers for name in (*s.sides, *s.between)]
        networks = [s.network for s in self.scorers if s.network is not None]
        said: dict[str, Any] = {
            "window": [width, list(shifts), grid],
            "scores": digest(name.encode() for name in names),
            "pooling": [getattr(scorer, "pooling", None) for scorer in self.scorers],
            "motifs": digest(pwm.tobytes() for s in self.scorers for pwm in getattr(s, "pwms", ())),
        }
        if networks:
            said["model"] = digest(digest_of_weights(network).encode() for network in networks)
        return said

    def __call__(self, changes: Sequence[Change], genome: Reference) -> dict[str, Values]:
        """See `ChangeScorer`."""
        return score_changes(self.scorers, changes, genome, self.windowing)


def score_changes(
    scorers: Sequence[PairScorer],
    changes: Sequence[Change],
    genome: Reference,
    windowing: Windowing,
) -> dict[str, Values]:
    """Score normalised changes whose windows can be read.

    Returns
    -------
    dict of str to float64 (N,)
        NAME_ref, NAME_alt, NAME_delta, NAME_strands; NAME and NAME_strands of a distance.
    """
    sides: dict[str, list[Values]] = {}
    between: dict[str, list[Values]] = {}
    for shift in windowing.shifts:
        pairs, alt_first = make_pairs(genome, changes, windowing, shift)
        forward: list[Said] = []
        for read in (pairs, pairs.turned()):
            for number, scorer in enumerate(scorers):
                said = forward[number] if read.reverse and scorer.symmetric else scorer(read)
                forward.append(said)
                for name, both in said.sides.items():
                    ordered = np.where(alt_first[:, None], both[:, ::-1], both)  # REF, ALT
                    sides.setdefault(name, []).append(ordered)
                for name, value in said.between.items():
                    between.setdefault(name, []).append(value)
    out: dict[str, Values] = {}
    for name, parts in sides.items():
        stacked = np.stack(parts)  # (S, N, 2): forward and reverse of each shift in turn
        mean = stacked.mean(0)
        out[f"{name}_ref"], out[f"{name}_alt"] = mean[:, 0], mean[:, 1]
        out[f"{name}_delta"] = mean[:, 1] - mean[:, 0]
        deltas = stacked[..., 1] - stacked[..., 0]
        out[f"{name}_strands"] = np.abs(deltas[0::2].mean(0) - deltas[1::2].mean(0))
    for name, parts in between.items():
        distances = np.stack(parts)
        out[name] = distances.mean(0)
        out[f"{name}_strands"] = np.abs(distances[0::2].mean(0) - distances[1::2].mean(0))
    return out


def windowing_of(
    scorers: Sequence[PairScorer],
    window: int | None,
    shifts: Sequence[int],
    grid: int,
    model: Any,
) -> Windowing:
    """Settle the windows asked for, if a variant stays within them.

    Raises
    ------
    UsageError
        If the width, the grid or a shift does not fit.
    """
    width = window_width(scorers, window, model)
    shifts = tuple(dict.fromkeys(int(shift) for shift in shifts)) or (0,)
    if not 1 <= grid <= width // 4:
        raise UsageError(
            "impossible value", where="--grid", found=grid, expected=f"1 to {width // 4}"
        )
    most = width // 4 - grid // 2
    if max(map(abs, shifts)) > most:
        raise UsageError(
            "a shift moves the variant to the window's edge",
            where="--shifts",
            found=max(shifts, key=abs),
            expected=f"at most {most} bp of a window of {width} bp",
        )
    return Windowing(width, shifts, grid)


def window_width(scorers: Sequence[PairScorer], window: int | None, model: Any) -> int:
    """Settle the windows' width between the models and the user.

    Parameters
    ----------
    scorers : sequence of PairScorer
    window : int or None
        Asked for, in bp.
    model : path or None
        For messages.

    Raises
    ------
    UsageError
        If the models cannot read it, or none says how wide and nobody asks.
    """
    own = next((scorer.width for scorer in scorers if scorer.width is not None), None)
    widest = min((s.widest for s in scorers if s.widest is not None), default=None)
    if own is not None:
        if window not in (None, own):
            raise UsageError(
                "the model reads windows of one width",
                where="--window",
                found=window,
                expected=own,
            )
        return own
    if window is None and any(isinstance(scorer, TaskScorer) for scorer in scorers):
        raise UsageError(
            "the model does not say how wide a sequence it expects",
            where=str(model),
            do="Give --window: the width of the sequences it learned from.",
        )
    width = window if window is not None else widest or MOTIF_WINDOW
    if width < 16 or (widest is not None and width > widest):
        raise UsageError(
            "impossible value",
            where="--window",
            found=width,
            expected=f"16 to {widest} bp" if widest is not None else "at least 16 bp",
        )
    return width
