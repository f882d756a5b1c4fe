"""Motif sites: say at each token which motifs have a site there, from tokens of which some are
hidden.

Ours, in no paper. A masked k-mer and a masked state can be told without knowing which factor's site
is there; this cannot. Axes: N encoder inputs (windows; regions, or strings of them), L tokens, M
motifs or clusters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.parts import need


@dataclass(frozen=True)
class MotifSitesSpec:
    """Which of the store's motifs have a site at a token (ours, in no paper); weight 0 = off."""

    weight: float = 0.0
    # Names or ids of the motifs asked about; all of the store where none is given
    factors: tuple[str, ...] = ()
    # Motifs this alike (cosine of their matrices, above 0 to 1) are asked about as one; null: each
    # for itself
    alike: float | None = None


def motif_sites_loss(outputs: Outputs, batch: Batch, spec: MotifSitesSpec) -> dict[str, Tensor]:
    """Binary cross-entropy of every token and motif: summed within a sample, mean over samples.

    Parameters
    ----------
    outputs : Outputs
        With `motif_logits` float (N, L, M).
    batch : Batch
        With `motif_sites` bool (N, L, M), and `dna.mask`: padding is not scored. Its number of
        samples is that of `rows`.
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
    ...     motif_sites=torch.tensor([[[True], [True], [False]]]),
    ...     dna=SimpleNamespace(mask=mask),
    ...     rows=torch.tensor([0]),
    ... )
    >>> found = motif_sites_loss(
    ...     Outputs(motif_logits=torch.tensor([[[9.0], [-9.0], [9.0]]])), batch, MotifSitesSpec()
    ... )
    >>> float(found["recall"]), float(found["precision"]), round(float(found["loss"]), 3)
    (0.5, 1.0, 9.0)
    """
    logits = need(outputs.motif_logits, "motif_sites", "motif_logits").float()
    there = need(batch.motif_sites, "motif_sites", "motif_sites")
    mask = batch.dna.mask
    at = _places(there, mask)
    loss = _CrossEntropy.apply(logits, at, mask) / max(len(batch.rows), 1)
    with torch.no_grad():
        said = _n_above(logits, mask)
        right = (_taken(logits, at) > 0).sum()
        sites = at.sum() if at.dtype == torch.bool else torch.tensor(len(at))

    def share(of: Tensor) -> Tensor:
        return torch.where(of > 0, right / of.clamp(min=1), 1.0)

    return {"loss": loss, "recall": share(sites), "precision": share(said)}


def _by_place(x: Tensor) -> bool:
    """Whether to list what is rare: on a CPU, with numbers to look at (a plan has none)."""
    return x.device.type == "cpu" and type(x) is Tensor


def _places(there: Tensor, mask: Tensor) -> Tensor:
    """Sites that count: places in the flattened (N, L, M), or on a GPU, which would have to wait
    for their number, the table itself.
    """
    if not _by_place(there):
        return there & mask[..., None]
    at = there.flatten().nonzero()[:, 0]
    return at[mask.flatten()[at.div(there.shape[-1], rounding_mode="floor")]]


def _taken(logits: Tensor, at: Tensor) -> Tensor:
    """Scores of the sites alone; on a GPU all others as minus infinity."""
    if at.dtype == torch.bool:
        return logits.masked_fill(~at, -torch.inf)
    return logits.reshape(-1)[at]


def _n_above(logits: Tensor, mask: Tensor) -> Tensor:
    """Count the scores above 0 on real tokens. On a CPU tokens with none are left out early."""
    if not _by_place(logits):
        return ((logits > 0) & mask[..., None]).sum()
    some = (logits.amax(-1) > 0) & mask
    return (logits[some] > 0).sum()


class _CrossEntropy(torch.autograd.Function):
    """Binary cross-entropy summed over what `mask` leaves, without a table of floats for the truth.

    Of 579 motifs nearly all entries are softplus alone: this takes a third of the passes over the
    logits that `F.binary_cross_entropy_with_logits` and a product with the mask take.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, at: Tensor, mask: Tensor) -> Tensor:
        """Sum over (N, L, M); `mask` is (N, L), `at` what `_places` gives."""
        ctx.save_for_backward(logits, at, mask)
        of_token = F.softplus(logits).sum(-1)  # (N, L)
        own = (logits * at).sum() if at.dtype == torch.bool else _taken(logits, at).sum()
        return (of_token * mask).sum() - own

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Probability less truth, where the mask is."""
        logits, at, mask = ctx.saved_tensors
        slope = torch.sigmoid(logits)
        if at.dtype == torch.bool:
            slope -= at.view(torch.uint8)
        else:
            slope.view(-1).index_add_(0, at, slope.new_tensor(-1.0).expand(len(at)))
        return slope.mul_((mask * grad)[..., None]), None, None


def misfits_of_store(recipe: Any, store: Any) -> Iterator[Misfit]:
    """Sites are those of a store's own motifs."""
    if not store.motifs:
        yield Misfit(
            "objectives.motif_sites.weight",
            "the recipe asks for motif sites, the store has no motifs",
            do=(
                "Build the store with --motifs FILE (and --peaks), or set"
                " objectives.motif_sites.weight to 0."
            ),
        )


MOTIF_SITES = Objective(
    name="motif_sites",
    spec=MotifSitesSpec,
    loss=motif_sites_loss,
    ranges={"alike": (0.01, 1)},
    added={"alike": None},
    needs_of_store=misfits_of_store,
    titles={
        "loss": "Motif sites: loss",
        "recall": "Motif sites: recall at probability 0.5",
    },
    line={"recall": "motif recall {:.3f}"},
)
