"""The one loop, taught by a line: best epoch, early stop, strands, what is said and written."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from epilm.device import Place
from epilm.errors import TrainingError, UsageError
from epilm.nn.encoder import SequenceEncoder
from epilm.training.engine import SCHEDULER, Stopped, Team
from epilm.training.epochs import Epochs, Judged
from epilm.training.failed_step import load_failed
from epilm.training.learning import Learning
from epilm.training.log import read_metrics
from epilm.training.rates import Rest, rest_of

PLACE = Place(torch.device("cpu"), False, ())
SPEC = Learning(epochs=3, lr=0.1, batch_size=4, warmup=0.0, weight_decay=0.0, device="cpu")


class Line:
    """Rows are numbers x; the answer to learn is 2 x. `scores` is what the judge says."""

    metric = "ap"

    def __init__(self, scores=(), spoil=()):
        self.scores, self.spoil, self.strands = list(scores), spoil, []

    def steps(self, epoch):
        return [np.arange(4), np.arange(4, 8)]

    def loss(self, rows, strands, epoch, place):
        self.strands.append(strands)
        x = torch.from_numpy(rows).float()[:, None]
        y = torch.where(torch.isin(x, torch.tensor(self.spoil).float()), float("nan"), 2 * x)
        return ((self.network(x) - y) ** 2).sum()

    def read(self, rows, strands, epoch):
        return (torch.from_numpy(rows), torch.from_numpy(2 * rows))

    def known(self, rows):
        return len(rows)

    def judge(self, place):
        if not self.scores:
            return None
        score = self.scores.pop(0)
        return Judged(score, {"valid_n": 8}, {"line": {"ap": score, "collapse": None}})

    def where(self, rows):
        return ", ".join(f"row {row}" for row in rows)


def learn(lesson, spec=SPEC, out=None, **options):
    torch.manual_seed(0)
    lesson.network, lines = nn.Linear(1, 1), []
    epochs = Epochs(lesson.network, lesson, spec, place=PLACE, say=lines.append, out=out, **options)
    return epochs.run(), lesson.network, lines


def test_the_loss_falls_and_without_a_valid_part_the_last_weights_stay():
    history, _, lines = learn(Line(), replace(SPEC, epochs=5, decay="constant"))
    losses = [row["loss"] for row in history.rows]
    assert losses[-1] < losses[0]
    assert history.best_epoch == 0
    assert [row["step"] for row in history.rows] == [2, 4, 6, 8, 10]
    assert lines[0].startswith("epoch 1/5: loss ")


def test_the_weights_of_the_best_epoch_are_taken_back():
    """Whatever the judge says changes which weights are kept and not how they are learned."""
    constant = replace(SPEC, decay="constant")
    history, best, _ = learn(Line([0.1, 0.9, 0.5]), constant)
    assert (history.best_epoch, history.best) == (2, 0.9)
    _, after_two, _ = learn(Line(), replace(constant, epochs=2))
    assert torch.equal(best.weight, after_two.weight)
    assert history.tables == {"line": {"ap": 0.9, "collapse": None}}
    assert history.rows[1]["valid_ap"] == 0.9
    assert history.rows[1]["valid_n"] == 8


@pytest.mark.parametrize("scores", [[0.1, 0.9, 0.5], []])
def test_a_moving_average_is_judged_and_kept_and_the_weights_learn_as_without(scores):
    """Against the plain sum over the weights of every step, of a run without an average."""
    constant = replace(SPEC, decay="constant")
    steps: list[float] = []

    class Watched(Line):
        def loss(self, rows, strands, epoch, place):
            steps.append(float(self.network.weight.detach()))  # before the step moves it
            return super().loss(rows, strands, epoch, place)

    _, last, _ = learn(Watched(), constant)
    steps.append(float(last.weight.detach()))
    seen: list[float] = []

    class Judging(Line):
        def judge(self, place):
            seen.append(float(self.network.weight.detach()))
            return super().judge(place)

    history, kept, _ = learn(Judging(scores), replace(constant, ema=0.3))
    averages = [steps[0]]
    for n, weight in enumerate(steps[1:], 1):
        decay = min(0.3, (1 + n) / (10 + n))
        averages.append(decay * averages[-1] + (1 - decay) * weight)
    assert seen == pytest.approx([averages[2], averages[4], averages[6]], rel=1e-6)
    chosen = 2 * history.best_epoch or 6
    assert float(kept.weight.detach()) == pytest.approx(averages[chosen], rel=1e-6)
    assert averages[chosen] != pytest.approx(steps[chosen], rel=1e-3)


def test_it_stops_early_and_says_so():
    history, _, lines = learn(Line([0.5, 0.4, 0.4, 0.9]), replace(SPEC, epochs=9, patience=2))
    assert len(history.rows) == 3
    assert lines[-1] == "stopped early: no better valid ap for 2 epochs"


def test_a_score_that_is_undefined_is_never_the_best():
    history, _, _ = learn(Line([float("nan"), 0.2, float("nan")]))
    assert history.best_epoch == 2


def test_strands_are_a_function_of_seed_epoch_and_row():
    first, again, other = (Line() for _ in range(3))
    learn(first, replace(SPEC, both_strands=True))
    learn(again, replace(SPEC, both_strands=True))
    learn(other, replace(SPEC, both_strands=True, seed=1))
    drawn = np.concatenate(first.strands)
    assert np.array_equal(drawn, np.concatenate(again.strands))
    assert not np.array_equal(drawn, np.concatenate(other.strands))
    assert 0 < drawn.sum() < len(drawn)
    assert not np.array_equal(drawn[:8], drawn[8:16])
    lesson = Line()
    learn(lesson)
    assert set(lesson.strands) == {None}


def test_micro_batches_are_one_step():
    whole, cut = learn(Line())[1], learn(Line(), replace(SPEC, micro_batch=3))[1]
    assert torch.allclose(whole.weight, cut.weight, atol=1e-6)


def test_a_loss_that_is_no_number_names_step_and_rows_and_moves_nothing():
    lesson = Line(spoil=(5,))
    with pytest.raises(
        TrainingError,
        match=r"epoch 1, step 2: the loss or its gradient is not finite. Found loss nan, gradient"
        r" norm nan in rows 4, 5, 6, 7 \(row 4, row 5, row 6, row 7; lr 0.08\d*\). The weights",
    ):
        learn(lesson)
    assert bool(torch.isfinite(lesson.network.weight))


def test_what_a_failed_step_read_is_kept_and_read_again(tmp_path):
    with pytest.raises(TrainingError) as caught:
        learn(Line(spoil=(5,)), replace(SPEC, micro_batch=3), tmp_path)
    assert str(caught.value).endswith(f"What the step read is kept in {tmp_path / 'failed_step'}.")
    kept = load_failed(tmp_path / "failed_step")
    about = {"epoch": 1, "step": 2, "rows": [[4, 5, 6], [7]], "batches": 2}
    assert about.items() <= kept.about.items()
    assert [batch["1"].tolist() for batch in kept.batches] == [[8, 10, 12], [14]]


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_the_state_is_gone_on_from_and_the_log_has_a_row_an_epoch(tmp_path, ema):
    spec = replace(SPEC, ema=ema)

    class Stopped(Exception):
        pass

    scores = [0.3, 0.2, 0.4]

    class Cut(Line):
        def judge(self, place):
            if len(self.scores) == 1:
                raise Stopped
            return super().judge(place)

    with pytest.raises(Stopped):
        learn(Cut(scores), spec, out=tmp_path)
    assert len(read_metrics(tmp_path)) == 2
    history, network, lines = learn(Line([0.4]), spec, out=tmp_path)
    assert lines[0] == "going on after epoch 2 of 3"
    whole, same, _ = learn(Line(scores), spec)
    assert torch.equal(network.weight, same.weight)
    losses = [[row["loss"] for row in each.rows] for each in (history, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # the state keeps some digits
    assert (history.best_epoch, history.best) == (whole.best_epoch, whole.best)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_a_run_that_was_asked_to_end_in_an_epoch_goes_on_within_it(tmp_path, ema):
    """Rows, dropout, mean loss and best weights are those of a run that nobody stopped."""
    spec = replace(SPEC, ema=ema)
    asks = iter([0, 0, 0, SCHEDULER])  # after the first step of epoch 2

    class Asked:
        listen = restore = staticmethod(lambda: None)
        asked = property(lambda self: next(asks, 0))

    def learn_dropping(out, team=None):
        lesson, lines = Line([0.3, 0.2, 0.4]), []
        torch.manual_seed(0)
        lesson.network = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5), nn.Linear(1, 1))
        epochs = Epochs(
            lesson.network, lesson, spec, place=PLACE, say=lines.append, out=out, team=team
        )
        return epochs, lines, lesson

    epochs, lines, lesson = learn_dropping(tmp_path, Team(listener=Asked()))
    with pytest.raises(Stopped):
        epochs.run()
    assert (
        lines[-1] == "stopped in epoch 2, after 1 of 2 steps; the same command goes on from there"
    )
    again, said, rest = learn_dropping(tmp_path)
    rest.scores = lesson.scores
    history = again.run()
    assert said[0] == "going on after epoch 1 of 3, step 1 of the next"
    whole, _, other = learn_dropping(None)
    expected = whole.run()
    assert [row["loss"] for row in history.rows] == pytest.approx(
        [row["loss"] for row in expected.rows], rel=1e-6
    )
    assert [row["step"] for row in history.rows] == [2, 4, 6]
    pairs = zip(rest.network.parameters(), other.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(5)
    lesson = Line()
    lesson.network = nn.Linear(1, 1)
    before = torch.get_rng_state()
    Epochs(lesson.network, lesson, SPEC, place=PLACE, say=lambda line: None).run()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_part_at_rest_is_not_shaken_by_dropout():
    resting = nn.Dropout(0.5)
    modes = []

    class Asked(Line):
        def loss(self, rows, strands, epoch, place):
            modes.append(resting.training)
            return super().loss(rows, strands, epoch, place)

    lesson = Asked()
    lesson.network = nn.Linear(1, 1)
    resting.train()
    rest = Rest(part=resting)
    Epochs(lesson.network, lesson, SPEC, place=PLACE, say=lambda line: None, rest=rest).run()
    assert set(modes) == {False}


def test_freezing_what_is_not_there_is_refused():
    with pytest.raises(UsageError, match="--freeze: the network has no encoder to freeze"):
        rest_of(nn.Linear(1, 1), Learning(freeze="encoder"))
    with pytest.raises(UsageError, match=r"--thaw-after: the network has no encoder .* Found 2"):
        rest_of(nn.Linear(1, 1), Learning(thaw_after=2))
    assert rest_of(nn.Linear(1, 1), Learning()) == Rest()


class WithEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = SequenceEncoder(
            vocab=69, hidden=8, layers=3, heads=2, ffn=16, max_positions=16, stem=nn.Linear(1, 1)
        )
        self.out = nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("freeze", "beginnings"),
    [
        ("embeddings", ["words", "positions", "types", "norm", "stem"]),
        ("layers:2", ["words", "positions", "types", "norm", "stem", "blocks.0.", "blocks.1."]),
        ("encoder", [""]),
    ],
)
def test_what_rests_by_name(freeze, beginnings):
    """The stem is part of what lies below the layers."""
    network = WithEncoder()
    rest = rest_of(network, Learning(freeze=freeze))
    resting = {id(weight) for weight in rest.weights}
    names = {name for name, weight in network.named_parameters() if id(weight) in resting}
    starts = tuple(f"encoder.{each}" for each in beginnings)
    assert names == {name for name, _ in network.named_parameters() if name.startswith(starts)}
    assert rest.part is (network.encoder if freeze == "encoder" else None)


def test_what_rests_at_first_learns_from_its_epoch_on():
    """The slope rests for two of four epochs; the bias learns from the first step."""
    slopes, biases = [], []

    class Watched(Line):
        def judge(self, place):
            slopes.append(float(self.network.weight.detach()))
            biases.append(float(self.network.bias.detach()))
            return super().judge(place)

    lesson, lines = Watched(), []
    torch.manual_seed(0)
    lesson.network = nn.Linear(1, 1)
    first = float(lesson.network.weight.detach())
    spec = replace(SPEC, epochs=4, thaw_after=2, decay="constant")
    rest = Rest((lesson.network.weight,))
    Epochs(lesson.network, lesson, spec, place=PLACE, say=lines.append, rest=rest).run()
    assert slopes[:2] == [first, first]
    assert first != slopes[2] != slopes[3]
    assert len({*biases}) == 4
    assert "epoch 3: what was at rest learns from here on" in lines


def test_patience_counts_from_the_thaw_on():
    lesson = Line([0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    lesson.network = nn.Linear(1, 1)
    spec = replace(SPEC, epochs=6, thaw_after=3, patience=2)
    rest = Rest((lesson.network.weight,))
    history = Epochs(
        lesson.network, lesson, spec, place=PLACE, say=lambda line: None, rest=rest
    ).run()
    assert len(history.rows) == 5
