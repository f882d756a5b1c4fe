"""Splice sites: which base of a transcript is an acceptor, a donor, or neither.

`blocks` cuts transcripts into blocks of bases with their labels, `parts` divides the genes,
`genome` reads whole chromosomes, `sites` writes what is predicted, `scores` judges it, `task` is
the task. Examples are SpliceAI's (Jaganathan et al. 2019; protocols 8).
"""
