"""Baselines that answer each base: what is counted, by hand; the letters of the toy world."""

import numpy as np
import pytest

from epilm.baselines.base_models import FittedMatrices, fit_base_baseline
from epilm.baselines.baseline_table import fit_baseline
from epilm.errors import UsageError
from epilm.tasks import TASKS
from epilm.tasks.splice.splice_options import SpliceOptions
from toy_splice import SHORT, transcripts


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    genome, read = transcripts(tmp_path_factory.mktemp("bases"))
    options = SpliceOptions(**SHORT | {"genome": genome})
    return TASKS["splice"].lesson(read, options, lambda line: None)


def test_the_two_letters_beside_sites_are_counted(lesson):
    fitted, notes = fit_base_baseline("dinucleotide", lesson)
    acceptor, donor = fitted.matrices
    assert acceptor.argmax(1).tolist() == [0, 2]  # AG
    assert donor.argmax(1).tolist() == [2, 3]  # GT
    assert (acceptor[:, 4] == 0).all()
    assert notes == []
    assert np.exp(fitted.prior).sum() == pytest.approx(1)


@pytest.mark.parametrize("name", ["dinucleotide", "sitematrix"])
def test_probabilities_rank_sites_above_the_rest(lesson, name):
    fitted, _ = fit_baseline(name, lesson)
    rows = lesson.parts["test"]
    said = fitted.score(lesson.examples, rows)
    np.testing.assert_allclose(said.sum(-1), 1)
    labels = lesson.examples.labels_of(rows)
    tables = lesson.labels.scores(labels, said)
    assert tables["mean"]["ap"] > 0.3
    assert said[labels == 2][:, 2].min() > np.median(said[labels == 0][:, 2])


def test_a_score_by_hand():
    class Rows:
        answers = 2

        def take(self, rows):
            return type("Taken", (), {"codes": np.array([[2, 0, 3]], np.uint8)})

    matrix = np.array([[1.0, 0, 0, 2.0, 0]])  # A adds 1, T adds 2
    fitted = FittedMatrices([matrix], [(1, 1)], np.log([0.5, 0.5]))
    said = fitted.score(Rows(), np.array([0]))
    # the first of the two middle bases is followed by A, the second by T
    expected = [1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(-2.0))]
    np.testing.assert_allclose(said[0, :, 1], expected)


def test_baselines_of_rows_and_of_bases_are_not_mixed_up(lesson):
    with pytest.raises(UsageError, match="unknown baseline of answers to bases. Found kmer"):
        fit_baseline("kmer", lesson)
