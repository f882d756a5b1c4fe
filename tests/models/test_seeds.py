"""What is drawn from a seed is a function of it, also where something fails inside."""

import pytest
import torch

from epilm.models.seeds import seeded


def test_torchs_own_state_is_as_it_was_also_after_a_failure():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(1):
        torch.rand(5)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1):
        inside = torch.rand(5)
    torch.manual_seed(1)
    assert torch.equal(inside, torch.rand(5))


def test_without_a_seed_the_state_moves_on():
    torch.manual_seed(3)
    with seeded(None):
        first = torch.rand(2)
    second = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.cat([first, second]), torch.rand(4))
