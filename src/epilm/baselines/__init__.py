"""What a language model must beat, on the same examples and splits."""
