"""Two windows a variant, both strands, several shifts, joined: a scorer whose sums are known."""

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.genome.sequence import decode, encode
from epilm.variants.haplotypes import Change
from epilm.variants.pair_scores import PairScores, windowing_of
from epilm.variants.scorers import Said

LETTERS = decode(np.random.default_rng(0).integers(0, 4, 400).astype(np.uint8))
CHANGES = [Change("chr1", at, LETTERS[at], "ACGT".replace(LETTERS[at], "")[0]) for at in (90, 200)]


class Genome:
    sizes = {"chr1": 400}  # noqa: RUF012

    def codes(self, chrom):
        return encode(LETTERS)


class Weigher:
    """The value of a window: each base's code times its place, so that strand and shift count."""

    sides, between = ("weight",), ("apart",)
    network, device, notes, symmetric = None, None, ("heavy",), False

    def __init__(self, width=None, widest=None):
        self.width, self.widest = width, widest

    def __call__(self, pairs):
        places = np.arange(pairs.codes.shape[2])
        value = (pairs.codes * places).sum(-1).astype(float)
        return Said({"weight": value}, {"apart": np.abs(value[:, 0] - value[:, 1])})


def weigh(word):
    return float((encode(word) * np.arange(len(word))).sum())


def test_the_mean_over_strands_and_shifts_is_that_of_the_single_windows():
    windowing = windowing_of([Weigher()], 20, (0, 3), 1, None)
    said = PairScores([Weigher()], windowing)(CHANGES, Genome())
    turn = str.maketrans("ACGT", "TGCA")
    for row, (_, at, _, alt) in enumerate(CHANGES):
        deltas, values = {False: [], True: []}, []
        for shift in (0, 3):
            start = at - 9 + shift
            ref = LETTERS[start : start + 20]
            other = ref[: at - start] + alt + ref[at - start + 1 :]
            for turned in (False, True):
                two = [word[::-1].translate(turn) if turned else word for word in (ref, other)]
                one, two = map(weigh, two)
                values.append((one, two))
                deltas[turned].append(two - one)
        mean = np.mean(values, 0)
        assert said["weight_ref"][row] == pytest.approx(mean[0])
        assert said["weight_alt"][row] == pytest.approx(mean[1])
        assert said["weight_delta"][row] == pytest.approx(mean[1] - mean[0])
        strands = abs(np.mean(deltas[False]) - np.mean(deltas[True]))
        assert said["weight_strands"][row] == pytest.approx(strands)
        assert said["apart"][row] == pytest.approx(np.mean([abs(b - a) for a, b in values]))


def test_columns_are_those_given_and_the_effects_among_them_are_ranked():
    scores = PairScores([Weigher()], windowing_of([Weigher()], 20, (0,), 4, None))
    given = scores(CHANGES, Genome())
    assert list(scores.columns) == list(given)
    assert scores.ranked == {"weight_delta": "weight", "apart": "apart"}
    assert scores.windows == "20 bp windows on a grid of 4 bp, both strands, shifts 0"
    assert scores.notes == ["heavy"]


@pytest.mark.parametrize(
    ("scorer", "window", "shifts", "grid", "message"),
    [
        (
            Weigher(width=30),
            40,
            (0,),
            1,
            "--window: the model reads windows of one.*Found 40",
        ),
        (Weigher(widest=64), 65, (0,), 1, "--window: impossible value.*expected 16 to 64 bp"),
        (Weigher(), 15, (0,), 1, "--window: impossible value.*expected at least 16 bp"),
        (Weigher(), 40, (0, -11), 1, "--shifts: a shift moves.*Found -11; expected at most 10 bp"),
        (Weigher(), 40, (0, 9), 4, "--shifts: .*Found 9; expected at most 8 bp"),
        (Weigher(), 40, (0,), 11, "--grid: impossible value. Found 11; expected 1 to 10"),
    ],
)
def test_windows_that_do_not_fit_are_refused(scorer, window, shifts, grid, message):
    with pytest.raises(UsageError, match=message):
        windowing_of([scorer], window, shifts, grid, None)


def test_the_width_is_the_models_own_its_widest_or_what_motifs_need():
    widths = [
        windowing_of([scorer], None, (0,), 1, None).width
        for scorer in (Weigher(width=30), Weigher(widest=64), Weigher())
    ]
    assert widths == [30, 64, 200]


class OneStrand(Weigher):
    """Says that both strands are alike, and is told of one."""

    symmetric = True

    def __call__(self, pairs):
        assert not pairs.reverse
        return super().__call__(pairs)


def test_a_scorer_to_which_strands_are_alike_is_asked_about_one():
    windowing = windowing_of([Weigher()], 20, (0, 3), 1, None)
    said = PairScores([OneStrand()], windowing)(CHANGES, Genome())
    for row, (_, at, _, alt) in enumerate(CHANGES):
        values = []
        for shift in (0, 3):
            ref = LETTERS[at - 9 + shift : at + 11 + shift]
            other = ref[: 9 - shift] + alt + ref[10 - shift :]
            values.append((weigh(ref), weigh(other)))
        mean = np.mean(values, 0)
        assert said["weight_ref"][row] == pytest.approx(mean[0])
        assert said["weight_delta"][row] == pytest.approx(mean[1] - mean[0])
    assert (said["weight_strands"] == 0).all()
    assert (said["apart_strands"] == 0).all()
