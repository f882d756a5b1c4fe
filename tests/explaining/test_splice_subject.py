"""Splice sites explained: the site of a region, both strands, deletions beside it, soft bases."""

import numpy as np
import pytest
import torch
from torch import nn

from epilm.device import choose_place
from epilm.errors import InputError, UsageError
from epilm.explaining.attribution import integrated_gradients, soft_output
from epilm.explaining.explain import explain
from epilm.explaining.frames import Region
from epilm.explaining.opening import open_subject
from epilm.explaining.soft import one_hot
from epilm.explaining.splice_subject import SpliceSubject
from epilm.finetuning.finetuned import BARE, Finetuned
from epilm.genome.sequence import decode, encode, reverse_complement
from epilm.models.dilated import DilatedCNN
from epilm.models.ebert import EBERT
from epilm.models.per_base import PerBaseModel
from epilm.nn.encoder import SequenceEncoder
from toy_explained import DNA, louder

CONTEXT = 12
CPU = choose_place("cpu", "fp32")
NAMES = ["neither", "acceptor", "donor"]


class GTAG(nn.Module):
    """A donor before GT, an acceptor after AG, weaker where there is T around it."""

    def forward(self, windows):
        codes, half = windows.codes.long(), CONTEXT // 2
        is_t = (codes == 3).float().unfold(1, CONTEXT + 1, 1).mean(2)
        block = is_t.shape[1]

        def base(offset):
            return codes[:, half + offset : half + offset + block]

        donor = ((base(1) == 2) & (base(2) == 3)).float()
        acceptor = ((base(-2) == 0) & (base(-1) == 2)).float()
        return torch.stack([1 + 0 * is_t, 8 * acceptor - is_t, 9 * donor - is_t], 2)


def tuned(network=None, context=CONTEXT, spec=BARE):
    labels = {"kind": "bases", "names": NAMES, "temperature": 2.0, "site_weight": 1.0}
    about = {"task": "splice", "kind": "dilated", "labels": labels}
    about |= {"window_bp": 20 + context, "width": 20}
    return Finetuned((network or GTAG()).eval(), spec, about)


def dilated():
    torch.manual_seed(1)
    return tuned(louder(DilatedCNN(3, 80, channels=6)), 80)


def trunk():
    encoder = SequenceEncoder(vocab=69, hidden=16, layers=1, heads=2, ffn=16, max_positions=64)
    cut = {"k": 3, "stride": 1, "special": True, "kept": 7, "beside": 6}
    network = PerBaseModel(EBERT(encoder), 3, context=CONTEXT, dropout=0.0, **cut)
    return tuned(louder(network), spec=DNA)


def subject(output=None, model=None):
    return SpliceSubject(model or tuned(), CPU, output)


def frame_of(made, codes, strand=1, start=0, end=None):
    end = len(codes) if end is None else end
    region = Region("chr1", start, end, "r", strand, (start + end) // 2)
    cut, (frame,) = made.frames(region, codes, None, 0)
    return cut, frame


#         0         1         2         3
#         0123456789012345678901234567890123456789
TEXT = "CCCCACCCCCCACAGCCCCCCCCCCCCGTCCCCCCCCCCC"
DONOR, ACCEPTOR = 26, 15


def test_the_strongest_site_of_a_region_is_explained_or_the_one_that_is_named():
    codes = encode(TEXT)
    for output, site, kind in (
        (None, DONOR, 1),
        ("donor", DONOR, 1),
        ("acceptor", ACCEPTOR, 0),
        ("acceptor@3", 3, 0),
        ("donor@-2", 18, 1),
    ):
        _, frame = frame_of(subject(output), codes)
        assert (frame.start + frame.site, frame.kind) == (site, kind)


def test_a_site_of_the_other_strand_is_read_from_there():
    made = subject()
    turned = reverse_complement(encode(TEXT))
    _, frame = frame_of(made, turned, strand=-1)
    assert (frame.start + frame.site, frame.kind) == (len(TEXT) - 1 - DONOR, 1)
    here, there = frame_of(made, encode(TEXT)), frame_of(made, turned, strand=-1)
    ours, theirs = (made.substitutions(frame) for _, frame in (here, there))
    np.testing.assert_allclose(theirs[::-1, ::-1], ours, atol=1e-6)


def test_what_breaks_the_pair_of_letters_lowers_the_log_odds_and_nothing_else_does_much():
    made = subject("donor")
    cut, frame = frame_of(made, encode(TEXT))
    changes = made.substitutions(frame)
    lowest = changes.min(0)
    pair = [DONOR + 1 - cut.start, DONOR + 2 - cut.start]
    assert (lowest[pair] < -3).all()
    assert (np.delete(lowest, pair) > -0.5).all()
    # log-odds of the temperature 2: 9 less the share of T, against neither and acceptor
    t = 1 / (CONTEXT + 1)
    rest = np.log(np.exp(1 / 2) + np.exp(-t / 2))
    assert made.score(frame.codes[None], frame)[0] == pytest.approx((9 - t) / 2 - rest, abs=1e-5)
    assert made.facts(frame)["donor"] == pytest.approx((9 - t) / 2 - rest, abs=1e-5)
    assert made.facts(frame)["site"] == DONOR


@pytest.mark.parametrize("strand", [1, -1])
@pytest.mark.parametrize("model", [tuned, dilated], ids=["GTAG", "dilated"])
def test_a_deletion_is_what_the_site_says_in_the_sequence_without_it(model, strand):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, 160).astype(np.uint8)
    made = subject("acceptor@80", model())
    cut, frame = frame_of(made, codes, strand, 70, 92)
    table = made.deletions(frame, 3)
    whole = made.score(frame.codes[None], frame)[0]
    for length, at in ((1, 75), (3, 76), (2, 81), (3, 83)):
        without = np.concatenate([codes[:at], codes[at + length :]])
        site = 80 - length if at < 80 else 80
        other = subject(f"acceptor@{site}", model())
        _, alone = frame_of(other, without, strand, 60, 100)
        expected = other.score(alone.codes[None], alone)[0] - whole
        assert table[length - 1, at - cut.start] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert np.isnan(table[2, 78 - cut.start : 81 - cut.start]).all()  # the site itself


