"""Every change is scored as if alone; a planted effect lies at its own base."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.explaining.frames import Frame
from epilm.explaining.mutagenesis import (
    deletions,
    substitutions,
    worth_of_deletions,
    worth_of_substitutions,
)
from epilm.genome.sequence import encode, reverse_complement
from toy_explained import frame, subject
from toy_explained import placed as placed_subject
from toy_tracks import toy_track_store


def alone(made, window, where):
    """One window's score, asked for by itself, both strands by hand."""
    if not made.both:
        return made.score(window[None], where)[0]
    other = Frame(where.chrom, where.start, window, where.more, 0, 1, -1)
    made.both = False
    scores = [made.score(window[None], where)[0], made.score(window[None], other)[0]]
    made.both = True
    return float(np.mean(scores))


@pytest.mark.parametrize("kind", ["dna", "stem", "cnn"])
def test_a_map_is_each_mutated_sequence_scored_alone(kind):
    made, where = subject(kind), frame(20, 4, 16, n_at=(9,))
    made.batch = 7
    changes = substitutions(made.of(where), where)
    whole = alone(made, where.codes, where)
    for i, at in enumerate(range(4, 16)):
        for base in range(4):
            if at == 9:
                assert np.isnan(changes[base, i])
                continue
            window = where.codes.copy()
            window[at] = base
            expected = alone(made, window, where) - whole
            assert changes[base, i] == pytest.approx(expected, abs=2e-5)
    assert np.nanmax(np.abs(changes)) > 1e-3


@pytest.mark.parametrize("kind", ["dna", "stem", "cnn"])
def test_deletions_are_the_sequence_without_those_bases(kind):
    made, where = subject(kind), frame(20, 2, 18, n_at=(6,))
    table = deletions(made.of(where), where, 3)
    whole = alone(made, where.codes, where)
    bases = np.concatenate([where.codes, where.more])
    for length in (1, 2, 3):
        for i, at in enumerate(range(2, 18)):
            touches = at <= 6 < at + length
            if at + length > 18 or touches:
                assert np.isnan(table[length - 1, i])
                continue
            window = np.delete(bases, range(at, at + length))[:20]
            expected = alone(made, window, where) - whole
            assert table[length - 1, i] == pytest.approx(expected, abs=2e-5)


def test_a_run_of_one_letter_loses_the_same_wherever_it_loses_it():
    codes = encode("ACGTTTTTGCAACG")
    where = Frame("c", 0, codes, np.zeros(0, np.uint8), 0, len(codes))
    seen = []

    def score(windows):
        seen.append(len(windows))
        return (windows == 3).sum(1).astype(float)

    table = deletions(score, where, 1)
    assert table[0, 3:8].tolist() == [-1] * 5
    different = {bytes(np.delete(codes, at)) for at in range(len(codes))}
    assert seen == [1, len(different)]  # the window itself, then each different one once


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 25), st.integers(1, 10), st.integers(0, 10), st.integers(0, 99))
def test_every_deletion_has_its_place_for_any_width(width, longest, more, seed):
    where = frame(width, 0, width, seed=seed, more=more)
    weights = np.arange(1, 60)

    def score(windows):
        return (windows * weights[: windows.shape[1]]).sum(1).astype(float)

    table = deletions(score, where, longest)
    bases = np.concatenate([where.codes, where.more])
    for length in range(1, longest + 1):
        for at in range(width):
            kept = np.delete(bases, range(at, min(at + length, width)))[
                : width - length + min(length, more)
            ]
            if at + length > width or not len(kept):
                assert np.isnan(table[length - 1, at])
            else:
                expected = score(kept[None])[0] - score(where.codes[None])[0]
                assert table[length - 1, at] == expected


@pytest.mark.parametrize("kind", ["dna", "cnn"])
def test_both_strands_are_read_alike(kind):
    """The map of the other strand is the map turned round, bases complemented."""
    made, where = subject(kind), frame(18)
    turned = Frame("c", 0, reverse_complement(where.codes), np.zeros(0, np.uint8), 0, 18)
    one = substitutions(made.of(where), where)
    other = substitutions(made.of(turned), turned)
    assert other[::-1, ::-1] == pytest.approx(one, abs=2e-5)


def test_a_model_of_one_strand_reads_a_region_along_its_strand():
    made = subject("dna", strands="forward")
    where = frame(18, strand=-1)
    turned = Frame("c", 0, reverse_complement(where.codes), np.zeros(0, np.uint8), 0, 18)
    one = substitutions(made.of(where), where)
    other = substitutions(made.of(turned), turned)
    assert other[::-1, ::-1] == pytest.approx(one, abs=2e-5)


def test_a_planted_one_base_effect_peaks_at_that_base():
    """1- against 0-based: base 13 of a window on chr1:100 lies at 113."""
    where = frame(30, 5, 25, seed=3)

    def score(windows):
        return (windows[:, 13] == where.codes[13]).astype(float)

    changes = substitutions(score, where)
    worth, scores = worth_of_substitutions(changes, where.codes[5:25])
    assert where.start + where.first + int(np.nanargmax(scores)) == 113
    assert scores[8] == pytest.approx(0.75)
    assert np.count_nonzero(scores) == 1
    assert np.nansum(worth, 0) == pytest.approx(np.zeros(20))
    # Of deletions too: none of one base that leaves base 13 as it is costs anything.
    one = deletions(score, where, 1)[0]
    assert not one[9:].any() or where.codes[13] == where.codes[14]
    assert np.nanargmax(worth_of_deletions(deletions(score, where, 2))) <= 9


def test_part_of_a_window_agrees_with_the_whole():
    made = subject("stem")
    whole, part = frame(24), frame(24, 7, 15)
    assert substitutions(made.of(part), part) == pytest.approx(
        substitutions(made.of(whole), whole)[:, 7:15], abs=2e-5
    )
    assert deletions(made.of(part), part, 2)[1, :7] == pytest.approx(
        deletions(made.of(whole), whole, 2)[1, 7:14], abs=2e-5
    )


def test_binding_is_the_stores_window_with_another_base(tmp_path):
    """The same as a store whose genome has that base."""
    from dataclasses import replace

    store = toy_track_store(tmp_path / "s", n_share=0.0)
    bases = np.asarray(store.genome[:24_050])
    where = Frame("chr1", 5000, bases[5000:5100], bases[5100:5110], 48, 52)
    use = {"signals": [("accessibility", "max", "log1p")]}
    made = placed_subject(store, **use)
    changes = substitutions(made.of(where), where)
    for at in range(48, 52):
        base = (bases[5000 + at] + 1) % 4
        genome = np.array(store.genome)
        genome[5000 + at] = base
        there = placed_subject(replace(store, genome=genome), **use)
        codes = genome[5000:5100]
        expected = there.score(codes[None], where)[0] - made.score(where.codes[None], where)[0]
        assert changes[base, at - 48] == pytest.approx(expected, abs=2e-5)
    other = placed_subject(store, "typeB", **use)
    assert other.score(where.codes[None], where) != made.score(where.codes[None], where)
