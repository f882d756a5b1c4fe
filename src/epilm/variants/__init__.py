"""Variants: read, normalised, put into whole windows, scored by any model, written."""
