"""Alignment of the contact stream with the sequence: the third stream's own matching term (2.6).

Same mathematics as sequence-region matching, symmetric InfoNCE at the same
temperature and among as many samples; another switch of `matching` does not change it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from epilm.batch import Batch, Outputs
from epilm.objectives.matching import (
    TEMPERATURE_RANGE,
    Embeddings,
    contrast_misfits,
    matching_loss,
    retrieval_recall,
)
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.parts import need


@dataclass(frozen=True)
class ContactsSpec:
    """Alignment of the contact stream with the sequence; weight 0 = off."""

    weight: float = 0.0


FIXED_TEMPERATURE = 0.07  # where the model has no learned one


def contacts_loss(outputs: Outputs, batch: Batch, spec: ContactsSpec) -> dict[str, Tensor]:
    """Symmetric InfoNCE between sequence and contact embeddings.

    Parameters
    ----------
    outputs : Outputs
        With `seq_embedding` and `contact_embedding`, float (B, D).
    batch : Batch
        Not used.
    spec : ContactsSpec
        Not used beyond its weight.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "recall@1" and "recall@10" detached.

    Raises
    ------
    TrainingError
        If one of the embeddings is missing.
    """
    seq = need(outputs.seq_embedding, "contacts", "seq_embedding")
    contact = need(outputs.contact_embedding, "contacts", "contact_embedding")
    log_temperature = outputs.log_temperature
    temperature: float | Tensor = FIXED_TEMPERATURE
    if log_temperature is not None:
        temperature = log_temperature.exp().clamp(*TEMPERATURE_RANGE)
    loss = matching_loss(seq, contact, form="symmetric", temperature=temperature)
    return {"loss": loss, **retrieval_recall(seq, contact)}


def misfits(recipe: Any) -> Iterator[Misfit]:
    """The model must make a vector of contacts, to be told among others."""
    if recipe.model.contacts != "encoder":
        yield Misfit(
            "model.contacts",
            "aligning contacts needs their encoder",
            found=recipe.model.contacts,
            expected="encoder",
        )
    if not recipe.objectives.matching.weight > 0:  # else it is said there
        yield from contrast_misfits(recipe)


def _gather(objectives: Any) -> Embeddings:
    return Embeddings("contact_embedding", objectives.matching)


CONTACTS = Objective(
    name="contacts",
    spec=ContactsSpec,
    loss=contacts_loss,
    reads=("regions",),
    needs=misfits,
    titles={"loss": "Contacts: loss"},
    gather=_gather,
    contrasts=("seq_embedding", "contact_embedding"),
    pooled=True,
)
