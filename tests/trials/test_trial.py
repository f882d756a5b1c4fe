"""The engine: rows are made once, written as they come, and gone on with after any stop."""

import json
import os
import signal
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import pytest

from epilm.atomic import locked
from epilm.errors import EpilmError, TrainingError, UsageError
from epilm.plots.page import Page, Section
from epilm.trials.bench import LAB
from epilm.trials.trial import Maker, other_values, rows_of, run_trial, seeds_of
from epilm.trials.trial_table import Cell, Claim, Design
from forked import CONTEXT

WORDS = replace(LAB, judged=("ap",), scores=("ap",), printed=("ap",))


@dataclass
class Toy(Maker):
    """Rows whose score is the seed, and that do what a test asks when one of them is made."""

    arms: tuple = ("a", "b")
    epochs: int = 1
    left_out: dict = field(default_factory=dict)
    before: dict = field(default_factory=dict)  # key -> what happens before the row is there
    made: list = field(default_factory=list)

    @property
    def design(self):
        cells = tuple(Cell("here", arm, arm, ("CTCF",)) for arm in self.arms)
        return Design(WORDS, cells, (Claim("better", "b", "a"),))

    def plan(self):
        return {"epochs": self.epochs, "arms": [{"name": arm, "only": ()} for arm in self.arms]}

    def keys(self, seeds):
        return [(seed, "here", arm) for seed in seeds for arm in self.arms]

    def make(self, key, folder, say):
        if key in self.before:
            self.before[key]()
        self.made.append(key)
        score = key[0] / 10 + 0.5 * (key[2] == "b")
        return {"ap": score, "factors": {"CTCF": {"ap": score}}}

    def around(self):
        return nullcontext()

    def page(self, folder):
        rows = rows_of(folder, self.design)
        return Page("toy", sections=[Section("Rows", text=[f"{len(rows)} rows"])])


def run(toy, folder, seeds=(1, 2)):
    said: list[str] = []
    return run_trial(toy, folder, seeds, said.append), said


def test_rows_are_made_once_and_seeds_and_arms_are_added_later(tmp_path):
    first, said = run(Toy(), tmp_path / "out")
    assert [(row["seed"], row["arm"], row["ap"]) for row in first.rows] == [
        (1, "a", 0.1),
        (1, "b", 0.6),
        (2, "a", 0.2),
        (2, "b", 0.7),
    ]
    assert said[0] == "seed 1, here, a: ap 0.1000 (0 s)"
    assert first.table[1]["ap_mean"] == pytest.approx(0.65)
    more = Toy(arms=("c", "a", "b"))
    second, _ = run(more, tmp_path / "out", seeds=(2, 3))
    assert more.made == [(2, "here", "c"), (3, "here", "c"), (3, "here", "a"), (3, "here", "b")]
    # Rows of all seeds, in the order of the design.
    assert [row["seed"] for row in second.rows] == [1, 1, 2, 2, 2, 3, 3, 3]
    assert second.rows[2]["arm"] == "c"
    (verdict,) = second.verdicts
    assert verdict.word == "shown"
    assert verdict.differences == pytest.approx((0.5, 0.5, 0.5))


def test_the_tables_and_the_page_are_there_after_each_row(tmp_path):
    seen = []

    def look():
        lines = (tmp_path / "out/table.tsv").read_text().splitlines()
        seen.append((len(lines) - 1, "1 rows" in (tmp_path / "out/report.html").read_text()))

    run(Toy(before={(1, "here", "b"): look}), tmp_path / "out", seeds=(1,))
    assert seen == [(1, True)]
    assert "2 rows" in (tmp_path / "out/report.html").read_text()


def test_ctrl_c_leaves_a_folder_that_goes_on(tmp_path):
    def stop():
        raise KeyboardInterrupt

    said: list[str] = []
    toy = Toy(before={(2, "here", "a"): stop})
    with pytest.raises(KeyboardInterrupt):
        run_trial(toy, tmp_path / "out", (1, 2), said.append)
    assert said[-1] == "stopped after 2 of 4 rows: the same command goes on from there"
    assert "2 rows" in (tmp_path / "out/report.html").read_text()
    again = Toy()
    result, _ = run(again, tmp_path / "out")
    assert again.made == [(2, "here", "a"), (2, "here", "b")]
    assert len(result.rows) == 4


