"""The papers' public inputs: what they are, where they lie, and getting them whole."""
