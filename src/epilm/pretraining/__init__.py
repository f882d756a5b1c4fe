"""Pre-training: a recipe and a store become a run."""