def test_a_row_that_fails_leaves_those_before_it(tmp_path):
    def fail():
        raise TrainingError("the loss is not a number")

    with pytest.raises(TrainingError, match="not a number"):
        run(Toy(before={(1, "here", "b"): fail}), tmp_path / "out")
    again = Toy()
    run(again, tmp_path / "out")
    assert (1, "here", "a") not in again.made


def killed_in_the_third_row(folder):
    run(Toy(before={(2, "here", "a"): lambda: os.kill(os.getpid(), signal.SIGKILL)}), folder)


def test_a_killed_process_loses_the_row_it_was_in_and_no_other(tmp_path):
    process = CONTEXT.Process(target=killed_in_the_third_row, args=(str(tmp_path / "out"),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    rows = tmp_path / "out" / WORDS.rows
    assert len(rows.read_text().splitlines()) == 2
    with open(rows, "a") as handle:
        handle.write('{"seed": 2, "setting": "he')  # killed while it wrote
    toy = Toy()
    result, _ = run(toy, tmp_path / "out")
    assert toy.made == [(2, "here", "a"), (2, "here", "b")]
    # The line cut short has not swallowed the one behind it.
    third = Toy()
    again, _ = run(third, tmp_path / "out")
    assert third.made == []
    assert again.rows == result.rows


def test_a_row_that_cannot_be_is_left_out_and_said(tmp_path):
    toy = Toy(left_out={("here", "b"): "it has no motif"})
    result, said = run(toy, tmp_path / "out")
    assert said[0] == "left out: here, b: it has no motif"
    assert {row["arm"] for row in result.rows} == {"a"}
    assert result.text().splitlines()[-1] == "left out: here, b: it has no motif"


def test_another_plan_and_other_things_are_refused(tmp_path):
    run(Toy(), tmp_path / "out", seeds=(1,))
    with pytest.raises(TrainingError, match=r"holds another ablation. Found epochs was 1, is 2"):
        run(Toy(epochs=2), tmp_path / "out")
    assert json.loads((tmp_path / "out" / WORDS.plan).read_text())["epochs"] == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.txt").write_text("keep")
    with pytest.raises(TrainingError, match=r"something that is not an ablation. Found mine.txt"):
        run(Toy(), tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine.txt"]
    (tmp_path / "out" / WORDS.plan).write_text("{")
    with pytest.raises(TrainingError, match="the plan of the folder cannot be read"):
        run(Toy(), tmp_path / "out")


def test_two_at_once_do_not_write_one_folder(tmp_path):
    with locked(tmp_path / "out"), pytest.raises(EpilmError, match="another process is writing"):
        run(Toy(), tmp_path / "out")


def test_what_a_later_version_knows_more_about_a_plan_is_no_difference():
    old = {"finetune": {"epochs": 1}, "arms": [{"name": "a", "init": "random"}]}
    new = {
        "finetune": {"epochs": 1, "new": 3},
        "arms": ({"name": "a", "init": "random", "k": None},),
    }
    assert other_values(old, new) == []


def test_what_an_old_plan_does_not_say_was_as_it_is_where_nothing_is_said():
    old = {"plan": {"finetune": {"epochs": 1}}}
    usual = {"finetune": {"epochs": 5, "ema": 0.0}}
    as_it_was = {"plan": {"finetune": {"epochs": 1, "ema": 0.0}}}
    assert other_values(old, as_it_was, usual) == []
    moved = {"plan": {"finetune": {"epochs": 1, "ema": 0.9}}}
    assert other_values(old, moved, usual) == [("finetune.ema", 0.0, 0.9)]


@pytest.mark.parametrize("seeds", [0, [], [-1]])
def test_no_seed_is_a_wrong_use(seeds):
    with pytest.raises(UsageError, match="--seeds"):
        seeds_of(seeds)
