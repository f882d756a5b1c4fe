"""A motif's score read as a signal: by hand, against plain loops, from every reader, and through a
run of fine-tuning.
"""

import dataclasses

import numpy as np
import pytest
import torch

from epilm.batches.base_reader import BaseReader
from epilm.batches.motif_signals import MotifSignal, choose_motifs
from epilm.batches.overlapping import OverlappingReader
from epilm.batches.window_reader import WindowReader
from epilm.errors import InputError
from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.scorer import open_scorer
from epilm.models.model_spec import ModelSpec
from epilm.motifs.motif import Motif
from epilm.store.reader import Store
from epilm.tasks.binding import BinLabels, grid
from epilm.tasks.binding.rows import CellBins
from toy_binding import QUICK
from toy_tracks import toy_track_store

SPEC = ModelSpec(name="ebert", streams=("dna", "states"), k=7, stride=7, max_tokens=150)
SIGNALS = (
    ("motif:ODD", "max", "raw"),
    ("accessibility", "max", "log1p"),
    ("motif:EVEN", "mean", "raw"),
)


def word(text, counts=97.0, rest=1.0):
    """A motif that wants one word."""
    table = np.full((len(text), 4), rest)
    table[np.arange(len(text)), ["ACGT".index(base) for base in text]] = counts
    return table


ODD, EVEN = Motif("M1", "ODD", word("GATTACA"), True), Motif("M2", "EVEN", word("CCATGT"), True)
TWO = Motif("M3", "ODD", word("TTTGACCTT"), True)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"), n_share=0.05)


@pytest.fixture(scope="module")
def matrices():
    return choose_motifs(["motif:ODD", "motif:EVEN"], (), [ODD, EVEN, TWO])[1]


class OfBases:
    """A store of one chromosome, from letters."""

    def __init__(self, letters):
        self.genome = np.array(["ACGTN".index(base) for base in letters], np.uint8)

    def bases(self, chroms, starts, width):
        at = np.asarray(starts)[:, None] + np.arange(width)
        inside = (at >= 0) & (at < len(self.genome))
        return np.where(inside, self.genome[at.clip(0, len(self.genome) - 1)], 4).astype(np.uint8)


def test_a_word_has_its_log_odds_at_its_middle_on_either_strand():
    """GATTACA at 3 (middle 6), its reverse complement TGTAATC at 13 (middle 16): seven times
    ln(97.25/101/0.25).
    """
    right, wrong = np.log(97.25 / 101 / 0.25), np.log(1.25 / 101 / 0.25)
    one = choose_motifs(["motif:ODD"], (), [ODD])[1]["motif:ODD"]
    signal = MotifSignal(OfBases("CCCGATTACACCCTGTAATCGGGG"), one)
    values = signal.windows(None, [0], np.array([0]), 24)[0]
    assert values[6] == pytest.approx(7 * right)
    assert values[16] == pytest.approx(7 * right)
    assert sorted(values.argsort(descending=True)[:2].tolist()) == [6, 16]
    other = MotifSignal(OfBases("CCCGATTACCCCC"), one).windows(None, [0], np.array([0]), 13)[0]
    assert float(other[6]) == pytest.approx(
        6 * right + wrong, rel=1e-5
    )  # one letter of seven is wrong


def test_no_site_reaches_over_an_n_or_an_end():
    one = choose_motifs(["motif:ODD"], (), [ODD])[1]["motif:ODD"]
    assert not MotifSignal(OfBases("GATTACN"), one).windows(None, [0], np.array([0]), 7).any()
    assert not MotifSignal(OfBases("ATTACA"), one).windows(None, [0], np.array([-3]), 12).any()


def plainly(genome, motifs, at):
    """The slow way: every motif, strand and position of one base."""
    best = 0.0
    for motif in motifs:
        scores = np.array(motif["scores"], np.float64)
        for pwm in (scores, scores[::-1, ::-1]):
            begin = at - len(pwm) // 2
            if begin < 0 or begin + len(pwm) > len(genome):
                continue
            bases = genome[begin : begin + len(pwm)]
            if (bases < 4).all():
                best = max(best, pwm[np.arange(len(pwm)), bases].sum())
    return best


def test_scores_are_those_of_plain_loops(store):
    rng = np.random.default_rng(1)
    weak = [
        Motif(f"W{w}", name, rng.integers(1, 40, (w, 4)).astype(float), True)
        for w, name in ((9, "ODD"), (6, "EVEN"), (4, "ODD"))
    ]
    matrices = choose_motifs(["motif:ODD", "motif:EVEN"], (), weak)[1]
    size = store.sizes[0]
    genome = np.asarray(store.bases(np.array([0]), np.array([0]), size))[0]
    for motifs in matrices.values():
        signal = MotifSignal(store, motifs)
        starts = np.array([-20, 0, 777, size - 150])
        found = signal.windows(None, np.zeros(4, np.int64), starts, 200).numpy()
        expected = [
            [plainly(genome, motifs, at + i) if 0 <= at + i < size else 0.0 for i in range(200)]
            for at in starts
        ]
        assert np.allclose(found, expected, atol=1e-5)
        assert (found > 1).sum() > 50


