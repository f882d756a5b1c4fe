"""A pre-trained model's own word on a base: log-odds of the k-mers that cover it, all hidden.

One pass with these tokens hidden says it of all four bases at once, since nothing else of the
window changes: a map of substitutions takes one window a base and not four. Deletions take two.
Axes: N windows, L tokens, M hidden tokens, n explained bases.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.batch import Windows
from epilm.device import Place
from epilm.errors import CheckpointError, UsageError, nearest
from epilm.explaining.frames import MORE, Frame
from epilm.explaining.mutagenesis import deleted
from epilm.explaining.subject import (
    BATCH,
    Codes,
    SiteSubject,
    Subject,
    Values,
    hidden_of,
    token_windows,
)
from epilm.genome.sequence import reverse_complement
from epilm.hub.load import Loaded, find_masked_head
from epilm.tokens.kmers import MASK, kmer_ids
from epilm.variants.pretrained_scorer import touched_tokens

LLR = "llr"


def site_names(model: Loaded) -> tuple[str, ...]:
    """Name a pre-trained model's outputs on motif sites; by number where it kept no names."""
    head: Any = getattr(model.model, "motif_head", None)
    if head is None:
        return ()
    names = [str(name) for name in model.extra.get("motif_site_names", ())]
    if len(names) != head.out_features:
        names = [str(number) for number in range(head.out_features)]
    return tuple(f"site_{name}" for name in names)


def pretrained_subject(
    model: Loaded, place: Place, output: str | None, batch: int = BATCH
) -> Subject:
    """Open a pre-trained model: its log-odds, or one of its motifs.

    Raises
    ------
    UsageError
        If it has no such output.
    """
    sites = site_names(model)
    names = (*(() if model.no_kmers else (LLR,)), *sites)
    asked = LLR if output is None and not model.no_kmers else output
    if asked is None and sites:  # which of them, nobody said: refused where there are several
        subject = SiteSubject(model, place, sites, batch)
        subject.choose(None)
        return subject
    if asked not in names:
        asked = asked or LLR
        raise UsageError(
            "the model has no such output",
            where=f"--output of {model.path}",
            found=repr(asked),
            do=f"{model.no_kmers}. {nearest(asked, names)}".lstrip(". ")
            if names
            else f"{model.no_kmers}, and it has no head of motifs.",
        )
    if asked == LLR:
        return LogOddsSubject(model, place, batch)
    subject = SiteSubject(model, place, sites, batch)
    subject.choose(asked)
    return subject


