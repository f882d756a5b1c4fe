"""Contacts align with the sequence."""

import torch

from epilm.batch import Batch, Outputs, Sequences
from epilm.objectives.contacts import contacts_loss
from epilm.objectives.table import (
    ContactsSpec,
)

ZERO = torch.zeros(2, dtype=torch.int64)
NOTHING = Sequences(ZERO[None], ZERO[None], ZERO[None].bool())


def batch(**parts):
    return Batch(rows=ZERO, cells=ZERO, regions=ZERO[:, None], dna=NOTHING, owner=ZERO, **parts)


def test_contacts_align_with_the_sequence():
    x = torch.eye(3)
    good = contacts_loss(
        Outputs(seq_embedding=x, contact_embedding=x), batch(), ContactsSpec(weight=1)
    )
    bad = contacts_loss(
        Outputs(seq_embedding=x, contact_embedding=x[[1, 2, 0]]), batch(), ContactsSpec(weight=1)
    )
    assert float(good["loss"]) < 0.01 < float(bad["loss"])
    assert float(good["recall@1"]) == 1.0
