"""Rows of samples to a `Batch`: the one place where the store becomes tensors.

`BatchMaker(...)(rows, step)` is a pure function of (store, specs, seed, rows,
step). However the rows of a step are split, each sample gets the same tokens,
masks, pairs and hidden factors; a run that resumes at a step gets what it would
have had. No loop over samples; the same code on memory maps and on a device.
On the training path: torch, numpy and the standard library only.
"""

from dataclasses import replace
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from torch import Tensor

from epilm.batch import Batch, Sequences
from epilm.batches.factor_reader import FactorReader, channel_statistics
from epilm.batches.layout import (
    RegionTokens,
    Strings,
    TokenNumbers,
    join_pair,
    n_bases,
    n_kmers,
    wrap,
)
from epilm.batches.pairs import PairDraws, pairs_in_batch
from epilm.batches.site_finder import SiteFinder
from epilm.batches.token_truths import find_truths, truths_asked
from epilm.device import to_device
from epilm.errors import RecipeError, StoreError, TrainingError, nearest
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import MaskSpec, NextSegmentSpec, ObjectivesSpec
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import Samples, Subset, make_samples
from epilm.tokens.kmers import N_SPECIAL, PAD, check_k, vocab_size
from epilm.tokens.masking import mask_tokens, rate_at
from epilm.tokens.random import hash_bits, integers

Reader = TypeVar("Reader", bound=RegionTokens)

_PASS_1, _PASS_2 = 1, 2
_SHIFT, _STRAND = 34, 35  # first counters of where a region is read from; no other draw has them


def complete_spec(spec: ModelSpec, store: Store, samples: SampleSpec) -> ModelSpec:
    """Fill in what a model takes from the data: regions, factors, cells.

    Returns
    -------
    ModelSpec
        `regions` from the samples, `factors` from the store where the stream is used, `cells` from
        the store.
    """
    factors = store.n_factors if "factors" in spec.streams else 0
    return replace(spec, regions=samples.regions, factors=factors, cells=len(store.cell_types))


