"""The loss of motif sites against the plain one, and its gradient, on the road of a GPU too."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from epilm.batch import Outputs
from epilm.errors import TrainingError
from epilm.objectives import motif_sites
from epilm.objectives.motif_sites import MotifSitesSpec, motif_sites_loss


def made(seed=0, n=5, length=7, motifs=11, samples=2):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, length, motifs, generator=g) * 3
    there = torch.rand(n, length, motifs, generator=g) < 0.1
    mask = torch.rand(n, length, generator=g) < 0.8
    rows = torch.arange(samples)
    return logits, SimpleNamespace(motif_sites=there, dna=SimpleNamespace(mask=mask), rows=rows)


def plain(logits, batch):
    mask = batch.dna.mask[..., None]
    there = batch.motif_sites
    each = F.binary_cross_entropy_with_logits(logits, there.float(), reduction="none")
    said = (logits > 0) & mask
    right = float((said & there).sum())
    return (
        (each * mask).sum() / len(batch.rows),
        right / float((there & mask).sum()),
        right / float(said.sum()),
    )


@pytest.mark.parametrize("road", ["cpu", "table"])
def test_loss_gradient_and_shares_are_those_of_plain_cross_entropy(road, monkeypatch):
    if road == "table":  # what a GPU does
        monkeypatch.setattr(motif_sites, "_places", lambda there, mask: there & mask[..., None])
    logits, batch = made()
    mine, theirs = (logits.clone().requires_grad_() for _ in range(2))
    found = motif_sites_loss(Outputs(motif_logits=mine), batch, MotifSitesSpec())
    loss, recall, precision = plain(theirs, batch)
    assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert found["recall"].item() == pytest.approx(recall)
    assert found["precision"].item() == pytest.approx(precision)
    (0.3 * found["loss"]).backward()
    (0.3 * loss).backward()
    assert torch.allclose(mine.grad, theirs.grad, atol=1e-6)
    assert not mine.grad[~batch.dna.mask].any()


def test_a_sample_of_two_strings_counts_as_one():
    logits, batch = made(n=4, samples=4)
    four = motif_sites_loss(Outputs(motif_logits=logits), batch, MotifSitesSpec())["loss"]
    batch.rows = torch.arange(2)
    two = motif_sites_loss(Outputs(motif_logits=logits), batch, MotifSitesSpec())["loss"]
    assert two.item() == pytest.approx(2 * four.item())


def test_scores_far_from_zero_are_finite():
    logits, batch = made()
    far = (logits * 1000).requires_grad_()
    found = motif_sites_loss(Outputs(motif_logits=far), batch, MotifSitesSpec())
    found["loss"].backward()
    assert torch.isfinite(found["loss"])
    assert torch.isfinite(far.grad).all()


def test_a_model_without_the_head_is_named():
    _, batch = made()
    with pytest.raises(TrainingError, match=r"motif_sites is on, but the model .*motif_logits"):
        motif_sites_loss(Outputs(), batch, MotifSitesSpec())
