"""What is said of two haplotypes: masked log-odds, embedding distance, sites of motifs as the model
sees them, a task's logits, motifs themselves.

Both windows of every variant go through the network in passes of one shape, each different window
once (`variants.passes`), and which of two haplotypes is REF is told to no scorer. So the last bit
of a score depends on no neighbour, batch or order, and REF and ALT swapped negate it exactly.
Axes: N pairs, W bases, L tokens, R rows of a pass, T tokens asked about, H hidden, F outputs or
motifs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor, nn

from epilm.errors import UsageError, nearest
from epilm.finetuning.finetuned import Finetuned
from epilm.finetuning.predict import ModelScorer, logits_of_windows
from epilm.finetuning.windows import OwnBases
from epilm.hub.load import Loaded, find_masked_head, find_trunk
from epilm.models.grouping import Pooling, pool_tokens, pooled_places
from epilm.motifs.log_odds import log_odds
from epilm.motifs.motif import Motif
from epilm.motifs.scan import best_scores
from epilm.store.reader import Store
from epilm.tasks.base import labelled
from epilm.tokens.kmers import MASK, kmer_ids, wrap
from epilm.variants.haplotypes import WindowPairs
from epilm.variants.passes import ON_CPU, ON_GPU, Rows, passes, steady_rows

Values = NDArray[np.float64]
Codes = NDArray[np.uint8]
SITES_REACH = 30  # bp beside the allele whose sites count: half of the widest motif, and a k-mer
UNSTEADY = "here a window's last bits depend on those beside it: a pass holds one window"


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
    notes : list of str
        What a reader must know.
    network : module or None
        What computes, if it has weights.
    device : torch.device
    """

    sides: tuple[str, ...]
    between: tuple[str, ...]
    width: int | None
    widest: int | None
    notes: list[str]
    network: nn.Module | None

    @property
    def device(self) -> torch.device:
        """Where it computes."""

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


def probe_windows(width: int) -> Codes:
    """Three windows of random bases, to try passes with: the same ones always."""
    return np.random.default_rng(width).integers(0, 4, (3, width)).astype(np.uint8)


