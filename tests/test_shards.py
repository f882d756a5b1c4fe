"""Parts."""

import torch

from epilm.shards import digest_of_weights


def test_weights_are_told_apart_by_one_bit():
    layer = torch.nn.Linear(2, 2)
    before = digest_of_weights(layer)
    assert digest_of_weights(layer) == before
    with torch.no_grad():
        layer.bias[0] = torch.nextafter(layer.bias[0], torch.tensor(9.0))
    assert digest_of_weights(layer) != before