class LogOddsSubject(Subject):
    """Mean ln P of the k-mers that cover a change, all of them hidden.

    Parameters
    ----------
    model : Loaded
        With a head of k-mers.
    place : Place
    batch : int
    """

    def __init__(self, model: Loaded, place: Place, batch: int = BATCH) -> None:
        super().__init__(
            model.model.eval(),
            model.spec,
            (LLR,),
            place,
            where=str(model.path),
            both=True,
            widest=model.widest,
            batch=batch,
        )
        head = find_masked_head(model.model)
        if head is None or model.no_kmers:
            raise CheckpointError(model.no_kmers, where=str(model.path))
        self.head = head

    def windows(self, codes: Codes, frame: Frame, reverse: bool) -> Any:
        """See `Subject.windows`."""
        return token_windows(reverse_complement(codes) if reverse else codes, self.spec)

    def logits(self, windows: Any) -> Tensor:
        """Refuse: log-odds are of a change, a sequence alone has none."""
        raise UsageError(
            "log-odds of hidden k-mers are of a change, not of a sequence",
            where=self.where,
            found="a method that needs one number a sequence",
            do="Take --method ism, deletions, attention or rollout, or a fine-tuned run.",
        )

    def substitutions(self, frame: Frame) -> Values:
        """Give ln P of each base less that of the one that stands there, (4, n); see
        `mutagenesis.substitutions`.
        """
        n = frame.last - frame.first
        total = np.zeros((4, n))
        strands = self.strands(frame)
        for reverse in strands:
            codes = reverse_complement(frame.codes) if reverse else frame.codes
            at = np.arange(frame.first, frame.last)
            read = frame.width - 1 - at if reverse else at
            said = np.full((4, n), np.nan)
            known = np.flatnonzero(frame.codes[at] < 4)
            for first in range(0, len(known), self.batch):
                rows = known[first : first + self.batch]
                said[:, rows] = self._four(codes, read[rows])
            total += (said[::-1] if reverse else said) / len(strands)
        here = frame.codes[frame.first : frame.last]
        own = np.take_along_axis(total, np.minimum(here, 3).astype(np.int64)[None], 0)
        changes = total - own
        return np.where(here < 4, changes, np.nan)

    def _four(self, codes: Codes, at: NDArray[np.int64]) -> Values:
        """Mean ln P with each of the four bases at places of one window, (4, N)."""
        spec = self.spec
        windows = token_windows(codes[None], spec)
        special, tokens = int(spec.special_tokens), windows.ids.shape[1] - 2 * spec.special_tokens
        touched = [touched_tokens(int(a), int(a) + 1, tokens, spec.k, spec.stride) for a in at]
        ids = windows.ids.repeat(len(at), 1)
        rows, true, owner = [], [], []
        for row, (position, covering) in enumerate(zip(at, touched)):
            ids[row, torch.from_numpy(covering + special)] = MASK
            rows.append(covering + special + row * ids.shape[1])
            owner.append(np.full(len(covering), row))
            four = np.repeat(codes[None], 4, 0)
            four[np.arange(4), position] = np.arange(4)
            true.append(kmer_ids(four, spec.k, spec.stride)[:, covering])
        return self._means(ids, np.concatenate(rows), np.concatenate(true, 1), owner, len(at))

    def _means(
        self,
        ids: Tensor,
        rows: NDArray[np.int64],
        true: NDArray[np.int64],
        owner: list[NDArray[np.int64]],
        n: int,
    ) -> Values:
        """Mean over each window's hidden tokens of ln P of k-mers: true (A, M) to (A, n)."""
        device = self.place.device
        with torch.inference_mode():
            ids = ids.to(device)
            windows = Windows(ids, torch.ones_like(ids, dtype=torch.bool), full=True)
            hidden = hidden_of(self.network, windows, torch.from_numpy(rows).to(device))
            logits = self.head(hidden).double().log_softmax(-1).cpu()
            said = logits.gather(1, torch.from_numpy(true.T.copy())).numpy().T  # (A, M)
        of = np.concatenate(owner)
        count = np.bincount(of, minlength=n)
        with np.errstate(invalid="ignore"):
            sums = [np.bincount(of, weights=row, minlength=n) for row in said]
            return np.stack(sums) / count

    def deletions(self, frame: Frame, longest: int = MORE) -> Values:
        """Give ln P of the k-mers across each junction less that of the deleted bases' own,
        (longest, n); see `mutagenesis.deletions`.
        """
        n = frame.last - frame.first
        out = np.full((longest, n), np.nan)
        rows = [
            (length, at)
            for length in range(1, min(longest, n) + 1)
            for at in range(frame.first, frame.last - length + 1)
            if (frame.codes[at : at + length] < 4).all()
            and frame.width - length + min(length, len(frame.more)) >= self.spec.k
        ]
        strands = self.strands(frame)
        for first in range(0, len(rows), self.batch):
            part = rows[first : first + self.batch]
            change = np.zeros(len(part))
            for reverse in strands:
                ref = [(frame.codes, at, at + length) for length, at in part]
                alt = [(deleted(frame, length, at), at, at) for length, at in part]
                change += (self._mean(alt, reverse) - self._mean(ref, reverse)) / len(strands)
            for (length, at), value in zip(part, change):
                out[length - 1, at - frame.first] = value
        return out

    def _mean(self, windows: list[tuple[Codes, int, int]], reverse: bool) -> Values:
        """Mean ln P of the k-mers that touch [begin, end) of windows of any widths."""
        spec, out = self.spec, np.full(len(windows), np.nan)
        special = int(spec.special_tokens)
        by_width: dict[int, list[int]] = {}
        for number, (codes, _, _) in enumerate(windows):
            by_width.setdefault(len(codes), []).append(number)
        for width, members in by_width.items():
            codes = np.stack([windows[m][0] for m in members])
            spans = [windows[m][1:] for m in members]
            if reverse:
                codes = reverse_complement(codes)
                spans = [(width - end, width - begin) for begin, end in spans]
            read = token_windows(codes, spec)
            ids, bare = read.ids.clone(), kmer_ids(codes, spec.k, spec.stride)
            rows, true, owner = [], [], []
            for row, (begin, end) in enumerate(spans):
                covering = touched_tokens(begin, end, bare.shape[1], spec.k, spec.stride)
                ids[row, torch.from_numpy(covering + special)] = MASK
                rows.append(covering + special + row * ids.shape[1])
                true.append(bare[row, covering])
                owner.append(np.full(len(covering), row))
            said = self._means(
                ids, np.concatenate(rows), np.concatenate(true)[None], owner, len(members)
            )
            out[members] = said[0]
        return out
