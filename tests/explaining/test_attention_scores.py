"""DNABERT-viz's scores of bases, and rollout, on tables that a hand can follow."""

import numpy as np
import pytest
import torch

from epilm.errors import UsageError
from epilm.explaining.attention_scores import (
    attention_maps,
    attention_scores,
    from_first,
    of_bases,
    rollout,
)
from epilm.explaining.frames import Frame
from epilm.genome.sequence import reverse_complement
from toy_explained import frame, subject


def test_the_protocols_worked_example():
    assert of_bases(np.array([1.0, 2.0, 4.0]), 3, 1, 5) == pytest.approx([1, 1.5, 7 / 3, 3, 4])


def test_bases_of_tokens_side_by_side():
    said = of_bases(np.array([1.0, 2.0]), 2, 2, 5)
    assert said[:4].tolist() == [1, 1, 2, 2]
    assert np.isnan(said[4])


def test_heads_are_summed_from_the_first_token():
    table = torch.zeros(1, 2, 4, 4)
    table[0, :, 0] = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    assert from_first([torch.ones(1, 2, 4, 4), table], True)[0].tolist() == pytest.approx([0.5] * 2)
    assert from_first([table], False)[0].tolist() == pytest.approx([0.125] * 4)


def test_rollout_of_two_layers_by_hand():
    """Layer 1 sends 1 to 2, layer 2 sends 0 to 1; half of each stays."""
    first, second = torch.eye(3)[None, None].clone(), torch.eye(3)[None, None].clone()
    first[0, 0, 1] = torch.tensor([0.0, 0, 1])
    second[0, 0, 0] = torch.tensor([0.0, 1, 0])
    # From 0: a half stays at 0, a half goes to 1, of which a half goes on to 2.
    assert rollout([first, second], True)[0].tolist() == [0.25]  # tokens 0 and 2 are special
    flow = torch.tensor([0.5, 0.25, 0.25])
    assert rollout([first, second], False)[0].tolist() == pytest.approx(
        ((flow + torch.tensor([0, 0.5, 0.5]) + torch.tensor([0, 0, 1.0])) / 3).tolist()
    )


@pytest.mark.parametrize("kind", ["dna", "stem"])
def test_scores_have_length_one_and_turn_with_the_sequence(kind):
    made, where = subject(kind, strands="forward"), frame(24)
    scores = attention_scores(made, where)
    assert np.nansum(scores**2) == pytest.approx(1)
    other = Frame("c", 0, reverse_complement(where.codes), where.more, 0, 24, -1)
    assert attention_scores(made, other)[::-1] == pytest.approx(scores, nan_ok=True)
    made.both = True
    assert attention_scores(made, where)[3:9] == pytest.approx(
        (scores + attention_scores(subject(kind, strands="forward"), frame(24, strand=-1)))[3:9] / 2
    )
    part = frame(24, 5, 9)
    assert attention_scores(made, part) == pytest.approx(attention_scores(made, where)[5:9])


def test_the_tables_are_the_encoders_own_and_rows_sum_to_one():
    made, where = subject("dna"), frame(20)
    tables = attention_maps(made, made.windows(where.codes[None], where, False))
    assert [tuple(table.shape) for table in tables] == [(1, 2, 20, 20)] * 2
    assert torch.allclose(tables[-1].sum(-1), torch.ones(1, 2, 20))


def test_a_network_without_attention_is_refused():
    with pytest.raises(UsageError, match="has no attention.*Found SmallCNN"):
        attention_scores(subject("cnn"), frame(20))