@pytest.mark.parametrize("reverse", [False, True])
def test_all_readers_give_the_same_bits(store, matrices, reverse):
    starts = np.concatenate([np.arange(-400, 3000, 50), [9000, 9050]])
    chroms = np.zeros(len(starts), np.int64)
    plain = WindowReader(store, SPEC, 1000, signals=SIGNALS, motifs=matrices)
    expected = plain(
        np.ones(len(starts), np.int64), chroms, starts, np.full(len(starts), reverse)
    ).signals
    assert expected.shape == (len(starts), 144, 3)
    for held in (store, store.to("cpu")):
        once = OverlappingReader(held, SPEC, 1000, signals=SIGNALS, motifs=matrices)
        assert torch.equal(once(1, chroms, starts, reverse=reverse).signals, expected)
    # The token's value is the best of its seven bases (max), or their mean.
    if not reverse:
        bases = MotifSignal(store, matrices["motif:EVEN"]).windows(None, chroms, starts, 1000)[
            :, : 142 * 7
        ]
        assert torch.allclose(expected[:, 1:143, 2], bases.view(-1, 142, 7).mean(2), atol=1e-6)


def test_bases_beside_scores_for_a_network_that_reads_bases(store, matrices):
    reader = BaseReader(store, 600, signals=SIGNALS[:1], motifs=matrices)
    windows = reader(0, np.zeros(3, np.int64), np.array([0, 50, 100]))
    assert torch.equal(
        windows.tracks[..., 0],
        MotifSignal(store, matrices["motif:ODD"]).windows(
            None, np.zeros(3, np.int64), np.array([0, 50, 100]), 600
        ),
    )


def test_names_are_found_or_refused():
    names, found, notes = choose_motifs(
        ["motifs", "motif:EVEN"], ["odd", "EVEN", "EP300"], [ODD, EVEN, TWO]
    )
    assert names == ["motif:odd", "motif:EVEN"]
    assert [row["id"] for row in found["motif:odd"]] == ["M1", "M3"]
    assert notes == ["no motif of EP300 in the collection: no signal of it"]
    with pytest.raises(InputError, match="no motif of this factor"):
        choose_motifs(["motif:REST"], (), [ODD])
    with pytest.raises(InputError, match="no factor has a motif in the collection"):
        choose_motifs(["motifs"], ["EP300"], [ODD])
    with pytest.raises(InputError, match="there are no motifs") as error:
        choose_motifs(["motif:CTCF"], (), [])
    assert "--motifs" in str(error.value)


# -- a run


def labels_of_sites(store):
    """Bound where GATTACA or its reverse complement lies in the bin, in every cell type."""
    bins = grid(dict(zip(store.chroms, store.sizes, strict=True)), margin=0)
    forward = np.array([2, 0, 3, 3, 0, 1, 0])
    bound = np.zeros(len(bins), np.int8)
    for row, (chrom, start) in enumerate(zip(bins.chrom, bins.start, strict=True)):
        codes = np.asarray(store.bases(np.array([chrom]), np.array([start]), 200))[0]
        windows = np.lib.stride_tricks.sliding_window_view(codes, 7)
        bound[row] = ((windows == forward).all(1) | (windows == (3 - forward)[::-1]).all(1)).any()
    cells = store.cell_types
    return BinLabels(bins, cells, np.repeat(bound[:, None], len(cells), 1), "ODD")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A store of whose bases one in 700 begins a site."""
    folder = tmp_path_factory.mktemp("planted")
    store = toy_track_store(
        folder, chroms={"chr1": 60_000, "chr2": 30_000, "chr3": 30_000}, n_share=0.0
    )
    rng = np.random.default_rng(5)
    path = store.path / "genome.u8.npy"
    genome = np.load(path)
    for at in rng.choice(len(genome) - 7, len(genome) // 700, replace=False):
        genome[at : at + 7] = [2, 0, 3, 3, 0, 1, 0] if rng.random() < 0.5 else [3, 2, 3, 0, 0, 3, 1]
    np.save(path, genome)
    return Store.open(store.path)


@pytest.mark.twin  # learns for seconds; what the scores are is proved beside it
def test_a_model_that_is_given_the_scores_finds_sites_that_one_without_does_not(planted, tmp_path):
    """The encoder is frozen: on so few bases one that learns remembers them, with the scores or
    without.
    """
    settings = dataclasses.replace(QUICK, lr=2e-3, window_bp=210, freeze="encoder", patience=0)
    labels, found = labels_of_sites(planted), {}
    for name, signals in (("with", ("motifs",)), ("without", ())):
        told = []
        result = finetune(
            "binding",
            labels,
            tmp_path / name,
            checkpoint="dbert",
            settings=dataclasses.replace(settings, signals=signals, epochs=10 if signals else 3),
            size="tiny",
            store=planted,
            motifs=[ODD],
            say=told.append,
        )
        found[name] = result.metrics["ODD"]["auroc"]
        if signals:
            assert any("signals motif:ODD:max:raw" in line for line in told)
    assert found["with"] > 0.9
    assert found["without"] < 0.65
    # The model carries its matrix: neither store nor collection are asked again.
    model = load_finetuned(tmp_path / "with")
    assert [row["id"] for row in model.reads.motifs["motif:ODD"]] == ["M1"]
    scorer, bins = open_scorer(model, device="cpu"), labels.bins.take(slice(64))
    first, again = (
        next(scorer(CellBins(bins, cell, tuple(planted.chroms)), planted)) for cell in (1, 0)
    )
    assert np.array_equal(first, again)  # a score is of no cell type, and DBERT reads no state


def test_a_store_without_motifs_names_the_cure(planted, tmp_path):
    with pytest.raises(InputError, match="there are no motifs") as error:
        finetune(
            "binding",
            labels_of_sites(planted),
            tmp_path / "x",
            checkpoint="dbert",
            settings=dataclasses.replace(QUICK, signals=("motif:CTCF",), store=planted),
            size="tiny",
            say=lambda line: None,
        )
    assert "--motifs" in str(error.value)
    assert not (tmp_path / "x").exists()
