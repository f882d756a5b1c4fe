"""One vector of a model for every sequence or place, on disk, with what it is a vector of."""
