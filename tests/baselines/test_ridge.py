"""Ridge against scikit-learn; unknown labels; the mean; the penalty by the valid rows."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from epilm.baselines.baseline_table import check_baseline, fit_baseline
from epilm.baselines.ridge import PENALTIES, fit_ridge
from epilm.errors import UsageError
from epilm.tasks import TASKS, labelled
from epilm.tasks.sequence_task import SequenceOptions


def lesson(noise=0.1, count=90, kind="numbers"):
    """Levels that are the share of G and C, in one of two columns a third not known."""
    rng = np.random.default_rng(3)
    codes = [rng.choice(4, 40, p=rng.dirichlet([3] * 4)).astype(np.uint8) for _ in range(count)]
    share = np.array([np.isin(c, (1, 2)).mean() for c in codes])
    labels = np.stack([share * 8 + rng.normal(0, noise, count), -share], 1).astype(np.float32)
    labels[::3, 1] = np.nan
    rows = labelled(
        codes,
        np.abs(labels) if kind == "counts" else labels,
        kind=kind,
        label_names=("up", "down"),
        split=np.repeat(["train", "valid", "test"], count // 3),
    )
    return TASKS["sequences"].lesson(rows, SequenceOptions(split="given"), print)


def test_weights_are_those_of_scikit_learn_on_the_rows_that_are_known():
    taught = lesson()
    rows = taught.parts["train"]

    def reader(examples, some):
        return examples.codes[some, :5].astype(np.float32)

    fitted = fit_ridge(reader, taught, rows)
    x = (reader(taught.examples, rows) - fitted.centre) / fitted.scale
    for f, chosen in enumerate(fitted.chosen):
        y = taught.examples.labels_of(rows)[:, f]
        known = np.isfinite(y)
        peer = Ridge(alpha=chosen["penalty"] * known.sum()).fit(x[known], y[known])
        np.testing.assert_allclose(fitted.weights[:, f], peer.coef_, atol=1e-6)
        assert fitted.level[f] == pytest.approx(peer.intercept_, abs=1e-6)


def test_the_penalty_is_that_of_the_least_error_on_the_valid_rows():
    taught = lesson()
    fitted, _ = fit_baseline("gc", taught)
    assert fitted.chosen[0]["penalty"] == PENALTIES[0]  # a true line needs none
    said = fitted.score(taught.examples, taught.valid)
    truth = taught.examples.labels_of(taught.valid)
    assert fitted.chosen[0]["valid_mse"] == pytest.approx(
        ((said - truth)[:, 0] ** 2).mean(), rel=1e-4
    )
    tables = taught.labels.scores(truth, said)
    assert tables["up"]["r2"] > 0.9
    assert tables["down"]["r2"] > 0.9


def test_the_mean_says_one_number_and_the_counted_words_more():
    taught = lesson()
    fitted, notes = fit_baseline("mean", taught)
    assert notes == []
    means = np.nanmean(taught.examples.labels_of(taught.parts["train"]), 0)
    said = fitted.score(taught.examples, taught.parts["test"])
    np.testing.assert_allclose(said, np.tile(means, (30, 1)), rtol=1e-5)
    for name in ("cpg", "kmer"):
        fitted, _ = fit_baseline(name, taught)
        said = fitted.score(taught.examples, taught.parts["test"])
        truth = taught.examples.labels_of(taught.parts["test"])
        assert taught.labels.scores(truth, said)["up"]["r2"] > 0.5


def test_what_cannot_be_said_is_refused():
    rows = labelled(
        ["ACGT", "CCGT"] * 6,
        [0, 1] * 6,
        split=["train", "train", "valid", "valid", "test", "test"] * 2,
    )
    classes = TASKS["sequences"].lesson(rows, SequenceOptions(split="given"), print)
    with pytest.raises(UsageError, match="--beside: the baseline says a number.*Found mean"):
        check_baseline("mean", classes)
    with pytest.raises(UsageError, match="--beside: a baseline ranks classes or factors, or says"):
        check_baseline("gc", lesson(kind="counts"))
    with pytest.raises(UsageError, match="the baseline is of classes or factors. Found states"):
        fit_baseline("states", lesson())
