"""The weighted sum of the objectives that are on."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from epilm.batch import Batch, Outputs
from epilm.errors import TrainingError
from epilm.objectives.table import OBJECTIVES, ObjectivesSpec


def weights(spec: ObjectivesSpec) -> dict[str, float]:
    """Weight of every objective; `alpha`, where given, decides on masked k-mers and masked states.

    Examples
    --------
    >>> shares = weights(ObjectivesSpec(alpha=0.25))
    >>> shares["masked_kmers"], shares["masked_states"]
    (0.25, 0.75)
    """
    shares = {name: part.weight for name, part in spec.parts().items()}
    if spec.alpha is not None:
        shares |= {"masked_kmers": spec.alpha, "masked_states": 1 - spec.alpha}
    return shares


def active(spec: ObjectivesSpec) -> list[str]:
    """Names of the objectives with a weight above 0.

    Examples
    --------
    >>> active(ObjectivesSpec())
    ['masked_kmers', 'next_segment', 'matching']
    """
    return [name for name, weight in weights(spec).items() if weight > 0]


def combine(
    outputs: Outputs,
    batch: Batch,
    spec: ObjectivesSpec,
    *,
    skip: Collection[str] = (),
    shares: Mapping[str, Tensor | float] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the active objectives, and every number they report.

    Parameters
    ----------
    outputs : Outputs
        What the model said about `batch`.
    batch : Batch
    spec : ObjectivesSpec
        Weights and forms.
    skip : collection of str
        Objectives left out ("matching" when the step contrasts over micro-batches).
    shares : mapping, optional
        How much of a larger batch each objective's loss here stands for (1 where not given): the
        totals of the parts add up to that of the whole.

    Returns
    -------
    total : 0-d float tensor
        Sum of weight * share * loss; differentiable.
    values : dict
        "<objective>/<metric>" to a detached 0-d tensor; "<objective>/loss" is unweighted.

    Raises
    ------
    TrainingError
        If nothing is left to learn, or the model lacks what an objective needs.
    """
    names = [name for name in active(spec) if name not in skip]
    if not names and not active(spec):
        raise TrainingError(
            "every objective has weight 0", do="Give at least one objective a weight above 0."
        )
    total = torch.zeros((), device=batch.rows.device)
    values: dict[str, Tensor] = {}
    factor = weights(spec)
    for name in names:
        result = OBJECTIVES[name].loss(outputs, batch, getattr(spec, name))
        share = 1.0 if shares is None else shares.get(name, 1.0)
        total = total + factor[name] * share * result["loss"]
        values |= {
            f"{name}/{key}": torch.as_tensor(value).detach() for key, value in result.items()
        }
    return total, values
