"""Contributions add up; a linear model's are its weights; an independent library says the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.explaining.deeplift import deeplift, multipliers, reference_copies
from epilm.explaining.deeplift import window_multipliers as of_window
from epilm.explaining.explain import explain
from epilm.explaining.frames import Frame
from epilm.explaining.outputs import LogOddsSubject
from epilm.explaining.soft import one_hot
from epilm.explaining.splice_subject import SpliceSubject
from epilm.explaining.subject import SiteSubject, Subject, TaskSubject
from epilm.finetuning.finetuned import Finetuned
from epilm.genome.sequence import decode
from epilm.hub.load import Loaded
from epilm.models.ebert import EBERT
from epilm.models.from_spec import build_model
from epilm.models.model_spec import TowerSpec
from epilm.models.per_base import PerBaseModel
from epilm.nn.encoder import SequenceEncoder
from epilm.tasks.shuffle import dinucleotide_counts
from toy_explained import (
    CPU,
    DNA,
    SMALL,
    STATES,
    STEM,
    WIDTH,
    factornet,
    frame,
    louder,
    of_spec,
    placed,
    site_frame,
    sites,
    subject,
)
from toy_tracks import toy_track_store


class Toy(Subject):
    """A network of base channels (N, 4, W), the first of its layers `motifs`."""

    def __init__(self, network, outputs=1):
        names = tuple(str(number) for number in range(outputs))
        super().__init__(network.eval(), DNA, names, CPU, bases=True)

    def windows(self, codes, frame, reverse):
        ids = torch.zeros(len(codes), 1, dtype=torch.int64)
        return Windows(ids, ids == 0, codes=torch.from_numpy(codes))

    def logits(self, windows):
        return self.network(one_hot(windows.codes).transpose(1, 2))


class Layers(nn.Module):
    """Layers in a row, as any other library wants them: modules, each used once."""

    def __init__(self, filters=6, width=36):
        super().__init__()
        self.motifs = nn.Conv1d(4, filters, 5, padding=2)
        self.rest = nn.Sequential(
            *(nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(filters, filters, 3, dilation=2), nn.ELU()),
            *(nn.MaxPool1d(2, 1), nn.Flatten(), nn.Linear(7 * filters, 8), nn.Sigmoid()),
            nn.Linear(8, 1),
        )
        assert width == 36

    def forward(self, x):
        return self.rest(self.motifs(x))


def layers(seed=0):
    torch.manual_seed(seed)
    network = Layers()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.5)
    return network.eval()


def test_a_linear_model_gives_its_weights_times_the_change():
    torch.manual_seed(0)
    network = nn.Sequential()
    network.motifs = nn.Conv1d(4, 1, 12)  # one product with all bases
    network.add_module("last", nn.Flatten())
    made, where = Toy(network), frame(12)
    done = deeplift(made, where, references=3, seed=5)
    weight = network.motifs.weight[0].detach().double()  # (4, W)
    x = one_hot(where.codes).double()
    expected = np.zeros(12)
    for copy in reference_copies(where.codes, 3, 5):
        expected += (weight.T * (x - one_hot(copy))).sum(1).numpy() / 3
    np.testing.assert_allclose(done.scores, expected, atol=1e-6)
    # The worth of a base: the score where it stands, its weight's difference elsewhere.
    assert done.worth[2, 4] - done.worth[0, 4] == pytest.approx(
        float(weight[2, 4] - weight[0, 4]), abs=1e-6
    )


def test_a_bend_shares_its_rise_by_hand():
    """From -2 to 1 it rises by 1: a third of the way."""
    inputs, zero = torch.tensor([[2.0, 1.0]]), torch.zeros(1, 2)
    slopes, said = multipliers(lambda x: torch.relu(x.sum(1) - 2), inputs, zero)
    assert slopes.tolist() == [[pytest.approx(1 / 3), pytest.approx(1 / 3)]]
    assert said.tolist() == [[1.0], [0.0]]


def test_a_maximum_goes_to_where_the_larger_one_stands():
    inputs, references = (
        torch.tensor([[[1.0, 5.0]], [[0.0, 1.0]]]),
        torch.tensor([[[2.0, 0.0]], [[4.0, 0.5]]]),
    )
    slopes, _ = multipliers(lambda x: x.amax(2)[:, 0], inputs, references)
    # 2 -> 5: the 5 rose by 5, of which 3 count. 4 -> 1: the 4 fell by 4, of which 3 count.
    assert slopes.flatten().tolist() == pytest.approx([0, 3 / 5, 3 / 4, 0])


def test_a_sum_of_exponentials_adds_up():
    torch.manual_seed(0)
    inputs, references = torch.randn(5, 3), 30 * torch.randn(5, 3)
    slopes, said = multipliers(lambda x: x.logsumexp(-1), inputs, references)
    total = (slopes * (inputs - references)).sum(1)
    assert torch.allclose(total, said[0] - said[1], rtol=1e-5, atol=1e-5)


def splice_trunk():
    """A trunk's word on a site: chunks of tokens, rows after one another."""
    torch.manual_seed(1)
    encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=32)
    cut = {"k": 3, "stride": 1, "special": True, "kept": 7, "beside": 6}
    network = louder(PerBaseModel(EBERT(encoder), 3, context=12, dropout=0.0, **cut))
    labels = {"kind": "bases", "names": ["neither", "acceptor", "donor"]}
    about = {"task": "splice", "kind": "trunk", "labels": labels, "window_bp": 32, "width": 20}
    return SpliceSubject(Finetuned(network, DNA, about), CPU, "donor@70")


