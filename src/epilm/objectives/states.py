"""Masked chromatin states: predict the state of the centres (protocols 5.7; the paper's L_IDEAS).

What stood around a centre was hidden with it but is not scored. The model hands over scores of the
centres alone. Axes: M centres, Vs state ids, special ones included.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from epilm.batch import Batch, Outputs
from epilm.objectives.masked import scored_alone
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.parts import need
from epilm.tokens.masking import IGNORED
from epilm.tokens.state_tokens import N_SPECIAL_STATES


@dataclass(frozen=True)
class MaskedStatesSpec:
    """Masked chromatin states (protocols 5.7); weight 0 = off, in EBERT 1 - alpha."""

    weight: float = 0.0
    # What is hidden around a centre: flank_bp on either side (the paper), its bin, its run of equal
    # states
    mode: Literal["flank", "whole_bin", "run"] = "flank"
    n_centres: int = 1  # of a window; each is hidden and predicted
    flank_bp: int = 100
    flank_round: Literal["floor", "ceil"] = "floor"
    # What stands where a state is hidden: always [MASK], or 80 / 10 / 10 as for DNA
    replace: Literal["mask", "bert"] = "mask"


def masked_states_loss(outputs: Outputs, batch: Batch, spec: MaskedStatesSpec) -> dict[str, Tensor]:
    """Cross-entropy and accuracy over the centres.

    Parameters
    ----------
    outputs : Outputs
        With `state_logits` float (M, Vs) and `state_labels` int64 (M,).
    batch : Batch
        Not used.
    spec : MaskedStatesSpec
        Not used here: mode and flank act where states are hidden.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "accuracy" and "states" (M) detached.
        Without a centre (no window of the batch has a state) the loss is 0, with a zero gradient.

    Raises
    ------
    TrainingError
        If the model made no state scores.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 0.0, 0.0, 0.0, 9.0], [0.0, 0.0, 0.0, 9.0, 0.0]])
    >>> out = Outputs(state_logits=logits, state_labels=torch.tensor([4, 4]))
    >>> found = masked_states_loss(out, None, MaskedStatesSpec())
    >>> float(found["accuracy"]), int(found["states"])
    (0.5, 2)
    """
    logits = need(outputs.state_logits, "masked_states", "state_logits")
    labels = need(outputs.state_labels, "masked_states", "state_labels")
    return scored_alone(logits, labels, "states")


def misfits(recipe: Any) -> Iterator[Misfit]:
    """A state is hidden where states are read."""
    if "states" not in recipe.model.streams:
        alpha = recipe.objectives.alpha is not None
        yield Misfit(
            "objectives.alpha" if alpha else "objectives.masked_states.weight",
            "masked states need the states stream",
            found=f"streams {list(recipe.model.streams)}",
            do="Add states to model.streams (model.name ebert), or set alpha to 1.",
        )


def n_hidden(batch: Batch) -> Tensor:
    """Count the states with a label: int64, 0-d."""
    if batch.state_labels is None:
        return torch.zeros((), dtype=torch.int64, device=batch.rows.device)
    return (batch.state_labels != IGNORED).sum()


def truth_and_nearest(batch: Batch) -> Tensor:
    """Truth, and the nearest state that stands, of every state to predict: int64 (M, 2); of two as
    near the left one.
    """
    assert batch.states is not None
    assert batch.state_labels is not None
    window, centre = (batch.state_labels != IGNORED).nonzero().unbind(1)
    at = torch.arange(batch.states.shape[1], device=centre.device)
    beside = batch.states[window]
    far = (at - centre[:, None]).abs().masked_fill(beside < N_SPECIAL_STATES, len(at))
    nearest = beside.gather(1, far.argmin(1, keepdim=True))[:, 0]
    return torch.stack([batch.state_labels[window, centre], nearest], 1)


class HiddenStates:
    """What naming the commonest state gets on held-out windows, and naming the nearest in sight."""

    def __init__(self, objectives: Any = None) -> None:
        self._pairs: list[Tensor] = []

    def add(self, outputs: Outputs, batch: Batch) -> None:
        """Keep truth and the nearest state in sight."""
        if outputs.state_labels is None or outputs.state_logits is None:
            return
        self._pairs.append(truth_and_nearest(batch))

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Give both accuracies; nothing where nothing was hidden."""
        pairs = torch.cat(self._pairs) if self._pairs else torch.zeros(0, 2)
        if not len(pairs):
            return {}, []
        truth, nearest = pairs.unbind(1)
        return {
            "accuracy_chance": float(truth.bincount().max()) / len(truth),
            "accuracy_nearest": float((nearest == truth).float().mean()),
        }, []


MASKED_STATES = Objective(
    name="masked_states",
    spec=MaskedStatesSpec,
    loss=masked_states_loss,
    ranges={"n_centres": (1, None), "flank_bp": (0, None)},
    needs=misfits,
    titles={"loss": "Masked states: loss", "accuracy": "Masked states: accuracy"},
    finals={"accuracy": "masked-state accuracy"},
    line={"accuracy": "state accuracy {:.3f}"},
    chance_line={"accuracy_chance": "commonest state {:.3f}"},
    hides=n_hidden,
    counts=frozenset({"states"}),
    gather=HiddenStates,
)
