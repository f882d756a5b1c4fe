"""What a fine-tuned task says of two haplotypes: its logits, of bases alone or in a cell type of a
store.

Where windows lie on a grid, and the network answers so (`models.local_answers`), haplotypes of one
length are copies of one window: the bases that they have in common, those of the grid's cell
unknown. It is a function of the two haplotypes alone, and all of a cell share it; of each copy what
the cell reaches is computed.
Axes: N pairs, W bases, R rows of a pass, F outputs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.scorer import Autocast, ModelScorer, logits_of_windows
from epilm.finetuning.windows import OwnBases
from epilm.genome.sequence import reverse_complement
from epilm.models.local_answers import answers_locally
from epilm.store.reader import Store
from epilm.tasks.base import labelled
from epilm.variants.haplotypes import WindowPairs
from epilm.variants.passes import (
    Rows,
    SteadyRows,
    passes,
    probe_windows,
    wished_copies,
    wished_rows,
)
from epilm.variants.scorers import Codes, Said, Values

UNKNOWN = 4  # the code of a base that is not known
WORTH = 4  # times as wide as what is computed anew a window is, for copies to be worth it


def task_scores(model: Finetuned) -> tuple[tuple[str, ...], Callable[[Values], Values]]:
    """Names of what a task's logits say, and the function that says it.

    Of two classes the log-odds of the second, of more the log-odds of each against all others; of
    factors and numbers the logits as they are.
    """
    names = [str(name) for name in model.about["labels"]["names"]]
    if model.about["labels"]["kind"] != "classes":
        return tuple(names), lambda logits: logits
    if len(names) == 2:
        return (names[1],), lambda logits: logits[:, 1:] - logits[:, :1]

    def odds(logits: Values) -> Values:
        rest = [np.delete(logits, c, axis=1) for c in range(logits.shape[1])]
        return np.stack(
            [logits[:, c] - logsumexp(other, axis=1) for c, other in enumerate(rest)], 1
        )

    return tuple(names), odds


class TaskScorer:
    """A fine-tuned task, read from sequences with bases of their own or in a cell type of a store.

    Parameters
    ----------
    score : ModelScorer
        `finetuning.scorer.open_scorer`.
    store : Store, optional
    cell : str, optional
        Both, for a model that reads places of a store; or neither.

    Raises
    ------
    UsageError, StoreError
        If the model needs a store and none is given, or the other way round.
    """

    between: tuple[str, ...] = ()

    def __init__(
        self, score: ModelScorer, store: Store | None = None, cell: str | None = None
    ) -> None:
        self.score, self.model = score, score.model
        self.network: nn.Module | None = score.model.network
        self.symmetric = self.model.symmetric
        self.notes: list[str] = []
        names, self._odds = task_scores(self.model)
        self.sides: tuple[str, ...] = tuple(f"logit_{name}" for name in names)
        reads = self.model.reads
        placed = bool(reads.window_bp)
        if placed and (store is None or cell is None):
            raise UsageError(
                "the model reads places of a store, in a cell type",
                where=str(self.model.path),
                do="Give --store and --cell.",
            )
        if not placed and (store is not None or cell is not None):
            raise UsageError(
                "the model reads sequences alone",
                where=str(self.model.path),
                found="--store or --cell",
                do="Give --genome, and leave both out.",
            )
        self.width = reads.window_bp if placed else None
        self.widest = None if placed or self.model.bases else self.model.widest
        self.haplotypes: HaplotypeStore | None = None
        self._steady = SteadyRows(self.notes)
        if store is not None and cell is not None:
            reads.check(store, [cell])
            self.cell = store.cell_number(cell)
            self.haplotypes = HaplotypeStore.of(store)
            self.reader = reads.reader(self.haplotypes).plain
            if reads.signals or reads.states:
                self.notes.append("behind an indel the store's tracks stand beside other bases")
        elif reads.states:
            self.notes.append("states are read as unknown: a genome alone has no cell type")

    @property
    def device(self) -> torch.device:
        """See `PairScorer`."""
        return self.score.place.device

    def __call__(self, pairs: WindowPairs) -> Said:
        """See `PairScorer`."""
        n, _, width = pairs.codes.shape
        # As the genome has them: a store's reader turns bases and tracks together.
        as_there = pairs.turned() if self.haplotypes is not None and pairs.reverse else pairs
        codes = as_there.codes.reshape(2 * n, width)
        chroms, starts = np.zeros(2 * n, np.int64), np.zeros(2 * n, np.int64)
        if self.haplotypes is not None:
            chroms = np.repeat([self.haplotypes.chrom_number(c) for c in pairs.chrom], 2)
            starts = np.repeat(pairs.start, 2)
        places = [b"%d:%d:" % place for place in zip(chroms, starts, strict=True)]
        logits = np.empty((2 * n, len(self.model.about["labels"]["names"])))
        as_copies = np.repeat(self._as_copies(as_there), 2)
        whole = np.flatnonzero(~as_copies)
        keys = [places[row] + codes[row].tobytes() for row in whole]
        for each in passes(keys, self._rows(width) if keys else 1):
            rows = whole[each.rows]
            answers = self._answers(codes[rows], chroms[rows], starts[rows], pairs.reverse)
            logits[whole[each.asked]] = answers.double().numpy()[each.slots]
        cells = np.repeat(as_there.cells, 2, axis=0)
        bases: dict[bytes, list[int]] = defaultdict(list)
        for row in np.flatnonzero(as_copies).tolist():
            begin, end = cells[row]
            beside = codes[row, :begin].tobytes() + codes[row, end:].tobytes()
            bases[places[row] + b"%d:%d:" % (begin, end) + beside].append(row)
        for members in bases.values():
            first, (begin, end) = members[0], cells[members[0]]
            window = codes[first].copy()
            window[begin:end] = UNKNOWN
            place = chroms[first], starts[first], pairs.reverse
            inside = codes[members, begin:end]
            rows_of_pass = self._rows_of_copies(width, begin, end)
            for each in passes([row.tobytes() for row in inside], rows_of_pass):
                answers = self._of_copies(window, inside[each.rows], begin, *place)
                asked = np.array(members)[each.asked]
                logits[asked] = answers.double().numpy()[each.slots]
        values = self._odds(logits).reshape(n, 2, -1)
        return Said({name: values[:, :, i] for i, name in enumerate(self.sides)}, {})

    def _as_copies(self, pairs: WindowPairs) -> NDArray[np.bool_]:
        """Which pairs (N,) are read as copies of one window."""
        network, width = self.network, pairs.codes.shape[2]
        lengths = pairs.ends - pairs.begin  # (N, 2)
        cell = pairs.cells[:, 1] - pairs.cells[:, 0]
        if not answers_locally(network):
            return np.zeros(len(pairs), bool)
        shared = (lengths[:, 0] == lengths[:, 1]) & (cell > lengths[:, 0])
        return shared & (WORTH * (cell + 2 * network.reach) <= width)

    def _rows(self, width: int) -> int:
        """How many rows passes of whole windows have; tried once for a width."""
        probe, (chrom, start) = probe_windows(width), self._probe_place(width)

        def compute(rows: Rows) -> tuple[Tensor]:
            n = len(rows)
            return (self._answers(probe[rows], np.full(n, chrom), np.full(n, start), False),)

        return self._steady(width, compute, wished_rows(self.device))

    def _rows_of_copies(self, width: int, begin: int, end: int) -> int:
        """How many rows passes of copies have; tried once for a cell."""
        probe, place = probe_windows(width), self._probe_place(width)
        window = probe[0].copy()
        window[begin:end] = UNKNOWN

        def compute(rows: Rows) -> tuple[Tensor]:
            return (self._of_copies(window, probe[rows, begin:end], begin, *place, False),)

        return self._steady((width, begin, end), compute, wished_copies(self.device, end - begin))

    def _probe_place(self, width: int) -> tuple[int, int]:
        """Chromosome and base where windows are tried."""
        return 0, 0 if self.haplotypes is None else int(self.haplotypes.sizes[0] - width) // 2

    def _windows(self, codes: Codes, chroms: Rows, starts: Rows, reverse: bool) -> Windows:
        """Make what the network reads of windows (R, W): of bases alone, or with the store's
        tracks where they lie.
        """
        n = len(codes)
        if self.haplotypes is None:
            rows = labelled(list(codes), np.zeros(n))
            return OwnBases(self.model, rows, self.device).windows(np.arange(n))
        strands = np.full(n, True) if reverse else None
        with self.haplotypes.holding(starts, codes):
            return self.reader(np.full(n, self.cell), chroms, starts, strands)

    def _answers(self, codes: Codes, chroms: Rows, starts: Rows, reverse: bool) -> Tensor:
        """Logits (R, outputs) of windows."""
        with torch.inference_mode():
            windows = self._windows(codes, chroms, starts, reverse).to(self.device)
            return logits_of_windows(self.model.network, windows, self._autocast()).cpu()

    def _of_copies(
        self, window: Codes, bases: Codes, begin: int, chrom: int, start: int, reverse: bool
    ) -> Tensor:
        """Logits (R, outputs) of copies of a window (W,) with bases (R, m) from `begin` on."""
        network: Any = self.model.network
        if reverse and self.haplotypes is not None:  # what is read is the window turned
            begin = len(window) - begin - bases.shape[1]
            bases = reverse_complement(bases)
        begins = torch.full((len(bases),), int(begin), device=self.device)
        altered = torch.from_numpy(np.ascontiguousarray(bases)).to(self.device)
        with torch.inference_mode():
            windows = self._windows(window[None], np.array([chrom]), np.array([start]), reverse)
            with self._autocast()():
                answers = network.answer_altered(windows.to(self.device), begins, altered)
            return answers.float().cpu()

    def _autocast(self) -> Autocast:
        alone = self.haplotypes is None and self.model.bases
        return nullcontext if alone else self.score.place.autocast


@dataclass(frozen=True)
class HaplotypeStore(Store):
    """A store whose windows have other bases where a haplotype is put in.

    States and signals stay where they are in the window: behind an insertion or a deletion they
    stand beside other bases than in the genome.
    """

    in_place: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = field(default_factory=list)

    @classmethod
    def of(cls, store: Store) -> "HaplotypeStore":
        """The same store, bases of which can be replaced."""
        return cls(**{each.name: getattr(store, each.name) for each in fields(store)})

    @contextmanager
    def holding(self, starts: NDArray[np.int64], codes: NDArray[np.uint8]) -> Iterator[None]:
        """Within, bases (B, W) whose first stands at `starts` are in the windows of B rows."""
        self.in_place.append((starts, codes))
        try:
            yield
        finally:
            self.in_place.pop()

    def bases(self, chroms: Any, starts: Any, width: int) -> Any:
        """See `Store.bases`; rows are those of what is put in."""
        there = np.array(super().bases(chroms, starts, width))
        if not self.in_place:
            return there
        firsts, codes = self.in_place[-1]
        for row, (start, first) in enumerate(zip(np.asarray(starts), firsts, strict=True)):
            a, b = max(start, first), min(start + width, first + codes.shape[1])
            there[row, a - start : b - start] = codes[row, a - first : b - first]
        return there
