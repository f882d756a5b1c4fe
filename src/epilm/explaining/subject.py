"""A model as a function of sequences: what every explanation is handed.

A fine-tuned task on sequences or on places of a store, a pre-trained model's motif sites, and its
log-odds of hidden k-mers wear one face. Windows are on the forward strand; a subject reads them
from both strands and takes the mean, or from the one its region lies on, as the model learned.
Axes: N windows, W bases, L tokens, O outputs, n explained bases.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.device import Place, batch_fits
from epilm.errors import UsageError, nearest
from epilm.explaining import mutagenesis
from epilm.explaining.frames import MORE, Frame, Region, frames_of, window_of
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.scorer import logits_of_windows
from epilm.finetuning.windows import reading_of
from epilm.genome.sequence import reverse_complement
from epilm.hub.load import Loaded, find_encoder, find_trunk
from epilm.models.local_answers import answers_locally
from epilm.models.model_spec import ModelSpec
from epilm.store.reader import Store
from epilm.tasks.base import labelled
from epilm.tokens.kmers import kmer_ids, wrap
from epilm.tokens.state_tokens import real_tokens
from epilm.variants.task_scorer import HaplotypeStore

Values = NDArray[np.float64]
Codes = NDArray[np.uint8]
BATCH = 64  # windows of a forward pass
FAR, MOST_ALTERED = 8, 64  # altered bases: a share of the window, and no more than these


def stretches(codes: Codes, own: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where windows (N, W) differ from one (W,): the first base, and how many up to the last.

    Examples
    --------
    >>> own = np.array([0, 1, 2, 3], np.uint8)
    >>> begin, length = stretches(np.array([[0, 1, 2, 3], [0, 0, 2, 0]], np.uint8), own)
    >>> begin.tolist(), length.tolist()
    ([0, 1], [0, 3])
    """
    differs = codes != own
    begin = differs.argmax(1)
    length = codes.shape[1] - differs[:, ::-1].argmax(1) - begin
    return begin, np.where(differs.any(1), length, 0)


def task_outputs(labels: dict[str, Any]) -> tuple[tuple[str, ...], Callable[[Tensor], Tensor]]:
    """Name what a task's logits say, and give the function that says it.

    Of two classes the log-odds of the second, of more the log-odds of each against all others; of
    factors and numbers the logits as they are.

    Examples
    --------
    >>> names, odds = task_outputs({"kind": "classes", "names": ["no", "yes"]})
    >>> names, odds(torch.tensor([[1.0, 3.5]])).tolist()
    (('yes',), [[2.5]])
    """
    names = [str(name) for name in labels["names"]]
    if labels["kind"] != "classes":
        return tuple(names), lambda logits: logits
    if len(names) == 2:
        return (names[1],), lambda logits: logits[:, 1:] - logits[:, :1]

    def odds(logits: Tensor) -> Tensor:
        others = ~torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
        rest = logits[:, None].masked_fill(~others, -torch.inf).logsumexp(-1)
        return logits - rest

    return tuple(names), odds


