"""Norms of two and three processes against torch's own over all rows."""

import pytest
import torch
from torch import nn

import two_devices


@pytest.mark.parametrize("world", [2, 3])
def test_shared_norms_are_those_of_all_rows_also_where_a_process_has_none(world, tmp_path):
    """Four rows, 1 and 3, or 0, 1 and 3; and the few collectives that fine-tuning adds."""
    two_devices.spawn(two_devices.norms, tmp_path / "out", world)
    said, gradients, buffers, joined = torch.load(tmp_path / "out")
    network, rows = two_devices.normed()
    expected = network(rows)
    (expected * two_devices.NORMS_ASK).sum().backward()
    torch.testing.assert_close(said, expected.detach())
    for name, weight in network.named_parameters():
        torch.testing.assert_close(gradients[name], weight.grad, msg=name, rtol=1e-4, atol=1e-5)
    for name, value in network.named_buffers():
        torch.testing.assert_close(buffers[name], value, msg=name)
    # A weight without a gradient in all processes has none, one without in some is a sum.
    assert gradients["some"].tolist() == [float(world - 1)]
    assert gradients["none"] is None
    assert joined.tolist() == [[float(n)] * 2 for n in range(world) for _ in range(n)]


def test_a_network_in_evaluation_is_left_as_it_is():
    norm = nn.BatchNorm1d(3).eval()
    assert torch.equal(norm(torch.ones(2, 3)), torch.ones(2, 3) / (1 + norm.eps) ** 0.5)
