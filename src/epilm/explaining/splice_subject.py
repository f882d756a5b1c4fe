"""A model of splice sites as what is explained: its word on one base, the site.

The site is named (`donor@1200`, `acceptor@+3`), or is the strongest one of the region. The window
lies around it and holds all that the answer there sees; a region that reaches further is cut to
that. One strand is read: the region's. Axes: N windows, W bases, C classes, n explained bases.
"""

import re
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from epilm.batch import Windows
from epilm.device import Place
from epilm.errors import InputError, UsageError, nearest
from epilm.explaining import mutagenesis
from epilm.explaining.frames import MORE, Frame, Region
from epilm.explaining.subject import BATCH, Codes, Subject, Values
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.scorer import logits_of_windows
from epilm.genome.sequence import reverse_complement
from epilm.models.per_base import PerBaseModel
from epilm.tasks.splice.transcript_blocks import window_of

STRONGEST = "strongest site"
PIECE = 5000  # bases answered at a time where the strongest site is looked for
_ASKED = re.compile(r"(?P<kind>[^@]+)(?:@(?P<at>[+-]?\d+))?")


class AskedSite(NamedTuple):
    """Which site is explained.

    Attributes
    ----------
    kind : str or None
        Class; None: the strongest of any.
    at : int or None
        Base; None: the strongest.
    relative : bool
        `at` is counted from the region's middle, to the right on the genome.
    """

    kind: str | None = None
    at: int | None = None
    relative: bool = False


def parse_site(output: str | None, kinds: tuple[str, ...], where: str = "") -> AskedSite:
    """Read `acceptor`, `donor@1200` (0-based base of the chromosome) or `donor@+3` (bases right of
    the region's middle).

    Raises
    ------
    UsageError

    Examples
    --------
    >>> parse_site("donor@+3", ("acceptor", "donor"))
    AskedSite(kind='donor', at=3, relative=True)
    """
    if output is None:
        return AskedSite()
    match = _ASKED.fullmatch(output)
    if match is None or match["kind"] not in kinds:
        raise UsageError(
            "the model has no such output",
            where=f"--output of {where}",
            found=repr(output),
            expected=f"{' or '.join(kinds)}, alone or as {kinds[-1]}@1200 or {kinds[-1]}@+3",
            do=nearest(output.partition("@")[0], kinds),
        )
    at = match["at"]
    relative = at is not None and at[0] in "+-"
    return AskedSite(match["kind"], None if at is None else int(at), relative)


