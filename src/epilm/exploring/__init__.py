"""Loci of a genome on one page: what is known of them, and what models say there."""
