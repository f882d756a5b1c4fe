"""From rows of a store to tensors: the only floor where training data are made."""

from epilm.batches.maker import BatchMaker, complete_spec

__all__ = ["BatchMaker", "complete_spec"]
