"""What a fine-tuned task says of two haplotypes: its logits, of bases alone or in a cell type of a
store.

Axes: N pairs, W bases, R rows of a pass, F outputs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor, nn

from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.scorer import ModelScorer, logits_of_windows
from epilm.finetuning.windows import OwnBases
from epilm.store.reader import Store
from epilm.tasks.base import labelled
from epilm.variants.haplotypes import WindowPairs
from epilm.variants.passes import Rows, SteadyRows, passes, probe_windows
from epilm.variants.scorers import Codes, Said, Values


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
        forward = pairs.turned().codes if pairs.reverse else pairs.codes
        codes = (pairs.codes if self.haplotypes is None else forward).reshape(2 * n, width)
        chroms = starts = None
        keys = [row.tobytes() for row in codes]
        if self.haplotypes is not None:
            chroms = np.repeat([self.haplotypes.chrom_number(c) for c in pairs.chrom], 2)
            starts = np.repeat(pairs.start, 2)
            keys = [
                b"%d:%d:" % (chrom, start) + key
                for chrom, start, key in zip(chroms, starts, keys, strict=True)
            ]
        logits = np.empty((2 * n, len(self.model.about["labels"]["names"])))
        for each in passes(keys, self._rows(width)):
            rows = each.rows
            if chroms is None or starts is None:
                answers = self._of_bases(codes[rows])
            else:
                answers = self._in_store(codes[rows], chroms[rows], starts[rows], pairs.reverse)
            logits[each.asked] = answers.double().numpy()[each.slots]
        values = self._odds(logits).reshape(n, 2, -1)
        return Said({name: values[:, :, i] for i, name in enumerate(self.sides)}, {})

    def _rows(self, width: int) -> int:
        """How many rows passes have; tried once for a width."""
        probe = probe_windows(width)

        def compute(rows: Rows) -> tuple[Tensor]:
            if self.haplotypes is None:
                return (self._of_bases(probe[rows]),)
            start = np.full(len(rows), (self.haplotypes.sizes[0] - width) // 2)
            return (self._in_store(probe[rows], np.zeros(len(rows), int), start, False),)

        return self._steady(width, compute, self.device)

    def _of_bases(self, codes: Codes) -> Tensor:
        """Logits (R, outputs) of windows alone."""
        machine = self.score.place
        autocast = nullcontext if self.model.bases else machine.autocast
        reading = OwnBases(self.model, labelled(list(codes), np.zeros(len(codes))), machine.device)
        with torch.inference_mode():
            windows = reading.windows(np.arange(len(codes))).to(machine.device)
            return logits_of_windows(self.model.network, windows, autocast).cpu()

    def _in_store(self, codes: Codes, chroms: Rows, starts: Rows, reverse: bool) -> Tensor:
        """Logits (R, outputs): the store's tracks, the haplotypes' bases."""
        assert self.haplotypes is not None
        machine, cells = self.score.place, np.full(len(codes), self.cell)
        strands = np.full(len(codes), True) if reverse else None
        with torch.inference_mode():
            with self.haplotypes.holding(starts, codes):
                windows = self.reader(cells, chroms, starts, strands)
            return logits_of_windows(
                self.model.network, windows.to(machine.device), machine.autocast
            ).cpu()


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