@pytest.mark.parametrize("strand", [1, -1])
@pytest.mark.parametrize("model", [dilated, trunk], ids=["dilated", "trunk"])
def test_soft_bases_say_what_bases_say_and_their_sums_are_whole(model, strand):
    codes = np.random.default_rng(4).integers(0, 4, 150).astype(np.uint8)
    codes[60] = 4
    made = subject("donor@75", model())
    _, frame = frame_of(made, codes, strand, 70, 80)
    hard = made.score(frame.codes[None], frame)
    soft = soft_output(made, frame, one_hot(frame.codes)[None]).numpy()
    np.testing.assert_allclose(soft, hard, rtol=1e-5, atol=1e-5)
    done = integrated_gradients(made, frame, steps=400)
    assert done.error < 0.05 * max(1.0, abs(done.output - done.baseline))


def test_a_long_region_is_cut_to_what_the_answer_sees():
    cut, frame = frame_of(subject("donor"), np.concatenate([encode("C" * 300), encode(TEXT)]))
    half = CONTEXT // 2
    assert (cut.start, cut.end) == (300 + DONOR - half, 300 + DONOR + half + 1)
    assert frame.last - frame.first == CONTEXT + 1
    # Beyond the chromosome nothing is known.
    _, edge = frame_of(subject("donor@2"), encode(TEXT), end=6)
    assert decode(edge.codes[: edge.site - 2]) == "N" * (edge.site - 2)


def test_refusals():
    made = subject("donor@90")
    with pytest.raises(InputError, match=r"outside of the region.*chr1:90; expected 0 to 39"):
        frame_of(made, encode(TEXT))
    for word in ("donors", "neither", "donor@x"):
        with pytest.raises(UsageError, match="no such output.*expected acceptor or donor, alone"):
            subject(word)
    with pytest.raises(UsageError, match="what the answer at a site sees"):
        made.frames(Region("chr1", 0, 40, "r"), encode(TEXT), 30, 0)
    with pytest.raises(UsageError, match="lies on one strand"):
        open_subject(tuned(), both_strands=True)
    with pytest.raises(UsageError, match="reads sequences alone"):
        open_subject(tuned(), cell="typeA")


def test_explain_writes_where_the_site_lies(tmp_path):
    (tmp_path / "a.fa").write_text(f">one\n{TEXT}\n")
    done = explain(tuned(), fasta=tmp_path / "a.fa", method="mutations", out=tmp_path / "why")
    assert done.about["output"] == "strongest site"
    assert done.about["strands"] == "the region's own"
    header, row = (tmp_path / "why/regions.tsv").read_text().splitlines()
    said = dict(zip(header.split("\t"), row.split("\t")))
    assert said["site"] == str(DONOR)
    assert float(said["donor"]) > float(said["acceptor"])
    best = np.argsort(-done.maps[0].scores)[:2] + done.maps[0].region.start
    assert sorted(best.tolist()) == [DONOR + 1, DONOR + 2]
    with pytest.raises(UsageError, match="no attention"):
        explain(tuned(), fasta=tmp_path / "a.fa", method="attention")