def motif_sites():
    """A pre-trained model's word on motifs: the best of its tokens."""
    spec = replace(STEM, motif_sites=3)
    made = SiteSubject(
        Loaded(louder(build_model(spec, seed=1)), spec, {}, Path("model")), CPU, ("0", "1", "2")
    )
    made.choose("1")
    return made


def of(spec, **about):
    return TaskSubject(of_spec(spec, **about), CPU)


GENEBERT = replace(
    DNA,
    name="genebert",
    streams=("dna", "factors"),
    factors=4,
    regions=2,
    layout="chunk_rnn",
    projection="linear",
    tower=TowerSpec(embed=8, depths=(1, 1), heads=(1, 2), window=2, patch=(1, 2)),
)
THREE = {"kind": "classes", "names": ["a", "b", "c"]}
SEQUENCES = {
    "cnn": lambda: subject("cnn"),
    "factornet": factornet,
    "DNABERT": lambda: subject("dna"),
    "DNABERT, pooler": lambda: of(replace(DNA, pooling="pooler")),
    "DNABERT, one strand": lambda: subject("dna", strands="forward"),
    "DBERT with stem": lambda: subject("stem"),
    "DBERT, rotary": lambda: of(replace(DNA, name="dbert", encoder=replace(SMALL, rotary=True))),
    "DBERT, no [CLS]": lambda: of(replace(STEM, special_tokens=False)),
    "EBERT": lambda: of(STATES),
    "EBERT, joined": lambda: of(replace(STATES, state_combine="concat")),
    "GeneBERT": lambda: of(GENEBERT),
    "of three": lambda: choose(of(DNA, labels=THREE), "b"),
    "motif sites": motif_sites,
}


def choose(made, output):
    made.choose(output)
    return made


@pytest.mark.parametrize("kind", SEQUENCES)
def test_contributions_of_sequences_add_up_by_the_command(kind, tmp_path):
    """Of every trunk, N in the window, to the output less that of the references, to rounding."""
    made = SEQUENCES[kind]()
    codes = frame(WIDTH, n_at=(0, 37)).codes
    fasta = tmp_path / "a.fa"
    fasta.write_text(">one\n" + decode(codes) + "\n")
    done = explain(made, fasta=fasta, method="deeplift", copies=3, seed=4)
    (each,) = done.maps
    check(made, frame(WIDTH, n_at=(0, 37)), each.facts, each.scores, 4)


def check(made, where, facts, scores, seed):
    span = abs(facts["output"] - facts["baseline"])
    assert span > 1e-4
    assert facts["error"] < 2e-5 * max(span, 1.0)
    assert np.nansum(scores) == pytest.approx(facts["sum"], abs=1e-6)
    assert np.abs(scores[np.isfinite(scores)]).max() > 1e-3
    assert (np.isnan(scores) == (where.codes > 3)).all()
    others = np.stack(reference_copies(where.codes, 3, seed))
    close = {"abs": 5e-5, "rel": 2e-5}
    assert facts["output"] == pytest.approx(made.score(where.codes[None], where)[0], **close)
    assert facts["baseline"] == pytest.approx(made.score(others, where).mean(), **close)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    chroms = {"chr1": 4_000}
    return toy_track_store(tmp_path_factory.mktemp("tracks") / "s", chroms=chroms, n_share=0.0)


