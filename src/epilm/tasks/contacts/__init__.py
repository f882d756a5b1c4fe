"""Which two loci of a chromosome touch, from the bases of both."""
