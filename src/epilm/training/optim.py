"""Which weights move by which rule: AdamW's groups, and Muon for the inner matrices.

No decay on biases, norms and scalars (protocols 1.4); the region tower may have
a learning rate of its own (A19). State goes in and out as named tensors, so that
a checkpoint needs no pickle. Needs torch only.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from epilm.errors import CheckpointError, RecipeError
from epilm.training.fsdp import part_of
from epilm.training.optim_spec import OptimSpec

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.RMSNorm)


def decayed(model: nn.Module) -> set[str]:
    """Name the weights that decay: matrices and tables, not biases, norms or scalars.

    Examples
    --------
    >>> sorted(decayed(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))))
    ['0.weight']
    """
    exempt = {
        id(weight)
        for part in model.modules()
        if isinstance(part, NORMS)
        for weight in part.parameters(False)
    }
    return {
        name
        for name, weight in model.named_parameters()
        if weight.ndim >= 2 and id(weight) not in exempt and "bias" not in name
    }


def orthogonalised(model: nn.Module) -> set[str]:
    """Name the weights Muon moves: 2-D, inside the network, not the tables it reads or the words it
    scores.

    Examples
    --------
    >>> sorted(orthogonalised(nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))))
    ['1.weight']
    """
    tables = {
        id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)
    }  # tied heads share them
    return {
        name
        for name, weight in model.named_parameters()
        if weight.ndim == 2
        and min(weight.shape) > 1
        and id(weight) not in tables
        and name in decayed(model)
    }


class Optimiser:
    """One or two torch optimisers behind one step.

    Parameters
    ----------
    model : Module
        Its trainable weights, as they are now, on their device.
    spec : OptimSpec
    scales : mapping of str to float, optional
        Multiples of the learning rate by the beginning of a weight's name; the longest that fits
        counts. Not given: the tower's `tower_lr_multiplier`.

    Raises
    ------
    RecipeError
        If the rule is unknown.
    """

    def __init__(
        self, model: nn.Module, spec: OptimSpec, scales: Mapping[str, float] | None = None
    ) -> None:
        self.names: dict[Tensor, str] = {
            weight: name for name, weight in model.named_parameters() if weight.requires_grad
        }
        if spec.name not in ("adamw", "muon"):
            raise RecipeError(
                "unknown optimiser", where="optim.name", found=spec.name, expected="adamw or muon"
            )
        muon = orthogonalised(model) if spec.name == "muon" else set()
        decay = decayed(model)
        scales = {"tower.": spec.tower_lr_multiplier} if scales is None else scales
        groups: dict[tuple[bool, bool, float, type], list[Tensor]] = {}
        for weight, name in self.names.items():
            longest = max(
                (start for start in scales if name.startswith(start)), key=len, default=None
            )
            scale = 1.0 if longest is None else scales[longest]
            # One kernel moves the weights of a group: all of them cut up (`fsdp`), or none.
            key = (name in muon, name in decay, scale, type(weight))
            groups.setdefault(key, []).append(weight)
        rules: dict[bool, list[dict[str, object]]] = {False: [], True: []}
        for (by_muon, with_decay, scale, _), weights in groups.items():
            rules[by_muon].append(
                {
                    "params": weights,
                    "weight_decay": spec.weight_decay if with_decay else 0.0,
                    "scale": scale,
                }
            )
        device = next(iter(self.names)).device.type
        self.parts: list[torch.optim.Optimizer] = []
        if rules[False]:
            self.parts.append(
                torch.optim.AdamW(
                    rules[False],
                    lr=0.0,
                    betas=spec.betas,
                    eps=spec.eps,
                    fused=device in ("cpu", "cuda"),
                )
            )
        if rules[True]:
            # Updates scaled to AdamW's usual size: one learning rate and decay serve both rules.
            self.parts.append(torch.optim.Muon(rules[True], lr=0.0, adjust_lr_fn="match_rms_adamw"))

    @property
    def weights(self) -> list[Tensor]:
        """The weights that move, in the model's order."""
        return list(self.names)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self, lr: float) -> None:
        """Move the weights along their gradients at a learning rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr * group["scale"]
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """Give the state as named tensors, `weight/slot`."""
        return {
            f"{self.names[weight]}/{slot}": value
            for part in self.parts
            for weight, slots in part.state.items()
            for slot, value in slots.items()
            if isinstance(value, Tensor)
        }

    def load(self, tensors: dict[str, Tensor], where: str = "optimiser state") -> None:
        """Take back what `tensors` gave.

        Raises
        ------
        CheckpointError
            If a tensor belongs to no weight, or has another shape.
        """
        slots: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, slot = key.rpartition("/")
            slots.setdefault(name, {})[slot] = value
        unknown = sorted(set(slots) - set(self.names.values()))
        if unknown:
            raise CheckpointError(
                "the state names weights the model has not", where=where, found=unknown[:3]
            )
        for part in self.parts:
            plain = part.state_dict()
            plain["state"] = {}
            for group, numbers in zip(part.param_groups, plain["param_groups"], strict=True):
                for weight, number in zip(group["params"], numbers["params"], strict=True):
                    mine = slots.get(self.names[weight])
                    if mine is None:
                        continue
                    for slot, value in mine.items():
                        if value.ndim and value.shape != weight.shape:
                            raise CheckpointError(
                                "the state has another shape",
                                where=f"{where}, {self.names[weight]}/{slot}",
                                found=tuple(value.shape),
                                expected=tuple(weight.shape),
                            )
                    plain["state"][number] = {
                        slot: part_of(value, weight) for slot, value in mine.items()
                    }
            part.load_state_dict(plain)
