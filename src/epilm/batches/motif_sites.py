"""Which motifs of a store have a site at each token of a window: the truth of
`objectives.motif_sites`.

Scores and cuts are those of the store's factor matrix (`epilm build --motifs`), so that a site is
what `statistic=binary` calls one. Needs torch and numpy alone. Axes: B windows, W bases, T tokens,
M motifs.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epilm.errors import InputError, RecipeError, StoreError
from epilm.motifs.device import LOW
from epilm.motifs.names import motifs_of
from epilm.motifs.scores import UNIFORM, log_odds
from epilm.store.motifs import stored_motif
from epilm.store.reader import Store

LETTERS = 5  # A, C, G, T, N
AT_ONCE = 1 << 25  # bytes of scores, or of the bases spread out for them


def asked_motifs(store: Store, factors: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Choose motifs of a store by factor, in the store's order; all where none is named.

    Raises
    ------
    RecipeError
        If the store has none of a factor.
    """
    if not factors:
        return list(store.motifs)
    rows = [
        SimpleNamespace(id=str(row["id"]), name=row.get("name") or row["id"])
        for row in store.motifs
    ]
    wanted: set[str] = set()
    for factor in factors:
        try:
            wanted |= {row.id for row in motifs_of(rows, factor)}
        except InputError as error:
            raise RecipeError(
                "the store has no motif of that name",
                where="objectives.motif_sites.factors",
                found=factor,
                expected=error.expected,
            ) from None
    return [row for row in store.motifs if str(row["id"]) in wanted]


class SiteFinder:
    """Scores and cuts of a store's motifs.

    Parameters
    ----------
    store : Store
    factors : sequence of str
        Names or ids of the motifs to look for; all where none is given.
    device : torch.device or str
        Where codes come from.

    Attributes
    ----------
    n : int
        M.

    Raises
    ------
    StoreError
        If the store has no motifs, or they came without matrices and cuts.
    RecipeError
        If it has none of a name.
    """

    def __init__(
        self, store: Store, factors: Sequence[str] = (), device: torch.device | str = "cpu"
    ) -> None:
        if not store.motifs or not all(
            motif.get("matrix") and "threshold" in motif for motif in store.motifs
        ):
            raise StoreError(
                "the store has no motifs to look for",
                where=str(store.path),
                found="no motifs" if not store.motifs else "motifs without matrices",
                do="Build it with --motifs FILE, or set objectives.motif_sites.weight to 0.",
            )
        motifs = asked_motifs(store, factors)
        about = store.info.factors or {}
        backgrounds = about.get("backgrounds") or [UNIFORM]
        if len(backgrounds) > 1:
            raise StoreError(
                "the store's motifs have more than one cut",
                where=str(store.path),
                found=f"{len(backgrounds)} backgrounds",
                expected="one",
                do="Build it with --background uniform or genome.",
            )
        how = backgrounds[0], float(about.get("pseudocount", 1.0))
        pwms = [log_odds(stored_motif(row), *how) for row in motifs]
        self.n = len(pwms)
        # None: no word of the motif is rare enough, and it has no site.
        cuts = [np.inf if m["threshold"] is None else float(m["threshold"]) for m in motifs]
        self._cuts = torch.tensor(cuts, dtype=torch.float32, device=device)
        # All motifs in one product: their middles in one column, so that one place in the window is
        # the middle of all.
        self._before = max(len(pwm) // 2 for pwm in pwms)
        self._after = max(len(pwm) - 1 - len(pwm) // 2 for pwm in pwms)
        table = np.zeros((self._before + self._after + 1, LETTERS, 2, self.n), np.float32)
        for number, pwm in enumerate(pwms):
            begin = self._before - len(pwm) // 2
            rows = slice(begin, begin + len(pwm))
            table[rows, 4, :, number] = LOW
            for strand, scores in enumerate((pwm, pwm[::-1, ::-1])):
                table[rows, :4, strand, number] = np.maximum(scores, LOW)
        self._table = torch.from_numpy(table.reshape(-1, 2 * self.n)).to(device)

    def __call__(self, codes: Tensor, stride: int, tokens: int) -> Tensor:
        """Find the sites of windows, on both strands.

        Parameters
        ----------
        codes : uint8 (B, W)
            Bases as they are read, N above 3; no site reaches over an N or an end of the window.
        stride, tokens : int
            Token t is the bases from t * stride to where the next one begins.

        Returns
        -------
        bool (B, T, M)
            True at the token with the middle of a site (of an even number of bases the right one of
            two).
        """
        bases = codes.shape[1]
        reach = torch.nn.functional.pad(codes.clamp(max=4), (self._before, self._after), value=4)
        hot = (reach[..., None] == torch.arange(LETTERS, device=codes.device)).float().flatten(1)
        span = LETTERS * (self._before + self._after + 1)
        found = []
        step = max(1, AT_ONCE // (4 * bases * max(span, 2 * self.n)))
        for part in hot.split(step):
            scores = part.unfold(1, span, LETTERS).reshape(-1, span) @ self._table
            hits = scores.view(len(part), bases, 2, self.n).amax(2) >= self._cuts
            hits = torch.nn.functional.pad(
                hits[:, : tokens * stride], (0, 0, 0, max(0, tokens * stride - bases))
            )
            found.append(hits.view(len(part), tokens, stride, self.n).any(2))
        return torch.cat(found)
