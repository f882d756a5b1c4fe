"""From rows of a store to tensors: the only floor where training data are made."""

from typing import Any

from epilm.batches.maker import BatchMaker, complete_spec
from epilm.batches.window_reader import WindowMaker, WindowReader
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import ObjectivesSpec
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec

__all__ = ["BatchMaker", "WindowMaker", "WindowReader", "complete_spec", "make_batches"]


def make_batches(
    store: Store, spec: ModelSpec, objectives: ObjectivesSpec, samples: SampleSpec, **rest: Any
) -> BatchMaker | WindowMaker:
    """Give the maker that `samples.unit` asks for: groups of regions, or windows.

    Parameters
    ----------
    store, spec, objectives, samples
    **rest
        seed, subset, device: see `BatchMaker`.
    """
    kind = WindowMaker if samples.unit == "windows" else BatchMaker
    return kind(store, spec, objectives, samples, **rest)
