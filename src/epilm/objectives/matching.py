"""Sequence-region matching, the paper's SRM (A11, A12, A17, protocols 2.4).

Row i of the sequence embeddings belongs to row i of the region embeddings; all
other pairs are negatives, over all devices. Five forms; the paper's own
(`literal`) has no exponential and is undefined for some similarities, so it is
guarded. Axes: B samples, D shared width.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.errors import RecipeError, TrainingError, nearest
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.parts import idle_processes, need, without_factors

Form = Literal["symmetric", "infonce_rows", "infonce_cols", "pooled_exp", "literal"]


@dataclass(frozen=True)
class MatchingSpec:
    """Sequence-region matching (A11, A12, A14, A17, 2.4). `weight` is lambda."""

    weight: float = 0.5
    form: Form = "symmetric"
    input: Literal["masked", "clean"] = "masked"
    temperature: float = 0.07
    learn_temperature: bool = True
    normalise: bool = True
    # Samples contrasted with each other, over all devices; None = one micro-batch a device.
    batch: int | None = 128
    forbid_shared: bool = True


# CLIP keeps 1 / temperature at most 100; the upper end only stops a run-away.
TEMPERATURE_RANGE = (0.01, 100.0)


def matching_loss(
    seq: Tensor,
    reg: Tensor,
    *,
    form: Form = "symmetric",
    temperature: float | Tensor = 0.07,
    normalise: bool = True,
) -> Tensor:
    """How badly each sequence is matched with its own factor matrix.

    Parameters
    ----------
    seq, reg : float tensor, shape (B, D)
        Sequence and region embeddings; row i of one belongs to row i of the other.
    form : str
        With S = seq reg' / temperature: "infonce_rows" is the cross-entropy of S[i, :]
        with target i; "infonce_cols" of S[:, j]; "symmetric" their mean;
        "pooled_exp" is -ln(sum_i exp S[i, i] / sum_ij exp S[i, j]); "literal" is
        the paper's equation 3, -ln(sum_i S[i, i] / sum_ij S[i, j]).
    temperature : float or 0-d tensor
        Above 0.
    normalise : bool
        Scale each row to length 1 first.

    Returns
    -------
    float tensor, 0-d

    Raises
    ------
    RecipeError
        If `form` is unknown.
    TrainingError
        If the two embeddings differ in shape.

    Warns
    -----
    UserWarning
        If "literal" is undefined for these similarities: a sum is not positive. Where both are
        negative the ratio is positive, but grows when matched pairs are pushed apart. Every
        similarity then goes through softplus, which is positive and keeps order. Also where the
        loss is below 0, because unmatched pairs are dissimilar: it has no lower end then.

    Notes
    -----
    "literal" does not change when S is scaled, so it cannot push similarities apart.

    Examples
    --------
    The worked numbers of protocols 2.4, S = [[2, 1], [0, 3]]:

    >>> seq, reg = torch.eye(2), torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    >>> for form in ("literal", "pooled_exp", "infonce_rows", "infonce_cols", "symmetric"):
    ...     loss = matching_loss(seq, reg, form=form, temperature=1.0, normalise=False)
    ...     print(form, round(float(loss), 5))
    literal 0.18232
    pooled_exp 0.12693
    infonce_rows 0.18092
    infonce_cols 0.12693
    symmetric 0.15393
    """
    if form not in get_args(Form):
        raise RecipeError(
            "unknown form of the matching loss", found=form, do=nearest(form, get_args(Form))
        )
    if seq.shape != reg.shape:
        raise TrainingError(
            "sequence and region embeddings cannot be compared",
            found=f"shapes {tuple(seq.shape)} and {tuple(reg.shape)}",
            expected="the same number of samples and the same width",
            do="Set projection to linear or mlp, so that both sides get projection_dim columns.",
        )
    seq, reg = (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x for x in (seq, reg))
    if normalise:
        seq, reg = F.normalize(seq, dim=-1), F.normalize(reg, dim=-1)
    scores = seq @ reg.T / temperature  # (B, B)
    own = torch.arange(len(scores), device=scores.device)
    if form == "infonce_rows":
        return F.cross_entropy(scores, own)
    if form == "infonce_cols":
        return F.cross_entropy(scores.T, own)
    if form == "symmetric":
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
    if form == "pooled_exp":
        return scores.flatten().logsumexp(0) - scores.diagonal().logsumexp(0)
    return _literal(scores)


def _literal(scores: Tensor) -> Tensor:
    trace, total = scores.diagonal().sum(), scores.sum()
    if not bool((trace > 0) & (total > 0)):
        warnings.warn(
            "matching.form=literal is undefined here: the matched similarities sum to"
            f" {float(trace.detach()):.4g}, all to {float(total.detach()):.4g}, and the logarithm"
            " needs both to be positive. Using softplus of each similarity for this batch;"
            " form=symmetric is always defined.",
            stacklevel=3,
        )
        scores = F.softplus(scores)
        trace, total = scores.diagonal().sum(), scores.sum()
    elif bool(trace > total):
        warnings.warn(
            "matching.form=literal is below 0 here: the unmatched similarities sum to less than 0,"
            " and the loss falls without end as they do. form=symmetric has a lower end, 0.",
            stacklevel=3,
        )
    return -(trace / total).log()


def temperature_of(log_temperature: Tensor | None, spec: MatchingSpec) -> float | Tensor:
    """The temperature in use: learned (and kept inside 0.01 .. 100) where the recipe says so, else
    the recipe's.

    Examples
    --------
    >>> temperature_of(torch.tensor(0.0), MatchingSpec(learn_temperature=False, temperature=0.1))
    0.1
    >>> temperature_of(torch.tensor(0.0), MatchingSpec())
    tensor(1.)
    """
    if spec.learn_temperature and log_temperature is not None:
        return log_temperature.exp().clamp(*TEMPERATURE_RANGE)
    return spec.temperature


@torch.no_grad()
def retrieval_recall(seq: Tensor, reg: Tensor, ks: Sequence[int] = (1, 10)) -> dict[str, Tensor]:
    """Share of samples whose own partner is among the k most similar.

    Mean of both directions (sequence finds matrix, matrix finds sequence). A tie
    counts against: a collapsed model, all similarities equal, scores 0. Chance
    is k / B.

    Parameters
    ----------
    seq, reg : float tensor, shape (B, D)
        Not necessarily normalised; compared by cosine.
    ks : sequence of int

    Returns
    -------
    dict
        "recall@k" for every k, 0-d float tensors.

    Examples
    --------
    >>> x = torch.eye(3)
    >>> {k: round(float(v), 3) for k, v in retrieval_recall(x, x[[0, 2, 1]], ks=(1, 3)).items()}
    {'recall@1': 0.333, 'recall@3': 1.0}
    """
    scores = F.normalize(seq.float(), dim=-1) @ F.normalize(reg.float(), dim=-1).T  # (B, B)
    own = scores.diagonal()
    # How many others are at least as similar; NaN is similar to nothing and never found.
    ahead_row = (~(scores < own[:, None])).sum(1) - 1  # (B,)
    ahead_col = (~(scores < own[None, :])).sum(0) - 1
    # Ties at the last place still count as found once k reaches B.
    size = len(scores)
    return {
        f"recall@{k}": (
            ((ahead_row < min(k, size)).float().mean() + (ahead_col < min(k, size)).float().mean())
            / 2
        )
        for k in ks
    }


def contrast(
    seq: Tensor, reg: Tensor, log_temperature: Tensor | None, spec: MatchingSpec
) -> dict[str, Tensor]:
    """Matching loss and recall.

    What the training step calls with the embeddings of all micro-batches of all devices.

    Parameters
    ----------
    seq, reg : float tensor, shape (B, D)
        Row i of one belongs to row i of the other.
    log_temperature : 0-d tensor or None
        The model's; used if `spec.learn_temperature`.
    spec : MatchingSpec

    Returns
    -------
    dict
        "loss" 0-d float, differentiable, not yet times `spec.weight`; "recall@1",
        "recall@10", "temperature", "samples" detached.
    """
    temperature = temperature_of(log_temperature, spec)
    loss = matching_loss(
        seq, reg, form=spec.form, temperature=temperature, normalise=spec.normalise
    )
    return {
        "loss": loss,
        **retrieval_recall(seq, reg),
        "temperature": torch.as_tensor(temperature).detach(),
        "samples": torch.full((), len(seq), device=seq.device),
    }


def matching_objective(outputs: Outputs, batch: Batch, spec: MatchingSpec) -> dict[str, Tensor]:
    """`contrast` of the embeddings in `outputs`.

    Raises
    ------
    TrainingError
        If one of the embeddings is missing.
    """
    return contrast(
        need(outputs.seq_embedding, "matching", "seq_embedding"),
        need(outputs.region_embedding, "matching", "region_embedding"),
        outputs.log_temperature,
        spec,
    )


def misfits(recipe: Any) -> Iterator[Misfit]:
    """A sample is matched with its factor matrix, among others."""
    yield from without_factors("matching", recipe.model)
    yield from contrast_misfits(recipe)


def contrast_misfits(recipe: Any) -> Iterator[Misfit]:
    """A contrast holds whole micro-batches and more than one sample.

    The batch is asked about only where the recipe says how it trains.
    """
    train, batch = getattr(recipe, "train", None), recipe.objectives.matching.batch
    if train is None or recipe.samples.unit == "windows":
        return
    together = train.micro_batch * train.devices
    group = together if batch is None else batch
    if group < 2:
        yield Misfit(
            "train.micro_batch",
            "one sample alone has nothing to be contrasted with",
            found=group,
            do="Set objectives.matching.batch, or raise train.micro_batch.",
        )
    if group % train.micro_batch:
        yield Misfit(
            "objectives.matching.batch",
            "the contrastive batch must be whole micro-batches",
            found=group,
            expected=f"a multiple of train.micro_batch, {train.micro_batch}",
        )
    if group > train.batch_size:
        yield Misfit(
            "objectives.matching.batch",
            "the contrastive batch is larger than the batch",
            found=group,
            expected=f"at most train.batch_size, {train.batch_size}",
        )
    # 2000 is not a multiple of 128: the paper's two numbers leave a last contrast of 80.
    if train.batch_size % group == 1:
        yield Misfit(
            "objectives.matching.batch",
            "the last contrast would hold one sample",
            found=group,
        )
    smallest = train.batch_size % group or group
    yield from idle_processes(smallest, train, "micro-batches of the smallest contrast", group)


class Embeddings:
    """Every held-out sample contrasted with every other.

    Parameters
    ----------
    other : str
        The field of `Outputs` that sequences are contrasted with.
    temperature : MatchingSpec
        Says the temperature.
    loss : mapping
        How else `matching_loss` is asked: its form and whether it normalises.
    """

    def __init__(self, other: str, temperature: MatchingSpec, **loss: Any) -> None:
        self._other, self._spec, self._loss = other, temperature, loss
        self._seq: list[Tensor] = []
        self._reg: list[Tensor] = []
        self._log_temperature: Tensor | None = None

    def add(self, outputs: Outputs, batch: Batch) -> None:
        """Keep both embeddings."""
        other = getattr(outputs, self._other)
        if outputs.seq_embedding is not None and other is not None:
            self._seq.append(outputs.seq_embedding.float())
            self._reg.append(other.float())
            self._log_temperature = outputs.log_temperature

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Give loss and recall over all samples, with what chance gets: k / N and ln N."""
        if not self._seq:
            return {}, []
        seq, reg = torch.cat(self._seq), torch.cat(self._reg)
        n = len(seq)
        temperature = temperature_of(self._log_temperature, self._spec)
        loss = matching_loss(seq, reg, temperature=temperature, **self._loss)
        out = {key: float(value) for key, value in retrieval_recall(seq, reg, (1, 10)).items()}
        out |= {f"recall@{k}_chance": min(k / n, 1.0) for k in (1, 10)}
        return out | {"loss_chance": math.log(n), "loss": float(loss)}, []


def _gather(objectives: Any) -> Embeddings:
    spec = objectives.matching
    return Embeddings("region_embedding", spec, form=spec.form, normalise=spec.normalise)


MATCHING = Objective(
    name="matching",
    spec=MatchingSpec,
    loss=matching_objective,
    ranges={"temperature": (1e-3, 100), "batch": (2, None)},
    reads=("regions",),
    needs=misfits,
    titles={
        "loss": "Sequence-region matching: loss",
        "recall@1": "Matching: recall@1",
        "recall@10": "Matching: recall@10",
    },
    finals={"recall@1": "matching recall@1", "recall@10": "matching recall@10"},
    line={"recall@1": "recall@1 {:.3f}", "recall@10": "recall@10 {:.3f}"},
    chance_line={"recall@1_chance": "chance {:.3f}"},
    counts=frozenset({"samples"}),
    gather=_gather,
    contrasts=("seq_embedding", "region_embedding"),
    pooled=True,
)
