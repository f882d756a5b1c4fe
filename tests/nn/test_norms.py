"""A sum with its norm, where there is no GPU."""

import torch
from torch import nn

from epilm.nn.dropout import Dropout, drop
from epilm.nn.norms import add_norm


def test_without_a_gpu_the_sum_is_torchs_own():
    x, update, norm = torch.randn(3, 4, 8), torch.randn(3, 4, 8), nn.LayerNorm(8)
    assert torch.equal(add_norm(x, update, norm, Dropout(0.0)), norm(x + update))
    torch.manual_seed(1)
    dropped = add_norm(x, update, norm, Dropout(0.5))
    torch.manual_seed(1)
    assert torch.equal(dropped, norm(x + drop(update, 0.5)))
    assert torch.equal(add_norm(x, update, norm, Dropout(0.5).eval()), norm(x + update))
