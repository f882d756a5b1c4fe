"""What a pre-trained model says of two haplotypes: masked log-odds, embedding distance, sites of
motifs as the model sees them.

Axes: N pairs, W bases, L tokens, R rows of a pass, T tokens asked about, H hidden, F motifs.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epilm.errors import UsageError, nearest
from epilm.hub.load import Loaded, find_masked_head, find_trunk
from epilm.models.grouping import Pooling, pool_tokens, pooled_places
from epilm.tokens.kmers import MASK, kmer_ids, wrap
from epilm.variants.haplotypes import WindowPairs
from epilm.variants.passes import Rows, SteadyRows, passes, probe_windows, wished_rows
from epilm.variants.scorers import Codes, Said, Values

SITES_REACH = 30  # bp beside the allele whose sites count: half of the widest motif, and a k-mer


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
    symmetric = False

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
        self._steady = SteadyRows(self.notes)

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

    def _encode(self, ids: Tensor, mask: Tensor, rows: Tensor | None) -> Tensor:
        """Vectors of tokens (R, L, H), or of those asked about, `rows` (R, T): (R, T, H)."""
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
        pooled = pool_tokens(hidden, mask.to(self.device), how, self.model.encoder.pooler)
        if not self._sites:
            return (pooled.cpu(),)
        assert self.motif_head is not None
        return pooled.cpu(), self.motif_head(hidden).sigmoid().cpu()

    def _read(self, codes: Codes, begin: Rows, ends: Rows) -> tuple[Values, Values]:
        """Vectors (2 N, H) of windows, and expected sites (2 N, F) beside their alleles."""
        probe = probe_windows(codes.shape[1])
        shape = ("whole", codes.shape[1])
        wish = wished_rows(self.device)
        rows = self._steady(shape, lambda at: self._of_windows(probe[at]), wish)
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
        places = torch.from_numpy(at) + int(self.model.spec.special_tokens)
        vectors = self._encode(ids, mask, places)
        assert self.head is not None
        odds = self.head(vectors.flatten(0, 1)).double().log_softmax(-1).cpu()
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
            tried = self._probe_hidden(width, room)
            rows = self._steady(("hidden", width, room), tried, wished_rows(self.device))
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
