"""A second try after a collapse: said, counted, the same each time, gone on with after a kill."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from epilm.device import Place
from epilm.errors import UsageError
from epilm.finetuning.finetune import finetune
from epilm.finetuning.tries import SECOND, Tries, learn_again
from epilm.metrics.classification import score_table
from epilm.models.classifier import SequenceClassifier
from epilm.training.epochs import Epochs, Judged
from epilm.training.learning import Learning, check_learning
from epilm.training.log import read_metrics
from epilm.training.state import copied
from toy_sequences import QUICK, planted, quick

PLACE = Place(torch.device("cpu"), False, ())
SPEC = Learning(epochs=2, lr=0.1, batch_size=4, warmup=0.0, weight_decay=0.0, device="cpu")


class Two:
    """Rows are numbers x, the answer 2 x. What the judge says of each epoch is written down."""

    metric = "ap"

    def __init__(self, verdicts):
        self.verdicts = list(verdicts)

    def steps(self, epoch):
        return [np.arange(4), np.arange(4, 8)] * 5

    def loss(self, rows, strands, epoch, place):
        x = torch.from_numpy(rows).float()[:, None]
        return ((self.network(x) - 2 * x) ** 2).sum()

    def known(self, rows):
        return len(rows)

    def judge(self, place):
        score, alarm = self.verdicts.pop(0)
        return Judged(score, {}, {"A": {"ap": score, "collapse": alarm}})

    def where(self, rows):
        return ""


def taught(verdicts, spec=SPEC, out=None, again=True):
    torch.manual_seed(0)
    lesson, lines = Two(verdicts), []
    lesson.network = nn.Linear(1, 1)
    seen = SimpleNamespace(warmups=[], starts=[])

    def epochs_of(options, folder):
        seen.warmups.append(options.warmup)
        seen.starts.append(lesson.network.weight.detach().clone())
        return Epochs(lesson.network, lesson, options, place=PLACE, say=lines.append, out=folder)

    start, loop = copied(lesson.network), epochs_of(spec, out)
    tries = Tries(loop.run())
    if again:
        tries = learn_again(loop, start, spec, epochs_of, lines.append)
    return tries, lesson.network, seen, lines


FLAT, FINE = (0.5, "flat scores"), (0.9, None)


def test_a_collapse_is_learned_again_from_the_same_start_with_a_longer_warm_up(tmp_path):
    tries, network, seen, lines = taught([FLAT, FLAT, FINE, FINE], out=tmp_path)
    said = (
        "SECOND TRY: collapsed on valid (flat scores) with a warm-up of 0 of 20 steps; learned"
        " again from the same start with 6"
    )
    assert said in lines
    assert tries.notes == [said]
    assert tries.count == 2
    assert seen.warmups == [0.0, 6.0]
    assert torch.equal(*seen.starts)
    assert tries.history.best == 0.9
    assert tries.first["warmup_steps"] == 0
    assert tries.first["collapse"] == "flat scores"
    assert len(tries.first["history"]) == 2
    assert [row["valid_ap"] for row in read_metrics(tmp_path)] == [0.9, 0.9]
    # The weights are those of a run that had the longer warm-up from the first.
    _, alone, *_ = taught([FINE, FINE], replace(SPEC, warmup=6.0), again=False)
    assert torch.equal(network.weight, alone.weight)


def test_what_collapses_twice_is_the_first_try(tmp_path):
    tries, network, _, lines = taught([FLAT, FLAT, (0.6, "flat scores"), FLAT], out=tmp_path)
    assert lines[-1] == "the second try collapsed as well (flat scores): the first is kept"
    assert tries.count == 2
    assert tries.history.best == 0.5
    _, alone, *_ = taught([FLAT, FLAT], again=False)
    assert torch.equal(network.weight, alone.weight)
    assert [row["valid_ap"] for row in read_metrics(tmp_path)] == [0.5, 0.5]


def test_a_warm_up_that_can_be_no_longer_is_said():
    tries, *_ = taught([FLAT, FLAT], replace(SPEC, warmup=0.5))
    assert tries.count == 1
    assert tries.notes == ["SECOND TRY: none, the warm-up takes 10 steps already"]


def test_so_many_tries_are_not_there():
    with pytest.raises(UsageError, match="--tries: impossible value. Found 3; expected 1 or 2"):
        check_learning(Learning(tries=3))


# -- a run of fine-tuning


@pytest.fixture
def flat_at_first(monkeypatch):
    """A model says one thing of everything until a rate has risen slowly."""
    seen, said = {"longer": False}, SequenceClassifier.forward

    def forward(self, *inputs):
        logits = said(self, *inputs)  # both classes are said once their mean is taken off
        return 9.0 * (logits - logits.mean(0)) if seen["longer"] else 0.0 * logits

    made = Epochs.__init__

    def begin(self, model, lesson, spec, **more):
        seen["longer"] = spec.warmup >= 1
        made(self, model, lesson, spec, **more)

    monkeypatch.setattr(SequenceClassifier, "forward", forward)
    monkeypatch.setattr(Epochs, "__init__", begin)


def run(out, say=None, **changes):
    rows, settings = planted(120), replace(QUICK, dropout=0.2, **changes)
    own = {"checkpoint": "random", "size": "tiny", "k": 3, "settings": settings}
    return finetune("sequences", rows, out, say=say or (lambda line: None), **own)


def test_a_run_counts_its_tries_and_a_stop_in_either_changes_nothing(flat_at_first, tmp_path):
    whole = run(tmp_path / "whole")
    assert whole.tries == 2
    assert not whole.metrics["valid"]["collapse"]
    metrics = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    task = json.loads((tmp_path / "whole" / "task.json").read_text())
    assert metrics["tries"] == task["tries"] == task["about"]["tries"] == 2
    assert "constant prediction" in metrics["first_try"]["collapse"]
    assert any(note.startswith("SECOND TRY: collapsed on valid") for note in task["notes"])
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert not names & {SECOND, "checkpoints"}
    assert len(read_metrics(tmp_path / "whole")) == 2

    class Stopped(Exception):
        pass

    for number in (1, 3):  # in the second epoch of the first try, and of the second
        count = iter(range(10))

        def stop(line, count=count, number=number):
            if line.startswith("epoch ") and next(count) == number:
                raise Stopped

        with pytest.raises(Stopped):
            run(tmp_path / f"cut{number}", stop)
        lines = []
        again = run(tmp_path / f"cut{number}", lines.append)
        assert "going on after epoch 1 of 2" in lines
        assert again.tries == 2
        one, other = (
            load_file(tmp_path / name / "model" / "model.safetensors")
            for name in ("whole", f"cut{number}")
        )
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert json.dumps(again.tables) == json.dumps(whole.tables)
    done = run(tmp_path / "whole")
    assert done.tries == 2
    assert "constant prediction" in done.first_try["collapse"]


def test_nothing_is_learned_again_where_that_is_switched_off(flat_at_first):
    lines = []
    once = run(None, lines.append, tries=1)
    assert once.tries == 1
    assert once.metrics["valid"]["collapse"]
    assert not any("SECOND TRY" in line for line in lines)


def test_few_valid_rows_are_not_called_collapsed():
    assert score_table([0, 1] * 4, np.tile([0.6, 0.4], (8, 1)))["collapse"] is None
    result, _ = quick(planted(60))
    assert result.tries == 1
