"""On certain bases the soft way is the model itself."""

import numpy as np
import pytest
import torch

from epilm.explaining.soft import kmer_probabilities, one_hot, soft_bases, turned
from epilm.genome.sequence import reverse_complement
from epilm.tokens.kmers import kmer_ids, vocabulary
from toy_explained import frame, placed, subject
from toy_tracks import toy_track_store


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["dna", "stem", "cnn"])
def test_one_hot_bases_give_the_models_own_numbers(kind, reverse):
    made, where = subject(kind), frame(23, n_at=(8,))
    windows = made.windows(where.codes[None], where, reverse)
    probabilities = one_hot(where.codes)[None]
    with torch.no_grad():
        own = made.logits(windows)
        with soft_bases(made, windows, turned(probabilities) if reverse else probabilities):
            soft = made.logits(windows)
        again = made.logits(windows)
    assert torch.equal(soft, own)
    assert torch.equal(again, own)  # nothing of the model was changed
    others = one_hot((where.codes + 1) % 4)[None]
    with torch.no_grad(), soft_bases(made, windows, others):
        assert not torch.equal(made.logits(windows), own)


def test_so_do_windows_of_a_store_with_states_and_signals(tmp_path):
    store = toy_track_store(tmp_path / "s", n_share=0.0)
    made = placed(store, signals=[("accessibility", "max", "log1p")])
    bases = np.asarray(store.genome[3000:3110])
    where = frame(100)
    windows = made.windows(bases[None, :100], where, True)
    with torch.no_grad():
        own = made.logits(windows)
        with soft_bases(made, windows, turned(one_hot(bases[None, :100]))):
            assert torch.equal(made.logits(windows), own)


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (4, 3), (2, 2)])
def test_a_kmers_probability_is_the_product_of_its_bases(k, stride):
    generator = torch.Generator().manual_seed(0)
    bases = torch.rand(2, 11, 4, generator=generator).softmax(-1)
    words = kmer_probabilities(bases, k, stride)
    assert words.sum(-1).numpy() == pytest.approx(np.ones(words.shape[:2]), abs=1e-6)
    for number, word in enumerate(vocabulary(k)[5:]):
        for token in range(words.shape[1]):
            expected = 1.0
            for i, letter in enumerate(word):
                expected *= float(bases[1, token * stride + i, "ACGT".index(letter)])
            assert float(words[1, token, number]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (2, 1), (3, 2), (4, 4)])
def test_its_gradient_is_the_slope_of_the_table(k, stride):
    generator = torch.Generator().manual_seed(0)
    bases = torch.rand(2, 6, 4, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: kmer_probabilities(x, k, stride), bases)


def test_the_other_strand_of_probabilities_is_that_of_bases():
    codes = np.random.default_rng(0).integers(0, 4, (2, 9)).astype(np.uint8)
    assert torch.equal(turned(one_hot(codes)), one_hot(reverse_complement(codes)))
    ids = kmer_probabilities(one_hot(codes), 3, 1).argmax(-1).numpy() + 5
    assert (ids == kmer_ids(codes, 3)).all()