HEADS = {
    "max": {},
    "mean, tanh": {"pool": "mean", "activation": "tanh"},
    "attention": {"pool": "attention", "activation": "gelu"},
    "bin": {"pool": "bin", "around": (8, 14)},
    "max+bin": {"pool": "max+bin", "around": (8, 14), "conv_channels": (8, 6)},
    "shortcut": {"shortcut": (0,), "means": (0,), "middle": (8, 12)},
}


@pytest.mark.parametrize(
    ("pool", "padded"), [*((pool, False) for pool in HEADS), ("max+bin", True), ("attention", True)]
)
def test_contributions_of_places_add_up_by_the_command(pool, padded, store, tmp_path):
    """Of EBERT+ with states and a signal, whatever its head does with the tokens."""
    spec = replace(STATES, pad_to_max=True) if padded else STATES
    head = {"activation": "relu", "pool": "max"} | HEADS[pool]
    signals = [("accessibility", "max", "log1p")]
    made = placed(store, signals=signals, spec=spec, head=head)
    regions = tmp_path / "a.bed"
    regions.write_text("chr1\t1000\t1100\tone\n")
    done = explain(made, regions=regions, method="deeplift", copies=3, seed=4)
    (each,) = done.maps
    codes = np.asarray(store.genome[1000:1100])
    where = Frame("chr1", 1000, codes, codes[:0], 0, 100)
    check(made, where, each.facts, each.scores, 4)


def models():
    yield subject("cnn"), frame(40, 5, 30)
    yield subject("cnn"), frame(40, n_at=(0, 17))
    yield subject("dna"), frame(40, 5, 30)
    yield Toy(layers()), frame(36)
    for strand in (1, -1):
        for made in (sites(), splice_trunk()):
            yield made, site_frame(made, strand)


@pytest.mark.parametrize(("made", "where"), list(models()))
def test_contributions_add_up_to_the_difference_of_the_outputs(made, where):
    before = [weight.requires_grad for weight in made.network.parameters()]
    done = deeplift(made, where, references=5)
    span = abs(done.output - done.baseline)
    assert span > 1e-4
    assert done.error < 2e-5 * max(span, 1.0)
    assert done.output == pytest.approx(made.score(where.codes[None], where)[0], abs=2e-5)
    others = np.stack(reference_copies(where.codes, 5, 0))
    assert done.baseline == pytest.approx(made.score(others, where).mean(), abs=2e-5)
    here = where.codes[where.first : where.last]
    assert (np.isnan(done.scores) == (here > 3)).all()
    assert [weight.requires_grad for weight in made.network.parameters()] == before


def test_both_strands_are_the_mean_of_each():
    both = subject("dna")
    said = deeplift(both, frame(30), 3)
    one = subject("dna", strands="forward")
    ways = [deeplift(one, frame(30, strand=strand), 3) for strand in (1, -1)]
    np.testing.assert_allclose(said.worth, (ways[0].worth + ways[1].worth) / 2, atol=1e-6)
    assert not np.allclose(ways[0].scores, ways[1].scores)


def test_one_base_that_changes_has_all_of_it():
    """A token is three bases; where one alone differs it is worth the whole difference."""
    made, where = subject("stem"), frame(24)
    other = where.codes.copy()
    other[10] = (other[10] + 1) % 4
    slopes, said = of_window(made, where, one_hot(where.codes)[None], one_hot(other)[None])
    worth = (slopes[0] * (one_hot(where.codes) - one_hot(other))).sum(1)
    change = made.score(where.codes[None], where)[0] - made.score(other[None], where)[0]
    assert worth[10] == pytest.approx(change, abs=1e-5)
    assert said[0, 0] - said[1, 0] == pytest.approx(change, abs=1e-5)
    assert abs(change) > 1e-3