class PretrainedScorer:
    """A pre-trained model: log-odds of hidden k-mers, how far apart the two vectors are, and what
    it says of motif sites.

    `llr` is the mean over the k-mers that cover the allele, all of them hidden, of ln P of the
    haplotype's own k-mer. For alleles of one length the difference of the two is the mean of
    ln P(alt) / P(ref), in nats. `l2` and `cosine` (1 - cos) are of the pooled vectors. Of a model
    that learned motif sites `sites` is how many it expects within 30 bp of the allele, over all
    motifs, and `sites_changed` the sum over motifs of how far the two haplotypes' numbers are
    apart.

    Parameters
    ----------
    model : Loaded
        On the device that computes.
    scores : sequence of str, optional
        Which of them; all that the model gives where not given. What is not asked for is not
        computed.
    pooling : {"cls", "mean", "pooler"}, optional
        Which vector `l2` and `cosine` are of; the model's own where not given (`Loaded.embed`).

    Raises
    ------
    UsageError
        If the model does not give such a score.
    """

    width: int | None = None

    def __init__(
        self,
        model: Loaded,
        scores: Sequence[str] | None = None,
        pooling: Pooling | None = None,
    ) -> None:
        self.model, spec = model, model.spec
        self.pooling = pooling or (spec.pooling if spec.special_tokens else "mean")
        self.network: nn.Module | None = model.model
        self.notes: list[str] = []
        self.head = None if model.no_kmers else find_masked_head(model.model)
        self.motif_head = getattr(find_trunk(model.model) or model.model, "motif_head", None)
        if model.no_kmers:
            self.notes.append(f"{model.no_kmers}: no llr")
        sides = {"llr": self.head is not None, "sites": self.motif_head is not None}
        between = {"l2": True, "cosine": True, "sites_changed": self.motif_head is not None}
        given = [name for name, there in (sides | between).items() if there]
        for name in scores or ():
            if name not in given:
                raise UsageError(
                    "the model does not give such a score",
                    where=str(model.path),
                    found=name,
                    expected=", ".join(given),
                    do=nearest(name, given) or "; ".join(self.notes),
                )
        wanted = set(scores or given)
        self.sides: tuple[str, ...] = tuple(
            name for name, there in sides.items() if there and name in wanted
        )
        self.between: tuple[str, ...] = tuple(
            name for name, there in between.items() if there and name in wanted
        )
        self._sites = bool({"sites", "sites_changed"} & {*self.sides, *self.between})
        self._vectors = bool({"l2", "cosine"} & set(self.between))
        if find_trunk(model.model) is not None and "states" in spec.streams:
            self.notes.append("states are read as unknown: a genome alone has no cell type")
        self.widest: int | None = model.widest
        self._steady: dict[tuple[str, int, int], int] = {}

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.encoder.words.weight.device

    def __call__(self, pairs: WindowPairs) -> Said:
        """See `PairScorer`."""
        n, _, width = pairs.codes.shape
        codes = pairs.codes.reshape(2 * n, width)
        begin, ends = pairs.begin.reshape(-1), pairs.ends.reshape(-1)
        sides: dict[str, Values] = {}
        between: dict[str, Values] = {}
        with torch.inference_mode():
            if "llr" in self.sides:
                sides["llr"] = self._mean_log_odds(codes, begin, ends).reshape(n, 2)
            if self._vectors or self._sites:
                vectors, sites = self._read(codes, begin, ends)
        if self._vectors:
            first, second = np.moveaxis(vectors.reshape(n, 2, -1), 1, 0)
            norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
            cosine = (first * second).sum(1) / np.maximum(norms, 1e-300)
            between["l2"] = np.linalg.norm(first - second, axis=1)
            between["cosine"] = np.maximum(1 - cosine, 0)
        if self._sites:
            of_motif = sites.reshape(n, 2, -1)
            sides["sites"] = of_motif.sum(2)
            between["sites_changed"] = np.abs(of_motif[:, 0] - of_motif[:, 1]).sum(1)
        return Said(
            {name: sides[name] for name in self.sides},
            {name: between[name] for name in self.between},
        )

    def _rows(
        self, kind: str, width: int, room: int, compute: Callable[[Rows], tuple[Tensor, ...]]
    ) -> int:
        """How many rows passes of a shape have; tried once, with `compute` of the probe's rows."""
        key = (kind, width, room)
        if key not in self._steady:
            wish = ON_CPU if self.device.type == "cpu" else ON_GPU
            self._steady[key] = steady_rows(compute, 3, wish)
            if self._steady[key] < wish and UNSTEADY not in self.notes:
                self.notes.append(UNSTEADY)
        return self._steady[key]

    def _encode(self, ids: Tensor, mask: Tensor, rows: Tensor | None) -> Tensor:
        """Vectors of tokens (R, L, H), or of those asked about (M, H)."""
        trunk = find_trunk(self.model.model)
        ids, mask = ids.to(self.device), mask.to(self.device)
        rows = None if rows is None else rows.to(self.device)
        if trunk is not None:
            return trunk.encode(ids, mask, rows=rows)
        hidden: Tensor = self.model.encoder(ids, None, mask, rows=rows)[0]
        return hidden

    def _wrapped(self, bare: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        special = bool(self.model.spec.special_tokens)
        return wrap(torch.from_numpy(bare), cls=special, sep=special)

    def _of_windows(self, codes: Codes) -> tuple[Tensor, ...]:
        """Pooled vectors (R, H), and if sites are asked for each token's probabilities (R, L, F)
        of them.
        """
        spec, how = self.model.spec, self.pooling
        ids, mask = self._wrapped(kmer_ids(codes, spec.k, spec.stride).astype(np.int64))
        rows = None if self._sites else pooled_places(ids, how)
        hidden = self._encode(ids, mask, rows)
        tokens = hidden if rows is None else hidden[:, None]
        pooled = pool_tokens(tokens, mask.to(self.device), how, self.model.encoder.pooler)
        if not self._sites:
            return (pooled.cpu(),)
        assert self.motif_head is not None
        return pooled.cpu(), self.motif_head(hidden).sigmoid().cpu()

    def _read(self, codes: Codes, begin: Rows, ends: Rows) -> tuple[Values, Values]:
        """Vectors (2 N, H) of windows, and expected sites (2 N, F) beside their alleles."""
        probe = probe_windows(codes.shape[1])
        rows = self._rows("whole", codes.shape[1], 0, lambda at: self._of_windows(probe[at]))
        spec = self.model.spec
        vectors = np.empty((len(codes), self.model.encoder.hidden))
        factors = self.motif_head.out_features if self.motif_head is not None else 0
        sites = np.empty((len(codes), factors))
        # Token i begins at base i * stride.
        first = np.maximum(-(-(begin - SITES_REACH) // spec.stride), 0) + int(spec.special_tokens)
        after = -(-(ends + SITES_REACH) // spec.stride) + int(spec.special_tokens)
        last = (codes.shape[1] - spec.k) // spec.stride + 1 + int(spec.special_tokens)
        for each in passes([row.tobytes() for row in codes], rows):
            pooled, *chances = (part.numpy() for part in self._of_windows(codes[each.rows]))
            vectors[each.asked] = pooled[each.slots]
            if self._sites:
                for row, slot in zip(each.asked, each.slots):
                    near = chances[0][slot, first[row] : min(after[row], last)]
                    sites[row] = near.sum(0, dtype=np.float64)
        return vectors, sites

    def _log_odds(self, hidden: NDArray[np.int64], at: Rows) -> tuple[Tensor]:
        """Log-probabilities (R, T, V) of tokens `at` (R, T) that `hidden` ids (R, L) hide."""
        ids, mask = self._wrapped(hidden)
        first = ids.shape[1] * torch.arange(len(ids))[:, None] + int(self.model.spec.special_tokens)
        vectors = self._encode(ids, mask, (torch.from_numpy(at) + first).flatten())
        assert self.head is not None
        odds = self.head(vectors).double().log_softmax(-1).cpu()
        return (odds.view(*at.shape, -1),)

    def _mean_log_odds(self, codes: Codes, begin: Rows, ends: Rows) -> Values:
        """Mean ln P (2 N,) of the hidden k-mers of haplotypes.

        Haplotypes that differ in hidden k-mers alone (all SNVs of a place) share a pass.
        """
        spec, width = self.model.spec, codes.shape[1]
        ids = kmer_ids(codes, spec.k, spec.stride).astype(np.int64)
        tokens = ids.shape[1]
        touched = [
            touched_tokens(int(a), int(b), tokens, spec.k, spec.stride)
            for a, b in zip(begin, ends, strict=True)
        ]
        by_room: dict[int, list[int]] = defaultdict(list)
        for row, covering in enumerate(touched):
            by_room[_room(len(covering), spec.k, tokens)].append(row)
        out = np.empty(len(codes))
        for room, members in sorted(by_room.items()):
            # Filled up by asking again: places that come twice hide nothing more.
            at = np.stack([np.resize(touched[row], room) for row in members])
            hidden = ids[members]
            np.put_along_axis(hidden, at, MASK, 1)
            rows = self._rows("hidden", width, room, self._probe_hidden(width, room))
            keys = [row.tobytes() + where.tobytes() for row, where in zip(hidden, at, strict=True)]
            for each in passes(keys, rows):
                odds = self._log_odds(hidden[each.rows], at[each.rows])[0].numpy()
                for asked, slot in zip(each.asked, each.slots):
                    row = members[asked]
                    own = ids[row, touched[row]]
                    out[row] = odds[slot, np.arange(len(own)), own].mean()
        return out

    def _probe_hidden(self, width: int, room: int) -> Callable[[Rows], tuple[Tensor]]:
        ids = kmer_ids(probe_windows(width), self.model.spec.k, self.model.spec.stride)
        at = np.tile((ids.shape[1] - room) // 2 + np.arange(room), (len(ids), 1))
        hidden = ids.astype(np.int64)
        np.put_along_axis(hidden, at, MASK, 1)
        return lambda rows: self._log_odds(hidden[rows], at[rows])


def _room(touched: int, k: int, tokens: int) -> int:
    """Tokens that a pass asks about: k, 2 k, 4 k, .. so that there are few shapes.

    Examples
    --------
    >>> [_room(n, 6, 60) for n in (3, 6, 7, 13, 40)]
    [6, 6, 12, 24, 48]
    """
    room = k
    while room < touched:
        room *= 2
    return min(room, tokens)


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
        self._steady: dict[int, int] = {}
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
        if width not in self._steady:
            probe = probe_windows(width)

            def compute(rows: Rows) -> tuple[Tensor]:
                if self.haplotypes is None:
                    return (self._of_bases(probe[rows]),)
                start = np.full(len(rows), (self.haplotypes.sizes[0] - width) // 2)
                return (self._in_store(probe[rows], np.zeros(len(rows), int), start, False),)

            wish = ON_CPU if self.device.type == "cpu" else ON_GPU
            self._steady[width] = steady_rows(compute, 3, wish)
            if self._steady[width] < wish:
                self.notes.append(UNSTEADY)
        return self._steady[width]

    def _of_bases(self, codes: Codes) -> Tensor:
        """Logits (R, outputs) of windows alone."""
        place = self.score.place
        autocast = nullcontext if self.model.bases else place.autocast
        reading = OwnBases(self.model, labelled(list(codes), np.zeros(len(codes))), place.device)
        with torch.inference_mode():
            windows = reading.windows(np.arange(len(codes))).to(place.device)
            return logits_of_windows(self.model.network, windows, autocast).cpu()

    def _in_store(self, codes: Codes, chroms: Rows, starts: Rows, reverse: bool) -> Tensor:
        """Logits (R, outputs): the store's tracks, the haplotypes' bases."""
        assert self.haplotypes is not None
        place, cells = self.score.place, np.full(len(codes), self.cell)
        strands = np.full(len(codes), True) if reverse else None
        with torch.inference_mode():
            with self.haplotypes.holding(starts, codes):
                windows = self.reader(cells, chroms, starts, strands)
            return logits_of_windows(
                self.model.network, windows.to(place.device), place.autocast
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


class MotifScorer:
    """The best log-odds of each motif among the sites that touch the allele.

    Both strands of a site count, so both strands of a window say the same. Scores are floored at
    0, as in a store's factor matrix.

    Parameters
    ----------
    motifs : sequence of Motif
    largest : bool
        In place of a score a motif: the scores of the motif whose two are furthest apart,
        `motif_largest`, and how far they are apart over all motifs together, `motifs_changed`.
    """

    between: tuple[str, ...]
    width: int | None = None
    widest: int | None = None
    network: nn.Module | None = None
    device = torch.device("cpu")

    def __init__(self, motifs: Sequence[Motif], largest: bool = False) -> None:
        self.notes: list[str] = []
        self.motifs = list(motifs)
        self.pwms = [log_odds(motif) for motif in motifs]
        self.widths = np.array([motif.width for motif in motifs])
        names = [motif.name or motif.id for motif in motifs]
        ids = [motif.id for motif in motifs]
        once = len(set(names)) == len(names)
        self.largest = largest
        self.sides = tuple(f"motif_{name}" for name in (names if once else ids))
        self.between = ("motifs_changed",) if largest else ()
        if largest:
            self.sides = ("motif_largest",)

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
        if self.largest:
            # The same motif in either order of the two, and on either strand.
            apart = np.abs(values[:, 0] - values[:, 1])  # (N, F)
            most = values[np.arange(n), :, apart.argmax(1)]
            return Said({self.sides[0]: most}, {self.between[0]: apart.sum(1)})
        return Said({name: values[:, :, f] for f, name in enumerate(self.sides)}, {})


def motifs_from(path: str | Path, largest: bool = False) -> MotifScorer:
    """Make it of a file of motifs."""
    from epilm.motifs.formats import read_motifs

    return MotifScorer(read_motifs(path), largest)
