"""Letters, FASTA and intervals that are to be predicted: read, and refused with their line."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from epilm.errors import CheckpointError, InputError
from epilm.finetuning.predict import predict
from epilm.tasks.sequence_predictions import SequencePredictions, summary
from toy_sequences import QUICK as SHORT
from toy_sequences import planted, quick, said_of_all


def test_letters_fasta_and_intervals_are_read(tmp_path):
    result, _ = quick(planted(80), tmp_path / "run", settings=replace(SHORT, epochs=1))
    texts = [result.lesson.examples.text(i) for i in range(5)]
    by_letters = predict(tmp_path / "run", texts, device="cpu")
    assert np.allclose(by_letters.probabilities, said_of_all(result)[:5], atol=1e-6)
    (tmp_path / "a.fa").write_text("".join(f">s{i}\n{t}\n" for i, t in enumerate(texts)))
    by_fasta = predict(result.model, tmp_path / "a.fa", device="cpu")
    assert by_fasta.names == [f"s{i}" for i in range(5)]
    assert np.allclose(by_fasta.probabilities, by_letters.probabilities)
    (tmp_path / "g.fa").write_text(">chr1\n" + "".join(texts) + "\n")
    (tmp_path / "a.bed").write_text(
        "".join(f"chr1\t{40 * i}\t{40 * i + 40}\tr{i}\n" for i in (3, 0, 1))
    )
    genome = {"genome": tmp_path / "g.fa", "device": "cpu"}
    by_bed = predict(result.model, tmp_path / "a.bed", tmp_path / "out.tsv", **genome)
    assert by_bed.names == ["r3", "r0", "r1"]
    assert np.allclose(by_bed.probabilities, by_letters.probabilities[[3, 0, 1]])
    assert (tmp_path / "out.tsv").read_text().splitlines()[1].startswith("r3\tchr1\t120\t160\t0.")
    (tmp_path / "b.bed").write_text("chr1\t190\t240\n")
    with pytest.raises(
        InputError, match=r"line 1: the interval reaches over its chromosome; 1 of 1 do"
    ):
        predict(result.model, tmp_path / "b.bed", **genome)
    with pytest.raises(InputError, match="intervals need the genome"):
        predict(result.model, tmp_path / "a.bed")
    with pytest.raises(CheckpointError, match="no fine-tuned model here"):
        predict(tmp_path, texts)


def predictions(values, kind="classes", names=()):
    n = len(values)
    return SequencePredictions(
        np.array(values, np.float64),
        [f"s{row}" for row in range(n)],
        ["chr1"] * n,
        np.arange(n),
        np.arange(n) + 5,
        names,
        kind=kind,
    )


CLASSES = predictions([[0.9, 0.1], [0.25, 0.75]], names=("other", "promoter"))
FACTORS = predictions([[0.5, 0.1], [0.4, 0.7], [0.6, 0.2]], "factors", ("CTCF", "MAX"))
NUMBERS = predictions([[1.0], [4.0]], "numbers", ("ph",))


def test_a_table_says_what_its_numbers_are(tmp_path):
    CLASSES.write(tmp_path / "o.tsv")
    assert (tmp_path / "o.tsv").read_text().splitlines() == [
        "name\tchrom\tstart\tend\tp_other\tp_promoter",
        "s0\tchr1\t0\t5\t0.9\t0.1",
        "s1\tchr1\t1\t6\t0.25\t0.75",
    ]
    assert list(NUMBERS.columns())[-1] == "said_ph"
    FACTORS.write(tmp_path / "o.parquet")
    table = pd.read_parquet(tmp_path / "o.parquet")
    assert table["p_MAX"].tolist() == [0.1, 0.7, 0.2]


def test_the_line_that_sums_up_is_of_classes_of_questions_or_of_numbers():
    assert CLASSES.told() == "2 sequences, by class [1, 1]"
    assert FACTORS.told() == "3 sequences, at or above one half: CTCF 2, MAX 1"
    assert NUMBERS.told() == "2 sequences, mean ph 2.5"
    assert summary(CLASSES)["mean"] == [0.575, 0.425]
    assert summary(FACTORS) == {
        "sequences": 3,
        "names": ["CTCF", "MAX"],
        "at_least_half": [2, 1],
        "mean": [0.5, 0.3333],
    }
    assert "at_least_half" not in summary(NUMBERS)