class Subject(ABC):
    """A model, one output of which is explained.

    Attributes
    ----------
    network : nn.Module
        In evaluation mode, on the place's device.
    spec : ModelSpec
        Whose tokens.
    names : tuple of str
        Outputs there are.
    output : int
        Which of them is explained.
    width : int or None
        Bases of a window it must be given; None: any.
    widest : int or None
        Most bases of a window; None: any.
    step : int or None
        Bases in the middle of a window that it is about; None: any.
    both : bool
        Whether its word is the mean over both strands, read one after the other.
    bases : bool
        It reads bases and not tokens.
    notes : list of str
        What a reader must know.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: ModelSpec,
        names: tuple[str, ...],
        place: Place,
        *,
        where: str = "",
        both: bool = False,
        bases: bool = False,
        width: int | None = None,
        widest: int | None = None,
        step: int | None = None,
        batch: int = BATCH,
    ) -> None:
        self.network, self.spec, self.names, self.place = network, spec, names, place
        self.where, self.both, self.bases = where, both, bases
        self.width, self.widest, self.step, self.batch = width, widest, step, batch
        self.output = 0
        self.notes: list[str] = []

    # -- what a kind of model says for itself

    @abstractmethod
    def windows(self, codes: Codes, frame: Frame, reverse: bool) -> Windows:
        """Make what the network reads of windows (N, W) that lie at `frame`; `reverse` from the
        other strand.
        """

    @abstractmethod
    def logits(self, windows: Windows) -> Tensor:
        """Score windows, float32 (N, O); gradients flow."""

    # -- what follows from it

    def choose(self, output: str | None) -> None:
        """Choose the output that is explained.

        Raises
        ------
        UsageError
            If there is no such output, or several and none is named.
        """
        if output is None:
            if len(self.names) > 1:
                raise UsageError(
                    "the model has several outputs, and one is explained",
                    where=self.where,
                    found=f"{len(self.names)}: {', '.join(self.names[:8])}",
                    do=f"Name one: --output {self.names[-1]}.",
                )
            return
        if output not in self.names:
            raise UsageError(
                "the model has no such output",
                where=f"--output of {self.where}",
                found=repr(output),
                do=nearest(output, self.names),
            )
        self.output = self.names.index(output)

    @property
    def two_strands(self) -> bool:
        """Whether its word is of both strands, one way or another."""
        return self.both or self.bases

    def frames(
        self, region: Region, codes: Codes, width: int | None, first: int
    ) -> tuple[Region, list[Frame]]:
        """Cut the windows in which a region is read.

        Parameters
        ----------
        region : Region
        codes : uint8
            All bases that there are, the first of them at `first`.
        width : int, optional
            Bases of a window, where a user says it.
        first : int

        Returns
        -------
        region : Region
            What is explained: the region, or the part of it that the model's word depends on.
        frames : list of Frame

        Raises
        ------
        UsageError, InputError
        """
        window = window_of(region, width, self.widest)
        shortest = 1 if self.bases else self.spec.k
        wide = region.end - region.start if window is None else window
        if wide < shortest:
            raise UsageError(
                "the region is shorter than one k-mer",
                where=region.where or region.name,
                found=f"{wide} bp",
                expected=f"at least {shortest} bp",
                do="Give --window: the bases that the model reads around it.",
            )
        return region, frames_of(region, codes, window, first=first, step=self.step)

    def facts(self, frame: Frame) -> dict[str, float]:
        """Numbers that a reader of a region's map needs beside it."""
        return {}

    def strands(self, frame: Frame) -> tuple[bool, ...]:
        """From which strands a window is read: True is the reverse one."""
        return (False, True) if self.both else (frame.strand < 0,)

    def score(self, codes: Codes, frame: Frame) -> Values:
        """Give the output of windows that lie at one place.

        Parameters
        ----------
        codes : uint8 (N, W)
            W may be less than the frame's where the model reads any width.
        frame : Frame

        Returns
        -------
        float64 (N,)

        Notes
        -----
        Windows that differ from the frame's own in a few bases are scored by what these reach,
        where the network answers so (`models.local_answers`): to rounding the same.
        """
        out = np.zeros(len(codes))
        strands = self.strands(frame)
        if answers_locally(self.network) and codes.shape[1] == frame.width:
            begin, length = stretches(codes, frame.codes)
            near = np.flatnonzero(length <= min(frame.width // FAR, MOST_ALTERED))
            if len(near) > 1:
                near = near[np.argsort(begin[near], kind="stable")]
                longest = max(int(length[near].max()), 1)
                for reverse in strands:
                    out[near] += self._near(codes, near, begin, longest, frame, reverse)
                out[near] /= len(strands)
                far = np.setdiff1d(np.arange(len(codes)), near)
                out[far] = self._whole(codes[far], frame)
                return out
        return self._whole(codes, frame)

    def _whole(self, codes: Codes, frame: Frame) -> Values:
        """Score windows from one end to the other."""
        out = np.zeros(len(codes))
        strands = self.strands(frame)
        for first in range(0, len(codes), self.batch):
            here = codes[first : first + self.batch]
            for reverse in strands:

                def scored(n: int, here: Codes = here, reverse: bool = reverse) -> Values:
                    return self._scored(here[:n], frame, reverse)

                with batch_fits(
                    len(here),
                    scored,
                    option="--batch-size",
                    where="explanation",
                    device=self.place.device,
                    kind=UsageError,
                ):
                    out[first : first + len(here)] += scored(len(here)) / len(strands)
        return out

    def _near(
        self,
        codes: Codes,
        near: NDArray[np.int64],
        begin: NDArray[np.int64],
        length: int,
        frame: Frame,
        reverse: bool,
    ) -> Values:
        """Score rows of windows that differ from the frame's in `length` bases from `begin` on."""
        network: Any = self.network
        width = frame.width
        begin = np.minimum(begin[near], width - length)
        bases = codes[near[:, None], begin[:, None] + np.arange(length)]  # (n, length)
        if reverse:
            begin, bases = width - length - begin, reverse_complement(bases)
        device = self.place.device
        windows = self.windows(frame.codes[None], frame, reverse).to(device)
        # As many copies as make the work of a pass of whole windows.
        batch = self.batch * max(1, width // (length + 2 * network.reach))
        out = np.zeros(len(near))
        for first in range(0, len(near), batch):
            part = slice(first, first + batch)

            def scored(n: int, part: slice = part) -> Values:
                start = torch.from_numpy(begin[part][:n]).to(device)
                altered = torch.from_numpy(np.ascontiguousarray(bases[part][:n])).to(device)
                with torch.inference_mode():
                    logits = self.altered_logits(windows, start, altered)
                    values: Values = logits[:, self.output].double().cpu().numpy()
                return values

            n = len(begin[part])
            with batch_fits(
                n,
                scored,
                option="--batch-size",
                where="explanation",
                device=device,
                kind=UsageError,
            ):
                out[part] = scored(n)
        return out

    def altered_logits(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """Score copies of one window with other bases (N, m) from `start` (N,) on, (N, O), where
        the network answers so (`models.local_answers`).
        """
        raise NotImplementedError

    def _scored(self, codes: Codes, frame: Frame, reverse: bool) -> Values:
        with torch.inference_mode():
            windows = self.windows(codes, frame, reverse).to(self.place.device)
            values: Values = self.logits(windows)[:, self.output].double().cpu().numpy()
        return values

    def of(self, frame: Frame) -> Callable[[Codes], Values]:
        """Make the function of sequences that lie at a frame."""
        return lambda codes: self.score(codes, frame)

    def substitutions(self, frame: Frame) -> Values:
        """Score every substitution; see `mutagenesis.substitutions`."""
        return mutagenesis.substitutions(self.of(frame), frame)

    def deletions(self, frame: Frame, longest: int = MORE) -> Values:
        """Score every deletion of up to `longest` bases; see `mutagenesis.deletions`."""
        return mutagenesis.deletions(self.of(frame), frame, longest)


class TaskSubject(Subject):
    """A fine-tuned task that reads sequences alone.

    Parameters
    ----------
    model : Finetuned
    place : Place
    """

    def __init__(self, model: Finetuned, place: Place, batch: int = BATCH) -> None:
        names, self._odds = task_outputs(model.about["labels"])
        super().__init__(
            model.network.to(place.device).eval(),
            model.spec,
            names,
            place,
            where=str(model.path),
            both=model.both_strands,
            bases=model.bases,
            widest=None if model.bases else model.widest,
            batch=batch,
        )
        self.model = model
        if model.about.get("fusion", "none") != "none":
            self.notes.append(
                "the model also reads the motif scores of the sequence: mutations change them,"
                " gradients do not see them"
            )

    def windows(self, codes: Codes, frame: Frame, reverse: bool) -> Windows:
        """See `Subject.windows`."""
        read = reverse_complement(codes) if reverse else codes
        rows = labelled(list(read), np.zeros(len(read)), name=frame.chrom)
        reading = reading_of(self.model, rows, None, self.place.device, None)
        self.notes += [note for note in reading.notes if note not in self.notes]
        return reading.windows(np.arange(len(rows)))

    def logits(self, windows: Windows) -> Tensor:
        """See `Subject.logits`."""
        return self._odds(logits_of_windows(self.network, windows))

    def altered_logits(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """See `Subject.altered_logits`."""
        network: Any = self.network
        return self._odds(network.answer_altered(windows, start, bases).float())


class PlacedSubject(Subject):
    """A fine-tuned task whose windows lie in a store: its tracks, in a cell type.

    Parameters
    ----------
    model : Finetuned
    place : Place
    store : Store
    cell : str
        A cell type of the store.

    Raises
    ------
    StoreError, CheckpointError
        If the store lacks what the model reads, or is of another genome.
    """

    def __init__(
        self, model: Finetuned, place: Place, store: Store, cell: str, batch: int = BATCH
    ) -> None:
        reads = model.reads
        reads.check(store, [cell])
        names, self._odds = task_outputs(model.about["labels"])
        super().__init__(
            model.network.to(place.device).eval(),
            model.spec,
            names,
            place,
            where=str(model.path),
            both=model.both_strands,
            bases=model.bases,
            width=reads.window_bp,
            widest=reads.window_bp,
            step=reads.width or None,
            batch=batch,
        )
        self.model, self.cell = model, store.cell_number(cell)
        self.store = HaplotypeStore.of(store)
        self.reader = reads.reader(self.store).plain
        if reads.states or any(name for name, _, _ in reads.signals):
            self.notes.append(
                f"states and signals are those of {cell}; behind a deletion they stand beside other"
                " bases"
            )

    def windows(self, codes: Codes, frame: Frame, reverse: bool) -> Windows:
        """See `Subject.windows`."""
        n = len(codes)
        starts = np.full(n, frame.start)
        chroms = np.full(n, self.store.chrom_number(frame.chrom))
        strands = np.ones(n, bool) if reverse else None
        with self.store.holding(starts, codes):
            return self.reader(np.full(n, self.cell), chroms, starts, strands)

    def logits(self, windows: Windows) -> Tensor:
        """See `Subject.logits`."""
        return self._odds(logits_of_windows(self.network, windows, self.place.autocast))

    def altered_logits(self, windows: Windows, start: Tensor, bases: Tensor) -> Tensor:
        """See `Subject.altered_logits`."""
        network: Any = self.network
        with self.place.autocast():
            logits = network.answer_altered(windows, start, bases)
        return self._odds(logits.float())


class SiteSubject(Subject):
    """A pre-trained model's word on motif sites: the largest logit of a motif over the tokens.

    Parameters
    ----------
    model : Loaded
        With a head of motifs.
    place : Place
    names : tuple of str
        Of the motifs, or clusters of them.
    """

    def __init__(
        self, model: Loaded, place: Place, names: tuple[str, ...], batch: int = BATCH
    ) -> None:
        super().__init__(
            model.model,
            model.spec,
            names,
            place,
            where=str(model.path),
            both=True,
            widest=model.widest,
            batch=batch,
        )
        head: Any = model.model.motif_head
        self.head: nn.Linear = head

    def windows(self, codes: Codes, frame: Frame, reverse: bool) -> Windows:
        """See `Subject.windows`."""
        return token_windows(reverse_complement(codes) if reverse else codes, self.spec)

    def logits(self, windows: Windows) -> Tensor:
        """See `Subject.logits`."""
        hidden = hidden_of(self.network, windows)
        real = real_tokens(windows.ids, windows.mask)[..., None]
        best: Tensor = self.head(hidden).masked_fill(~real, -torch.inf).amax(1)
        return best


def token_windows(codes: Codes, spec: ModelSpec) -> Windows:
    """Make windows of tokens alone, (N, W) to (N, L)."""
    bare = torch.from_numpy(kmer_ids(np.ascontiguousarray(codes), spec.k, spec.stride))
    special = bool(spec.special_tokens)
    ids, mask = wrap(bare, cls=special, sep=special)
    return Windows(ids, mask, full=True)


def hidden_of(network: nn.Module, windows: Windows, rows: Tensor | None = None) -> Tensor:
    """Encode windows: token vectors (N, L, H), or those of `rows`."""
    trunk = find_trunk(network)
    if trunk is not None:
        return trunk.encode(windows.ids, windows.mask, windows.states, full=windows.full, rows=rows)
    mask = None if windows.full else windows.mask
    return find_encoder(network)(windows.ids, None, mask, rows=rows)[0]
