"""LoRA in a fine-tuning: the trunk is wrapped before the first epoch and whole after the last.

While it learns it is the library peft's network (`models.lora`). Then what was learned is added to
the matrices, and the sum must say what the adapted network said; every part is scored with it, and
it is what the run's folder opens as. The folder keeps pairs and head (`hub.adapters`) where the
trunk's weights lie in a file; a trunk without a past lies nowhere and is kept whole.
"""

from typing import Any

import torch

from epilm.finetuning.finetuned import Finetuned
from epilm.hub.adapters import base_at
from epilm.models.lora import check_probe, merge, probe, trunk_name, unwrap, wrap
from epilm.training.learning import Learning, lora_alpha

_SEED = 2  # beside those of trunk and head (`finetuning.start`)


def adapt(model: Finetuned, options: Learning, seed: int) -> list[str]:
    """Let pairs learn in place of the trunk; lines on it.

    Parameters
    ----------
    model : Finetuned
        Ready to learn; changed in place.
    seed : int
        Of trunk and head.

    Raises
    ------
    UsageError
        If the network has no trunk, the rank is too large, or peft is not installed.
    """
    network, alpha = model.network, lora_alpha(options)
    trunk_name(network)  # says what has none
    about: dict[str, Any] = {"rank": options.lora, "alpha": alpha, "layers": options.lora_layers}
    from_file = model.about["init"] == "checkpoint"
    if from_file:
        about["base"] = base_at(model.about["checkpoint"], network)
    count = wrap(network, options.lora, alpha, options.lora_layers, seed + _SEED)
    model.about["adapter" if from_file else "merged"] = about
    weights = list(network.parameters())
    learn = sum(weight.numel() for weight in weights if weight.requires_grad)
    every = sum(weight.numel() for weight in weights)
    told = [
        f"lora: rank {options.lora}, alpha {alpha:g} on {count} layers of the trunk, which rests:"
        f" {learn:,} of {every:,} weights learn ({learn / every:.1%})"
    ]
    if not from_file:
        told.append("lora: the trunk's weights lie in no file, so the model is kept whole")
    return told


def settle(model: Finetuned) -> None:
    """Add what the pairs learned to the trunk; from here on the network is of its own shape again.

    Raises
    ------
    CheckpointError
        If the sum does not say what the adapted network said.
    """
    kept = model.about.get("adapter") or model.about["merged"]
    before = probe(model.network)
    model.pairs = unwrap(model.network)
    # On the CPU, as whoever opens the folder adds them: the same sum.
    device = model.device
    model.network.cpu()
    model.pairs = {n: type(pair)(*(t.cpu() for t in pair)) for n, pair in model.pairs.items()}
    merge(model.network, model.pairs, kept["alpha"] / kept["rank"])
    model.network.to(device)
    with torch.no_grad():
        check_probe(probe(model.network), before, "the model as it was learned")
