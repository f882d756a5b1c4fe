"""A map of log-odds says what `score-variants` says of each change in the same window."""

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.explaining.attribution import gradients
from epilm.explaining.mutagenesis import deleted, substituted
from epilm.explaining.outputs import LogOddsSubject, pretrained_subject
from epilm.hub.load import Loaded
from epilm.models.from_spec import build_model
from epilm.variants.haplotypes import WindowPairs
from epilm.variants.pretrained_scorer import PretrainedScorer
from toy_explained import CPU, DNA, STEM, frame, louder


def loaded(spec, **changes):
    from dataclasses import replace
    from pathlib import Path

    spec = replace(spec, **changes)
    return Loaded(louder(build_model(spec, seed=1)), spec, {}, Path("model"))


def by_pairs(model, ref, alt, begin, ends):
    """What the scorer of variants says: ALT less REF, mean over both strands."""
    codes = np.stack([ref, alt])[None]
    starts = np.array([[begin, begin]])
    pairs = WindowPairs(codes, starts, np.array([ends]), ("c",), np.array([0]), starts)
    scorer = PretrainedScorer(model, ["llr"])
    said = [scorer(each).sides["llr"][0] for each in (pairs, pairs.turned())]
    return np.mean([side[1] - side[0] for side in said])


@pytest.mark.parametrize("spec", [DNA, STEM], ids=["dna", "stem"])
def test_substitutions_are_those_of_score_variants(spec):
    model, where = loaded(spec), frame(20, 2, 19, n_at=(7,))
    made = LogOddsSubject(model, CPU, batch=5)
    changes = made.substitutions(where)
    windows, which = substituted(where.codes, 2, 19)
    for window, (base, i) in zip(windows, which):
        expected = by_pairs(model, where.codes, window, 2 + i, [3 + i, 3 + i])
        assert changes[base, i] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(changes[:, 5]).all()
    here = where.codes[2:19]
    assert (changes[here[here < 4], np.flatnonzero(here < 4)] == 0).all()
    assert np.nanmax(np.abs(changes)) > 0.01


@pytest.mark.parametrize("spec", [DNA, STEM], ids=["dna", "stem"])
def test_deletions_are_those_of_score_variants(spec):
    model, where = loaded(spec), frame(20, 3, 17)
    table = LogOddsSubject(model, CPU, batch=5).deletions(where, 3)
    for length in (1, 3):
        for at in range(3, 17 - length + 1):
            alt = deleted(where, length, at)
            expected = by_pairs(model, where.codes, alt, at, [at + length, at])
            assert table[length - 1, at - 3] == pytest.approx(expected, abs=1e-5)


def test_outputs_of_a_pretrained_model():
    plain = loaded(DNA)
    assert pretrained_subject(plain, CPU, None).names == ("llr",)
    with pytest.raises(UsageError, match=r"no such output. Found 'site_0'.*Known: llr"):
        pretrained_subject(plain, CPU, "site_0")
    with pytest.raises(UsageError, match="log-odds of hidden k-mers are of a change"):
        gradients(pretrained_subject(plain, CPU, None), frame(20))


def test_a_motifs_site_is_the_best_of_its_tokens():
    model = loaded(DNA, motif_sites=3)
    made = pretrained_subject(model, CPU, "site_2")
    where = frame(16)
    windows = made.windows(where.codes[None], where, False)
    import torch

    with torch.no_grad():
        hidden, _ = model.encoder(windows.ids, None, None)
        every = model.model.motif_head(hidden)[0, 1:-1, 2]
        assert float(made.logits(windows)[0, 2]) == float(every.max())
    assert gradients(made, where).scores.shape == (16,)


def test_a_head_that_was_never_taught_is_not_explained():
    """Hidden k-mers at weight 0, as in the recipes for a lab: the head is there and says noise."""
    made = loaded(DNA, motif_sites=3)
    made.extra["recipe"] = {"objectives": {"masked_kmers": {"weight": 0.0}}}
    with pytest.raises(UsageError, match=r"did not learn hidden k-mers \(weight 0\)"):
        pretrained_subject(made, CPU, "llr")
    with pytest.raises(UsageError, match=r"several outputs.*--output site_2"):
        pretrained_subject(made, CPU, None)
    assert pretrained_subject(made, CPU, "site_1").output == 1
