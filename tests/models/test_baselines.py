"""The small CNN: padding does not matter, both strands do not differ."""

import torch

from epilm.models.baselines import SmallCNN, reverse_complement_codes


def test_reverse_complement_twice_is_the_sequence():
    codes = torch.tensor([[0, 1, 2, 3, 4, 4], [3, 3, 0, 1, 4, 2]])
    lengths = torch.tensor([4, 6])
    assert (
        reverse_complement_codes(reverse_complement_codes(codes, lengths), lengths) == codes
    ).all()


def test_both_strands_score_alike():
    torch.manual_seed(0)
    model = SmallCNN(2, filters=8).eval()
    codes, lengths = torch.randint(0, 4, (3, 50)), torch.tensor([50, 50, 50])
    assert torch.allclose(
        model(codes, lengths), model(reverse_complement_codes(codes, lengths), lengths), atol=1e-6
    )
    one = SmallCNN(2, filters=8, both_strands=False).eval()
    assert not torch.allclose(
        one(codes, lengths), one(reverse_complement_codes(codes, lengths), lengths), atol=1e-6
    )
