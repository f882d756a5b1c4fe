"""Heads that answer for every token: one a `TokenAnswer`, kept under its own name in the model.

What is asked, and where truth and answer stand, says `epilm.batch.TOKEN_ANSWERS`; a model keeps the
heads that its spec asks for and knows none by name. Axes: N sequences, L tokens, H hidden, M kinds
of things that are asked about.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from epilm.batch import TOKEN_ANSWERS, Batch, Outputs, TokenAnswer
from epilm.models.model_spec import ModelSpec
from epilm.nn.encoder import init_weights


def build_token_heads(spec: ModelSpec, hidden: int) -> dict[str, nn.Linear]:
    """Make the heads that a spec asks for, by the attribute that a model keeps them under.

    Examples
    --------
    >>> from epilm.models.model_spec import ModelSpec
    >>> spec = ModelSpec(name="dbert", streams=("dna",), motif_sites=5)
    >>> {name: tuple(head.weight.shape) for name, head in build_token_heads(spec, 8).items()}
    {'motif_head': (5, 8)}
    """
    heads: dict[str, nn.Linear] = {}
    for answer in TOKEN_ANSWERS:
        if things := getattr(spec, answer.asked):
            head = nn.Linear(hidden, things)
            head.apply(init_weights)
            nn.init.constant_(head.bias, answer.bias)
            heads[answer.head] = head
    return heads


def keep_token_heads(model: nn.Module, heads: Mapping[str, nn.Linear] | None = None) -> None:
    """Let a model have these heads, and none of the others."""
    for answer in TOKEN_ANSWERS:
        setattr(model, answer.head, (heads or {}).get(answer.head))


def asked_of_tokens(model: nn.Module, batch: Batch) -> list[TokenAnswer]:
    """List what a batch asks about and the model answers."""
    return [
        answer
        for answer in TOKEN_ANSWERS
        if getattr(model, answer.head) is not None and getattr(batch, answer.asked) is not None
    ]


def answer_tokens(model: nn.Module, asked: list[TokenAnswer], tokens: Tensor, out: Outputs) -> None:
    """Write into `out` what the heads say of tokens (N, L, H): (N, L, M) each."""
    for answer in asked:
        setattr(out, answer.said, getattr(model, answer.head)(tokens))
