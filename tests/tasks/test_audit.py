"""Rules without a model: chains done by hand, twins that memory finds, and where they are said."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from epilm.cli import main
from epilm.tasks import TASKS, promoter
from epilm.tasks.audit import MarkovRule, NearestRule, audit
from epilm.tasks.base import labelled
from epilm.tasks.sequence_task import SequenceOptions
from toy_sequences import planted


def lesson_of(rows, **options):
    return TASKS["sequences"].lesson(rows, SequenceOptions(**options), lambda line: None)


def test_the_ratio_of_two_chains_by_hand():
    rule = MarkovRule(labelled(["AACA", "ACGN"], [1, 0]), order=1)
    # After A: class 1 has AA, AC, class 0 has AC; each of the four words is counted once more.
    first, second = math.log((2 / 6) / (1 / 5)), math.log((2 / 6) / (2 / 5))
    scores = rule.scores(labelled(["AAC", "NAA", "A"], [0, 0, 0]))
    np.testing.assert_allclose(scores, [first + second, first, 0])


def test_the_nearest_row_shares_most_words_in_plain_python():
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 4, int(n)).astype(np.uint8) for n in rng.integers(20, 40, 30)]
    rows = labelled(codes, np.arange(30) % 2)
    words = [{rows.text(r)[i : i + 3] for i in range(len(rows.text(r)) - 2)} for r in range(30)]
    nearest = NearestRule(rows.take(np.arange(20)), k=3)
    for row in range(20, 30):
        shared = [len(words[row] & other) for other in words[:20]]
        assert nearest.labels_of(rows.take([row]))[0] == int(np.argmax(shared)) % 2


def promoters(tmp_path, count=60):
    rng = np.random.default_rng(0)
    lines = ["".join(rng.choice(list("ACGT"), 300)) for _ in range(count)]
    (tmp_path / "p.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "p.txt"


def test_twins_that_were_split_apart_are_found_and_those_kept_together_are_not(tmp_path):
    rows = promoter.load(promoters(tmp_path), window="300")
    apart = audit(lesson_of(replace(rows, family=None)))[-1]
    together = audit(lesson_of(rows))[-1]
    assert "with the opposite label of the nearest training row" in apart
    assert float(apart.split(" ")[-1]) > 0.5
    assert "which 0 % of the rows have" in together


def test_nothing_is_said_of_other_labels():
    three = labelled(["ACGT"] * 9, [0, 1, 2] * 3, split=["train", "valid", "test"] * 3)
    assert audit(lesson_of(three)) == []


def test_it_stands_under_every_promoter_table_and_elsewhere_where_asked(tmp_path, capsys):
    rows = planted(80, 30)
    text = "sequence\tlabel\n" + "".join(
        f"{rows.text(r)}\t{rows.labels[r]}\n" for r in range(len(rows))
    )
    (tmp_path / "set.tsv").write_text(text)
    words = ["--data", str(tmp_path / "set.tsv"), "--checkpoint", "cnn", "--epochs", "1", "--quiet"]
    assert main(["finetune", "promoter", *words, "--out", str(tmp_path / "p")]) == 0
    line = "AUDIT test: without a model order-3 Markov chains reach MCC"
    assert line in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "p")]) == 0
    assert line in capsys.readouterr().out
    for more, said in (([], False), (["--audit"], True)):
        out = str(tmp_path / f"s{len(more)}")
        assert main(["finetune", "sequences", *words, *more, "--json", "--out", out]) == 0
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert any(note.startswith(line) for note in notes) is said


def test_the_core_set_of_dnabert(real_data):
    rows = TASKS["sequences"].load(real_data / "promoters" / "DNABERT_prom-core_70bp.tsv.gz")
    reached = [float(audit(lesson_of(rows, data_seed=s))[-1].split("MCC ")[1][:4]) for s in (0, 1)]
    assert np.mean(reached) == pytest.approx(0.53, abs=0.06)
