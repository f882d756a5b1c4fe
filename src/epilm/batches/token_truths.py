"""What is true of every token, for the objectives that ask about each: one line a `TokenAnswer`.

Maker of batches and pre-training go through this table and know none of them by name.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from epilm.batches.site_finder import SiteFinder, kept_names, n_asked
from epilm.objectives.combine import weights
from epilm.objectives.table import ObjectivesSpec
from epilm.store.reader import Store


class TokenTruth(NamedTuple):
    """How the truth of one objective is found.

    Attributes
    ----------
    find : (store, spec, device, *, reach, key) -> SiteFinder
    number : (store, spec) -> int
        M, how many things are asked about; 0 where the objective is off.
    keep : (store, spec) -> dict
        What a checkpoint keeps of it, as JSON values.
    """

    find: Callable[..., SiteFinder]
    number: Callable[[Store, Any], int]
    keep: Callable[[Store, Any], dict[str, Any]]


# By `TokenAnswer.asked`.
TOKEN_TRUTHS = {"motif_sites": TokenTruth(SiteFinder, n_asked, kept_names)}


def truths_asked(objectives: ObjectivesSpec) -> list[str]:
    """List what is asked of each token.

    Examples
    --------
    >>> truths_asked(ObjectivesSpec())
    []
    """
    of_all = weights(objectives)
    return [name for name in TOKEN_TRUTHS if of_all[name] > 0]


def find_truths(
    store: Store, objectives: ObjectivesSpec, device: torch.device | str, **where: Any
) -> dict[str, SiteFinder]:
    """Make the finders of what is asked; `where` says what they are told of the reach."""
    return {
        name: TOKEN_TRUTHS[name].find(store, getattr(objectives, name), device, **where)
        for name in truths_asked(objectives)
    }


def count_truths(store: Store, objectives: ObjectivesSpec) -> dict[str, Any]:
    """Count the things that are asked about, by the field of a model's spec."""
    return {
        name: truth.number(store, getattr(objectives, name)) for name, truth in TOKEN_TRUTHS.items()
    }


def keep_truths(store: Store, objectives: ObjectivesSpec) -> dict[str, Any]:
    """Give what a checkpoint keeps of what is asked."""
    out: dict[str, Any] = {}
    for name, truth in TOKEN_TRUTHS.items():
        out |= truth.keep(store, getattr(objectives, name))
    return out
