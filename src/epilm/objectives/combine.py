"""The table of objectives and their weighted sum.

A new objective is one file and one line in OBJECTIVES. Each function takes
(outputs, batch, its spec) and returns a dict with "loss" and detached metrics.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from epilm.batch import Batch, Outputs
from epilm.errors import RecipeError, TrainingError
from epilm.objectives.contacts import contacts_loss
from epilm.objectives.factors import masked_factors_loss
from epilm.objectives.masked import masked_kmers_loss
from epilm.objectives.matching import matching_objective
from epilm.objectives.motif_sites import motif_sites_loss
from epilm.objectives.next_segment import next_segment_loss
from epilm.objectives.spec import ObjectivesSpec
from epilm.objectives.states import masked_states_loss

Objective = Callable[[Outputs, Batch, Any], dict[str, Tensor]]

# Keys are the fields of ObjectivesSpec.
OBJECTIVES: dict[str, Objective] = {
    "masked_kmers": masked_kmers_loss,
    "next_segment": next_segment_loss,
    "matching": matching_objective,
    "masked_factors": masked_factors_loss,
    "contacts": contacts_loss,
    "masked_states": masked_states_loss,
    "motif_sites": motif_sites_loss,
}


def weights(spec: ObjectivesSpec) -> dict[str, float]:
    """Weight of every objective; `alpha`, where given, decides on masked k-mers and masked states.

    Examples
    --------
    >>> found = weights(ObjectivesSpec(alpha=0.25))
    >>> found["masked_kmers"], found["masked_states"]
    (0.25, 0.75)
    """
    found = {name: getattr(spec, name).weight for name in OBJECTIVES}
    if spec.alpha is not None:
        found |= {"masked_kmers": spec.alpha, "masked_states": 1 - spec.alpha}
    return found


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
        result = OBJECTIVES[name](outputs, batch, getattr(spec, name))
        share = 1.0 if shares is None else shares.get(name, 1.0)
        total = total + factor[name] * share * result["loss"]
        values |= {
            f"{name}/{key}": torch.as_tensor(value).detach() for key, value in result.items()
        }
    return total, values


def check_objectives(spec: ObjectivesSpec, model: Any = None) -> None:
    """Refuse impossible values, and objectives the model has no part for.

    Parameters
    ----------
    spec : ObjectivesSpec
    model : ModelSpec, optional
        Anything with its fields `name`, `k`, `streams`, `layout`, `next_segment`, `masked_factors`,
        `contacts`.

    Raises
    ------
    RecipeError
        Naming the key, the value found and the cure.
    """
    for name, part in spec.parts().items():
        if not (0 <= part.weight < float("inf")):
            raise _wrong(f"{name}.weight", part.weight, "a finite number, 0 (off) or above")
    if spec.alpha is not None and not 0 <= spec.alpha <= 1:
        raise _wrong("alpha", spec.alpha, "0 (states alone) to 1 (k-mers alone), or null")
    if not active(spec):
        raise RecipeError(
            "every objective has weight 0",
            where="objectives",
            do="Give at least one a weight above 0.",
        )
    mask, pairs, match, entries = (
        spec.masked_kmers,
        spec.next_segment,
        spec.matching,
        spec.masked_factors,
    )
    states = spec.masked_states
    choices = (
        ("masked_kmers.scheme", mask.scheme, ("dnabert_span", "iid")),
        ("masked_kmers.rate_mode", mask.rate_mode, ("nominal", "exact")),
        ("masked_kmers.random_from", mask.random_from, ("vocab", "kmers_only")),
        ("next_segment.form", pairs.form, ("cross", "bi")),
        ("next_segment.unit", pairs.unit, ("region", "sample", "halves")),
        ("next_segment.negative", pairs.negative, ("same_cell", "other_cell", "same_chrom")),
        (
            "matching.form",
            match.form,
            ("symmetric", "infonce_rows", "infonce_cols", "pooled_exp", "literal"),
        ),
        ("matching.input", match.input, ("masked", "clean")),
        ("masked_factors.unit", entries.unit, ("entry", "region", "factor")),
        ("masked_factors.loss", entries.loss, ("mse", "bce")),
        ("masked_states.mode", states.mode, ("flank", "whole_bin", "run")),
        ("masked_states.flank_round", states.flank_round, ("floor", "ceil")),
        ("masked_states.replace", states.replace, ("mask", "bert")),
    )
    for key, value, known in choices:
        if value not in known:
            raise _wrong(key, value, " | ".join(known))
    for key, rate in (("masked_kmers.rate", mask.rate), ("masked_kmers.late_rate", mask.late_rate)):
        if not 0 < rate < 1:
            raise _wrong(key, rate, "above 0 and below 1")
    if not 0 < entries.rate < 1:
        raise _wrong("masked_factors.rate", entries.rate, "above 0 and below 1")
    if mask.late_from_step < 0:
        raise _wrong("masked_kmers.late_from_step", mask.late_from_step, "0 or above")
    if mask.span_tokens is not None and mask.span_tokens < 1:
        raise _wrong("masked_kmers.span_tokens", mask.span_tokens, "null (k tokens) or at least 1")
    if states.n_centres < 1:
        raise _wrong("masked_states.n_centres", states.n_centres, "at least 1")
    if states.flank_bp < 0:
        raise _wrong("masked_states.flank_bp", states.flank_bp, "0 or above")
    if not 1e-3 <= match.temperature <= 100:
        raise _wrong("matching.temperature", match.temperature, "0.001 to 100")
    if match.batch is not None and match.batch < 2:
        raise _wrong(
            "matching.batch", match.batch, "at least 2 (one sample has no negative), or null"
        )
    if pairs.weight > 0 and pairs.form == "bi" and pairs.unit != "region":
        raise _wrong(
            "next_segment.unit",
            pairs.unit,
            "region when form is bi: it compares regions of one pass",
        )
    if model is not None:
        _check_against_model(spec, model)


def _check_against_model(spec: ObjectivesSpec, model: Any) -> None:
    missing = "the model has no part that makes it"
    windows = "states" in model.streams or model.name in ("ebert", "dbert")
    if spec.next_segment.weight > 0 and windows:
        raise _off("next_segment", "model.name: genebert or dnabert", missing, model.name)
    if weights(spec)["masked_states"] > 0 and "states" not in model.streams:
        raise _off("masked_states", "the stream states", missing, model.streams)
    if spec.motif_sites.weight > 0 and not windows:
        raise _off("motif_sites", "model.name: ebert or dbert", missing, model.name)
    if spec.next_segment.weight > 0 and model.next_segment != spec.next_segment.form:
        raise RecipeError(
            "the next-segment head of the model is not the one the objective uses",
            where="recipe, keys model.next_segment and objectives.next_segment.form",
            found=f"{model.next_segment} and {spec.next_segment.form}",
            do="Set both to cross or both to bi, or objectives.next_segment.weight to 0.",
        )
    if spec.matching.weight > 0 and "factors" not in model.streams:
        raise _off("matching", "the stream factors", missing, model.streams)
    if spec.masked_factors.weight > 0 and not model.masked_factors:
        raise _off(
            "masked_factors",
            "model.masked_factors: true and a fusion",
            missing,
            model.masked_factors,
        )
    if spec.contacts.weight > 0 and model.contacts != "encoder":
        raise _off("contacts", "model.contacts: encoder", missing, model.contacts)


def _wrong(key: str, found: Any, expected: str) -> RecipeError:
    return RecipeError(
        "impossible value", where=f"recipe, key objectives.{key}", found=found, expected=expected
    )


def _off(name: str, needs: str, what: str, found: Any) -> RecipeError:
    return RecipeError(
        f"objective {name} is on, but {what}",
        where=f"recipe, key objectives.{name}.weight",
        found=found,
        expected=needs,
        do=f"Add {needs}, or set the weight to 0.",
    )