class SpliceSubject(Subject):
    """A fine-tuned model that answers each base; its word is the log-odds of a site at one.

    Parameters
    ----------
    model : Finetuned
        Of `labels.per_base`.
    place : Place
    output : str, optional
        See `parse_site`; the strongest site of each region where not given.
    batch : int
    """

    def __init__(
        self, model: Finetuned, place: Place, output: str | None = None, batch: int = BATCH
    ) -> None:
        self.kinds = tuple(str(name) for name in model.about["labels"]["names"])[1:]
        self.asked = parse_site(output, self.kinds, str(model.path))
        super().__init__(
            model.network.to(place.device).eval(),
            model.spec,
            (output or STRONGEST,),
            place,
            where=str(model.path),
            bases=True,
            batch=batch,
        )
        self.model = model
        self.temperature = float(model.about["labels"].get("temperature", 1.0))
        self.context = int(model.about["window_bp"]) - int(model.about["width"])
        # A trunk answers a chunk at a time: fewer bases would leave most of the chunk unknown.
        network = self.network
        chunk = network.kept * network.stride if isinstance(network, PerBaseModel) else 1
        self.block = max(chunk - 2 * MORE - 1, 1)
        self._answer, self._kind = 0, 0  # of the windows made last
        self.notes += [
            "what is explained is the log-odds of a splice site at one base: `site` of each region",
            "the genome's own bases are read on both sides, on the region's strand",
        ]

    @property
    def two_strands(self) -> bool:
        """A site lies on one."""
        return False

    @property
    def reach(self) -> int:
        """Bases on either side of a site that its answer is given of."""
        return int(self.context // 2 + self.block // 2)

    def choose(self, output: str | None) -> None:
        """The output was read when the subject was made."""

    def frames(
        self, region: Region, codes: Codes, width: int | None, first: int
    ) -> tuple[Region, list[Frame]]:
        """Find the site of a region, and lay the window around it.

        Raises
        ------
        UsageError
            If a width is asked for.
        InputError
            If the site lies outside of the region, or all bases are N.
        """
        if width is not None:
            raise UsageError(
                "the window is what the answer at a site sees",
                where="--window",
                found=width,
                do="Leave it out.",
            )
        here = codes[region.start - first : region.end - first]
        if (here > 3).all():
            raise InputError(
                "there is no base to explain",
                where=region.where or region.name,
                found=f"{region.chrom}:{region.start}-{region.end} is N in the genome given",
            )
        site, kind = self._site(region, codes, first)
        start, end = site - self.reach - MORE, site + self.reach + 1 + MORE
        cut = region._replace(
            start=max(region.start, start + MORE), end=min(region.end, end - MORE)
        )
        window = window_of(codes, start - first, end - first)
        more = window_of(codes, end - first, end - first + MORE)
        inside = (cut.start - start, cut.end - start)
        frame = Frame(region.chrom, start, window, more, *inside, region.strand, site - start, kind)
        return cut, [frame]

    def _site(self, region: Region, codes: Codes, first: int) -> tuple[int, int]:
        """Base and class of the site that is explained."""
        asked = self.asked
        if asked.at is not None and asked.kind is not None:
            at = region.middle + asked.at if asked.relative else asked.at
            if not region.start <= at < region.end:
                raise InputError(
                    "the site lies outside of the region",
                    where=region.where or region.name,
                    found=f"--output {self.names[0]}: {region.chrom}:{at}",
                    expected=f"{region.start} to {region.end - 1} (0-based)",
                )
            return at, self.kinds.index(asked.kind)
        best = (-np.inf, region.start, 0)
        for begin in range(region.start, region.end, PIECE):
            end = min(begin + PIECE, region.end)
            half = self.reach
            window = window_of(codes, begin - half - first, end + half - first)
            odds = self._odds_along(window[None], region.strand < 0)[0]  # (bases, kinds)
            odds = odds[half - self.context // 2 :][: end - begin]
            odds[codes[begin - first : end - first] > 3] = -np.inf
            if asked.kind is not None:
                others = [k for k in range(len(self.kinds)) if self.kinds[k] != asked.kind]
                odds[:, others] = -np.inf
            row, kind = divmod(int(odds.argmax()), odds.shape[1])
            if odds[row, kind] > best[0]:
                best = (float(odds[row, kind]), begin + row, kind)
        return best[1], best[2]

    def _odds_along(self, codes: Codes, reverse: bool) -> Values:
        """Log-odds of each class at each base that windows answer, along the genome: (N, W - C,
        kinds).
        """
        with torch.inference_mode():
            windows = self._made(codes, reverse).to(self.place.device)
            odds = self._log_odds(logits_of_windows(self.network, windows))
            values: Values = odds.double().cpu().numpy()
        return values[:, ::-1].copy() if reverse else values

    def _log_odds(self, logits: Tensor) -> Tensor:
        """Of each class but the first against all others, (..., C) to (..., C - 1)."""
        warm = logits.float() / self.temperature
        columns = range(warm.shape[-1])
        rest = [warm[..., [o for o in columns if o != c]].logsumexp(-1) for c in columns if c > 0]
        return warm[..., 1:] - torch.stack(rest, -1)

    def _made(self, codes: Codes, reverse: bool) -> Windows:
        read = reverse_complement(codes) if reverse else codes
        ids = torch.zeros(len(codes), 1, dtype=torch.int64)
        bases = torch.from_numpy(np.ascontiguousarray(read))
        return Windows(ids, ids == 0, codes=bases)

    def windows(self, codes: Codes, frame: Frame, reverse: bool) -> Windows:
        """See `Subject.windows`; which base `logits` answers is that of these windows."""
        at = codes.shape[1] - 1 - frame.site if reverse else frame.site
        self._answer, self._kind = at - self.context // 2, frame.kind
        return self._made(codes, reverse)

    def logits(self, windows: Windows) -> Tensor:
        """Log-odds of the site, (N, 1)."""
        said = logits_of_windows(self.network, windows)[:, self._answer]
        return self._log_odds(said)[:, self._kind : self._kind + 1]

    def altered_logits(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """Log-odds of the site in copies of a window, (N, 1): of what its answer sees alone."""
        network: Any = self.network
        assert windows.codes is not None
        first = self._answer
        seen = windows.codes[:, first : first + self.context + 1]
        cut = Windows(windows.ids, windows.mask, codes=seen)
        said = network.answer_altered(cut, start - first, bases)[:, 0].float()
        return self._log_odds(said)[:, self._kind : self._kind + 1]

    def deletions(self, frame: Frame, longest: int = MORE) -> Values:
        """Score every deletion; see `mutagenesis.deletions`. NaN where the site itself is deleted:
        there is no base left to answer.
        """
        n = frame.last - frame.first
        out = np.full((longest, n), np.nan)
        whole = self.score(frame.codes[None], frame)[0]
        unknown = np.concatenate([[0], np.cumsum(frame.codes > 3)])
        moved: dict[int, list[tuple[int, int]]] = {}
        for length in range(1, min(longest, n) + 1):
            for at in range(frame.first, frame.last - length + 1):
                if at <= frame.site < at + length or unknown[at + length] != unknown[at]:
                    continue
                left = length if at < frame.site else 0
                moved.setdefault(left, []).append((length, at))
        for left, rows in moved.items():
            windows = np.stack([mutagenesis.deleted(frame, length, at) for length, at in rows])
            different, back = np.unique(windows, axis=0, return_inverse=True)
            shifted = replace(frame, site=frame.site - left)
            scored = self.score(different, shifted)[back.reshape(-1)]
            for (length, at), value in zip(rows, scored):
                out[length - 1, at - frame.first] = value - whole
        return out

    def facts(self, frame: Frame) -> dict[str, float]:
        """Where the site lies (0-based), and the log-odds of each class there."""
        along = self._odds_along(frame.codes[None], frame.strand < 0)[0]
        odds = along[frame.site - self.context // 2]
        said = {kind: float(value) for kind, value in zip(self.kinds, odds)}
        return {"site": float(frame.start + frame.site)} | said
