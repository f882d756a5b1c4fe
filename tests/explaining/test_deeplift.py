"""Contributions add up; a linear model's are its weights; an independent library says the same."""

import numpy as np
import pytest
import torch
from torch import nn

from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.explaining.deeplift import deeplift, multipliers, reference_copies
from epilm.explaining.explain import explain
from epilm.explaining.soft import one_hot
from epilm.explaining.subject import Subject
from epilm.tasks.shuffle import dinucleotide_counts
from toy_explained import CPU, DNA, factornet, frame, site_frame, sites, subject


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


def models():
    yield subject("cnn"), frame(40, 5, 30)
    yield subject("cnn"), frame(40, n_at=(0, 17))
    yield Toy(layers()), frame(36)
    for strand in (1, -1):
        made = sites()
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


@pytest.mark.parametrize(
    ("made", "said"), [(subject("dna"), "a transformer of k-mers"), (factornet(), "lstm")]
)
def test_what_has_no_rule_is_refused(made, said):
    with pytest.raises(UsageError, match=f"rule does not hold in this network. Found {said}"):
        deeplift(made, frame(60), 2)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: (x[:, 0] * x[:, 1]).sum(1), "mul"),
        (lambda x: 1 / (2 + x.sum((1, 2))), "rtruediv|reciprocal|div"),
        (lambda x: x.softmax(1)[:, 0, 0], "softmax"),
        (lambda x: nn.functional.layer_norm(x, (6,)).sum((1, 2)), "layer_norm"),
        (lambda x: nn.functional.dropout(x, 0.5).sum((1, 2)), "dropout"),
        (lambda x: x.masked_fill(x > 0, 0).sum((1, 2)), "gt"),
        (lambda x: x.amax(1)[:, 0], "amax over axes 1"),
        (lambda x: torch.relu(x.transpose(0, 1)).sum((0, 2)), "relu of 4 rows where 6 went in"),
    ],
)
def test_each_function_without_a_rule_is_named(function, said):
    torch.manual_seed(0)
    with pytest.raises(UsageError, match=said):
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