def test_kernels_of_other_chips_are_left_alone_and_give_the_same(monkeypatch):
    """Encoders compute as they did afterwards; the product of some processors has the rule too."""
    made, where = subject("stem"), frame(24)
    encoder = made.network.encoder
    encoder.compute("plain", "packed")
    kernels = [block.kernels for block in encoder.blocks]
    done = deeplift(made, where, 3)
    assert (encoder.attention, encoder.packing) == ("plain", "packed")
    assert [block.attention for block in encoder.blocks] == ["plain"] * 2
    assert [block.kernels for block in encoder.blocks] == kernels
    if not torch.backends.mkldnn.is_available():
        return
    monkeypatch.setattr("epilm.nn.linear.SMALLEST", 0)
    monkeypatch.setattr("epilm.nn.linear.onednn_is_faster", lambda: True)
    np.testing.assert_allclose(deeplift(made, where, 3).worth, done.worth, atol=1e-5)


def test_references_are_shuffled_and_a_function_of_the_seed():
    codes = frame(60, n_at=(3, 40)).codes
    one, two = reference_copies(codes, 2, 7)
    assert (one != two).any()
    assert (one == reference_copies(codes, 1, 7)[0]).all()
    assert ((one > 3) == (codes > 3)).all()
    known = codes[codes < 4]
    assert (dinucleotide_counts(one[one < 4]) == dinucleotide_counts(known)).all()
    made, where = subject("cnn"), frame(30)
    assert (deeplift(made, where, 3, 1).scores == deeplift(made, where, 3, 1).scores).all()
    assert (deeplift(made, where, 3, 1).scores != deeplift(made, where, 3, 2).scores).any()


def test_log_odds_have_no_contributions():
    spec = DNA
    made = LogOddsSubject(Loaded(build_model(spec, seed=1), spec, {}, Path("model")), CPU)
    with pytest.raises(UsageError, match="log-odds of hidden k-mers are of a change.*ism"):
        deeplift(made, frame(24), 2)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: nn.functional.dropout(x, 0.5).sum((1, 2)), "dropout"),
        (lambda x: x.masked_fill(x > 0, 0).sum((1, 2)), "gt"),
        (lambda x: x.amax((1, 2)), "amax over axes"),
        (lambda x: x.cumsum(1).sum((1, 2)), "cumsum"),
        (lambda x: torch.relu(x.transpose(0, 1)).sum((0, 2)), "relu of 4 rows where 6 went in"),
    ],
)
def test_each_function_without_a_rule_is_named(function, said):
    torch.manual_seed(0)
    with pytest.raises(
        UsageError, match=f"Found .*{said}.*; expected linear layers, .* attention, softmax, norms"
    ):
        multipliers(function, torch.rand(3, 4, 6), torch.rand(3, 4, 6))


@pytest.mark.parametrize("seed", [0, 1])
def test_an_independent_library_gives_the_same(seed):
    tangermeme = pytest.importorskip(
        "tangermeme.deep_lift_shap", reason="a peer that is not there: pip install tangermeme"
    )
    network, where = layers(seed), frame(36, seed=seed)
    done = deeplift(Toy(network), where, references=6)
    x = one_hot(where.codes).T[None]
    others = one_hot(np.stack(reference_copies(where.codes, 6, 0))).transpose(1, 2)[None]
    for hypothetical, ours in ((True, done.worth), (False, done.scores)):
        theirs = tangermeme.deep_lift_shap(
            network, x, references=others, hypothetical=hypothetical, device="cpu"
        )[0].double()
        expected = (theirs if hypothetical else theirs.sum(0)).numpy()
        np.testing.assert_allclose(ours, expected, atol=2e-5 * np.abs(expected).max())


def test_the_command_writes_sum_and_error(tmp_path):
    fasta = tmp_path / "a.fa"
    fasta.write_text(">one\n" + "TTGCATTGCATTGCAATGCA" * 2 + "\n")
    out = tmp_path / "why"
    done = explain(
        subject("cnn"), fasta=fasta, method="deeplift", copies=4, out=out, say=lambda line: None
    )
    assert "completeness: the sums miss" in done.text()
    head, row = (out / "regions.tsv").read_text().splitlines()
    facts = dict(zip(head.split("\t"), row.split("\t")))
    span = float(facts["output"]) - float(facts["baseline"])
    assert float(facts["sum"]) == pytest.approx(span, abs=1e-5)
    assert float(facts["error"]) < 1e-5
    scores = [line.split("\t") for line in (out / "bases.tsv").read_text().splitlines()]
    assert sum(float(line[-1]) for line in scores[1:]) == pytest.approx(span, abs=1e-4)
