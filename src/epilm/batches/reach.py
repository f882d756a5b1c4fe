"""What of the regions a model reads, and what of the factor matrix's best hits lies there.

The matrix scores whole regions; a layout shows the model as many bases of each as its tokens
reach. Where a best hit lies in what is not read, matching and masked factors ask for what cannot
be seen. Needs torch and numpy alone; used by `pretraining.pretrain`.
Axes: N regions, W bases, F motifs.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from epilm.batches.layout import n_bases
from epilm.models.model_spec import ModelSpec
from epilm.motifs.device_scorer import DeviceScorer
from epilm.motifs.log_odds import UNIFORM, log_odds
from epilm.store.arrays import as_tensor
from epilm.store.motifs import stored_motif
from epilm.store.reader import Store
from epilm.tokens.random import permutation

MOST = 96  # regions scored: a standard error of about two hundredths
ENOUGH = 0.95  # of the best hits: below that it is a warning
_PICK = 41  # first counter of the draw: no other draw shares it
_TIE = 1e-3  # nats; the sums of a window and of its region round differently


class Reach(NamedTuple):
    """How much of a corpus of regions a model reads.

    Attributes
    ----------
    reach : int
        Bases of a region that are read at most, around its centre.
    regions, cropped : int
        Regions of the samples, and those wider than that.
    widest : int
        bp of the widest region.
    hits_read : float or None
        Share of the best hits, one a region and motif, of which a word as good lies in what is
        read; None where nothing is cropped, or there are no motifs.
    scored : int
        Cropped regions that this was measured on; the share counts the others in.
    """

    reach: int
    regions: int
    cropped: int
    widest: int
    hits_read: float | None
    scored: int

    @property
    def enough(self) -> bool:
        """Whether nearly all best hits are read."""
        return self.hits_read is None or self.hits_read >= ENOUGH

    def said(self) -> str:
        """A line for the user.

        Examples
        --------
        >>> Reach(69, 1000, 900, 7397, 0.32, 96).said()
        '900 of 1,000 regions are cropped to the 69 bp that are read (the widest has 7,397): 32 % of
        the best hits of the factor matrix lie there (96 cropped regions scored)'
        >>> Reach(515, 1000, 0, 500, None, 0).said()
        'no region is cropped: up to 515 bp are read, the widest has 500'
        """
        if not self.cropped:
            return (
                f"no region is cropped: up to {self.reach:,} bp are read, the widest has"
                f" {self.widest:,}"
            )
        hits = (
            ""
            if self.hits_read is None
            else (
                f": {self.hits_read:.0%} of the best hits of the factor matrix lie there"
                f" ({self.scored} cropped regions scored)"
            ).replace("%", " %")
        )
        return (
            f"{self.cropped:,} of {self.regions:,} regions are cropped to the {self.reach:,} bp"
            f" that are read (the widest has {self.widest:,}){hits}"
        )

    def warning(self) -> str:
        """What to do where too many hits are out of sight.

        Examples
        --------
        >>> print(Reach(69, 1000, 900, 7397, 0.32, 96).warning()[:65])
        68 % of the best hits of the factor matrix lie in bases that the
        """
        assert self.hits_read is not None
        return (
            f"{1 - self.hits_read:.0%}".replace("%", " %")
            + " of the best hits of the factor matrix lie in bases that the model does not read:"
            " matching and masked factors ask for what cannot be seen. Build the store with"
            f" --region-width {self.reach}, or raise model.max_tokens"
        )


def region_reach(spec: ModelSpec) -> int | None:
    """Count the bases around a region's centre that a model reads at most.

    None where no such number is: layout chunk_rnn reads all of a region, and layout concat cuts
    the string of all regions at its end.

    Examples
    --------
    >>> region_reach(ModelSpec()), region_reach(ModelSpec(max_tokens=66))
    (515, 69)
    >>> region_reach(ModelSpec(layout="concat_budget")), region_reach(ModelSpec(layout="concat"))
    (56, None)
    """
    room, raw = spec.max_tokens - 2, spec.join == "raw"
    if spec.layout == "per_region":
        return n_bases(room, spec.k, spec.stride)
    if spec.layout != "concat_budget":
        return None
    if raw:
        return n_bases(room, spec.k, spec.stride) // spec.regions
    return n_bases(room // spec.regions, spec.k, spec.stride)


def measure(store: Store, rows: np.ndarray, reach: int, seed: int, factors: bool) -> Reach:
    """Measure what of some regions, and of their best hits, is read.

    Parameters
    ----------
    store : Store
    rows : int (N,)
        Region rows, each once.
    reach : int
        Of `region_reach`.
    seed : int
        Chooses the regions that are scored.
    factors : bool
        Whether the model learns from the factor matrix.
    """
    widths = np.asarray(store.regions["end"] - store.regions["start"], np.int64)[rows]
    widest = int(widths.max(initial=0))
    cropped = rows[widths > reach]
    share, scored = None, np.zeros(0, np.int64)
    has_matrices = bool(store.motifs) and all(motif.get("matrix") for motif in store.motifs)
    if factors and len(cropped) and has_matrices:
        scored = cropped[permutation(len(cropped), _PICK, seed, 0)[:MOST]]
        read = _share_read(store, scored, reach)
        share = 1 - (1 - read) * len(cropped) / len(rows)
    return Reach(reach, len(rows), len(cropped), widest, share, len(scored))


def _share_read(store: Store, rows: np.ndarray, reach: int) -> float:
    """Share of the best hits of cropped regions that the window of `reach` bases at their centre
    holds, or one as good.
    """
    about: dict[str, Any] = store.info.factors or {}
    background = (about.get("backgrounds") or [UNIFORM])[0]
    how = background, float(about.get("pseudocount", 1.0))
    scorer = DeviceScorer([log_odds(stored_motif(row), *how) for row in store.motifs])
    starts = store.flat_starts[rows]
    widths = np.asarray(store.regions["end"] - store.regions["start"], np.int64)[rows]
    read = total = 0
    by_width = np.argsort(widths, kind="stable")  # neighbours are about as wide: little padding
    for part in np.array_split(by_width, -(-len(by_width) // 8)):
        longest = int(widths[part].max())
        whole = _codes(store, starts[part], longest)
        whole[np.arange(longest) >= widths[part][:, None]] = 4
        shown = _codes(store, starts[part] + (widths[part] - reach) // 2, reach)
        best, seen = (scorer.best(torch.from_numpy(codes)) for codes in (whole, shown))
        possible = torch.isfinite(best)
        read += int((seen[possible] >= best[possible] - _TIE).sum())
        total += int(possible.sum())
    return read / max(total, 1)


def _codes(store: Store, starts: np.ndarray, width: int) -> np.ndarray:
    asked = torch.from_numpy(starts).to(store.device)
    given = store.windows(asked if isinstance(store.genome, torch.Tensor) else starts, width)
    return np.array(as_tensor(given).cpu().numpy())
