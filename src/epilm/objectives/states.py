"""Masked chromatin states: predict the state of the centres (protocols 5.7; the paper's L_IDEAS).

What stood around a centre was hidden with it but is not scored. The model hands over scores of the
centres alone. Axes: M centres, Vs state ids, special ones included.
"""

from torch import Tensor

from epilm.batch import Batch, Outputs
from epilm.objectives.masked import scored_alone
from epilm.objectives.parts import need
from epilm.objectives.spec import MaskedStatesSpec


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
    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.0, 0.0, 0.0, 9.0], [0.0, 0.0, 0.0, 9.0, 0.0]])
    >>> out = Outputs(state_logits=logits, state_labels=torch.tensor([4, 4]))
    >>> found = masked_states_loss(out, None, MaskedStatesSpec())
    >>> float(found["accuracy"]), int(found["states"])
    (0.5, 2)
    """
    logits = need(outputs.state_logits, "masked_states", "state_logits")
    labels = need(outputs.state_labels, "masked_states", "state_labels")
    return scored_alone(logits, labels, "states")