class BatchMaker:
    """Make batches from a store.

    Parameters
    ----------
    store : Store
        Memory maps, or on a device (`store.to(device)`).
    spec : ModelSpec
        Streams, k, stride, layout, join, segment, max_tokens.
    objectives : ObjectivesSpec
        What to mask, hide and pair.
    samples : SampleSpec
        What a sample is and what is held out.
    seed : int
        Of all draws.
    subset : {"train", "holdout", "all"}
        Which samples.
    device : str or torch.device
        Where batches arrive.

    Attributes
    ----------
    table : Samples
        The samples; `len(maker)` is their number.
    spec : ModelSpec
        With regions, factors and cells filled in (`complete_spec`).
    factor_ids : list of str
        Motif ids in the order of the model's columns; save it with the checkpoint.
    statistics : tuple of str
        What the entries of `factors` are: one statistic, or the three of tower.prepare=channels.
    width : int
        Tokens of each sequence of `dna`, the same in every batch.

    Raises
    ------
    RecipeError
        If a switch has an unknown or impossible value, or two do not fit each other.
    StoreError
        If the store lacks a stream that is asked for.
    TrainingError
        If there is no sample.
    """

    def __init__(
        self,
        store: Store,
        spec: ModelSpec,
        objectives: ObjectivesSpec,
        samples: SampleSpec,
        *,
        seed: int,
        subset: Subset = "train",
        device: str | torch.device = "cpu",
    ) -> None:
        _check(store, spec, objectives, samples)
        self.store, self.objectives, self.samples = store, objectives, samples
        self.spec = complete_spec(spec, store, samples)
        self.seed, self.subset, self.device = int(seed), subset, torch.device(device)
        self.table: Samples = make_samples(store, samples, subset)
        if len(self.table) == 0:
            raise TrainingError(
                "there is no sample",
                where=str(store.path),
                found=(
                    f"subset {subset}, samples of {samples.regions} regions, held out: "
                    f"{', '.join((*samples.holdout_chroms, *samples.holdout_cells)) or 'nothing'}"
                ),
                do="Use fewer regions a sample, tail=pad or cross, or hold out something else.",
            )
        where = store.device
        self._regions = torch.from_numpy(self.table.regions).to(where)
        self._cells = torch.from_numpy(self.table.cells.astype(np.int64)).to(where)
        self._reader = RegionTokens(store, spec.k, spec.stride)
        self.width = self._string_width()
        self.finders: dict[str, SiteFinder] = {}
        if truths_asked(objectives):
            self._numbers = TokenNumbers(store, spec.k, spec.stride)
            bases = (
                self._region_budget
                if self._raw
                else n_bases(self._region_budget, spec.k, spec.stride)
            )
            longest = min(bases, self._reader.longest)
            self.finders = find_truths(
                store, objectives, where, reach=longest, key="model.max_tokens"
            )
            counts: dict[str, Any] = {name: each.n for name, each in self.finders.items()}
            self.spec = replace(self.spec, **counts)
        self._factors: FactorReader | None = None
        if "factors" in spec.streams:
            stacked = channel_statistics(store) if spec.tower.prepare == "channels" else ()
            self._factors = FactorReader(
                store, samples, objectives.masked_factors, self.seed, stacked
            )
        self.factor_ids = self._factors.ids if self._factors is not None else []
        self.statistics = (
            self._factors.statistics or store.statistics[:1] if self._factors is not None else ()
        )
        following = objectives.next_segment
        self._pairs: PairDraws | None = None
        self._bi = following.weight > 0 and following.form == "bi"
        if following.weight > 0 and following.form == "cross":
            self._pairs = PairDraws(store, self.table, samples, following, self.seed, subset)
        if self._bi:
            self._chrom = torch.from_numpy(store.regions["chrom"].astype(np.int64)).to(where)
            self._access = torch.from_numpy(np.array(store.access)).to(where)
        self._bins: Tensor | None = None
        if "contacts" in spec.streams and store.contacts is not None:
            middle = (store.regions["start"] + store.regions["end"]) // 2
            bins = (
                store.contacts.bin_offsets[store.regions["chrom"]]
                + middle // store.contacts.resolution
            )
            self._bins = torch.from_numpy(bins.astype(np.int64)).to(where)

    def __len__(self) -> int:
        return len(self.table)

    def __call__(self, rows: np.ndarray | Tensor, step: int) -> Batch:
        """Make the batch of some samples at a step.

        Parameters
        ----------
        rows : int64 (B,)
            Rows of `table`, in any order: `rows_at`, or a part of it.
        step : int
            Optimiser step; masks, pairs and hidden entries change with it.

        Returns
        -------
        Batch
        """
        row = to_device(rows, self.store.device, torch.int64)
        regions, cells = self._regions[row].to(torch.int64), self._cells[row]
        strings = self._strings(regions, self._shown(self._reader, row, step))
        dna = self._sequences(strings, row, step)
        parts: dict[str, Any] = {}
        if self.objectives.matching.weight > 0 and self.objectives.matching.input == "clean":
            parts["clean"] = replace(dna, ids=strings.ids, labels=None)
        if self._factors is not None:
            parts |= self._factor_parts(row, regions, cells, step)
        if self._bins is not None and self.store.contacts is not None:
            bins = torch.where(regions < 0, -1, self._bins[regions.clamp(min=0)])
            parts["contacts"] = self.store.contacts.between(bins)
        if self._pairs is not None:
            parts["pairs"], parts["pair_labels"] = self._pair_parts(row, step)
        elif self._bi:
            parts["pair_index"], parts["pair_labels"] = pairs_in_batch(
                regions,
                cells,
                row,
                negative=self.objectives.next_segment.negative,
                seed=self.seed,
                step=step,
                chrom=self._chrom,
                access=self._access,
            )
        for name, finder in self.finders.items():
            parts[name] = self._truth(finder, regions, row, step)
        batch = Batch(rows=row, cells=cells, regions=regions, dna=dna, owner=strings.owner, **parts)
        return batch if self.device == self.store.device else batch.to(self.device)

    def _factor_parts(
        self, row: Tensor, regions: Tensor, cells: Tensor, step: int
    ) -> dict[str, Tensor]:
        assert self._factors is not None
        matrix = self._factors(regions, cells)
        if self.objectives.masked_factors.weight <= 0:
            return {"factors": matrix}
        hidden = self._factors.hidden(row, regions, step)
        return {
            "factors": matrix.masked_fill(hidden, 0.0),
            "factor_hidden": hidden,
            "factor_targets": matrix,
        }

    def _shown(self, reader: Reader, row: Tensor, step: int) -> Reader:
        """The reader of this step's places and strands of pass 1, a draw for each region."""
        jitter, slots = self.samples.region_jitter, self.samples.regions
        slot = torch.arange(slots, device=row.device)
        shift = turned = None
        if jitter:
            drawn = integers(2 * jitter + 1, _SHIFT, self.seed, step, row[:, None], slot)
            shift = drawn - jitter
        if self.samples.strands == "both":
            bits = hash_bits(_STRAND, self.seed, step, row[:, None], slot)
            turned = (bits & 1).to(torch.bool)
        return reader if shift is None and turned is None else reader.shown(shift, turned)

    def _truth(self, finder: SiteFinder, regions: Tensor, row: Tensor, step: int) -> Tensor:
        """Whether a site's middle lies in each token of pass 1: bool (N, L, M).

        The strings are laid out once more with numbers for k-mers: where each number stands, its
        token's sites do. No site reaches beyond the bases that are read of a region.
        """
        reader = self._shown(self._numbers, row, step)
        numbers = self._strings(regions, reader).ids
        codes, per_row = reader.read()
        sites = finder.sites(codes)
        token = sites.middle.div(self.spec.stride, rounding_mode="floor")
        inside = token < per_row
        number = sites.row[inside] * per_row + token[inside]
        # A number that was cropped, or stands beyond a region's end, is in no string.
        where = torch.full((len(codes) * per_row,), -1, device=codes.device)
        at = (numbers.flatten() >= N_SPECIAL).nonzero()[:, 0]  # (B, L) -> places among B * L
        where[numbers.flatten()[at] - N_SPECIAL] = at
        at, column = where[number], sites.column[inside]
        there = torch.zeros((numbers.numel(), finder.n), dtype=torch.bool, device=codes.device)
        there[at[at >= 0], column[at >= 0]] = True
        return there.view(*numbers.shape, -1)  # (B * L, M) -> (B, L, M)

    # -- the strings of pass 1 ---------------------------------------------------------------

    @property
    def _room(self) -> int:
        return self.spec.max_tokens - 2

    @property
    def _raw(self) -> bool:
        return self.spec.join == "raw" and self.spec.layout != "per_region"

    @property
    def _region_budget(self) -> int:
        """K-mers of one region; bases of one when they are joined before they are tokenised."""
        k, stride, n = self.spec.k, self.spec.stride, self.spec.regions
        if self.spec.layout == "per_region":
            return self._room
        if self.spec.layout == "concat_budget":
            return n_bases(self._room, k, stride) // n if self._raw else self._room // n
        longest = self._reader.longest
        return longest if self._raw else int(n_kmers(torch.tensor(longest), k, stride))

    def _string_width(self) -> int:
        """Longest string that any sample makes, so that all batches have one shape."""
        k, stride = self.spec.k, self.spec.stride
        if self.spec.layout == "per_region":
            longest = n_kmers(torch.tensor(self._reader.longest), k, stride)
            return min(self._room, int(longest)) + 2
        budget, longest_total = self._region_budget, 0
        widths = self._reader.widths.cpu()
        for a in range(0, len(self.table), 1 << 16):
            regions = torch.from_numpy(self.table.regions[a : a + (1 << 16)].astype(np.int64))
            full = torch.where(regions < 0, 0, widths[regions.clamp(min=0)])
            if self._raw:
                total = n_kmers(full.clamp(max=budget).sum(1), k, stride)
            else:
                total = n_kmers(full, k, stride).clamp(max=budget).sum(1)
                if self.spec.layout != "concat_budget":
                    total = total + (regions >= 0).sum(1) - 1
            longest_total = max(longest_total, int(total.max()))
        self._longest_string = max(longest_total, 1)
        return min(self._room, self._longest_string) + 2

    def _strings(self, regions: Tensor, reader: RegionTokens | None = None) -> Strings:
        reader = self._reader if reader is None else reader
        n, size = regions.shape
        sample = torch.arange(n, device=regions.device)
        budget = self._region_budget
        if self.spec.layout == "per_region":
            ids, counts = reader.tokens(regions.reshape(-1), budget)
            slot = torch.arange(size, device=regions.device).repeat(n)
            ids = wrap(ids, counts, self.width)
            return Strings(ids, slot[:, None].expand_as(ids), sample.repeat_interleave(size), slot)
        chunked = self.spec.layout == "chunk_rnn"
        sep = self.spec.join == "sep" and self.spec.layout != "concat_budget"
        width = self._longest_string if chunked else self.width - 2
        string, slot, total = reader.string(regions, budget, sep=sep, raw=self._raw, width=width)
        part = torch.zeros_like(sample)
        if chunked:
            string, slot, total, sample, part = _cut(string, slot, total, sample, self._room)
        ids = wrap(string, total, self.width)
        slot = torch.nn.functional.pad(slot[:, : self.width - 2], (1, 1))
        slot = torch.nn.functional.pad(slot, (0, self.width - slot.shape[1]))
        return Strings(ids, torch.where(ids == PAD, 0, slot), sample, part)

    def _sequences(self, strings: Strings, row: Tensor, step: int) -> Sequences:
        by_region = self.spec.segment == "region_index"
        present = strings.ids != PAD
        segments = strings.slot * present if by_region else torch.zeros_like(strings.ids)
        keys = hash_bits(_PASS_1, step, row[strings.owner], strings.part)
        ids, labels = self._mask(strings.ids, keys, step)
        return Sequences(ids=ids, segments=segments, mask=present, labels=labels)

    def _mask(self, ids: Tensor, keys: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        mask = self.objectives.masked_kmers
        if mask.weight <= 0:
            return ids, None
        return mask_tokens(
            ids,
            ids >= N_SPECIAL,
            k=self.spec.k,
            rate=rate_at(step, mask),
            keys=keys,
            seed=self.seed,
            scheme=mask.scheme,
            rate_mode=mask.rate_mode,
            random_from=mask.random_from,
            span_tokens=mask.span_tokens,
            vocab=vocab_size(self.spec.k),
        )

    # -- pass 2 ------------------------------------------------------------------------------

    @property
    def pair_budget(self) -> tuple[int, int]:
        """K-mers of A and of B in [CLS] A [SEP] B [SEP]: 255 and 254 of 512 ids."""
        room = self.spec.max_tokens - 3
        return room - room // 2, room // 2

    def _pair_parts(self, row: Tensor, step: int) -> tuple[Sequences, Tensor]:
        assert self._pairs is not None
        pairs = self._pairs.draw(row, step)
        longest = int(n_kmers(torch.tensor(self._reader.longest), self.spec.k, self.spec.stride))
        sides: list[tuple[Tensor, Tensor]] = []
        width = 3
        for regions, budget in (
            (pairs.first, self.pair_budget[0]),
            (pairs.second, self.pair_budget[1]),
        ):
            each = budget // regions.shape[1]
            most = regions.shape[1] * min(each, longest)
            string, _, total = self._reader.string(
                regions, each, sep=False, raw=False, width=max(most, 1)
            )
            sides.append((string, total))
            width += most
        ids, segments = join_pair(*sides[0], *sides[1], width)
        keys = hash_bits(_PASS_2, step, row[pairs.owner], pairs.number)
        masked, labels = self._mask(ids, keys, step)
        return (
            Sequences(ids=masked, segments=segments, mask=ids != PAD, labels=labels),
            pairs.labels,
        )


def _cut(
    string: Tensor, slot: Tensor, total: Tensor, sample: Tensor, room: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Cut strings in pieces of `room` tokens: ceil(total / room) pieces each, at least one
    (DNABERT-XL).
    """
    pieces = (total.clamp(min=1) + room - 1).div(room, rounding_mode="floor")
    most = int(pieces.max())
    extra = most * room - string.shape[1]
    string, slot = (
        torch.nn.functional.pad(t, (0, max(extra, 0)))[:, : most * room] for t in (string, slot)
    )
    number = torch.arange(most, device=string.device)
    filled = (total[:, None] - number * room).clamp(0, room)
    real = number < pieces[:, None]
    shape = (len(string), most, room)  # (N, most * room) -> (N, most, room)
    return (
        string.reshape(shape)[real],
        slot.reshape(shape)[real],
        filled[real],
        sample[:, None].expand_as(real)[real],
        number.expand_as(real)[real],
    )


def _check_lengths(spec: ModelSpec, following: NextSegmentSpec, samples: SampleSpec) -> None:
    """Refuse inputs too short for what is laid out in them."""
    least = samples.regions + 3 if spec.layout in ("concat", "concat_budget") else 3
    if following.weight > 0 and following.form == "cross":
        parts = {"region": 1, "sample": samples.regions, "halves": -(-samples.regions // 2)}[
            following.unit
        ]
        least = max(least, 2 * parts + 3)
    if spec.max_tokens < least:
        raise RecipeError(
            "the value is too small for this layout",
            where="model.max_tokens",
            found=spec.max_tokens,
            expected=f"at least {least}",
        )
    if spec.layout == "concat_budget" and spec.join == "raw" and samples.regions > 1:
        each = n_bases(spec.max_tokens - 2, spec.k, spec.stride) // samples.regions
        if each < 1:
            raise RecipeError(
                "no base of a region fits", where="model.max_tokens", found=spec.max_tokens
            )


def _check_objectives(spec: ModelSpec, objectives: ObjectivesSpec) -> None:
    """Refuse objectives of pairs and factors that the model is not laid out for."""
    following = objectives.next_segment
    if (
        following.weight > 0
        and following.form == "bi"
        and (spec.layout != "per_region" or following.unit != "region")
    ):
        raise RecipeError(
            "form bi pairs regions that were encoded one by one",
            where="objectives.next_segment.form",
            found=f"bi with model.layout {spec.layout} and unit {following.unit}",
            expected="model.layout per_region and unit region",
            do="Use form cross, or layout per_region with unit region.",
        )
    if objectives.masked_factors.weight > 0 and "factors" not in spec.streams:
        raise RecipeError(
            "masked factors need the stream `factors`",
            where="objectives.masked_factors.weight",
            found=f"streams {', '.join(spec.streams)}",
            do="Add factors to model.streams, or set the weight to 0.",
        )
    if objectives.masked_factors.weight > 0 and spec.tower.prepare == "channels":
        raise RecipeError(
            "masked factors hide one score an entry, and tower.prepare=channels shows three",
            where="model.tower.prepare",
            found="channels",
            do="Set model.tower.prepare to resize, or objectives.masked_factors.weight to 0.",
        )


def _check(store: Store, spec: ModelSpec, objectives: ObjectivesSpec, samples: SampleSpec) -> None:
    """Refuse what no batch can be made of."""
    check_k(spec.k, spec.stride)
    _known(ModelSpec, spec, "model", ("layout", "join", "segment"))
    _known(
        NextSegmentSpec,
        objectives.next_segment,
        "objectives.next_segment",
        ("form", "unit", "negative"),
    )
    _known(
        MaskSpec,
        objectives.masked_kmers,
        "objectives.masked_kmers",
        ("scheme", "rate_mode", "random_from"),
    )
    if objectives.matching.input not in ("masked", "clean"):
        raise RecipeError(
            "unknown value",
            where="objectives.matching.input",
            found=objectives.matching.input,
            do=nearest(objectives.matching.input, ("masked", "clean")),
        )
    _check_lengths(spec, objectives.next_segment, samples)
    _check_objectives(spec, objectives)
    if "contacts" in spec.streams and store.contacts is None:
        raise StoreError(
            "the store has no contacts",
            where=str(store.path),
            do="Build it with --contacts, or leave the stream `contacts` out of the recipe.",
        )
    if samples.matrix_weight == "accessibility" and store.counts is None:
        raise StoreError(
            "samples.matrix_weight=accessibility needs counts, and the store has none",
            where=str(store.path),
            do=(
                "Build the store from a peak x cell matrix (--counts), or set matrix_weight to"
                " none."
            ),
        )


def _known(kind: type, value: Any, where: str, keys: tuple[str, ...]) -> None:
    hints = get_type_hints(kind)
    for key in keys:
        allowed = get_args(hints[key])
        assert hints[key].__origin__ is Literal
        if getattr(value, key) not in allowed:
            raise RecipeError(
                "unknown value",
                where=f"{where}.{key}",
                found=getattr(value, key),
                do=nearest(str(getattr(value, key)), allowed),
            )
