"""What is said of two haplotypes: masked log-odds, embedding distance, a task's logits, motifs.

Every forward pass holds the two windows of one variant and nothing else, in an order that does not
depend on which of them is REF. So the last bit of a score depends on no neighbour, batch or order,
and REF and ALT swapped negate it exactly.
Axes: N pairs, W bases, L tokens, M masked tokens, F outputs or motifs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.predict import ModelScorer, logits_of, logits_of_windows
from epilm.finetuning.windows import reading_of
from epilm.hub.load import Loaded, find_masked_head, find_trunk
from epilm.motifs.log_odds import log_odds
from epilm.motifs.motif import Motif
from epilm.motifs.scan import best_scores
from epilm.store.reader import Store
from epilm.tasks.base import labelled
from epilm.tokens.kmers import MASK, kmer_ids, wrap
from epilm.variants.haplotypes import WindowPairs

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Said:
    """Scores of N pairs on one strand.

    Attributes
    ----------
    sides : dict of str to float64 (N, 2)
        A value of each haplotype, in the pair's order.
    between : dict of str to float64 (N,)
        A distance of the two, the same in either order.
    """

    sides: dict[str, Values]
    between: dict[str, Values]


class PairScorer(Protocol):
    """A way to score pairs.

    Attributes
    ----------
    sides, between : tuple of str
        Names of the scores it gives.
    width : int or None
        Bases of a window it must be given; None: any.
    widest : int or None
        Most bases of a window; None: any.
    """

    sides: tuple[str, ...]
    between: tuple[str, ...]
    width: int | None
    widest: int | None

    def __call__(self, pairs: WindowPairs) -> Said:
        """Score pairs as they are read, on the strand they are read from."""


def touched_tokens(begin: int, end: int, tokens: int, k: int, stride: int = 1) -> NDArray[np.int64]:
    """Which k-mers of a window cover an allele; for one without bases those across its junction.

    Examples
    --------
    The base 10 of 20 (protocol: tokens 5..10), the first ones, and the last:

    >>> touched_tokens(10, 11, 15, 6).tolist(), touched_tokens(2, 3, 15, 6).tolist()
    ([5, 6, 7, 8, 9, 10], [0, 1, 2])
    >>> touched_tokens(19, 20, 15, 6).tolist()
    [14]
    >>> touched_tokens(10, 10, 15, 3).tolist()
    [8, 9]
    """
    first = stride * np.arange(tokens)
    inside = np.flatnonzero((first < end) & (first + k > begin))
    if not len(inside):  # k-mers side by side, and the junction lies between two of them
        inside = np.flatnonzero((first < end + 1) & (first + k > begin - 1))
    return inside


class MaskedScorer:
    """A pre-trained model: log-odds of hidden k-mers, and how far apart the two vectors are.

    `llr` is the mean over the k-mers that cover the allele, all of them hidden, of ln P of the
    haplotype's own k-mer. For alleles of one length the difference of the two is the mean of
    ln P(alt) / P(ref), in nats. `l2` and `cosine` (1 - cos) are of the pooled vectors.

    Parameters
    ----------
    model : Loaded
        On the device that computes.
    """

    between: tuple[str, ...] = ("l2", "cosine")
    width: int | None = None

    def __init__(self, model: Loaded) -> None:
        self.model, spec = model, model.spec
        self.head = find_masked_head(model.model)
        self.sides: tuple[str, ...] = () if self.head is None else ("llr",)
        room = min(spec.max_tokens, model.encoder.max_positions) - 2 * spec.special_tokens
        self.widest: int | None = (room - 1) * spec.stride + spec.k

    def __call__(self, pairs: WindowPairs) -> Said:
        """See `PairScorer`."""
        n, _, width = pairs.codes.shape
        vectors = self.model.embed(list(pairs.codes.reshape(2 * n, width)), batch_size=2)
        first, second = np.moveaxis(vectors.astype(np.float64).reshape(n, 2, -1), 1, 0)
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosine = (first * second).sum(1) / np.maximum(norms, 1e-300)
        between = {
            "l2": np.linalg.norm(first - second, axis=1),
            "cosine": np.maximum(1 - cosine, 0),
        }
        if self.head is None:
            return Said({}, between)
        llr = np.empty((n, 2))
        with torch.inference_mode():
            for row in range(n):
                llr[row] = self._mean_log_odds(pairs.codes[row], pairs.begin[row], pairs.ends[row])
        return Said({"llr": llr}, between)

    def _mean_log_odds(
        self, codes: NDArray[np.uint8], begin: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> list[float]:
        """Mean ln P of the hidden k-mers of two haplotypes (2, W)."""
        spec, encoder = self.model.spec, self.model.encoder
        device = encoder.words.weight.device
        special = int(spec.special_tokens)
        bare = torch.from_numpy(kmer_ids(codes, spec.k, spec.stride).astype(np.int64))
        ids, mask = wrap(bare, cls=bool(special), sep=bool(special))
        hidden = ids.clone()
        rows, true, sizes = [], [], []
        for side in range(2):
            touched = touched_tokens(
                int(begin[side]), int(ends[side]), bare.shape[1], spec.k, spec.stride
            )
            at = torch.from_numpy(touched + special)
            true.append(ids[side, at])
            hidden[side, at] = MASK
            rows.append(at + side * ids.shape[1])
            sizes.append(len(at))
        asked = torch.cat(rows).to(device)
        hidden, mask = hidden.to(device), mask.to(device)
        trunk = find_trunk(self.model.model)
        if trunk is not None:
            vectors = trunk.encode(hidden, mask, rows=asked)
        else:
            vectors, _ = encoder(hidden, None, mask, rows=asked)
        assert self.head is not None
        logits = self.head(vectors).double().log_softmax(-1).cpu()
        said = logits.gather(1, torch.cat(true)[:, None])[:, 0]
        return [float(part.mean()) for part in said.split(sizes)]


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
        `finetuning.predict.open_scorer`.
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
        self.widest = None if placed or self.model.bases else self._widest()
        self.haplotypes: HaplotypeStore | None = None
        if store is not None and cell is not None:
            reads.check(store, [cell])
            self.cell = store.cell_number(cell)
            self.haplotypes = HaplotypeStore.of(store)
            self.reader = reads.reader(self.haplotypes).plain

    def _widest(self) -> int:
        spec = self.model.spec
        room = self.model.max_tokens - 2 * spec.special_tokens
        return (room - 1) * spec.stride + spec.k

    def __call__(self, pairs: WindowPairs) -> Said:
        """See `PairScorer`."""
        n, _, width = pairs.codes.shape
        if self.haplotypes is None:
            rows = labelled(list(pairs.codes.reshape(2 * n, width)), np.zeros(2 * n))
            reading = reading_of(self.model, rows, None, self.score.place.device, None)
            # A batch of two is one pair: all windows are as long, so their order is kept.
            logits = logits_of(
                self.model,
                reading,
                np.arange(2 * n),
                place=self.score.place,
                batch=2,
                both_strands=False,
            )
        else:
            logits = self._in_store(pairs)
        values = self._odds(logits.astype(np.float64)).reshape(n, 2, -1)
        return Said({name: values[:, :, i] for i, name in enumerate(self.sides)}, {})

    def _in_store(self, pairs: WindowPairs) -> NDArray[np.float32]:
        """Logits (2 N, outputs): the store's tracks, the haplotypes' bases."""
        assert self.haplotypes is not None
        forward = pairs.turned().codes if pairs.reverse else pairs.codes
        machine, out = self.score.place, []
        strands = np.full(2, True) if pairs.reverse else None
        with torch.inference_mode():
            for row, chrom in enumerate(pairs.chrom):
                starts = np.full(2, pairs.start[row])
                chroms = np.full(2, self.haplotypes.chrom_number(chrom))
                with self.haplotypes.holding(starts, forward[row]):
                    windows = self.reader(np.full(2, self.cell), chroms, starts, strands)
                logits = logits_of_windows(
                    self.model.network, windows.to(machine.device), machine.autocast
                )
                out.append(logits.cpu().numpy())
        return np.concatenate(out)


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


class MotifScorer:
    """The best log-odds of each motif among the sites that touch the allele.

    Both strands of a site count, so both strands of a window say the same. Scores are floored at
    0, as in a store's factor matrix.

    Parameters
    ----------
    motifs : sequence of Motif
    """

    between: tuple[str, ...] = ()
    width: int | None = None
    widest: int | None = None

    def __init__(self, motifs: Sequence[Motif]) -> None:
        self.motifs = list(motifs)
        self.pwms = [log_odds(motif) for motif in motifs]
        self.widths = np.array([motif.width for motif in motifs])
        names = [motif.name or motif.id for motif in motifs]
        ids = [motif.id for motif in motifs]
        once = len(set(names)) == len(names)
        self.sides = tuple(f"motif_{name}" for name in (names if once else ids))

    def __call__(self, pairs: WindowPairs) -> Said:
        """See `PairScorer`."""
        n, _, width = pairs.codes.shape
        values = np.empty((2 * n, len(self.motifs)))
        offset = width * np.arange(2 * n)
        begin, ends = pairs.begin.reshape(-1), pairs.ends.reshape(-1)
        for motif_width in set(self.widths):
            reach = max(motif_width, 2) - 1  # a site of one base touches a junction beside it
            first = offset + np.maximum(begin - reach, 0)
            last = offset + np.minimum(ends + reach, width)
            of_width = np.flatnonzero(self.widths == motif_width)
            pwms = [self.pwms[f] for f in of_width]
            flat = pairs.codes.reshape(-1)
            values[:, of_width] = best_scores(flat, first, last, pwms, floor=True)
        values = values.reshape(n, 2, -1)
        return Said({name: values[:, :, f] for f, name in enumerate(self.sides)}, {})


def motifs_from(path: str | Path) -> MotifScorer:
    """Make it of a file of motifs."""
    from epilm.motifs.formats import read_motifs

    return MotifScorer(read_motifs(path))
