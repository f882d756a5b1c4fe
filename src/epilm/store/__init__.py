"""The prepared data on disk: build it, open it, look at it, draw samples from it."""
