"""Windows as tensors: what a slow reader finds base by base, from either strand, on any device, in
any cut.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from epilm.batches import BatchMaker, WindowMaker, WindowReader, make_batches
from epilm.batches.base_reader import BaseReader
from epilm.batches.window_reader import EBERT_PLUS_SIGNALS
from epilm.errors import RecipeError, StoreError, TrainingError
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import MaskedStatesSpec, MaskSpec, ObjectivesSpec
from epilm.store.sample_spec import SampleSpec
from epilm.tokens.kmers import MASK, decode_ids
from epilm.tokens.state_tokens import MASK_STATE, PAD_STATE, UNKNOWN_STATE
from toy_store import toy_store
from toy_tracks import toy_track_store

EBERT = ModelSpec(name="ebert", streams=("dna", "states"), k=7, stride=7)
WINDOWS = SampleSpec(
    unit="windows", window_stride=170, window_jitter=30, strands="both", holdout_chroms=("chr3",)
)
HIDE = ObjectivesSpec(masked_kmers=MaskSpec(scheme="iid", rate=0.15, late_rate=0.15), alpha=0.5)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"), lonely=("typeD",), n_share=0.05)


def some_windows(store, n=40, width=1000, seed=1):
    """Windows anywhere, over both ends of chromosomes too: cells, chroms, starts, strands."""
    rng = np.random.default_rng(seed)
    chroms = rng.integers(0, len(store.chroms), n)
    sizes = np.array(store.sizes)[chroms]
    starts = rng.integers(-width // 2, sizes - width // 2)
    starts[:3] = [-width // 3, 0, sizes[2] - width // 3]
    return rng.integers(0, len(store.cell_types), n), chroms, starts, rng.random(n) < 0.5


def plain(store, cell, chrom, start, turned, width):
    """Letters, state codes (255 = none) and signals of one window, base by base, as it is read."""
    size, begin = store.sizes[chrom], int(store.offsets[chrom])
    track = store.states.of(cell)
    letters, codes, signals = [], [], {name: [] for name in store.signals}
    for at in range(start, start + width):
        inside = 0 <= at < size
        base = int(store.genome[begin + at]) if inside else 4
        letters.append("ACGTN"[3 - base if turned and base < 4 else base])
        number = at // store.states.bin
        known = 0 <= number < store.states.n_bins[chrom]
        codes.append(int(track[store.states.offsets[chrom] + number]) if known else 255)
        for name, table in store.signals.items():
            row = 0 if table.rows is None else int(table.rows[cell])
            there = inside and row >= 0
            signals[name].append(
                float(table.values[row, table.offsets[chrom] + at]) if there else 0.0
            )
    order = slice(None, None, -1) if turned else slice(None)
    return (
        "".join(letters)[order],
        codes[order],
        {name: values[order] for name, values in signals.items()},
    )


def majority(codes):
    """State of most bases; none where more than half have none; of two as many the left one."""
    if 2 * codes.count(255) > len(codes):
        return 255
    known = [code for code in codes if code != 255]
    return max(known, key=lambda code: (known.count(code), -known.index(code)))


def test_a_filled_up_token_counts_the_bases_that_it_has_in_the_window():
    pieces = WindowReader._pieces(
        SimpleNamespace(spec=SimpleNamespace(k=5, stride=4), window_bp=9, tokens=3)
    )
    assert pieces == [(0, 5, 2), (8, 1, 1)]  # bases 0-4, 4-8, and 8 alone
    pieces = WindowReader._pieces(
        SimpleNamespace(spec=SimpleNamespace(k=7, stride=7), window_bp=5, tokens=1)
    )
    assert pieces == [(0, 5, 1)]


@pytest.mark.parametrize(
    ("k", "stride", "special", "tail", "pad"),
    [
        (7, 7, True, "drop", False),
        (6, 6, False, "drop", True),
        (6, 3, True, "pad", True),
        (7, 7, True, "pad", False),
    ],
)
def test_tokens_states_and_signals_are_those_of_a_slow_reader(store, k, stride, special, tail, pad):
    width = 620
    spec = replace(
        EBERT, k=k, stride=stride, special_tokens=special, tail=tail, pad_to_max=pad, max_tokens=220
    )
    reader = WindowReader(store, spec, width, signals=EBERT_PLUS_SIGNALS, codes=True)
    cells, chroms, starts, strands = some_windows(store, width=width)
    found = reader(cells, chroms, starts, strands)
    bare = BaseReader(store, width, signals=EBERT_PLUS_SIGNALS)
    base_by_base = bare.plain(cells, chroms, starts, strands)
    assert found.ids.shape == (40, reader.length) == found.states.shape
    assert reader.length == (220 if pad else reader.tokens + 2 * special)
    first = int(special)
    inner = slice(first, first + reader.tokens)
    for b in range(len(found)):
        turned = bool(strands[b])
        letters, codes, signals = plain(
            store, int(cells[b]), int(chroms[b]), int(starts[b]), turned, width
        )
        pieces = [slice(t * stride, t * stride + k) for t in range(reader.tokens)]
        words = [letters[piece].ljust(k, "N") for piece in pieces]
        expected = ["[UNK]" if "N" in word else word for word in words]
        if special:
            expected = ["[CLS]", *expected, "[SEP]"]
        expected += ["[PAD]"] * (reader.length - len(expected))
        assert decode_ids(found.ids[b], k) == expected
        assert found.mask[b].tolist() == [word != "[PAD]" for word in expected]
        of_tokens = [majority(codes[piece]) for piece in pieces]
        states = [UNKNOWN_STATE if code == 255 else 3 + code for code in of_tokens]
        # Also of tokens that reach beyond the window: of the bases that they have in it.
        assert found.states[b][inner].tolist() == states
        outside = torch.cat([found.states[b][:first], found.states[b][inner.stop :]])
        assert set(outside.tolist()) <= {PAD_STATE}
        accessibility = [
            np.log1p(np.float32(max(signals["accessibility"][piece]))) for piece in pieces
        ]
        mappability = [min(signals["mappability"][piece]) for piece in pieces]
        np.testing.assert_allclose(found.signals[b][inner, 0], accessibility, rtol=1e-6)
        np.testing.assert_array_equal(found.signals[b][inner, 1], mappability)
        assert not found.signals[b][: inner.start].any()
        assert not found.signals[b][inner.stop :].any()
        for each in (found, base_by_base):
            assert "".join("ACGTN"[code] for code in each.codes[b]) == letters
        np.testing.assert_allclose(
            base_by_base.tracks[b, :, 0],
            np.log1p(np.float32(signals["accessibility"])),
            rtol=1e-6,
        )
    assert (found.ids == 1).any(), "no window had an N"
    assert (found.states == UNKNOWN_STATE).any()


@pytest.mark.parametrize("mode", ["flank", "whole_bin", "run"])
def test_a_store_on_a_device_gives_the_bits_of_the_memory_maps(store, mode):
    objectives = replace(HIDE, masked_states=MaskedStatesSpec(mode=mode))
    here = WindowMaker(store, EBERT, objectives, WINDOWS, seed=3)
    there = WindowMaker(store.to("cpu"), EBERT, objectives, WINDOWS, seed=3)
    rows = np.random.default_rng(0).integers(0, len(here), 50)
    a, b = here(rows, 5), there(torch.from_numpy(rows), 5)
    assert torch.equal(a.dna.ids, b.dna.ids)
    assert torch.equal(a.dna.labels, b.dna.labels)
    for name in ("rows", "cells", "chroms", "starts", "states", "state_labels"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    windows = some_windows(store)
    stores = (store, store.to("cpu"))
    read = [
        WindowReader(s, EBERT, 1000, signals=EBERT_PLUS_SIGNALS, codes=True)(*windows)
        for s in stores
    ]
    for name in ("ids", "mask", "states", "signals", "codes"):
        assert torch.equal(getattr(read[0], name), getattr(read[1], name)), name
    bare = [BaseReader(s, 1000, signals=EBERT_PLUS_SIGNALS).plain(*windows) for s in stores]
    for name in ("ids", "mask", "codes", "tracks"):
        assert torch.equal(getattr(bare[0], name), getattr(bare[1], name)), name


def test_a_window_does_not_depend_on_its_batch_and_a_step_draws_anew(store):
    maker = WindowMaker(store, EBERT, HIDE, WINDOWS, seed=3)
    rows = np.arange(0, 60, 2)
    whole, part, later = maker(rows, 4), maker(rows[10:13], 4), maker(rows, 5)
    for name in ("states", "state_labels", "starts"):
        assert torch.equal(getattr(whole, name)[10:13], getattr(part, name)), name
    assert torch.equal(whole.dna.ids[10:13], part.dna.ids)
    assert not torch.equal(whole.starts, later.starts)
    assert not torch.equal(whole.dna.labels, later.dna.labels)
    other = WindowMaker(store, EBERT, HIDE, WINDOWS, seed=4)(rows, 4)
    assert not torch.equal(whole.dna.labels, other.dna.labels)


def test_windows_begin_within_the_jitter_and_half_of_them_are_turned(store):
    maker = WindowMaker(store, EBERT, HIDE, WINDOWS, seed=0)
    rows = np.arange(len(maker))
    cells, chroms, starts = maker.table.at(rows)
    batch = maker(rows, 0)
    moved = batch.starts.numpy() - starts
    assert set(moved.tolist()) == set(range(31))
    assert batch.cells.tolist() == cells.tolist()
    assert batch.chroms.tolist() == chroms.tolist()
    clean = replace(
        HIDE,
        alpha=None,
        masked_kmers=MaskSpec(weight=0.0),
        masked_states=MaskedStatesSpec(weight=1.0),
    )
    unmasked, reader, share = WindowMaker(store, EBERT, clean, WINDOWS, seed=0), maker.reader, []
    for step in range(8):
        seen = unmasked(rows, step)
        where = cells, chroms, seen.starts.numpy()
        forward = (seen.dna.ids == reader(*where).ids).all(1)
        turned = (seen.dna.ids == reader(*where, np.ones(len(rows), bool)).ids).all(1)
        assert bool((forward ^ turned).all())
        share.append(float(turned.float().mean()))
    assert np.mean(share) == pytest.approx(0.5, abs=0.05)


def test_turning_twice_is_reading_once(store):
    # 700 bp are 100 whole tokens: the same k-mers from either side, each the other's reverse
    # complement.
    reader = WindowReader(store, EBERT, 700, codes=True)
    cells, chroms, starts, _ = some_windows(store, width=700)
    one, other = reader(cells, chroms, starts), reader(cells, chroms, starts, np.ones(40, bool))
    complement = torch.tensor([3, 2, 1, 0, 4])
    assert torch.equal(complement[other.codes.flip(1).long()].to(torch.uint8), one.codes)
    assert torch.equal(other.states.flip(1), one.states)


def test_what_is_hidden_is_scored_and_nothing_else(store):
    maker = WindowMaker(store, EBERT, HIDE, WINDOWS, seed=0)
    batch = maker(np.arange(400), 0)
    clean = maker.reader(batch.cells, batch.chroms, batch.starts)
    hidden = batch.dna.labels != -100
    assert float(hidden[:, 1:-1].float().mean()) == pytest.approx(0.15, abs=0.01)
    assert not hidden[:, 0].any()
    assert not hidden[batch.dna.ids == 1].any() or bool((batch.dna.labels[hidden] >= 5).all())
    assert float((batch.dna.ids[hidden] == MASK).float().mean()) == pytest.approx(0.8, abs=0.02)
    centres = batch.state_labels != -100
    assert set(centres.sum(1).tolist()) <= {0, 1}
    assert bool((batch.states[centres] == MASK_STATE).all())
    # The paper: the centre is one of the hidden k-mers.
    assert float((hidden & centres).sum() / centres.sum()) > 0.99
    # A flank of 100 bp is 14 tokens on either side, clipped at the ends.
    covered = (batch.states == MASK_STATE).sum(1)[centres.any(1)]
    assert int(covered.max()) == 29
    assert int(covered.min()) >= 15
    assert clean.states.shape == batch.states.shape


def test_no_token_of_the_centres_bin_stays_in_sight_under_whole_bin(store):
    objectives = replace(HIDE, masked_states=MaskedStatesSpec(mode="whole_bin"))
    maker = WindowMaker(store, EBERT, objectives, replace(WINDOWS, strands="forward"), seed=0)
    batch = maker(np.arange(300), 0)
    start = batch.starts[:, None] + 7 * torch.arange(142)
    bins = (start + 3) // 200  # the middle of seven bases lies where most of them do
    states, labels = batch.states[:, 1:-1], batch.state_labels[:, 1:-1]
    row, centre = (labels != -100).nonzero().unbind(1)
    own = bins[row] == bins[row, centre][:, None]
    assert bool((states[row][own] == MASK_STATE).all())
    assert not bool((states[row][~own] == MASK_STATE).any())


def test_without_states_a_batch_is_sequence_alone(store):
    dbert = ModelSpec(name="dbert", streams=("dna",), k=7, stride=7)
    maker = WindowMaker(store, dbert, replace(HIDE, alpha=None), WINDOWS, seed=0)
    batch = maker(np.arange(8), 0)
    assert batch.states is None
    assert batch.state_labels is None
    assert batch.regions.shape == (8, 0)
    assert maker.spec.states == 0
    assert maker.factor_ids == ()
    # Sequence, places and masks do not depend on whether states are read.
    both = WindowMaker(
        store, EBERT, HIDE, replace(WINDOWS, holdout_cells=("typeB", "typeC")), seed=0
    )
    assert torch.equal(both(np.arange(8), 0).dna.ids, batch.dna.ids)


def test_the_unit_of_samples_picks_the_maker(store, tmp_path):
    kind = make_batches(store, EBERT, HIDE, WINDOWS, seed=0)
    assert isinstance(kind, WindowMaker)
    regions = toy_store(tmp_path)
    spec = ModelSpec(name="dnabert", streams=("dna",))
    assert isinstance(
        make_batches(regions, spec, ObjectivesSpec(), SampleSpec(regions=3), seed=0), BatchMaker
    )


def test_what_cannot_be_read_is_refused(store, tmp_path):
    with pytest.raises(
        RecipeError, match=r"samples\.window_bp: the window holds no k-mer\. Found 5"
    ):
        WindowReader(store, EBERT, 5)
    with pytest.raises(
        RecipeError,
        match=r"model\.max_tokens: the tokens of a window do not fit\. Found 100.*at least 144",
    ):
        WindowReader(store, replace(EBERT, max_tokens=100), 1000)
    with pytest.raises(
        StoreError,
        match=r"no signal rnaseq\. Found accessibility, mappability.*--signal rnaseq:CELL=FILE",
    ):
        WindowReader(store, EBERT, 1000, signals=[("rnaseq", "max", "raw")])
    with pytest.raises(RecipeError, match=r"signal mappability: unknown pooling\. Found median"):
        WindowReader(store, EBERT, 1000, signals=[("mappability", "median", "raw")])
    with pytest.raises(RecipeError, match=r"signal mappability: unknown transform\. Found log"):
        WindowReader(store, EBERT, 1000, signals=[("mappability", "min", "log")])
    bare = toy_track_store(tmp_path, n_states=0, signals=())
    with pytest.raises(StoreError, match=r"has no chromatin states.*--states"):
        WindowReader(bare, EBERT, 1000)
    with pytest.raises(
        StoreError, match=r"no signal accessibility\. Found no signals.*--accessibility"
    ):
        WindowReader(bare, replace(EBERT, streams=("dna",)), 1000, signals=EBERT_PLUS_SIGNALS)
    with pytest.raises(TrainingError, match=r"there is no window.*windows of 30000 bp"):
        WindowMaker(
            store, replace(EBERT, max_tokens=5000), HIDE, replace(WINDOWS, window_bp=30_000), seed=0
        )


@pytest.fixture(scope="module")
def regional(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regional")
    return toy_track_store(folder, lonely=("typeD",), regions=True, n_share=0.02)


def on_region(store, batch, cell=None):
    """Whether the middle of each window lies in a region (accessible in its cell type)."""
    middle, out = batch.starts + 500, []
    for row in range(len(batch.rows)):
        mine = store.regions["chrom"] == int(batch.chroms[row])
        if cell is not None:
            mine &= store.accessible(int(batch.cells[row]))
        here = store.regions[mine]
        at = int(middle[row])
        out.append(bool(((here["start"] <= at) & (at < here["end"])).any()))
    return np.array(out)


DBERT = ModelSpec(name="dbert", streams=("dna",), k=7, stride=7)
SEQUENCE = replace(HIDE, alpha=None)


@pytest.mark.parametrize(("spec", "hide"), [(EBERT, HIDE), (DBERT, SEQUENCE)])
def test_a_share_of_the_windows_stands_on_regions_of_the_subset(regional, spec, hide):
    everywhere = replace(WINDOWS, on_regions=1.0)
    maker = WindowMaker(regional, spec, hide, everywhere, seed=0)
    batch = maker(np.arange(200) % len(maker), 3)
    edge = (batch.starts == 0) | (batch.starts == torch.tensor(regional.sizes)[batch.chroms] - 1000)
    assert (on_region(regional, batch, "own" if spec is EBERT else None) | edge.numpy()).all()
    assert set(batch.chroms.tolist()) == {0, 1}  # chr3 is held out
    held = WindowMaker(regional, spec, hide, everywhere, seed=0, subset="holdout")
    assert set(held(np.arange(len(held)), 0).chroms.tolist()) == {2}
    half = WindowMaker(regional, spec, hide, replace(WINDOWS, on_regions=0.5), seed=0)
    none = WindowMaker(regional, spec, hide, WINDOWS, seed=0)
    rows = np.arange(len(none))
    mixed, grid, all_ = half(rows, 3), none(rows, 3), maker(rows, 3)
    same = (mixed.starts == grid.starts) & (mixed.chroms == grid.chroms)
    theirs = (mixed.starts == all_.starts) & (mixed.chroms == all_.chroms)
    assert bool((same | theirs).all())
    assert float(same.float().mean()) == pytest.approx(0.5, abs=0.1)


def test_windows_on_regions_and_shuffled_ones_do_not_depend_on_the_cut(regional):
    samples = replace(WINDOWS, on_regions=0.4, shuffled=0.3)
    maker = WindowMaker(regional, EBERT, HIDE, samples, seed=0)
    rows = np.array([5, 0, 17, 3, 8, 40])
    whole = maker(rows, 9)
    # As another process, or a run that goes on, makes them.
    again = WindowMaker(regional, EBERT, HIDE, samples, seed=0)
    parts = [again(rows[:2], 9), again(rows[2:], 9)]
    for name in ("states", "state_labels", "starts", "chroms"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(getattr(whole, name), joined), name
    assert torch.equal(whole.dna.ids, torch.cat([part.dna.ids for part in parts]))
    assert not torch.equal(whole.dna.ids, maker(rows, 10).dna.ids)
    assert not torch.equal(
        whole.starts, WindowMaker(regional, EBERT, HIDE, samples, seed=1)(rows, 9).starts
    )


def test_of_a_shuffled_window_neither_bases_nor_states_are_asked(regional):
    shown = replace(WINDOWS, strands="forward", window_jitter=0)
    plain_one = WindowMaker(regional, EBERT, HIDE, shown, seed=0)
    maker = WindowMaker(regional, EBERT, HIDE, replace(shown, shuffled=0.5), seed=0)
    rows = np.arange(60)
    batch, before = maker(rows, 2), plain_one(rows, 2)
    mixed = (batch.states[:, 1:-1] == UNKNOWN_STATE).all(1)
    assert 10 < int(mixed.sum()) < 50
    assert bool((batch.dna.labels[mixed] == -100).all())
    assert bool((batch.state_labels[mixed] == -100).all())
    assert bool((batch.states[:, [0, -1]] == PAD_STATE).all())
    for name in ("states", "state_labels"):
        assert torch.equal(getattr(batch, name)[~mixed], getattr(before, name)[~mixed])
    assert torch.equal(batch.dna.ids[~mixed], before.dna.ids[~mixed])
    assert not torch.equal(batch.dna.ids[mixed], before.dna.ids[mixed])


def test_windows_on_regions_need_regions(store):
    with pytest.raises(
        RecipeError, match=r"samples\.on_regions: .* none to learn from\. Found 0 regions"
    ):
        WindowMaker(store, EBERT, HIDE, replace(WINDOWS, on_regions=0.2), seed=0)
