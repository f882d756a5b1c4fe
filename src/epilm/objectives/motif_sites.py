"""Motif sites: say at each token which motifs have a site there, from tokens of which some are
hidden.

Ours, in no paper. A masked k-mer and a masked state can be told without knowing which factor's site
is there; this cannot. Axes: B windows, L tokens, M motifs.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.objectives.parts import need
from epilm.objectives.spec import MotifSitesSpec


def motif_sites_loss(outputs: Outputs, batch: Batch, spec: MotifSitesSpec) -> dict[str, Tensor]:
    """Binary cross-entropy of every token and motif: summed within a window, mean over windows.

    Parameters
    ----------
    outputs : Outputs
        With `motif_logits` float (B, L, M).
    batch : Batch
        With `motif_sites` bool (B, L, M), and `dna.mask`: padding is not scored.
    spec : MotifSitesSpec
        Not used here.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "recall", the share of sites with a probability above one
        half, and "precision", the share of sites among what is above it, detached; 1 where there is
        none.

    Raises
    ------
    TrainingError
        If the model scored no motif, or the batch does not say where sites are.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> mask = torch.tensor([[True, True, False]])
    >>> batch = SimpleNamespace(
    ...     motif_sites=torch.tensor([[[True], [True], [False]]]), dna=SimpleNamespace(mask=mask)
    ... )
    >>> found = motif_sites_loss(
    ...     Outputs(motif_logits=torch.tensor([[[9.0], [-9.0], [9.0]]])), batch, MotifSitesSpec()
    ... )
    >>> float(found["recall"]), float(found["precision"]), round(float(found["loss"]), 3)
    (0.5, 1.0, 9.0)
    """
    logits = need(outputs.motif_logits, "motif_sites", "motif_logits").float()
    there = need(batch.motif_sites, "motif_sites", "motif_sites")
    mask = batch.dna.mask[..., None]
    each = F.binary_cross_entropy_with_logits(logits, there.float(), reduction="none")
    loss = (each * mask).sum() / max(len(logits), 1)
    said = (logits.detach() > 0) & mask
    right = (said & there).sum()

    def share(of: Tensor) -> Tensor:
        return torch.where(of > 0, right / of.clamp(min=1), 1.0)

    return {"loss": loss, "recall": share(there.sum()), "precision": share(said.sum())}
