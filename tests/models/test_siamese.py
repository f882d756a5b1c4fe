"""Two loci, one answer: which comes first matters or does not, and no pair sees another."""

import pytest
import torch

from epilm.batch import Windows
from epilm.errors import InputError
from epilm.models.ebert import EBERT
from epilm.models.networks import NETWORKS, Shape
from epilm.models.siamese import SiameseModel, combined
from epilm.nn.encoder import SequenceEncoder


def model(combine):
    torch.manual_seed(0)
    encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    return SiameseModel(EBERT(encoder), 2, combine=combine).eval()


def windows(ids):
    return Windows(ids, ids > 0)


IDS = torch.randint(5, 69, (6, 9), generator=torch.Generator().manual_seed(1))  # three pairs
SWAPPED = IDS[[3, 4, 5, 0, 1, 2]]


def test_the_order_of_loci_is_forgotten_or_kept_as_asked():
    for combine, same in (("symmetric", True), ("ordered", False)):
        network = model(combine)
        first, second = network(windows(IDS)), network(windows(SWAPPED))
        assert first.shape == (3, 2)
        assert torch.allclose(first, second, atol=1e-6) == same


def test_a_pair_is_answered_by_itself():
    network = model("symmetric")
    alone = network(windows(IDS[[1, 4]]))
    assert torch.allclose(network(windows(IDS))[1:2], alone, atol=1e-6)


def test_rows_that_are_no_pairs_are_refused():
    with pytest.raises(InputError, match="the model answers pairs of loci. Found 3 of them"):
        combined(torch.zeros(3, 2), "symmetric")


def test_the_cnn_reads_pairs_from_either_strand_alike():
    torch.manual_seed(0)
    network = NETWORKS["cnn"].build(Shape(2, loci=2)).eval()
    codes = torch.randint(0, 4, (4, 60), dtype=torch.uint8)
    nothing = torch.zeros(4, 1, dtype=torch.int64)
    said = network(Windows(nothing, nothing > 0, codes=codes))
    turned = network(Windows(nothing, nothing > 0, codes=(3 - codes).flip(1)))
    assert said.shape == (2, 2)
    assert torch.allclose(said, turned, atol=1e-5)
