"""Windows of a store to tokens: the one road that pre-training, fine-tuning and prediction share.

`WindowReader(...)(cells, chroms, starts, strands)` reads bases, states and signals
and lays them side by side, one of each a token; `WindowMaker` adds what is hidden
and is the counterpart of `maker.BatchMaker`. A window read from the other strand is
its reverse complement, with states and signals turned round. Memory maps and a
store on a device give the same bits; no step of Python per window.
On the training path: torch, numpy and the standard library only.
Axes: B windows, W bases, L tokens with special ones and padding, T without, S signals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from epilm.batch import Batch, Sequences, Windows
from epilm.batches.base_reader import BaseReader, SignalUse, tensor_of, transformed
from epilm.batches.motif_signals import Matrices
from epilm.batches.shuffled import shuffled
from epilm.batches.token_truths import TOKEN_TRUTHS, find_truths, truths_asked
from epilm.device import to_device
from epilm.errors import RecipeError, StoreError, TrainingError
from epilm.models.model_spec import ModelSpec
from epilm.objectives.combine import weights
from epilm.objectives.table import ObjectivesSpec
from epilm.store.reader import Store
from epilm.store.region_windows import RegionWindows
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import Subset
from epilm.store.window_table import WindowTable
from epilm.tokens.kmers import (
    N_SPECIAL,
    check_k,
    kmer_ids,
    n_tokens,
    n_window_tokens,
    vocab_size,
    wrap,
)
from epilm.tokens.masking import IGNORED, mask_tokens, rate_at
from epilm.tokens.pooling import SignalPool, pool_states, pool_to_tokens, token_bins
from epilm.tokens.random import hash_bits, integers, threshold
from epilm.tokens.state_tokens import (
    PAD_STATE,
    UNKNOWN_STATE,
    beside_tokens,
    mask_states,
    state_ids,
)

# What EBERT+ reads beside its hidden states (protocols 5.8).
EBERT_PLUS_SIGNALS: tuple[SignalUse, ...] = (
    ("accessibility", "max", "log1p"),
    ("mappability", "min", "raw"),
)
# First counters of the draws of a window; no other draw has them
_MASK, _JITTER, _STRAND = 31, 32, 33
_ON_REGION, _WHICH, _WHERE, _SHUFFLED, _ORDER = 36, 37, 38, 39, 40


class WindowReader:
    """Read windows of one width.

    Parameters
    ----------
    store : Store
        Memory maps, or on a device (`store.to(device)`).
    spec : ModelSpec
        Reads streams, k, stride, special_tokens, tail, pad_to_max, max_tokens.
    window_bp : int
        W.
    signals : sequence of (name, pooling, transform)
        Signals of the store in the order of the result: pooling "max", "min" or "mean" over
        a token's bases, transform "raw" or "log1p". None by default; `EBERT_PLUS_SIGNALS` are the
        paper's.
    motifs : mapping
        Matrices of the signals "motif:NAME" (`motif_signals.choose_motifs`).
    codes : bool
        Whether to give the bases too.

    Attributes
    ----------
    tokens : int
        T, k-mers of a window.
    length : int
        L.
    bases : BaseReader
        Of the same windows: bases, and what each signal is read from.

    Raises
    ------
    RecipeError
        If the window holds no token, or its tokens do not fit max_tokens.
    StoreError
        If the store lacks states or a signal.
    """

    def __init__(
        self,
        store: Store,
        spec: ModelSpec,
        window_bp: int,
        *,
        signals: Sequence[SignalUse] = (),
        motifs: Mapping[str, Matrices] | None = None,
        codes: bool = False,
    ) -> None:
        check_k(spec.k, spec.stride)
        self.store, self.spec, self.window_bp, self.codes = store, spec, window_bp, codes
        self.bases = BaseReader(store, window_bp, signals=signals, motifs=motifs)
        self.tokens = n_window_tokens(window_bp, spec.k, spec.stride, spec.tail)
        needed = self.tokens + 2 * spec.special_tokens
        if self.tokens < 1:
            raise RecipeError(
                "the window holds no k-mer",
                where="samples.window_bp",
                found=window_bp,
                expected=f"at least model.k, {spec.k}",
            )
        if needed > spec.max_tokens:
            raise RecipeError(
                "the tokens of a window do not fit",
                where="model.max_tokens",
                found=spec.max_tokens,
                expected=f"at least {needed} for windows of {window_bp} bp",
            )
        self.length = spec.max_tokens if spec.pad_to_max else needed
        self.full = self.length == needed  # no padding
        # Bases that the tokens reach: beyond the window where tail=pad fills the last one.
        self._reach = max(window_bp, (self.tokens - 1) * spec.stride + spec.k)
        self._states = None
        if "states" in spec.streams:
            if store.states is None:
                raise StoreError(
                    "the store has no chromatin states",
                    where=str(store.path),
                    do="Build it with --states, or leave the stream `states` out of the recipe.",
                )
            self._states = store.states

    def __call__(
        self,
        cells: Any,
        chroms: Any,
        starts: Any,
        strands: Any = None,
        mixed: tuple[Tensor, Tensor] | None = None,
    ) -> Windows:
        """Read windows.

        Parameters
        ----------
        cells, chroms : int64 (B,)
            Numbers of cell types and chromosomes of the store; numpy, tensor or list.
        starts : int64 (B,)
            First base; may be negative, and the window may end after the chromosome: N there, no
            state, signal 0.
        strands : bool (B,), optional
            True: from the other strand. All False where not given.
        mixed : (bool (B,), int64 (B,)), optional
            Windows whose bases are shuffled, and the keys of their orders; tensors on the store's
            device.

        Returns
        -------
        Windows
            On the store's device.
        """
        bases = self.bases
        cells, chroms, starts = bases.numbers(cells), bases.numbers(chroms), bases.numbers(starts)
        turned = None if strands is None else bases.flags(strands)
        # N after the window where the last token is filled up: (B, reach).
        codes = bases.codes(chroms, starts, turned)
        if self._reach > self.window_bp:
            codes = torch.nn.functional.pad(codes, (0, self._reach - self.window_bp), value=4)
        if mixed is not None:
            flags, keys = mixed
            inside = shuffled(codes[:, : self.window_bp], keys)
            inside = torch.where(flags[:, None], inside, codes[:, : self.window_bp])
            codes = torch.cat([inside, codes[:, self.window_bp :]], 1)
        spec = self.spec
        ids, mask = wrap(
            kmer_ids(codes, spec.k, spec.stride),
            cls=spec.special_tokens,
            sep=spec.special_tokens,
            pad_to=self.length,
        )
        parts: dict[str, Tensor] = {}
        if self._states is not None:
            parts["states"] = self._state_tokens(cells, chroms, starts, turned)
        if bases.signals:
            parts["signals"] = self._signal_tokens(cells, chroms, starts, turned)
        if self.codes:
            parts["codes"] = codes[:, : self.window_bp]
        return Windows(ids=ids, mask=mask, full=self.full, **parts)

    def bins(self, starts: Any, strands: Any = None) -> Tensor:
        """Number the bins of the segmentation along windows, in the order they are read.

        Returns
        -------
        int64 (B, L)
            Of each token, the bin most of it lies in; -1 on special tokens and padding.
        """
        assert self._states is not None
        starts = self.bases.numbers(starts)
        turned = None if strands is None else self.bases.flags(strands)
        _, offset, _ = self._bins_of(starts, turned)
        width, into = self._states.bin, tensor_of(offset)
        parts = [
            token_bins(into + at, bin=width, k=k, stride=self.spec.stride, tokens=tokens)
            for at, k, tokens in self._pieces()
        ]
        return self._beside(torch.cat(parts, 1), -1)

    # -- the parts

    def _beside(self, values: Tensor, fill: float) -> Tensor:
        return beside_tokens(
            values, special_tokens=self.spec.special_tokens, width=self.length, fill=fill
        )

    def _bins_of(self, starts: Any, turned: Any) -> tuple[Any, Any, int]:
        """First bin to gather of each window, bases from where reading begins to the window's
        first, and how many bins.

        Read backwards, the bins begin with the one that holds the window's last base.
        """
        assert self._states is not None
        width = self._states.bin
        n = (self._reach + width - 2) // width + 1
        first = starts // width
        offset = starts - first * width
        if turned is None:
            return first, offset, n
        end = starts + self.window_bp
        last = (end - 1) // width
        pick = torch.where if isinstance(starts, Tensor) else np.where
        choose: Any = pick
        return (
            choose(turned, last - (n - 1), first),
            choose(turned, (last + 1) * width - end, offset),
            n,
        )

    def _state_tokens(self, cells: Any, chroms: Any, starts: Any, turned: Any) -> Tensor:
        assert self._states is not None
        first, offset, n = self._bins_of(starts, turned)
        codes = tensor_of(self._states.gather(cells, chroms, first, n))
        if turned is not None:
            codes = torch.where(tensor_of(turned)[:, None], codes.flip(1), codes)
        width, into = self._states.bin, tensor_of(offset)
        parts = [
            pool_states(codes, into + at, bin=width, k=k, stride=self.spec.stride, tokens=tokens)
            for at, k, tokens in self._pieces()
        ]
        return self._beside(state_ids(torch.cat(parts, 1)), PAD_STATE)

    def _pieces(self) -> list[tuple[int, int, int]]:
        """Tokens that cover equally many bases of the window: first base, bases, tokens.

        With tail=pad the last ones are filled up with N. They have the state of the bases they
        have, not of what lies beyond the window, which the model is not shown.
        """
        k, stride = self.spec.k, self.spec.stride
        whole = min(n_tokens(self.window_bp, k, stride), self.tokens)
        cut = [(t * stride, self.window_bp - t * stride, 1) for t in range(whole, self.tokens)]
        return [(0, k, whole), *cut] if whole else cut

    def _signal_tokens(self, cells: Any, chroms: Any, starts: Any, turned: Any) -> Tensor:
        k, stride, pooled = self.spec.k, self.spec.stride, []
        values = self.bases.values(cells, chroms, starts, turned)
        for (_, how, transform), each in zip(self.bases.signals, values, strict=True):
            of_tokens = pool_to_tokens(each, k, stride, cast(SignalPool, how), self.tokens)
            pooled.append(transformed(of_tokens, transform))
        return self._beside(torch.stack(pooled, -1), 0)


class WindowMaker:
    """Make batches of windows from a store: a pure function of (store, specs, seed, rows, step).

    Parameters
    ----------
    store : Store
        Memory maps, or on a device (`store.to(device)`).
    spec : ModelSpec
        Of an ebert or dbert.
    objectives : ObjectivesSpec
        What to hide: `masked_kmers` and `masked_states`.
    samples : SampleSpec
        unit windows; which windows, what is held out, from which strands.
    seed : int
        Of all draws.
    subset : {"train", "holdout", "all"}
    device : str or torch.device
        Where batches arrive.

    Attributes
    ----------
    table : WindowTable
        The samples; `len(maker)` is their number.
    reader : WindowReader
    spec : ModelSpec
        With states and cells filled in.
    factor_ids, statistics : list, tuple
        Empty: windows have no factors.

    Raises
    ------
    RecipeError, StoreError
        If what the recipe asks for is impossible, or the store lacks it.
    TrainingError
        If there is no window.
    """

    factor_ids: Sequence[str] = ()
    statistics: tuple[str, ...] = ()

    def __init__(
        self,
        store: Store,
        spec: ModelSpec,
        objectives: ObjectivesSpec,
        samples: SampleSpec,
        *,
        seed: int,
        subset: Subset = "train",
        device: torch.device | str = "cpu",
    ) -> None:
        self.store, self.objectives, self.samples, self.seed = store, objectives, samples, int(seed)
        self.weights = weights(objectives)
        asked = bool(truths_asked(objectives))
        self.reader = WindowReader(store, spec, samples.window_bp, codes=asked)
        self.table = WindowTable(store, samples, subset, spec.streams)
        self.on_regions = (
            RegionWindows(store, samples, subset, spec.streams) if samples.on_regions > 0 else None
        )
        self.device = torch.device(device)
        self.finders = find_truths(store, objectives, store.device, reach=samples.window_bp)
        counts: dict[str, Any] = {name: each.n for name, each in self.finders.items()}
        n_states = (
            store.states.n_states if "states" in spec.streams and store.states is not None else 0
        )
        self.spec = replace(
            spec,
            states=n_states,
            factors=0,
            cells=len(store.cell_types),
            **dict.fromkeys(TOKEN_TRUTHS, 0) | counts,
        )
        if len(self.table) == 0:
            held_out = ", ".join((*samples.holdout_chroms, *samples.holdout_cells)) or "nothing"
            raise TrainingError(
                "there is no window",
                where=str(store.path),
                found=(
                    f"subset {subset}, windows of {samples.window_bp} bp, held out: {held_out}, "
                    f"{self.table.left_out} with too many N"
                ),
                do=(
                    "Lower samples.window_bp, raise samples.window_max_n, or hold out something"
                    " else."
                ),
            )

    def __len__(self) -> int:
        return len(self.table)

    def __call__(self, rows: np.ndarray | Tensor, step: int) -> Batch:
        """Make the batch of some windows at a step.

        Parameters
        ----------
        rows : int64 (B,)
            Rows of `table`, in any order: `store.window_table.window_rows`, or a part of it.
        step : int
            Optimiser step; places within the jitter, strands and what is hidden change with it.

        Returns
        -------
        Batch
        """
        row = rows.cpu().numpy() if isinstance(rows, Tensor) else np.asarray(rows, dtype=np.int64)
        cells, chroms, starts = self.table.at(row)
        if self.table.jitter:
            starts = starts + integers(self.table.jitter + 1, _JITTER, self.seed, step, row)
        if self.on_regions is not None:
            which, where_in = (hash_bits(kind, self.seed, step, row) for kind in (_WHICH, _WHERE))
            theirs, begins, there = self.on_regions.at(cells, which, where_in)
            there &= self._drawn(_ON_REGION, self.samples.on_regions, step, row)
            chroms, starts = np.where(there, theirs, chroms), np.where(there, begins, starts)
        turned = None
        if self.samples.strands == "both":
            turned = (hash_bits(_STRAND, self.seed, step, row) & 1).astype(bool)
        where = self.store.device
        numbers = to_device(row, where)
        mixed = None
        if self.samples.shuffled > 0:
            flags = self._drawn(_SHUFFLED, self.samples.shuffled, step, row)
            mixed = (
                to_device(flags, where, torch.bool),
                hash_bits(_ORDER, self.seed, step, numbers),
            )
        windows = self.reader(cells, chroms, starts, turned, mixed)
        keys = hash_bits(_MASK, step, numbers)
        ids, labels = self._hidden_kmers(windows.ids, keys, step)
        zero = torch.zeros((1, 1), dtype=torch.int64, device=where)
        dna = Sequences(ids, zero.expand_as(ids), windows.mask, labels, full=windows.full)
        states, state_labels = windows.states, None
        if states is not None and self.weights["masked_states"] > 0:
            bins = None
            if self.objectives.masked_states.mode == "whole_bin":
                bins = self.reader.bins(starts, turned)
            states, state_labels = self._hidden_states(states, labels, bins, keys)
        if mixed is not None:
            # Nothing tells a hidden base of it, nor a state: sites alone are asked.
            here = mixed[0][:, None]
            labels = None if labels is None else labels.masked_fill(here, IGNORED)
            if states is not None:
                states = states.masked_fill(here & (states != PAD_STATE), UNKNOWN_STATE)
            if state_labels is not None:
                state_labels = state_labels.masked_fill(here, IGNORED)
            dna = replace(dna, labels=labels)
        batch = Batch(
            rows=numbers,
            cells=to_device(cells, where),
            regions=torch.zeros((len(row), 0), dtype=torch.int64, device=where),
            dna=dna,
            owner=torch.arange(len(row), device=where),
            states=states,
            state_labels=state_labels,
            chroms=to_device(chroms, where),
            starts=to_device(starts, where),
            **self._truths(windows.codes),
        )
        return batch if self.device == self.store.device else batch.to(self.device)

    def _drawn(self, kind: int, share: float, step: int, row: np.ndarray) -> np.ndarray:
        """Which windows a share of all falls on: bool (B,)."""
        return hash_bits(kind, self.seed, step, row) < threshold(share)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else of the windows the user should know."""
        out = list(self.table.notes)
        if self.on_regions is not None:
            out += [
                f"{self.samples.on_regions:.0%} of the windows stand on".replace("%", " %")
                + f" {self.on_regions.n:,} accessible regions, drawn each time",
                *self.on_regions.notes,
            ]
        if self.samples.shuffled > 0:
            out.append(
                f"{self.samples.shuffled:.0%} of the windows".replace("%", " %")
                + " have their bases shuffled, another order each time: motif sites alone are asked"
                " there"
            )
        return tuple(out)

    def _truths(self, codes: Tensor | None) -> dict[str, Any]:
        if codes is None:
            return {}
        special, width = self.spec.special_tokens, self.reader.length
        return {
            name: beside_tokens(
                finder(codes, self.spec.stride, self.reader.tokens),
                special_tokens=special,
                width=width,
                fill=0,
            )
            for name, finder in self.finders.items()
        }

    def _hidden_kmers(self, ids: Tensor, keys: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        mask = self.objectives.masked_kmers
        if self.weights["masked_kmers"] <= 0:
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

    def _hidden_states(
        self, states: Tensor, labels: Tensor | None, bins: Tensor | None, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        how = self.objectives.masked_states
        return mask_states(
            states,
            keys=keys,
            seed=self.seed,
            stride=self.spec.stride,
            n_states=self.spec.states,
            bins=bins,
            # The paper: one of the masked k-mers is chosen, and its state.
            among=None if labels is None else labels != IGNORED,
            mode=how.mode,
            n_centres=how.n_centres,
            flank_bp=how.flank_bp,
            flank_round=how.flank_round,
            replace=how.replace,
        )
